"""Parameters: a convolution is a fully connected layer with most weights zero (locality) and the others shared.

    fully connected: C' N^2 (C N^2 + 1),    local: C' N^2 (C K^2 + 1),    convolution: C' (C K^2 + 1)

All three turn C channels of N x N pixels into C' maps of the same size. LeCun et al. 1989, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANNELS, MAPS = 3, 8
SIDES = (8, 16, 32, 64, 128, 224)
SMALL = 8  # side of the image whose matrix is drawn


def count(layer: nn.Module) -> int:
    """Count the parameters of a layer."""
    return sum(parameter.numel() for parameter in layer.parameters())


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Convolve images (B, 1, N, N) with a kernel (K, K) to the same size."""
    before, after = (len(kernel) - 1) // 2, len(kernel) // 2
    return F.conv2d(F.pad(images, [before, after] * 2), kernel[None, None])


def as_matrix(kernel: Tensor, side: int) -> Tensor:
    """Return the matrix (N^2, N^2) that does to the pixels what a kernel (K, K) does to the image."""
    pixels = torch.eye(side**2).view(-1, 1, side, side)  # each image has one bright pixel
    return convolve(pixels, kernel).flatten(1).T


def run(seed: int = 0, size: Size = "full", *, K: int = 3) -> Result:
    """Count the parameters of three layers for images of several sizes, and write a kernel as a matrix."""
    rows: list[Row] = []
    for side in SIDES:
        inputs, outputs = CHANNELS * side**2, MAPS * side**2
        rows.append(
            {
                "N": side,
                "fully connected": count(nn.Linear(inputs, outputs, device="meta")),
                "local": outputs * count(nn.Conv2d(CHANNELS, 1, K, device="meta")),
                "convolution": count(nn.Conv2d(CHANNELS, MAPS, K, padding="same", device="meta")),
            }
        )
    kernel, image = torch.randn(K, K), torch.rand(SMALL, SMALL)
    matrix = as_matrix(kernel, SMALL)
    convolved = convolve(image[None, None], kernel)
    gap = (matrix @ image.flatten() - convolved.flatten()).abs().max()
    return Result(rows, {"matrix": matrix.numpy(), "gap": gap.view(1).numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the matrix of a kernel, and the parameters over the side of the image."""
    left, right = figure.subplots(1, 2)
    matrix = result.arrays["matrix"]
    largest = abs(matrix).max()
    left.imshow(matrix, cmap="PuOr", vmin=-largest, vmax=largest)
    left.spines[:].set_visible(True)
    left.set(xlabel="x", ylabel="y", xticks=[], yticks=[])
    lines = (("fully connected", "A", ORANGE, "s--"), ("local", "B", GREEN, "^:"), ("convolution", "C", BLUE, "o-"))
    for column, label, colour, style in lines:
        right.loglog(result.column("N"), result.column(column), style, color=colour, label=label)
    right.set(xlabel="N", ylabel="W", xticks=SIDES, xticklabels=SIDES)
    right.minorticks_off()
    right.legend()


def claim(result: Result) -> list[Claim]:
    """Say what locality and sharing save, and that the matrix is the convolution."""
    matrix, size = result.arrays["matrix"], int(result.knobs["K"]) ** 2
    first, second, photo = (result.row(N=side) for side in (8, 16, 224))
    return [
        Claim("gap of the matrix to the convolution", float(result.arrays["gap"].max()), "<=", 1e-5),
        Claim("share of zeros in the matrix", float((matrix == 0).mean()), ">=", 0.8),
        Claim("different weights in the matrix, by K × K", len(np.unique(matrix[matrix != 0])) / size, "==", 1),
        Claim("fully connected, N = 16 by N = 8", second["fully connected"] / first["fully connected"], ">=", 15),
        Claim("convolution, N = 224 by N = 8", photo["convolution"] / first["convolution"], "==", 1),
        Claim("local by convolution at N = 224", photo["local"] / photo["convolution"], "==", 224**2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the measured growth."""
    growth = result.row(N=64)["fully connected"] / result.row(N=32)["fully connected"]
    return 1 if growth < 6 else 2 if growth < 12 else 3


def answer_1() -> list[Claim]:
    """Compare a window as large as the image with a fully connected layer."""
    window, full = nn.Conv2d(CHANNELS, MAPS, SMALL), nn.Linear(CHANNELS * SMALL**2, MAPS)
    full.load_state_dict({"weight": window.weight.flatten(1), "bias": window.bias})
    image = torch.rand(1, CHANNELS, SMALL, SMALL)
    gap = (window(image).flatten() - full(image.flatten())).abs().max()
    return [
        Claim("parameters, window minus fully connected", count(window) - count(full), "==", 0),
        Claim("gap of both outputs", gap.item(), "<=", 1e-5),
    ]


def answer_2() -> list[Claim]:
    """Compare the gradient of a kernel with that of its matrix."""
    kernel = torch.randn(3, 3, requires_grad=True)
    matrix = as_matrix(kernel, SMALL)
    matrix.retain_grad()
    (matrix @ torch.rand(SMALL**2)).square().sum().backward()
    places = [as_matrix(F.one_hot(torch.tensor(k), 9).float().view(3, 3), SMALL) for k in range(9)]
    assert kernel.grad is not None and matrix.grad is not None
    sums = torch.stack([(matrix.grad * place).sum() for place in places])
    gap = (sums - kernel.grad.flatten()).norm() / kernel.grad.norm()
    return [
        Claim("gap to the sum over all places", gap.item(), "<=", 1e-5),
        Claim("places that share the middle weight", int(places[4].sum()), "==", SMALL**2),
    ]
