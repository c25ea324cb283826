"""Fully convolutional: a class for each pixel of an image of any size; skips to finer maps sharpen its edges.

    transposed convolution:  x = C^T y,    where  y = C x  is a convolution;    equally  x = d(y' C x)/dx,
    or a convolution with the kernel turned around, of y with S - 1 zeros between its values

FCN-32s upsamples scores of cells of 32 x 32 pixels; FCN-4s adds those of finer maps before. Long, Shelhamer and Darrell
2015, arXiv:1411.4038; Dumoulin and Visin 2016, arXiv:1603.07285, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import FCN, MaskBatch, Scenes
from lightning_nn.layers.upsampling import Upsampling, best_masks
from lightning_nn.lessons.lesson import Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit, split
from lightning_nn.models.fcn import Stride

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIDES: tuple[Stride, ...] = (32, 8, 4)
CLASSES = 8
HEIGHT = 1.7
SHOWN = 0  # image of the test set
KERNEL, STEP = 4, 2  # of the transposed convolution that is written in three ways


def as_matrix(kernel: Tensor, side: int) -> Tensor:
    """Return the matrix C of a convolution with stride, from images of side x side pixels."""
    pixels = torch.eye(side**2).view(-1, 1, side, side)  # each image has one bright pixel
    return F.conv2d(pixels, kernel, stride=STEP).flatten(1).T


def by_gradient(y: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Return the gradient that reaches the input of a convolution when y reaches its output."""
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    return torch.autograd.grad(F.conv2d(x, kernel, stride=STEP), x, y)[0]


