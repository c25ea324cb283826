"""Small bodies of networks for pixels: convolutions that give maps of several strides, where they halve an image."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from lightning_nn.backbones.torchvision import STRIDES, LayersBody
from lightning_nn.layers.convolution import BatchNorm, build, last_stage

EMBEDDED = ["whitening 3", "gelu"]  # the network that is part of the package, of conf/convnet-cifar10-vgg.yaml
for _width in (48, 192, 256):
    EMBEDDED += [f"conv {_width} 3 padding=1", "max_pool 2", "batch_norm scale=false", "gelu"]
    EMBEDDED += [f"conv {_width} 3 padding=1", "batch_norm scale=false", "gelu"]
EMBEDDED += ["global_max_pool"]
_MULTIPLES = (1, 3, 4, 6, 8)  # many channels at stride 4, which draws the edges


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
        self.stem = normed_convolution(channels, first, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                normed_convolution(before, after, stride=2),
                *(normed_convolution(after, after) for _ in range(2 if i == 0 else 1)),
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


def normed_convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a 3x3 convolution with batch normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU())


def embedded_body() -> LayersBody:
    """Make the body of the `ConvNet` whose weights are part of the package; its maps are of stride 4 and 8."""
    side = 64
    layers = [layer for layer in build(EMBEDDED, (3, side, side)) if len(layer.outputs) == 3]
    shapes = {layer.name: layer.outputs for layer in layers}
    return LayersBody({layer.name: layer.module for layer in layers}, shapes, last_stage(layers)[0], side)
