"""Pooling: the largest value of each window; a small shift changes little, and the exact place is lost.

    y[i, j] = max over u, v < P of x[P i + u, P j + v]

There is nothing to learn in it. LeCun et al. 1989 (means); Ranzato et al. 2007, Scherer et al. 2010 (maxima).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import Digits
from lightning_nn.layers.convolution import build
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, START = 16, 6  # of an image, and of the digit of 8 x 8 pixels in it, whose edges are not those of windows
WINDOWS = (1, 2, 4, 8, 16)
SHOWN = (1, 2, 4)


def canvas(name: str, count: int, start: int = START) -> tuple[Tensor, Tensor]:
    """Return images of a split on a larger canvas, (N, 1, 16, 16) from 0 to 1, and their labels."""
    batch = split(Digits(), name)
    return F.pad(batch.image[:count] / 255, [start, SIDE - 8 - start] * 2), batch.label[:count]


def shifts(image: Tensor, shift: int) -> list[Tensor]:
    """Shift images to the left, right, top and bottom."""
    return [image.roll(by, axis) for axis in (2, 3) for by in (-shift, shift)]


def pool(maps: Tensor, window: int, kind: str) -> Tensor:
    """Pool maps by a layer of the package."""
    (layer,) = build([f"{kind} {window}"], tuple(maps.shape[1:]))
    pooled: Tensor = layer.module(maps)
    return pooled


def classify(train: Tensor, label: Tensor, tests: list[Tensor]) -> list[Tensor]:
    """Fit a linear classifier by least squares, and predict."""
    x, mean = train.flatten(1), train.flatten(1).mean(0)
    kernel = (x - mean) @ (x - mean).T
    ridge = 1e-3 * kernel.trace() * torch.eye(len(x)) / 10
    weight = (x - mean).T @ torch.linalg.solve(kernel + ridge, F.one_hot(label, 10).float() - 0.1)
    return [((test.flatten(1) - mean) @ weight).argmax(1) for test in tests]


def count_places(window: int, kind: str) -> int:
    """Count the different outputs for a bright pixel at each place."""
    points = torch.eye(SIDE**2).view(-1, 1, SIDE, SIDE)
    return len(pool(points, window, kind).flatten(1).unique(dim=0))


def compare(kernels: Tensor, window: int, kind: str, shift: int, count: int, start: int = START) -> Row:
    """Classify digits where they were in training, and shifted, by the maps of kernels."""
    (image, label), (test, truth) = canvas("train", count, start), canvas("test", 360, start)
    train, middle, *moved = (
        pool(F.conv2d(images, kernels, padding=1).relu(), window, kind)
        for images in (image, test, *shifts(test, shift))
    )
    changes = [float((other - middle).norm() / middle.norm()) for other in moved]
    correct = [float((guess == truth).double().mean()) for guess in classify(train, label, [middle, *moved])]
    return {
        "P": window,
        "numbers": middle[0].numel(),
        "places": count_places(window, kind),
        "change": sum(changes) / 4,
        "correct": correct[0],
        "shifted": sum(correct[1:]) / 4,
    }


def run(seed: int = 0, size: Size = "full", *, shift: int = 1, kind: str = "max_pool") -> Result:
    """Classify shifted digits by windows of several sizes; pool a digit and its shift."""
    kernels, count = torch.randn(16, 1, 3, 3) / 3, 1080 if size == "full" else 400
    rows = [compare(kernels, window, kind, shift, count) for window in WINDOWS]
    image = canvas("test", 1)[0]
    maps = {
        f"{name}{window}": pool(picture, window, kind)[0, 0].numpy()
        for name, picture in (("x", image), ("y", image.roll(shift, 3)))
        for window in SHOWN
    }
    return Result(rows, maps)


def draw(result: Result, figure: Figure) -> None:
    """Draw a digit and its shift, pooled, and what windows do to classification and place."""
    grid = figure.add_gridspec(2, 5)
    for column, window in enumerate(SHOWN):
        for row, name in enumerate("xy"):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(result.arrays[f"{name}{window}"], cmap="gray_r", vmin=0, vmax=1)
            axes.spines[:].set_visible(True)
            axes.set(xticks=[], yticks=[], title=f"P = {window}" if not row else "")
    axes = figure.add_subplot(grid[:, 3:])
    windows = result.column("P")
    for name, label, style in (
        ("correct", "0", {"color": BLUE, "marker": "o"}),
        ("shifted", str(result.knobs["shift"]), {"color": ORANGE, "marker": "s", "linestyle": "--"}),
        ("change", "Δ", {"color": GREEN, "marker": "^", "linestyle": ":"}),
    ):
        axes.semilogx(windows, result.column(name), label=label, base=2, **style)
    axes.set(xlabel="P", xticks=windows, xticklabels=windows, ylim=(0, 1.05))
    axes.legend()


def claim(result: Result) -> list[Claim]:
    """Compare windows with the map as it is."""
    plain, middle, largest = result.row(P=1), result.row(P=4), result.row(P=SIDE)
    lost = {row["P"]: row["correct"] - row["shifted"] for row in result.rows}
    return [
        Claim("change by a shift, P = 1 minus P = 4", plain["change"] - middle["change"], ">=", 0.25),
        Claim("correct that a shift costs, P = 1 minus P = 4", lost[1] - lost[4], ">=", 0.08),
        Claim("places told apart at P = 1", plain["places"], "==", SIDE**2),
        Claim("places told apart at P = 4", middle["places"], "==", (SIDE // 4) ** 2),
        Claim("correct, P = 4 minus P = 16", middle["correct"] - largest["correct"], ">=", 0.2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice with the measured number of places."""
    return {256: 1, 64: 2, 16: 3}[result.row(P=4)["places"]]


def answer_1() -> list[Claim]:
    """Shift an image by the whole window."""
    image, _ = canvas("test", 100)
    pooled, moved = (pool(values, 4, "max_pool") for values in (image, image.roll(4, 3)))
    gap = (moved - pooled.roll(1, 3)).abs().max()
    return [Claim("gap to the map shifted by one", float(gap), "==", 0)]


def answer_2() -> list[Claim]:
    """Count the parameters of a pooling layer, and of a convolution with the same window and stride."""
    layers = [build([entry], (16, SIDE, SIDE))[0] for entry in ("max_pool 2", "conv 16 2 stride=2")]
    return [
        Claim("parameters of pooling", layers[0].parameters, "==", 0),
        Claim("parameters of a convolution with stride", layers[1].parameters, "==", 16 * 16 * 4 + 16),
        Claim("rows by which their outputs differ", layers[0].outputs[1] - layers[1].outputs[1], "==", 0),
    ]


def answer_3() -> list[Claim]:
    """Put the digits where their edges are those of windows of 4."""
    kernels, lost = torch.randn(16, 1, 3, 3) / 3, {}
    for start in (START, 4):
        rows = [compare(kernels, window, "max_pool", 1, 400, start) for window in (1, 4)]
        none, window = (row["correct"] - row["shifted"] for row in rows)
        lost[start] = window / none
    return [
        Claim("correct lost at P = 4, by that at P = 1, digit at 6", lost[START], "<=", 0.75),
        Claim("the same, digit at 4", lost[4], ">=", 0.85),
    ]
