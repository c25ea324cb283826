"""Fully connected: after such a layer nothing is spatial; its outputs have no neighbours, in whatever order they stand.

    y = W_2 relu(W_1 x) = (W_2 P^T) relu((P W_1) x)    for each permutation P of the outputs of the first layer

A place of a feature map has neighbours, which see almost the same pixels. What a map knows of where something is lies
in its arrangement; what a fully connected layer knows of it lies in its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import ConvNet, Digits, ImageBatch, Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, DIGIT = 16, 8  # of an image, and of the digit somewhere in it
LAYERS = ("pixels", "relu1", "max_pool1", "relu2", "max_pool2", "relu3")


def scatter(batch: ImageBatch) -> tuple[ImageBatch, Tensor]:
    """Put each digit at a random place of an image of 16 x 16; return the place too, row and column (B, 2)."""
    place = torch.randint(0, SIDE - DIGIT + 1, (batch.size, 2))
    ends = SIDE - DIGIT - place
    borders = torch.stack([place[:, 1], ends[:, 1], place[:, 0], ends[:, 0]], 1).tolist()
    images = [F.pad(image, border) for image, border in zip(batch.image, borders, strict=True)]
    return batch._replace(image=torch.stack(images)), place.float()


def train(network: ConvNet, digits: ImageBatch, epochs: int) -> None:
    """Train a network on digits that stand somewhere else in each epoch."""
    optimizer = Optimizer("sgd", lr=0.03, momentum=0.9).build(network.parameter_groups())
    for _ in range(epochs):
        images, _ = scatter(digits)
        for indices in torch.randperm(images.size).split(64):
            optimizer.zero_grad()
            network.training_step(images.select(indices)).backward()
            optimizer.step()


def correlate(maps: Tensor, distance: int) -> float:
    """Return the correlation of values of a channel at two places of a row or column, averaged over all such places.

    Args:
        maps: (B, C, H, W); flat outputs (B, 64) are laid out as 8 x 8.
        distance: between the places.
    """
    z = centre(maps)
    across = (z[..., distance:] * z[..., :-distance]).sum(0).flatten()
    down = (z[..., distance:, :] * z[..., :-distance, :]).sum(0).flatten()
    pairs = torch.cat([across, down])
    return float(pairs[pairs != 0].mean())  # a value that never changes has no correlation


def centre(maps: Tensor) -> Tensor:
    """Subtract the mean of each value over images, and divide by its length."""
    z = maps.view(-1, 1, 8, 8) if maps.ndim == 2 else maps
    z = z - z.mean(0)
    return z / z.norm(dim=0).clamp(min=1e-6)


def read(train: Tensor, target: Tensor, test: Tensor) -> Tensor:
    """Fit a linear map from outputs to targets by least squares, and apply it to other outputs."""
    x, mean, offset = train.flatten(1), train.flatten(1).mean(0), target.mean(0)
    kernel = (x - mean) @ (x - mean).T
    ridge = 1e-4 * kernel.trace() * torch.eye(len(x))
    weight = (x - mean).T @ torch.linalg.solve(kernel + ridge, target - offset)
    return (test.flatten(1) - mean) @ weight + offset


def run(seed: int = 0, size: Size = "full", *, epochs: int = 16) -> Result:
    """Train a small LeNet on digits at any place, and measure what its layers know of it and how it is laid out."""
    network, digits = ConvNet(1, SIDE, SIDE, 10), split(Digits(), "train")
    train(network, digits, epochs if size == "full" else min(epochs, 4))
    (seen, where), (new, truth) = scatter(digits), scatter(split(Digits(), "test"))
    outputs = [{"pixels": images.image / 255, **network.layer_outputs(images)} for images in (seen, new)]
    spread = (truth - where.mean(0)).square().sum()
    rows: list[Row] = []
    for layer in LAYERS:
        known, asked = (values[layer] for values in outputs)
        place = read(known, where, asked)
        digit = read(known, F.one_hot(labels(seen), 10).float(), asked).argmax(1)
        rows.append(
            {
                "layer": layer,
                "outputs": " × ".join(map(str, known.shape[1:])),
                "near": correlate(asked, 1),
                "far": correlate(asked, asked.shape[-1] // 2 if asked.ndim == 4 else 4),
                "place": float(1 - (place - truth).square().sum() / spread),
                "digit": float((digit == labels(new)).double().mean()),
            }
        )
    arrays: dict[str, Array] = {}
    for layer in ("relu2", "relu3"):
        z = centre(outputs[1][layer])
        arrays[layer] = (z * z[..., 4:5, 4:5]).sum(0).mean(0).numpy()
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the correlation with a place in the middle, and what is known, layer by layer."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.6))
    for axes, layer, title in ((left, "relu2", "A"), (middle, "relu3", "B")):
        axes.imshow(result.arrays[layer], cmap="PuOr", vmin=-0.6, vmax=0.6)
        axes.plot(4, 4, "kx")
        axes.set(xticks=[], yticks=[], title=title)
        axes.spines[:].set_visible(True)
    lines = (("near", "r", BLUE, "o-"), ("place", "$R^2$", ORANGE, "s--"), ("digit", "acc", GREEN, "^:"))
    for column, label, colour, style in lines:
        right.plot(range(len(LAYERS)), result.column(column), style, color=colour, label=label)
    right.set(xlabel="l", ylim=(-0.05, 1.05))
    right.axvline(4.5, color="lightgrey")
    right.legend(loc="center right")


def claim(result: Result) -> list[Claim]:
    """Compare the last map with the fully connected layer after it."""
    first, last, flat = (result.row(layer=layer) for layer in ("pixels", "max_pool2", "relu3"))
    return [
        Claim("correlation of neighbours minus that of far places, last map", last["near"] - last["far"], ">=", 0.1),
        Claim("the same, fully connected, size", abs(flat["near"] - flat["far"]), "<=", 0.06),
        Claim("place read from the last map", last["place"], ">=", 0.9),
        Claim("place read from the fully connected layer", flat["place"], ">=", 0.7),
        Claim(
            "digit, fully connected minus pixels",
            flat["digit"] - first["digit"],
            ">=",
            result.bound(full=0.3, test=0.02),
        ),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of how much is still known of the place."""
    place = result.row(layer="relu3")["place"]
    return 1 if place < 0.2 else 2 if place < 0.6 else 3


