"""Encoders of pictures: convolutional networks up to their last maps, which are pooled over a coarse grid.

The maps of a classic network are averaged in each cell, those of a list of layers keep their largest value, which a
small object does not lose among its surroundings. One cell is the usual pooled feature, which tells what is there;
several cells also tell where.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Literal

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from torch import Tensor, nn

from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.backbones.torchvision import (
    FORMS,
    HEADS,
    Network,
    make_network,
    map_shapes,
)
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.convolution import build, initialise, last_stage, sequential
from lightning_nn.layers.images import Normalize

EncoderNetwork = Literal["convnet", Network]
_WIDTHS = ("16 3 stride=2", "32 3 stride=2", "32 3", "64 3 stride=2", "64 3", "128 3 stride=2", "128 3")
SMALL = [entry for width in _WIDTHS for entry in (f"conv {width} padding=1", "batch_norm", "relu")]


class Encoder(nn.Module):
    """Convolutional network from images to features.

    Args:
        shape: of an image, (C, H, W).
        network: "convnet" for a list of layers, or a network of `models.backbone`.
        layers: the list, as in `models.convnet`; global pooling at its end is left out.
        grid: rows and columns of the cells in which the last maps are pooled; fewer for smaller maps.
        mirrored: give the mean features of an image and its mirror image.

    Attributes:
        features: number of features, F.
        layers: names of the layers with parameters, in the order of execution.
        last_stage: the first of them after the last halving.

    Raises:
        UserError: unknown network or layers, or images too small for them.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        network: EncoderNetwork,
        layers: list[str],
        grid: int,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.mirrored = mirrored
        choose("encoder", network, EncoderNetwork)
        if grid < 1:
            raise UserError(f"grid is {grid}; it must be at least 1 cell")
        if network == "convnet":
            kept = list(itertools.dropwhile(lambda entry: entry.strip().startswith("global_"), reversed(layers)))[::-1]
            built = build(kept, shape)
            self.net: nn.Module = sequential(built)
            initialise(self.net, "kaiming")
            shapes = {layer.name: layer.outputs for layer in built}
            last = last_stage(built)
        else:
            if shape[0] not in (1, 3):
                raise UserError(f"images of {shape[0]} channels; {network} reads 1 or 3")
            self.net = without_head(make_network(network, 1))
            try:
                shapes = map_shapes(network, shape[1:])
            except RuntimeError:
                raise UserError(f"images of {shape[1]} x {shape[2]} pixels are too small for {network}") from None
            last = [FORMS[network].last_stage]
        self.normalize = Normalize(shape[0] if network == "convnet" else 3)
        self.layers = [f"net.{name}" for name in shapes if any(True for _ in self.net.get_submodule(name).parameters())]
        maps = list(shapes.values())[-1]
        if len(maps) != 3:
            raise UserError(f"layers end in {maps[0]} values, not in maps: leave out what follows the last maps")
        if not last:
            raise UserError("layers have no weights: an encoder needs a convolution")
        self.last_stage = f"net.{last[0]}"
        cells = (min(grid, maps[1]), min(grid, maps[2]))
        self.pool: nn.Module = nn.AdaptiveMaxPool2d(cells) if network == "convnet" else nn.AdaptiveAvgPool2d(cells)
        self.features = maps[0] * cells[0] * cells[1]
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU

    def forward(self, image: Tensor) -> Tensor:
        """Compute features (B, F) of images, uint8 or float (B, C, H, W)."""
        x = self.normalize(image.expand(-1, len(self.normalize.mean), -1, -1))
        x = x.contiguous(memory_format=torch.channels_last)
        return (self._pooled(x) + self._pooled(x.flip(3))) / 2 if self.mirrored else self._pooled(x)

    def _pooled(self, x: Tensor) -> Tensor:
        maps = self.net.maps(x) if isinstance(self.net, MobileNetV1) else self.net(x)
        pooled: Tensor = self.pool(maps)
        return pooled.flatten(1)

    def extra_repr(self) -> str:
        """Return what decides the features beside layers and weights."""
        return "mirrored" if self.mirrored else ""


def without_head(net: nn.Module) -> nn.Module:
    """Return a network of `models.backbone` up to its last maps, by the same names."""
    if isinstance(net, MobileNetV1):
        del net.fc
        return net
    children = itertools.takewhile(lambda each: not each[0].startswith(HEADS), net.named_children())
    return nn.Sequential(OrderedDict(children))
