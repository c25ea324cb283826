"""Gram matrices: products of channels, averaged over all places, know the texture and not where anything is.

    G_cd = 1/N sum_n F_cn F_dn,    G(F P) = F P P^T F^T / N = G(F)    for each permutation P of the N places

Gatys, Ecker and Bethge 2015, "Texture synthesis using convolutional neural networks". F is a layer's activations,
channels by places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import ConvNet, Photos
from lightning_nn.layers.features import Features
from lightning_nn.layers.images import resize
from lightning_nn.layers.style import content_loss, gram, style_loss
from lightning_nn.lessons.lesson import Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = {"full": (64, 96), "test": (32, 48)}
SHOWN = 24  # channels in the figure
HEIGHT = 2.3


def shuffle_places(features: Tensor) -> Tensor:
    """Shuffle the places of activations, (B, C, H, W), in the same way in all channels."""
    places = torch.randperm(features[0, 0].numel())
    return features.flatten(2)[:, :, places].view_as(features)


def shuffle_channels(features: Tensor) -> Tensor:
    """Shuffle the places of each channel for itself."""
    return torch.cat([shuffle_places(channel[:, None]) for channel in features.unbind(1)], 1)


class Network:
    """The activations of a layer of the network that is part of the package."""

    def __init__(self, layer: str) -> None:
        model = ConvNet.from_pretrained()
        self.layer, self.normalize = layer, model.normalize
        self.features = Features(model.body, [layer])

    def __call__(self, image: Tensor) -> Tensor:
        """Return the activations F of a photograph, (1, C, H, W)."""
        return self.features(self.normalize(image / 255))[self.layer].contiguous()


def photographs(size: Size) -> tuple[Tensor, Tensor]:
    """Return a flower and a temple, float (1, 3, H, W), 0 to 255."""
    batch = split(Photos(), "train")
    flower, temple = (resize(image.float(), SIDES[size]) for image in (batch.style[0][None], batch.content))
    return flower, temple


def run(seed: int = 0, size: Size = "full", *, layer: str = "gelu2_2") -> Result:
    """Compare the activations of a flower with others, as they are and by their Gram matrices."""
    network = Network(layer)
    flower, temple = photographs(size)
    with torch.no_grad():
        F = network(flower)
        others = {
            "places shuffled": shuffle_places(F),
            "photograph shifted": network(flower.roll((16, 24), (2, 3))),
            "each channel shuffled": shuffle_channels(F),
            "other photograph": network(temple),
        }
        rows: list[Row] = [
            {"change": change, "content": content_loss(other, F).item(), "style": style_loss(other, gram(F)).item()}
            for change, other in others.items()
        ]
        shown = {"F": F, "FP": others["places shuffled"], "T": others["other photograph"]}
        return Result(rows, {name: gram(features)[0, :SHOWN, :SHOWN].numpy() for name, features in shown.items()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the Gram matrices of the flower, of its shuffled activations, and of the temple."""
    largest = float(result.arrays["F"].max())
    titles = {"F": "$G(F)$", "FP": "$G(F P)$", "T": "$G(T)$"}
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        axes.imshow(result.arrays[name], cmap="viridis", vmin=0, vmax=largest / 2)
        axes.set(title=title, xlabel="c", ylabel="d", xticks=(0, 10, 20), yticks=(0, 10, 20))


def claim(result: Result) -> list[Claim]:
    """Say what content and style see of each change."""
    places, shifted, channels, other = result.rows
    return [
        Claim("style of places shuffled", places["style"], "<=", 1e-9),
        Claim("content of places shuffled", places["content"], ">=", 0.3),
        Claim("style of photograph shifted", shifted["style"], "<=", result.bound(full=0.06, test=0.1)),
        Claim("content of photograph shifted", shifted["content"], ">=", 0.3),
        Claim("style of each channel shuffled", channels["style"], ">=", 0.02),
        Claim("style of other photograph", other["style"], ">=", 0.1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what the Gram matrix sees of shuffled places."""
    style = result.row(change="places shuffled")["style"]
    return 3 if style < 1e-6 else 2 if style < 0.1 else 1


def answer_1() -> list[Claim]:
    """Count the numbers of activations and of their Gram matrix."""
    F = Network("gelu2_2")(photographs("full")[0])
    channels = F.shape[1]
    return [Claim("numbers of the Gram matrix, by those of F", channels * (channels + 1) / 2 / F.numel(), "<=", 0.05)]


def answer_2() -> list[Claim]:
    """Shuffle the pixels, before the network sees them."""
    network, flower = Network("gelu2_2"), photographs("full")[0]
    style = style_loss(network(shuffle_places(flower)), gram(network(flower)))
    return [Claim("style of pixels shuffled", style.item(), ">=", 0.1)]
