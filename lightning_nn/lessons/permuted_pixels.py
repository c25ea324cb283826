"""Permuted pixels: a fully connected network does not mind a fixed order of the pixels, a convolutional one does.

    W' (P x) = W x  with  W' = W P^T,    dL/dW' = dL/dW P^T

P puts the pixels of every image into the same new order. Weights that start as W' end as the trained W in the new
order, step by step; and as first weights, drawn for each pixel alike, W' is as likely as W. A convolution reads
neighbours, so only an order that keeps them keeps what it is good for. Zhang et al. 2017, arXiv:1611.03530, train on
shuffled pixels.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn import ConvNet, Digits, ImageBatch, Optimizer
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 8
NETWORKS = {
    "fully connected": ["flatten", "linear 64", "relu"],
    "convolution": ["conv 16 5 padding=2", "relu", "max_pool 2", "conv 32 3 padding=1", "relu", "global_max_pool"],
}


class Permuted(ConvNet):
    """A network that reads the pixels of its images in a fixed order.

    Attributes:
        order: int64 (64,), the pixel that stands at each place.
    """

    order = torch.arange(SIDE**2)

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute the logits of the permuted images, (B, K)."""
        return super().forward(batch._replace(image=permute(batch.image, self.order)))


def permute(image: Tensor, order: Tensor) -> Tensor:
    """Put the pixels of images (B, C, H, W) into an order."""
    return image.flatten(2)[:, :, order].view_as(image)


