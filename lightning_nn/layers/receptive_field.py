"""Receptive fields: the pixels that a value of a feature map depends on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn

from lightning_nn.layers.convolution import Residual
from lightning_nn.layers.whitening import Whitening


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
