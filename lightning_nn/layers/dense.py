"""Classifiers of images of one size, turned into classifiers of every place of a larger image."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from torch import nn

from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import BuiltLayer


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
