"""A neuron: an inner product, a bias and an activation; it answers by the side of a line on which a point lies.

    p = sigmoid(z),    z = w · x + b

McCulloch and Pitts 1943, with Rosenblatt's weights (1958) and a sigmoid in place of the threshold. On the line
w · x = -b the neuron is undecided: the line is perpendicular to w and lies -b / |w| from the origin; across it p rises
by |w| / 4 a unit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = torch.linspace(-3, 3, 121)
POINTS = torch.cartesian_prod(GRID, GRID)  # (N, 2)
CHANGES = ("none", "turned", "bias", "times 4")


def make_neuron(angle: float, bias: float, gain: float) -> nn.Linear:
    """Return a neuron whose weights point in a direction, in degrees, and have the length `gain`."""
    neuron = nn.Linear(2, 1)
    direction = math.radians(angle)
    with torch.no_grad():
        neuron.weight.copy_(gain * torch.tensor([[math.cos(direction), math.sin(direction)]]))
        neuron.bias.fill_(bias)
    return neuron


def find_line(p: Tensor) -> tuple[float, float]:
    """Find the line on which p is 0.5: the angle of its normal in degrees, and its distance from the origin."""
    near = POINTS[(p - 0.5).abs().argsort()[:60]]  # the points about which the neuron is least decided
    centre = near.mean(0)
    normal = torch.linalg.eigh(torch.cov(near.T)).eigenvectors[:, 0]  # across the line, where the points vary least
    ahead = p[((POINTS - centre - normal) ** 2).sum(1).argmin()]
    normal = normal if ahead > 0.5 else -normal  # towards the points that get more
    return math.degrees(math.atan2(normal[1], normal[0])), float(normal @ centre)


def run(seed: int = 0, size: Size = "full", *, angle: float = 30.0, bias: float = 0.0, gain: float = 4.0) -> Result:
    """Turn a neuron, shift it and make it steeper, and find its line each time from its answers."""
    rows: list[Row] = []
    maps = []
    settings = ((angle, bias, gain), (angle + 45, bias, gain), (angle, bias - 4, gain), (angle, bias, 4 * gain))
    for change, (degrees, b, length) in zip(CHANGES, settings, strict=True):
        neuron = make_neuron(degrees, b, length)
        points = POINTS.clone().requires_grad_()
        p = neuron(points).sigmoid().squeeze(1)
        p.sum().backward()
        slope = points.grad.norm(dim=1).max().item()  # type: ignore[union-attr]
        found, distance = find_line(p.detach())
        rows.append({"change": change, "|w|": length, "b": b, "angle": found, "distance": distance, "slope": slope})
        maps.append(p.detach().view(121, 121)[::4, ::4])
    return Result(rows, {"p": torch.stack(maps).numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the four lines, over the answers of the first neuron, and p along the weights of each."""
    plane, profile = figure.subplots(1, 2)
    ends, p = GRID[::4].numpy(), result.arrays["p"]
    x, y = np.meshgrid(ends, ends, indexing="ij")
    plane.pcolormesh(ends, ends, p[0].T, cmap="Greys", vmin=0, vmax=1.6, shading="gouraud")
    styles = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (RED, ":"))
    for label, row, answers, (colour, style) in zip("ABCD", result.rows, p, styles, strict=True):
        plane.contour(ends, ends, answers.T, levels=[0.5], colors=colour, linestyles=style, linewidths=3)
        along = math.cos(math.radians(row["angle"])) * x + math.sin(math.radians(row["angle"])) * y
        order = np.argsort(along, axis=None)
        profile.plot(along.flat[order], answers.flat[order], style, color=colour, label=label, linewidth=3)
    plane.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    profile.set(xlabel=r"$w \cdot x / |w|$", ylabel="p", xlim=(-2, 3))
    profile.legend(loc="upper left", frameon=True)


def claim(result: Result) -> list[Claim]:
    """Compare the lines that were found with what the weights say."""
    plain, turned, shifted, steep = result.rows
    move = (plain["b"] - shifted["b"]) / plain["|w|"]
    return [
        Claim("turn of the line, in degrees", (turned["angle"] - plain["angle"]) % 360, ">=", 44),
        Claim("turn, from above", (turned["angle"] - plain["angle"]) % 360, "<=", 46),
        Claim(
            "shift by the bias, minus what b / |w| says",
            abs(shifted["distance"] - plain["distance"] - move),
            "<=",
            0.05,
        ),
        Claim("turn by the bias, in degrees", abs(shifted["angle"] - plain["angle"]), "<=", 1),
        Claim("steepness, by |w| / 4", steep["slope"] / (steep["|w|"] / 4), ">=", 0.9),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says what the bias did."""
    plain, _, shifted, _ = result.rows
    return 2 if abs(plain["angle"] - shifted["angle"]) < 1 and abs(plain["distance"] - shifted["distance"]) > 0.1 else 1


def answer_1() -> list[Claim]:
    """Multiply weights and bias by 10."""
    once, tenfold = (find_line(make_neuron(30, 1 * k, 2 * k)(POINTS).sigmoid().squeeze(1).detach()) for k in (1, 10))
    return [
        Claim("turn of the line", abs(once[0] - tenfold[0]), "<=", 1),
        Claim("shift of the line", abs(once[1] - tenfold[1]), "<=", 0.05),
    ]


def answer_2() -> list[Claim]:
    """Try many neurons on "exactly one of both", and count how many of its four points each gets right."""
    points, either = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([False, True, True, False])
    right = [
        int(((nn.functional.linear(points, torch.randn(1, 2), torch.randn(1)) > 0).squeeze(1) == either).sum())
        for _ in range(5000)
    ]
    return [Claim("right of four, at best", max(right), "==", 3)]