class Shuffled(ConvNet):
    """A network that reads the pixels of each image in an order drawn for it."""

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute the logits of the shuffled images, (B, K)."""
        orders = torch.rand(batch.size, SIDE**2).argsort(1)
        shuffled = batch.image.flatten(1).gather(1, orders).view_as(batch.image)
        return super().forward(batch._replace(image=shuffled))


def make_orders() -> dict[str, Tensor]:
    """Make orders that keep all, some and none of the neighbours, int64 (64,) each."""
    pixels = torch.arange(SIDE**2).view(SIDE, SIDE)
    windows = pixels.view(4, 2, 4, 2).transpose(1, 2).reshape(16, 4)  # 2 x 2 pixels each

    def together(windows: Tensor) -> Tensor:
        return windows.view(4, 4, 2, 2).transpose(1, 2).reshape(SIDE, SIDE)

    orders = {
        "as they are": pixels,
        "turned": pixels.rot90(),
        "windows moved": together(windows[torch.randperm(16)]),
        "within windows": together(torch.stack([window[torch.randperm(4)] for window in windows])),
        "all shuffled": pixels.flatten()[torch.randperm(SIDE**2)],
    }
    return {name: order.flatten() for name, order in orders.items()}


def kept_neighbours(order: Tensor) -> float:
    """Return the share of pairs of adjacent places whose pixels are adjacent in the image."""
    row, column = order.view(SIDE, SIDE) // SIDE, order.view(SIDE, SIDE) % SIDE
    gaps = [torch.cat([values.diff(dim=axis).abs().flatten() for axis in (0, 1)]) for values in (row, column)]
    return float((gaps[0] + gaps[1] == 1).double().mean())


def fit(model: ConvNet, batches: list[Tensor]) -> list[float]:
    """Train a network on batches of the training set, given by indices; return their losses."""
    train, optimizer = split(Digits(), "train"), Optimizer("sgd", lr=0.03, momentum=0.9).build(model.parameter_groups())
    losses = []
    for indices in batches:
        optimizer.zero_grad()
        loss = model.training_step(train.select(indices))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def draw_batches(images: int, steps: int) -> list[Tensor]:
    """Draw batches of 64 of the first images of the training set."""
    return [torch.randperm(images)[:64] for _ in range(steps)]


def build(network: str, order: Tensor) -> Permuted:
    """Make a network for digits whose pixels stand in an order."""
    model = Permuted.for_data(Digits(), layers=NETWORKS[network])
    model.order = order
    return model


def twin_gap(order: Tensor, batches: list[Tensor]) -> float:
    """Train two networks, the second on permuted pixels from W P^T; return the largest gap between their losses."""
    model = build("fully connected", torch.arange(SIDE**2))
    twin = deepcopy(model)
    twin.order = order
    weight = next(twin.body.parameters()).data
    weight.copy_(weight[:, order].clone())
    return float(np.abs(np.subtract(fit(model, batches), fit(twin, batches))).max())


def run(seed: int = 0, size: Size = "full", *, images: int = 300) -> Result:
    """Train both networks on some digits in five orders of the pixels, and classify others."""
    runs, steps = (2, 200) if size == "full" else (1, 100)
    held_out = [split(Digits(), name) for name in ("val", "test")]
    correct: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        orders = make_orders()
        for name, order in orders.items():
            for network in NETWORKS:
                fit(model := build(network, order), draw_batches(images, steps))
                correct.setdefault((name, network), []).extend(accuracy(model, batch) for batch in held_out)
    batches = draw_batches(images, 20)
    rows: list[Row] = [
        {"pixels": name, "neighbours": kept_neighbours(order), "gap of twins": twin_gap(order, batches)}
        | {network: float(np.mean(correct[name, network])) for network in NETWORKS}
        for name, order in orders.items()
    ]
    digit = held_out[1].image[:1]
    return Result(rows, {name: permute(digit, order)[0, 0].numpy() for name, order in orders.items()})


def draw(result: Result, figure: Figure) -> None:
    """Draw a digit in each order, and below it what both networks make of such digits."""
    grid = figure.add_gridspec(2, 5, height_ratios=(1, 1.6))
    for column, image in enumerate(result.arrays.values()):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(image, cmap="gray_r")
        axes.set_title("ABCDE"[column])
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
    axes = figure.add_subplot(grid[1, :])
    for network, label, colour, marker in (("fully connected", "F", ORANGE, "s"), ("convolution", "C", BLUE, "o")):
        axes.plot(result.column(network), marker, color=colour, markersize=9, label=label)
    axes.set(xticks=range(5), xticklabels="ABCDE", ylabel="%", xlim=(-0.5, 4.5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    axes.grid(axis="y", color="lightgrey")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def claim(result: Result) -> list[Claim]:
    """Compare orders by what each network loses."""
    plain, turned, shuffled = (result.row(pixels=name) for name in ("as they are", "turned", "all shuffled"))
    full = [row["fully connected"] for row in result.rows]
    slack = result.bound(full=0.0, test=0.04)
    return [
        Claim("largest gap between the losses of twins", max(result.column("gap of twins")), "<=", 1e-3),
        Claim("fully connected, best order minus worst", max(full) - min(full), "<=", 0.03 + slack),
        Claim("convolution, lost by turning", plain["convolution"] - turned["convolution"], "<=", 0.015 + slack),
        Claim("convolution, lost by shuffling", plain["convolution"] - shuffled["convolution"], ">=", 0.015 - slack),
        Claim("neighbours kept by turning", turned["neighbours"], "==", 1),
        Claim("neighbours kept by shuffling", shuffled["neighbours"], "<=", 0.15),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what a fully connected network loses by shuffled pixels."""
    plain, shuffled = result.row(pixels="as they are"), result.row(pixels="all shuffled")
    lost = plain["fully connected"] - shuffled["fully connected"]
    return 1 if lost <= 0.02 else 2 if lost <= 0.3 else 3


def answer_1() -> list[Claim]:
    """Permute the pixels before kernels of 1 x 1 and a pool over all places, and before kernels of 3 x 3."""
    batch, order, gaps = split(Digits(), "test"), make_orders()["all shuffled"], {}
    for kernel in (1, 3):
        layers = [f"conv 64 {kernel} padding={kernel // 2}", "relu", "global_avg_pool"]
        model = Permuted.for_data(Digits(), layers=layers)
        with torch.no_grad():
            logits = model(batch)
            model.order = order
            gaps[kernel] = float((model(batch) - logits).norm() / logits.norm())
    return [
        Claim("change of the logits, 1 × 1", gaps[1], "<=", 1e-5),
        Claim("change of the logits, 3 × 3", gaps[3], ">=", 0.01),
    ]


def answer_2() -> list[Claim]:
    """Train a fully connected network on pixels in an order drawn anew for each image, and in one order."""
    data, layers, correct = Digits(), NETWORKS["fully connected"], []
    for model in (Shuffled.for_data(data, layers=layers), build("fully connected", make_orders()["all shuffled"])):
        fit(model, draw_batches(1000, 200))
        correct.append(accuracy(model, split(data, "test")))
    return [
        Claim("correct, an order for each image", correct[0], "<=", 0.3),
        Claim("correct, one order", correct[1], ">=", 0.85),
    ]