def answer_1() -> list[Claim]:
    """Permute the outputs of the fully connected layer, and the places of the last map, with their weights."""
    network, (images, _) = ConvNet(1, SIDE, SIDE, 10), scatter(split(Digits(), "test"))
    with torch.no_grad():
        logits, order = network(images), torch.randperm(64)
        first = cast(nn.Linear, network.body.get_submodule("linear1"))
        first.weight.copy_(first.weight[order].clone())
        first.bias.copy_(first.bias[order].clone())
        network.head.weight.copy_(network.head.weight[:, order].clone())
        gap = (network(images) - logits).abs().max() / logits.abs().max()
    return [Claim("change of the logits", float(gap), "<=", 1e-5)]


def answer_2() -> list[Claim]:
    """Give the layers of the network larger images."""
    network, image = ConvNet(1, SIDE, SIDE, 10), torch.rand(1, 1, 24, 24)
    maps = network.body[:-3](image)
    return [
        Claim("numbers for the fully connected layer, of 24 × 24", maps[0].numel(), "==", 32 * 6 * 6),
        Claim(
            "numbers that it has weights for",
            cast(nn.Linear, network.body.get_submodule("linear1")).in_features,
            "==",
            32 * 4 * 4,
        ),
        Claim("places with logits, as a convolution", network.dense()(image)[0, 0].numel(), "==", 9),
    ]