def by_matrix(y: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Multiply y by the transposed matrix of a convolution."""
    return (as_matrix(kernel, side).T @ y.flatten()).view(1, 1, side, side)


def by_zeros(y: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Put zeros between the values of y and around them, and convolve with the kernel turned around."""
    wide = torch.zeros(1, 1, side - KERNEL + 1, side - KERNEL + 1)
    wide[..., ::STEP, ::STEP] = y
    return F.conv2d(wide, kernel.flip(2, 3), padding=KERNEL - 1)


def gaps() -> dict[str, float]:
    """Compare torch's transposed convolution with the three ways, on random maps of 6 x 6."""
    y, kernel = torch.randn(1, 1, 6, 6), torch.randn(1, 1, KERNEL, KERNEL)
    x = F.conv_transpose2d(y, kernel, stride=STEP)
    ways = {"gradient": by_gradient, "matrix": by_matrix, "zeros": by_zeros}
    return {name: float((way(y, kernel, x.shape[-1]) - x).abs().max()) for name, way in ways.items()}


def near_edges(mask: Tensor) -> Tensor:
    """Mark the pixels at most 2 from one of another class, bool (B, H, W)."""
    planes = F.one_hot(mask, CLASSES).movedim(3, 1).float()
    return F.max_pool2d(planes, 5, stride=1, padding=2).sum(1) > 1


def measure(guess: Tensor, mask: Tensor) -> tuple[float, float]:
    """Return the share of correct pixels near edges, and of all others."""
    edge, correct = near_edges(mask), (guess == mask).double()
    return float(correct[edge].mean()), float(correct[~edge].mean())


def run(seed: int = 0, size: Size = "full", *, epochs: int = 5) -> Result:
    """Train networks of three strides on scenes, and predict the masks of others."""
    count, epochs = (300, epochs) if size == "full" else (64, min(epochs, 2))
    data = Scenes(train_size=count, val_size=1, test_size=60, batch_size=16)
    rows: list[Row] = []
    arrays: dict[str, Array] = {name: torch.tensor(gap).view(1).numpy() for name, gap in gaps().items()}
    for stride in STRIDES:
        model = FCN.for_data(data, stride=stride, first_channels=6)
        data.batch_type = model.batch_type
        fit(model, data, epochs)
        test: MaskBatch = split(data, "test")
        mask = cast(Tensor, test.mask).long()
        with torch.no_grad(), model.evaluating():
            guess = model(test).argmax(1)
            larger = model(MaskBatch(test.image[:1, :, :50].repeat(1, 1, 1, 2)))
        edges, inside = measure(guess, mask)
        ceiling, _ = measure(best_masks(mask, CLASSES, stride), mask)
        rows.append(
            {"stride": stride, "edges": edges, "ceiling": ceiling, "inside": inside}
            | {"parameters": sum(parameter.numel() for parameter in model.parameters())}
            | {"rows": larger.shape[2], "columns": larger.shape[3]}
        )
        arrays[f"{stride}"] = guess[SHOWN].numpy()
    return Result(rows, {**arrays, "x": test.image[SHOWN].numpy(), "y": mask[SHOWN].numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw an image, its true mask, and the masks of each stride."""
    names = ["x", "y", *map(str, STRIDES)]
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        values = result.arrays[name]
        if name == "x":
            axes.imshow(values.transpose(1, 2, 0).astype("uint8"))
        else:
            axes.imshow(values, cmap="cividis", vmin=0, vmax=CLASSES - 1)
        axes.set(xticks=[], yticks=[], title=name if name in "xy" else f"S = {name}")


def claim(result: Result) -> list[Claim]:
    """Say that three ways of upsampling are one, that any size goes, and what skips do at edges."""
    coarse, fine = result.row(stride=32), result.row(stride=4)
    gap = max(float(result.arrays[name].max()) for name in ("gradient", "matrix", "zeros"))
    sizes = sum((row["rows"], row["columns"]) != (50, 128) for row in result.rows)
    claims = [
        Claim("largest gap of the three ways to torch", gap, "<=", 1e-5),
        Claim("masks of another size than the image", sizes, "==", 0),
        Claim("ceiling of edges, stride 32", coarse["ceiling"], "<=", 0.6),
        Claim("ceiling of edges, stride 4", fine["ceiling"], ">=", 0.85),
    ]
    if result.size == "full":  # two epochs on 64 scenes are too few for it
        claims.append(Claim("edges, stride 4 minus stride 32", fine["edges"] - coarse["edges"], ">=", 0.02))
    return claims


def right_choice(result: Result) -> int:
    """Return the choice of the share of pixels near edges that cells of 32 get right at best."""
    ceiling = result.row(stride=32)["ceiling"]
    return 1 if ceiling > 0.9 else 2 if ceiling > 0.65 else 3


def answer_1() -> list[Claim]:
    """Count the values under the kernel at each place of a transposed convolution of ones, for two kernels."""
    spread = {}
    for kernel in (4, 3):
        x = F.conv_transpose2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, kernel, kernel), stride=2)
        middle = x[..., 4:-4, 4:-4]
        spread[kernel] = float(middle.max() / middle.min())
    return [
        Claim("largest by smallest, kernel of 4", spread[4], "==", 1),
        Claim("largest by smallest, kernel of 3", spread[3], "==", 4),
    ]


def answer_2() -> list[Claim]:
    """Convolve, and convolve back by the transpose."""
    kernel, x = torch.randn(1, 1, KERNEL, KERNEL), torch.randn(1, 1, 14, 14)
    matrix = as_matrix(kernel, 14)
    back = (matrix.T @ matrix @ x.flatten()).view_as(x)
    return [
        Claim("gap of C^T C x to x, by the length of x", float((back - x).norm() / x.norm()), ">=", 0.3),
        Claim("numbers of y by those of x", len(matrix) / x.numel(), "<=", 0.2),
    ]


def answer_3() -> list[Claim]:
    """Upsample maps by the bilinear kernel, and by interpolation."""
    maps = torch.randn(1, 3, 5, 7)
    fine = F.interpolate(maps, scale_factor=4, mode="bilinear", align_corners=False)
    gap = (Upsampling(3, 4, learned=False)(maps) - fine).abs().max()
    return [Claim("gap of both ways", float(gap), "<=", 1e-5)]
