"""A local minimum: where the derivative is zero, descent stops; noise or momentum goes on.

    w = w - lr (g + noise),    noise falling to zero        simulated annealing, Kirkpatrick et al. 1983

The height is a bowl with a hollow about every 2. Whoever follows the slope alone ends in the hollow where they started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WAYS = ("plain", "noise", "momentum")


def height(w: Tensor) -> Tensor:
    """Return the height at each place; the lowest point is 0."""
    return w**2 / 20 + 0.16 * (1 - torch.cos(3 * w))


def descend(starts: Tensor, steps: int, momentum: float = 0.0, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Descend from many starts at once, with noise that falls to zero; return the ends and their slopes."""
    w = nn.Parameter(starts.clone())
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=momentum).build([{"params": [w]}])
    for step in range(steps):
        optimizer.zero_grad()
        slope = noise * max(0.0, 1 - 1.25 * step / steps) * torch.randn_like(w)  # of a ground that shakes
        (height(w) + slope * w).sum().backward()
        optimizer.step()
    (final,) = torch.autograd.grad(height(w).sum(), w)
    return w.detach(), final.abs()


def run(seed: int = 0, size: Size = "full", *, noise: float = 3.0, momentum: float = 0.9) -> Result:
    """Descend from everywhere by three ways."""
    starts = torch.linspace(-5.5, 5.5, 200)
    settings = {"plain": (0.0, 0.0), "noise": (0.0, noise), "momentum": (momentum, 0.0)}
    rows: list[Row] = []
    ends = []
    for way, (kept, shaken) in settings.items():
        end, slope = descend(starts, 2000 if size == "full" else 800, kept, shaken)
        lowest = float((end.abs() < 0.5).double().mean())
        rows.append(
            {"way": way, "in the lowest": lowest, "height": height(end).mean().item(), "slope": slope.max().item()}
        )
        ends.append(end)
    return Result(rows, {"starts": starts.numpy(), "ends": torch.stack(ends).numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the height, and below it where each start ends."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
    w = torch.linspace(-5.7, 5.7, 300)
    above.plot(w.numpy(), height(w).numpy(), color="black")
    above.set(ylabel="L")
    for k, (ends, colour) in enumerate(zip(result.arrays["ends"], (ORANGE, BLUE, GREEN), strict=True)):
        places, counts = np.unique(np.round(ends, 1), return_counts=True)
        below.bar(places + (k - 1) * 0.15, counts, width=0.15, color=colour, label="ABC"[k], hatch=("", "//", "..")[k])
    below.set(xlabel="w", ylabel="n")
    below.legend()


def claim(result: Result) -> list[Claim]:
    """Compare the ways."""
    plain, noise, momentum = result.rows
    return [
        Claim("plain: slope at the end", plain["slope"], "<=", 1e-4),
        Claim("plain: share in the lowest hollow", plain["in the lowest"], "<=", 0.3),
        Claim("noise: share in the lowest hollow", noise["in the lowest"], ">=", result.bound(full=0.6, test=0.5)),
        Claim("momentum: share in the lowest hollow", momentum["in the lowest"], ">=", plain["in the lowest"] + 0.1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says where plain descent ends."""
    return 3 if result.row(way="plain")["in the lowest"] < 0.5 else 1


def answer_1() -> list[Claim]:
    """Start many times and keep the best."""
    ends, _ = descend(11 * torch.rand(400) - 5.5, 300)
    lowest = (ends.view(40, 10).abs() < 0.5).any(1)  # of ten starts each
    return [Claim("share of tens with one in the lowest", lowest.double().mean().item(), ">=", 0.7)]


def answer_2() -> list[Claim]:
    """Use noise that is too weak to leave a hollow."""
    weak, _ = descend(torch.linspace(-5.5, 5.5, 200), 800, noise=0.1)
    plain, _ = descend(torch.linspace(-5.5, 5.5, 200), 800)
    moved = float(((weak - plain).abs() > 0.5).double().mean())
    return [Claim("share that leaves its hollow", moved, "<=", 0.1)]
