"""Momentum: each step keeps a share of the last one.

    v_t = mu v_{t-1} + g_t,    w_t = w_{t-1} - lr v_t

Polyak 1964; in this form Sutskever et al. 2013. Along a slope that stays the same, steps add up to 1 / (1 - mu) of
their length; across a ravine, where the gradient changes its sign, they cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import Digits, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEEP = 100.0  # curvature across the ravine; along it, 1
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def ravine(w: Tensor) -> Tensor:
    """Return the height in a ravine; the lowest point is 0."""
    return (w[0] ** 2 + STEEP * w[1] ** 2) / 2


def traps(w: Tensor) -> Tensor:
    """Return the height in a bowl with a shallow trap about every 2; the lowest point is 0."""
    return (w**2 / 20 + 0.16 * (1 - torch.cos(3 * w))).sum()


def descend(height: Callable[[Tensor], Tensor], start: list[float], lr: float, mu: float, steps: int) -> Tensor:
    """Descend from a start, and return the path, (steps + 1, coordinates)."""
    w = nn.Parameter(torch.tensor(start))
    optimizer = Optimizer(name="sgd", lr=lr, momentum=mu).build([{"params": [w]}])
    path = [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        height(w).backward()
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def count_steps(path: Tensor) -> int:
    """Count the steps down the ravine until a hundredth of the first height is left for good."""
    heights = torch.stack([ravine(w) for w in path])
    return int((heights > 0.01 * heights[0]).nonzero().max()) + 1


def run(seed: int = 0, size: Size = "full", *, mu: float = 0.9) -> Result:
    """Descend a ravine, a row of traps and the loss on digits with several shares of the last step."""
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for share in sorted({*(SHARES if size == "full" else (0.0, 0.5)), mu}):
        down = descend(ravine, [10.0, 1.0], 1.9 / STEEP, share, 500)
        through = descend(traps, [5.0], 0.1, share, 300)
        model = SoftmaxClassifier.for_data(data := Digits(), init="zeros")
        losses = fit(model, data, 3 if size == "full" else 1, Optimizer(name="sgd", lr=0.02, momentum=share))
        rows.append(
            {
                "mu": share,
                "steps": count_steps(down),
                "turns": int((down[1:31, 1] * down[:30, 1] < 0).sum()),
                "end of the traps": round(float(through[-1]), 2),
                "loss on digits": float(np.mean(losses[-10:])),
            }
        )
        if share in (0.0, mu):
            arrays |= {f"ravine {share}": down[:40].numpy(), f"traps {share}": through[:, 0].numpy()}
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw both paths down the ravine, and through the traps."""
    left, right = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-4, 11, 80), np.linspace(-1.2, 1.2, 80))
    left.contour(x, y, x**2 + STEEP * y**2, levels=[2, 10, 30, 60, 100, 150], colors="lightgrey", linewidths=1)
    w = np.linspace(-5, 5.5, 300)
    height = w**2 / 20 + 0.16 * (1 - np.cos(3 * w))
    right.plot(w, height, color="lightgrey")
    for mu, colour, marker in ((0.0, ORANGE, "s"), (result.knobs["mu"], BLUE, "o")):
        down, path = result.arrays[f"ravine {mu}"], result.arrays[f"traps {mu}"]
        left.plot(*down.T, marker=marker, markersize=4, linewidth=1, color=colour)
        right.plot(path[-1:], np.interp(path[-1:], w, height), marker, markersize=11, color=colour, label=f"μ = {mu}")
    right.plot(5, np.interp(5, w, height), "kx", markersize=9)
    left.set(xlabel="$w_1$", ylabel="$w_2$")
    right.set(xlabel="w", ylabel="L")
    right.legend()


def claim(result: Result) -> list[Claim]:
    """Compare a share of the last step with none."""
    plain, with_share = result.row(mu=0.0), result.row(mu=result.knobs["mu"])
    ratio = {name: with_share[name] / plain[name] for name in ("steps", "turns", "loss on digits")}
    return [
        Claim("steps, by those of mu = 0", ratio["steps"], "<=", 0.6),
        Claim("turns, by those of mu = 0", ratio["turns"], "<=", 0.6),
        Claim("distance from the lowest point after the traps", abs(with_share["end of the traps"]), "<=", 0.1),
        Claim("the same with mu = 0", abs(plain["end of the traps"]), ">=", 3),
        Claim("loss on digits, by that of mu = 0", ratio["loss on digits"], "<=", result.bound(full=0.6, test=0.9)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the measured number of steps."""
    ratio = result.row(mu=0.9)["steps"] / result.row(mu=0.0)["steps"]
    return 1 if ratio < 0.2 else 2 if ratio < 0.65 else 3


def answer_1() -> list[Claim]:
    """Find the share with the fewest steps."""
    steps = {share: count_steps(descend(ravine, [10.0, 1.0], 1.9 / STEEP, share, 500)) for share in SHARES}
    best = min(steps, key=lambda share: steps[share])
    return [Claim("best mu", best, "==", 0.8), Claim("fewest steps", steps[best], "<=", 0.3 * steps[0.0])]


def answer_2() -> list[Claim]:
    """Descend a slope that stays the same."""
    path = descend(torch.sum, [0.0], 0.1, 0.9, 100)[:, 0]
    return [Claim("growth of a step on a slope", float((path[-1] - path[-2]) / (path[1] - path[0])), ">=", 9.9)]
