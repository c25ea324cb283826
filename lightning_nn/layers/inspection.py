"""Inspection of a convolutional network: what its layers see, respond to and cost.

Receptive fields, the patches of images that are largest in a layer, a table of shapes and parameters, and the same
network at every place of a larger image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import Layer, Residual, Whitening, text
from lightning_nn.layers.images import whole_levels

MAX_CHANNELS = 8  # of a layer, whose patches are kept
MAX_PATCHES = 8  # of a channel, from different images
MAX_IMAGES = 2_000  # searched


class ReceptiveField(NamedTuple):
    """Squares of pixels that the places of a feature map see.

    Attributes:
        size: side of a square.
        step: pixels between the squares of neighbouring places.
        start: first row and column of the first place's square; negative within a border.
    """

    size: int = 1
    step: int = 1
    start: int = 0

    def through(self, kernel: int, stride: int, padding: int) -> ReceptiveField:
        """Return the field behind another layer of windows."""
        wider = self.size + (kernel - 1) * self.step
        return ReceptiveField(wider, self.step * stride, self.start - padding * self.step)


def receptive_fields(layers: Iterable[tuple[str, nn.Module]]) -> dict[str, ReceptiveField]:
    """Return the field of each convolution, residual block and whitening layer of a chain, by its name.

    Args:
        layers: names and modules, in order; the chain is followed up to the first layer that sees the whole image.
    """
    field, fields = ReceptiveField(), {}
    for name, module in layers:
        if isinstance(module, nn.Flatten | nn.Sequential):  # a global pool is a Sequential
            break
        field = _behind(field, module)
        if isinstance(module, nn.Conv2d | Whitening | Residual):
            fields[name] = field
    return fields


def _behind(field: ReceptiveField, module: nn.Module) -> ReceptiveField:
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return field.through(*(_side(option) for option in (module.kernel_size, module.stride, module.padding)))
    if isinstance(module, Whitening):
        return field.through(module.weight.shape[-1], 1, 0)
    if isinstance(module, Residual):
        for inner in module.layers.children():
            field = _behind(field, inner)
    return field


def _side(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def layer_table(layers: Iterable[Layer]) -> list[tuple[str, ...]]:
    """Build the rows of a table of layers, header first.

    The last column is the reason for convolution: the parameters of a fully connected layer from all values of the
    input to all values of the output.
    """
    rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "fully connected")]
    for layer in layers:
        full = (torch.Size(layer.inputs).numel() + 1) * torch.Size(layer.outputs).numel()
        dense = f"{full:,}" if isinstance(layer.module, nn.Conv2d | nn.Linear) else ""
        count = f"{layer.parameters:,}" if layer.parameters else ""
        rows.append((layer.entry or layer.name, text(layer.outputs), count, dense))
    return rows


@torch.no_grad()
def activations(net: nn.Sequential, x: Tensor) -> dict[str, Tensor]:
    """Compute the output of each layer of a chain, (B, C, H, W) or (B, F), by the layer's name."""
    return {name: (x := module(x)) for name, module in net.named_children()}


class StrongestPatches:
    """The patches of images that the channels of a network's layers respond to most, so far.

    Args:
        fields: receptive field of each layer, by its name.
    """

    def __init__(self, fields: Mapping[str, ReceptiveField]) -> None:
        self.fields = fields
        self.reset()

    def reset(self) -> None:
        """Forget all patches."""
        self.seen = 0
        self._best: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def is_full(self) -> bool:
        """True once enough images were seen."""
        return self.seen >= MAX_IMAGES

    def update(self, image: Tensor, activations: Mapping[str, Tensor]) -> None:
        """Compare the strongest patch of each image with those kept.

        Args:
            image: uint8 or float (B, C, H, W).
            activations: (B, channels, H', W') of each layer, by its name.
        """
        self.seen += len(image)
        image = whole_levels(image).cpu()
        for name, field in self.fields.items():
            of_layer = activations[name][:, :MAX_CHANNELS].float().cpu()  # (B, K, H', W')
            value, place = of_layer.flatten(2).max(2)  # (B, K)
            value, which = value.topk(min(MAX_PATCHES, len(value)), dim=0)  # (N, K)
            width = of_layer.shape[3]
            wide = F.pad(image, [field.size + abs(field.start)] * 4)
            patches = torch.stack(
                [
                    torch.stack([_patch(wide, int(i), int(place[i, k]), width, field) for i in which[:, k]])
                    for k in range(value.shape[1])
                ],
                dim=1,
            )  # (N, K, C, size, size)
            if name in self._best:
                value = torch.cat([self._best[name][0], value])
                patches = torch.cat([self._best[name][1], patches])
            value, order = value.topk(min(MAX_PATCHES, len(value)), dim=0)
            columns = torch.arange(value.shape[1])
            self._best[name] = value, patches[order, columns]

    def patches(self) -> dict[str, Tensor]:
        """Return the patches of each layer, uint8 (channels, patches, C, size, size), the strongest first."""
        return {name: patches.transpose(0, 1) for name, (_, patches) in self._best.items()}


def _patch(wide: Tensor, image: int, place: int, width: int, field: ReceptiveField) -> Tensor:
    """Return the pixels that a place sees, (C, size, size); black beyond the border."""
    border = field.size + abs(field.start)
    top, left = (border + field.start + index * field.step for index in divmod(place, width))
    return wide[image, :, top : top + field.size, left : left + field.size]


@torch.no_grad()
def dense_classifier(layers: Iterable[Layer], scale: float = 1.0) -> nn.Sequential:
    """Turn a classifier into a dense one: a copy that takes larger images and has scores at every place of them.

    A fully connected layer is a convolution whose kernel is as large as its input (Long, Shelhamer and Darrell 2015,
    section 3.1), so the linear layer after `flatten` becomes such a convolution, and later ones become 1 x 1. A global
    pool becomes a pool over windows of its input's size. An image of the classifier's size has one place, with the same
    scores; a larger one has those of each window of that size, except for the border that layers with padding add to a
    window.

    Args:
        layers: of the classifier, from `trace` or `build`.
        scale: factor on the scores.

    Returns:
        A chain from (B, C, H, W) to (B, K, H', W').

    Raises:
        UserError: a batch norm between flatten and a linear layer, which has statistics of its own for each place.
    """
    dense, window = nn.Sequential(), (1, 1)  # height and width of the maps that a flat sample was made from
    for name, module, inputs, _, entry in layers:
        if len(inputs) == 3:
            window = (inputs[1], inputs[2])
        if isinstance(module, nn.Flatten):
            continue
        if isinstance(module, nn.Sequential):  # a global pool
            pool = nn.AvgPool2d if isinstance(module[0], nn.AdaptiveAvgPool2d) else nn.MaxPool2d
            module, window = pool(window, stride=1), (1, 1)
        elif isinstance(module, nn.Linear):
            module, window = _as_convolution(module, window), (1, 1)
        elif isinstance(module, nn.BatchNorm2d) and len(inputs) == 1 and window != (1, 1):
            raise UserError(f"{entry or name!r} between flatten and a linear layer can't be applied at every place")
        else:
            module = deepcopy(module)
        dense.add_module(name, module)
    for parameter in dense[-1].parameters():
        parameter.mul_(scale)
    return dense


def _as_convolution(linear: nn.Linear, window: tuple[int, int]) -> nn.Conv2d:
    weight = linear.weight.detach().view(linear.out_features, -1, *window)  # (F, C, H, W)
    conv = nn.Conv2d(weight.shape[1], len(weight), window, bias=linear.bias is not None)
    conv.load_state_dict({**linear.state_dict(), "weight": weight})
    return conv.to(weight)
