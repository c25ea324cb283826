"""A saddle: the derivative is zero, and yet it goes down on both sides; descent stops there, or lingers.

    f(x, y) = (x^2 - y^2) / 2 + y^4 / 4,    curvature at 0: +1 along x, -1 along y

In many dimensions most points without a slope are saddles: a minimum bends upwards in every direction, which is rare
(Dauphin et al. 2014). Off the ridge by d, plain descent needs about log(1 / d) / log(1 + lr) steps to leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WAYS = {
    "on the ridge": (0.0, 0.0, 0.0),
    "off by d": (1.0, 0.0, 0.0),
    "momentum": (1.0, 0.9, 0.0),
    "noise": (0.0, 0.0, 0.01),
}


def height(w: Tensor) -> Tensor:
    """Return the height; the lowest points are (0, 1) and (0, -1), at -0.25."""
    return (w[0] ** 2 - w[1] ** 2) / 2 + w[1] ** 4 / 4


def descend(start: tuple[float, float], steps: int, momentum: float, noise: float) -> Tensor:
    """Descend from a start, and return the path, (steps + 1, 2)."""
    w = nn.Parameter(torch.tensor(start))
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=momentum).build([{"params": [w]}])
    path = [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (height(w) + noise * torch.randn(2) @ w).backward()
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def run(seed: int = 0, size: Size = "full", *, d: float = 1e-6) -> Result:
    """Descend towards the saddle by four ways."""
    rows: list[Row] = []
    paths = []
    for way, (share, momentum, noise) in WAYS.items():
        path = descend((1.5, share * d), 300, momentum, noise)
        heights = torch.stack([height(w) for w in path])
        low = (heights < -0.2).nonzero()
        left = int(low[0]) if len(low) else 300
        rows.append({"way": way, "steps": left, "y": float(path[-1, 1]), "height": float(heights[-1])})
        paths.append(heights)
    hessian = torch.autograd.functional.hessian(height, torch.zeros(2))
    curvature = torch.linalg.eigvalsh(torch.as_tensor(hessian))
    return Result(rows, {"heights": torch.stack(paths).numpy(), "curvature": curvature.numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the saddle, and the height over the steps."""
    left, right = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1.6, 1.6, 80), np.linspace(-1.6, 1.6, 80))
    shades = left.contourf(x, y, (x**2 - y**2) / 2 + y**4 / 4, levels=15, cmap="Greys_r")
    figure.colorbar(shades, ax=left, label="L")
    left.plot([1.5, 0], [0, 0], "o-", color=ORANGE)
    left.plot([0, 0], [-1, 1], "*", color=GREEN, markersize=14)
    left.set(xlabel="x", ylabel="y")
    styles = ((ORANGE, "-"), (BLUE, "--"), (GREEN, "-."), (RED, ":"))
    for k, (heights, (colour, style)) in enumerate(zip(result.arrays["heights"], styles, strict=True)):
        right.plot(heights, style, color=colour, label="ABCD"[k])
    right.set(xlabel="t", ylabel="L", ylim=(-0.3, 0.6))
    right.legend()


def claim(result: Result) -> list[Claim]:
    """Say that descent stops at the saddle, and what leaves it."""
    ridge, off, momentum, noise = result.rows
    low, high = result.arrays["curvature"]
    return [
        Claim("smaller curvature at the saddle", float(low), "<=", -0.9),
        Claim("larger curvature at the saddle", float(high), ">=", 0.9),
        Claim("height at which the ridge ends", abs(ridge["height"]), "<=", 1e-6),
        Claim("steps with noise", noise["steps"], "<=", 150),
        Claim("steps with momentum, by those without", momentum["steps"] / off["steps"], "<=", 0.6),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says where the ridge ends."""
    return 1 if abs(result.row(way="on the ridge")["y"]) < 1e-6 else 2


def answer_1() -> list[Claim]:
    """Start a thousand times nearer to the ridge."""
    steps = []
    for d in (1e-3, 1e-6):
        path = descend((1.5, d), 300, 0.0, 0.0)
        steps.append(int((path[:, 1].abs() > 0.5).nonzero()[0]))
    more = steps[1] - steps[0]
    return [Claim("additional steps", more, ">=", 68), Claim("additional steps, from above", more, "<=", 78)]


def answer_2() -> list[Claim]:
    """Count random symmetric matrices that bend upwards in every direction."""
    shares = []
    for size in (2, 6):
        matrices = torch.randn(4000, size, size)
        shares.append((torch.linalg.eigvalsh(matrices + matrices.mT) > 0).all(1).double().mean().item())
    return [
        Claim("share of minima in 2 dimensions", shares[0], ">=", 0.05),
        Claim("share of minima in 6 dimensions", shares[1], "<=", 0.001),
    ]
