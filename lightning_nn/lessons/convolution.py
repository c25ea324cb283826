"""Convolution: the same small kernels at every place of an image; a kernel decides what its map shows.

    y[k, i, j] = b[k] + sum over c, u, v of w[k, c, u, v] x[c, S i + u, S j + v]
    size of y = floor((N + 2 P - K) / S) + 1

N pixels with a border of P zeros, a window of K pixels, a stride of S. Each kernel reads all channels and gives a map.
LeCun et al. 1989; the size: Dumoulin and Visin 2016, arXiv:1603.07285, relation 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import Photos
from lightning_nn.layers.convolution import build
from lightning_nn.lessons.lesson import Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KERNELS = 8
FORMS = ((1, 0, 1), (3, 0, 1), (3, 1, 1), (5, 0, 1), (5, 2, 1), (7, 0, 1), (7, 3, 1), (3, 1, 2), (5, 2, 2), (7, 0, 4))
SLOPE = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8  # Sobel's


def photograph(size: Size = "full") -> Tensor:
    """Return a small photograph of a temple, (3, H, W) from 0 to 1."""
    content = split(Photos(steps=1), "train").content
    return F.avg_pool2d(content / 255, 13 if size == "full" else 15)[0]


def convolve(image: Tensor, kernels: Tensor, padding: int, stride: int) -> Tensor:
    """Convolve (C, H, W) with (C', C, K, K) to (C', H', W'), place by place."""
    image, width = F.pad(image, [padding] * 4), kernels.shape[-1]
    rows, columns = ((side - width) // stride + 1 for side in image.shape[1:])
    maps = torch.zeros(len(kernels), rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = image[:, stride * i : stride * i + width, stride * j : stride * j + width]
            maps[:, i, j] = (kernels * window).sum((1, 2, 3))
    return maps


def pictures(image: Tensor, width: int) -> dict[str, Tensor]:
    """Convolve a photograph with five kernels; maps (H', W') by letter."""
    grey = torch.full((3, 1, 1), 1 / 3)
    kernels = {
        "B": grey * torch.full((width, width), 1 / width**2),
        "C": grey * SLOPE,
        "D": grey * SLOPE.T,
        "E": torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1),
        "F": torch.randn(3, 3, 3) / 9,
    }
    return {letter: convolve(image, kernel[None], 0, 1)[0] for letter, kernel in kernels.items()}


def run(seed: int = 0, size: Size = "full", *, K: int = 5) -> Result:
    """Convolve a photograph by torch's layer and place by place, with several windows, borders and strides."""
    image = photograph(size)
    rows: list[Row] = []
    for width, padding, stride in sorted({*FORMS, (K, 0, 1)}):
        (layer,) = build([f"conv {KERNELS} {width} {stride} {padding} bias=false"], tuple(image.shape))
        with torch.no_grad():
            maps, kernels = layer.module(image[None])[0], next(layer.module.parameters())
            gap = (maps - convolve(image, kernels, padding, stride)).abs().max()
        _, height, breadth = maps.shape
        rows.append(
            {"K": width, "P": padding, "S": stride, "H": height, "W": breadth}
            | {"weights": layer.parameters, "gap": float(gap)}
        )
    arrays = {letter: (100 * values).round().int().numpy() for letter, values in pictures(image, K).items()}
    return Result(rows, {"A": (255 * image).round().int().numpy(), **arrays})


def draw(result: Result, figure: Figure) -> None:
    """Draw the photograph, and a map of each kernel."""
    for axes, (letter, values) in zip(figure.subplots(2, 3).flat, result.arrays.items(), strict=True):
        if letter == "A":
            axes.imshow(values.transpose(1, 2, 0).astype("uint8"))
        else:
            axes.imshow(values, cmap="gray")
        axes.set_title(f"{letter}   {values.shape[-2]} × {values.shape[-1]}", fontsize=11)
        axes.axis("off")


def claim(result: Result) -> list[Claim]:
    """Compare sizes and numbers with the formulas, and the maps with the photograph."""
    height, breadth = result.arrays["A"].shape[1:]
    others = 0
    for row in result.rows:
        rows, columns = ((side + 2 * row["P"] - row["K"]) // row["S"] + 1 for side in (height, breadth))
        others += (row["H"], row["W"], row["weights"]) != (rows, columns, KERNELS * 3 * row["K"] ** 2)
    across = {name: float(abs(values[..., 1:] - values[..., :-1]).mean()) for name, values in result.arrays.items()}
    down = {name: float(abs(values[..., 1:, :] - values[..., :-1, :]).mean()) for name, values in result.arrays.items()}
    return [
        Claim("rows that differ from the formula", others, "==", 0),
        Claim("largest gap to the sum written out", max(result.column("gap")), "<=", 1e-5),
        Claim("step between neighbours in A, of 100", across["A"] / 2.55, ">=", 4),
        Claim("step between neighbours in B, of 100", across["B"], "<=", 3.5),
        Claim("steps across minus steps down in C", across["C"] - down["C"], ">=", 0.5),
        Claim("steps across minus steps down in D", across["D"] - down["D"], "<=", -0.5),
    ]


def right_choice(result: Result) -> int:
    """Return the choice with the measured number of rows."""
    return {0: 1, 4: 2, 5: 3}[result.arrays["A"].shape[1] - result.row(K=5, P=0, S=1)["H"]]


def answer_1() -> list[Claim]:
    """Measure the size with the border of half a window, for an odd and an even window."""
    image = photograph("test")
    sizes = {width: convolve(image, torch.ones(1, 3, width, width), width // 2, 1).shape[1] for width in (5, 4)}
    return [
        Claim("rows that K = 5 adds", sizes[5] - image.shape[1], "==", 0),
        Claim("rows that K = 4 adds", sizes[4] - image.shape[1], "==", 1),
    ]


def answer_2() -> list[Claim]:
    """Convolve twice with 3 x 3, and once with the 5 x 5 that is the same."""
    image, first, second = photograph("test")[:1], torch.randn(1, 1, 3, 3), torch.randn(1, 1, 3, 3)
    twice = convolve(convolve(image, first, 0, 1), second, 0, 1)
    both = convolve(first[0], second.flip(2, 3), 2, 1)[None]
    gap = (twice - convolve(image, both, 0, 1)).abs().max()
    return [
        Claim("gap of both ways", float(gap), "<=", 1e-4),
        Claim("weights of both, by those of 5 × 5", (first.numel() + second.numel()) / both.numel(), "<=", 0.75),
    ]


def answer_3() -> list[Claim]:
    """Shift the photograph by three columns."""
    image, kernels = photograph("test"), torch.randn(1, 3, 3, 3)
    maps, shifted = (convolve(values, kernels, 0, 1) for values in (image, image.roll(3, 2)))
    gap = (shifted[:, :, 3:] - maps[:, :, :-3]).abs().max()
    return [Claim("gap to the shifted map", float(gap), "<=", 1e-6)]
