"""Losses of style transfer on the activations of a network (Gatys, Ecker and Bethge 2016).

F is a layer's activations, (C, N) for C channels at N places. Each loss is relative to its target: it is 1 where
activations are 0, and has the same scale for every layer, network and size of picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_nn.layers.ragged import at_least_float32

TINY = 1e-12  # added to the energy of a target, which may be 0


class _Gram(torch.autograd.Function):
    """The product X^T X, whose gradient takes one product and not two."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return rows.mT @ rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return rows @ (gradient + gradient.mT)


def gram(features: Tensor) -> Tensor:
    """Compute Gram matrices G = F F^T / N, the mean over places of the products of two channels (eq. 3).

    The paper's G is a sum; divided by N it doesn't grow with the picture.

    Args:
        features: (B, C, H, W); channels_last is fastest.

    Returns:
        (B, C, C).
    """
    rows = at_least_float32(features).permute(0, 2, 3, 1).flatten(1, 2)  # (B, N, C)
    with torch.autocast(rows.device.type, enabled=False):
        result: Tensor = _Gram.apply(rows)
    return result / rows.shape[1]


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute |F - P|^2 / |P|^2 of each picture, (B,): eq. 1 relative to its target.

    Args:
        features: F, (B, C, H, W).
        target: P, likewise.
    """
    features = at_least_float32(features)
    return (features - target).square().sum((1, 2, 3)) / (target.square().sum((1, 2, 3)) + TINY)


def style_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute |G - A|^2 / |A|^2 of each picture, (B,): eq. 4 relative to its target.

    Args:
        features: F, (B, C, H, W).
        target: A, the Gram matrix of the style's picture, (1, C, C); (B, C, C) if each picture has its own.
    """
    return (gram(features) - target).square().sum((1, 2)) / (target.square().sum((1, 2)) + TINY)


def total_variation(image: Tensor) -> Tensor:
    """Compute the mean squared difference of neighbouring pixels, down and right, of each picture, (B,).

    Args:
        image: (B, C, H, W), 0 to 255; a difference of 255 counts as 1.
    """
    down, right = image.diff(dim=2), image.diff(dim=3)
    squares = down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))
    return squares / (255**2 * image[0].numel())
