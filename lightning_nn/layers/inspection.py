"""Inspection of a convolutional network: its receptive fields, and its scores at every place of a larger image."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

from torch import nn

from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import BuiltLayer, Residual, Whitening


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
    field, found = ReceptiveField(), {}
    for name, module in layers:
        if isinstance(module, nn.Flatten | nn.Sequential):  # a global pool is a Sequential
            break
        field = _behind(field, module)
        if isinstance(module, nn.Conv2d | Whitening | Residual):
            found[name] = field
    return found


def _behind(field: ReceptiveField, module: nn.Module) -> ReceptiveField:
    if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return field.through(*(_side(each) for each in (module.kernel_size, module.stride, module.padding)))
    if isinstance(module, Whitening):
        return field.through(module.weight.shape[-1], 1, 0)
    if isinstance(module, Residual):
        for inner in module.layers.children():
            field = _behind(field, inner)
    return field


def _side(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def dense_classifier(layers: Iterable[BuiltLayer]) -> nn.Sequential:
    """Turn a classifier into a dense one: a copy that takes larger images and has scores at every place of them.

    A fully connected layer is a convolution whose kernel is as large as its input (Long, Shelhamer and Darrell 2015,
    section 3.1), so the one after flatten becomes that, and those after it convolutions of 1 x 1. A global pool becomes
    a pool over windows of its input's size. An image of the classifier's size has one place, with the same scores; a
    larger one has those of each window of that size, except for the border that layers with padding add to a window.

    Args:
        layers: from `build`.

    Returns:
        A chain from (B, C, H, W) to (B, K, H', W').

    Raises:
        UserError: a batch_norm between flatten and a linear layer, which has statistics of its own for each place.
    """
    dense, window = nn.Sequential(), (1, 1)  # height and width of the maps that a flat sample was made from
    for entry, name, module, inputs, _ in layers:
        kind = entry.split()[0]
        if len(inputs) == 3:
            window = (inputs[1], inputs[2])
        if kind == "flatten":
            continue
        if kind.startswith("global_"):
            module, window = (nn.AvgPool2d if "avg" in kind else nn.MaxPool2d)(window, stride=1), (1, 1)
        elif isinstance(module, nn.Linear):
            module, window = _as_convolution(module, window), (1, 1)
        elif kind == "batch_norm" and len(inputs) == 1 and window != (1, 1):
            raise UserError(f"{entry!r} between flatten and a linear layer can't be applied at every place")
        else:
            module = deepcopy(module)
        dense.add_module(name, module)
    return dense


def _as_convolution(linear: nn.Linear, window: tuple[int, int]) -> nn.Conv2d:
    weight = linear.weight.detach().view(linear.out_features, -1, *window)  # (F, C, H, W)
    conv = nn.Conv2d(weight.shape[1], len(weight), window, bias=linear.bias is not None)
    conv.load_state_dict({**linear.state_dict(), "weight": weight})
    return conv.to(weight)
