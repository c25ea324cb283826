"""Colours of a picture, kept while its style changes.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving color in neural artistic style transfer" (arXiv:1606.05897).
"""

from __future__ import annotations

import torch
from torch import Tensor

YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))  # NTSC: luminance, then two of colour


def luminance(image: Tensor) -> Tensor:
    """Return the luminance of images as three equal channels, (B, 3, H, W)."""
    return _mixed(image, image.new_tensor(YIQ[:1]).expand(3, -1))


def with_colours(image: Tensor, colours: Tensor) -> Tensor:
    """Return the luminance of one image in the colours of another, (B, 3, H, W), 0 to 255 (section 3.2).

    Args:
        image: float (B, 3, H, W), 0 to 255.
        colours: likewise.
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
