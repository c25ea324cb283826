"""Bodies of networks for pixels: convolutions that give maps of stride 4, 8, 16 and 32, where they halve an image.

A network of `networks` or a `ConvNet` is taken without its head, by its own names, so that its weights load; a map is
that of the last layer before the next halving.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.layers.convolution import BatchNorm, Whitening, build, last_stage
from lightning_nn.models.convnet import EMBEDDED
from lightning_nn.models.networks import FORMS, HEADS, Network, make_network, map_shapes

BodyName = Literal[
    "small", "embedded", "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50",
    "squeezenet1_1", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
]  # fmt: skip
STRIDES = (4, 8, 16, 32)
_MULTIPLES = (1, 3, 4, 6, 8)  # many channels at stride 4, which draws the edges
_LEAST = {"alexnet": 64, "inception_v3": 96}  # without borders, smaller images have no map of stride 32


class SmallBody(nn.Module):
    """Convolutions of 3x3 with batch normalisation and ReLU, in five stages; the first of each halves the map.

    Args:
        channels: channels of the images, C.
        first: channels of the first stage; the later ones have 3, 4, 6 and 8 times as many.

    Attributes:
        channels: channels of the maps, from the finest to the coarsest.
        least: rows and columns that an image must have.
        layers: names of the layers with parameters, in the order of execution.
        last_stage: the first of them after the last halving.
    """

    least = STRIDES[-1]

    def __init__(self, channels: int, first: int) -> None:
        super().__init__()
        widths = [first * multiple for multiple in _MULTIPLES]
        self.channels = widths[1:]
        self.stem = convolution(channels, first, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                convolution(before, after, stride=2), *(convolution(after, after) for _ in range(2 if i == 0 else 1))
            )
            for i, (before, after) in enumerate(itertools.pairwise(widths))
        )
        self.layers = ["stem", *(f"stages.{i}" for i in range(len(self.stages)))]
        self.last_stage = self.layers[-1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of stride 4, 8, 16 and 32 of images (B, C, H, W); H and W are multiples of 32."""
        x = self.stem(x)  # (B, first, H / 2, W / 2)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a 3x3 convolution with batch normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU())


class LayersBody(nn.Module):
    """Layers of another network in a row, by its names, up to its last map.

    Args:
        modules: its modules; a layer may be within one of them.
        shapes: (C, H, W) of the output of each layer, in the order of execution, for images of `side` pixels.
        last_stage: the first layer with parameters after the last halving.
        side: rows and columns of those images.
        least: rows and columns that an image must have.

    Attributes:
        strides: stride of each layer whose output is a map.
        channels, least, layers, last_stage: as those of `SmallBody`; there may be no map of stride 16 or 32.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        shapes: Mapping[str, tuple[int, ...]],
        last_stage: str,
        side: int,
        least: int = STRIDES[-1],
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.least, self.last_stage, self._order = least, last_stage, list(shapes)
        last = {2 ** round(math.log2(side / shape[1])): name for name, shape in shapes.items()}
        self.strides = {name: stride for stride, name in last.items() if stride in STRIDES}
        self.channels = [shapes[name][0] for name in self.strides]
        self.layers = [name for name in shapes if any(True for _ in self.get_submodule(name).parameters())]
        border = next((m.weight.shape[-1] for m in modules.values() if isinstance(m, Whitening)), 1) - 1
        self._border = (border // 2, border - border // 2) * 2

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of images (B, C, H, W), from the finest to the coarsest; H and W are multiples of 32."""
        (height, width), maps = x.shape[2:], []
        if any(self._border):
            x = F.pad(x, self._border, mode="replicate")
        for name in self._order:
            x = self.get_submodule(name)(x)
            if name in self.strides:
                maps.append(filled(x, height // self.strides[name], width // self.strides[name]))
        return maps


def filled(x: Tensor, height: int, width: int) -> Tensor:
    """Repeat the edges of maps (B, C, H, W) that layers without borders made smaller."""
    rows, columns = height - x.shape[2], width - x.shape[3]
    if not rows and not columns:
        return x
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="replicate")


def network_body(network: Network, multiplier: float = 1.0) -> LayersBody:
    """Make the body of a classic network, whose first convolution gets a border if it has none.

    Args:
        network: its name.
        multiplier: share of the channels of mobilenet_v1.
    """
    side, net = 256, make_network(network, 1, multiplier)
    shapes = map_shapes(network, (side, side), multiplier)
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    first.padding = (first.kernel_size[0] // 2, first.kernel_size[1] // 2)
    modules = {name: child for name, child in net.named_children() if not name.startswith(HEADS)}
    return LayersBody(modules, shapes, FORMS[network].last_stage, side, _LEAST.get(network, STRIDES[-1]))


def embedded_body() -> LayersBody:
    """Make the body of the `ConvNet` whose weights are part of the package; its maps are of stride 4 and 8."""
    side = 64
    layers = [layer for layer in build(EMBEDDED, (3, side, side)) if len(layer.outputs) == 3]
    shapes = {layer.name: layer.outputs for layer in layers}
    return LayersBody({layer.name: layer.module for layer in layers}, shapes, last_stage(layers)[0], side)
