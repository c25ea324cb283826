"""Pieces of style transfer: losses on the activations of a network, colours that are kept, pixels kept in range.

Gatys, Ecker and Bethge 2016, and Gatys, Bethge, Hertzmann and Shechtman, "Preserving color in neural artistic style
transfer" (arXiv:1606.05897). F is a layer's activations, (C, N) for C channels at N places. Each loss is relative to
its target: it is 1 where activations are 0, and has the same scale for every layer, network and image size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_nn.layers.ragged import at_least_float32

TINY = 1e-12  # added to the energy of a target, which may be 0
YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))  # NTSC: luminance, then two of colour


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
        target: P, (B, C, H, W).
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


def luminance(image: Tensor) -> Tensor:
    """Return the luminance of images as three equal channels, (B, 3, H, W)."""
    return _mixed(image, image.new_tensor(YIQ[:1]).expand(3, -1))


def with_colours(image: Tensor, colours: Tensor) -> Tensor:
    """Return the luminance of one image in the colours of another, (B, 3, H, W), 0 to 255 (section 3.2).

    Args:
        image: float (B, 3, H, W), 0 to 255.
        colours: float (B, 3, H, W), 0 to 255.
    """
    both = torch.cat([_mixed(image, image.new_tensor(YIQ[:1])), _mixed(colours, colours.new_tensor(YIQ[1:]))], 1)
    return _mixed(both, torch.linalg.inv(image.new_tensor(YIQ))).clamp(0, 255)


def matched(image: Tensor, to: Tensor) -> Tensor:
    """Return an image whose colours have the mean and covariance of others', (B, 3, H, W), 0 to 255 (section 3.1).

    Args:
        image: float (1, 3, H, W), 0 to 255: the style's.
        to: float (B, 3, h, w): the contents'.
    """
    (mean, root), (goal, wanted) = _statistics(image), _statistics(to)
    by = wanted @ torch.linalg.pinv(root)
    pixels = by @ (image.double().flatten(2) - mean) + goal
    return pixels.unflatten(2, image.shape[2:]).clamp(0, 255).to(image.dtype)


def _statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the colours, (B, 3, 1), and the square root of their covariance, (B, 3, 3)."""
    pixels = image.double().flatten(2)
    mean = pixels.mean(2, keepdim=True)
    covariance = (pixels - mean) @ (pixels - mean).mT / pixels.shape[2]
    values, vectors = torch.linalg.eigh(covariance)
    return mean, vectors @ torch.diag_embed(values.clamp(min=0).sqrt()) @ vectors.mT


def _mixed(image: Tensor, by: Tensor) -> Tensor:
    return torch.einsum("kc,bchw->bkhw", by, image)


class _InRange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        ctx.save_for_backward(image)
        return image.clamp(0, 255)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (image,) = ctx.saved_tensors
        outside = image - image.clamp(0, 255)
        return gradient.where(gradient * outside >= 0, 0)


def in_range(image: Tensor) -> Tensor:
    """Clamp to 0 to 255; a value outside still gets a gradient if descent brings it back.

    `clamp` has none there, so a pixel that left the range would never return.
    """
    result: Tensor = _InRange.apply(image)
    return result
