"""Encoders of pictures: convolutional networks up to their last maps, which are pooled over a coarse grid.

The maps of a classic network are averaged in each cell, those of a list of layers keep their largest value, which a
small object does not lose among its surroundings. One cell is the usual pooled feature, which shows what is there;
several cells show where it is, too.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.backbones.torchvision import (
    FORMS,
    HEADS,
    Network,
    imagenet_file,
    make_network,
    map_shapes,
    network_weights,
)
from lightning_nn.data.batches import FrozenEncoder
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.convolution import build, initialise, last_stage, sequential
from lightning_nn.layers.images import Normalize
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.settings import Group

EncoderNetwork = Literal["convnet", Network]
_WIDTHS = ("16 3 stride=2", "32 3 stride=2", "32 3", "64 3 stride=2", "64 3", "128 3 stride=2", "128 3")
OPTION = "--model.encoder.network"  # chooses the network
SMALL = [entry for width in _WIDTHS for entry in (f"conv {width} padding=1", "batch_norm", "relu")]


@dataclass(frozen=True)
class Encoding(Group):
    """The encoder of images: a convolutional network up to its last maps, pooled over a grid.

    Args:
        network: convnet, a list of layers, or alexnet, vgg16, googlenet, inception_v3, resnet18, resnet34, resnet50,
            squeezenet1_1, mobilenet_v1, mobilenet_v2, mobilenet_v3_small or mobilenet_v3_large.
        layers: the layers of a convnet, as those of --model convnet, without global pooling at the end; null: a small
            network for small images.
        grid: rows and columns of cells in which the last maps are pooled, fewer for smaller maps: 1 shows what there
            is, 4 where it is, too.
        mirrored: use the mean features of an image and its mirror image, for which left and right are one.

    Raises:
        UserError: an unknown network, or no cell.
    """

    network: EncoderNetwork = "convnet"
    layers: list[str] | None = None
    grid: int = 4
    mirrored: bool = False

    def __post_init__(self) -> None:
        choose("--model.encoder.network", self.network, EncoderNetwork)
        if self.grid < 1:
            raise UserError(f"--model.encoder.grid is {self.grid}; it must be at least 1 cell")


class Encoder(nn.Module):
    """Convolutional network from images to features.

    Args:
        shape: of an image, (C, H, W).
        options: network and pooling.

    Attributes:
        network: its name.
        features: number of features, F.
        layers: names of the layers with parameters, in the order of execution.
        last_stage: the first of them after the last halving.

    Raises:
        UserError: unknown layers, or images too small for them.
    """

    def __init__(self, shape: tuple[int, int, int], options: Encoding | dict[str, Any]) -> None:
        super().__init__()
        options = Encoding.of(options)
        self.network, self.mirrored, grid = options.network, options.mirrored, options.grid
        layers, network = SMALL if options.layers is None else options.layers, options.network
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

    def imagenet_weights(self) -> Path:
        """Find torchvision's file for the network, downloaded unless there.

        Raises:
            UserError: there is none, or it can't be downloaded.
        """
        if self.network == "convnet":
            raise UserError("--finetune imagenet: there are no such weights of a convnet; see --finetune embedded")
        return imagenet_file(self.network, OPTION)

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights of this network, trained in any kind of model, by the names of this module.

        Raises:
            UserError: the file holds another network, or none.
        """
        if self.network == "convnet":
            return {re.sub("^body[.]", "net.", name): weight for name, weight in weights.state_dict.items()}
        return network_weights(weights, self.network, "net.", self.state_dict(), OPTION)

    def frozen(self) -> FrozenEncoder:
        """Return a copy that computes features, with a hash of layers and weights that names them in a cache."""
        key = hashlib.blake2b(str(self).encode(), digest_size=8)  # its layers, also those without weights
        for name, tensor in self.state_dict().items():
            key.update(name.encode())
            key.update(tensor.cpu().contiguous().numpy().tobytes())
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = torch.device("cpu") if accelerator is None else accelerator
        encoder = deepcopy(self).to(device).eval()

        @torch.inference_mode()
        def compute(images: Tensor) -> Tensor:
            return encoder(images.to(device)).cpu()

        return FrozenEncoder(key.hexdigest(), compute)

    def extra_repr(self) -> str:
        """Return what decides the features beside layers and weights."""
        return "mirrored" if self.mirrored else ""


def without_head(net: nn.Module) -> nn.Module:
    """Return a network of `backbones.torchvision` up to its last maps, by the same names."""
    if isinstance(net, MobileNetV1):
        del net.fc
        return net
    children = itertools.takewhile(lambda child: not child[0].startswith(HEADS), net.named_children())
    return nn.Sequential(OrderedDict(children))
