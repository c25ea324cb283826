"""Sizes of images, and images of other sizes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lightning_nn.layers.ragged import at_least_float32

Size = tuple[int, int]


def with_longer_side(size: Size, longer: float) -> Size:
    """Scale rows and columns so that the longer side has so many pixels, and the other at least one."""
    factor = longer / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize images, (B, C, H, W), by bilinear interpolation, with antialiasing where they shrink."""
    if image.shape[2:] == size:
        return image
    return F.interpolate(at_least_float32(image), size, mode="bilinear", antialias=True).to(image.dtype)


def cover(image: Tensor, size: Size) -> Tensor:
    """Scale images, (B, C, H, W), until they cover a size, and crop the rest equally on both sides."""
    factor = max(size[0] / image.shape[2], size[1] / image.shape[3])
    height, width = (max(side, round(whole * factor)) for side, whole in zip(size, image.shape[2:], strict=True))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return resize(image, (height, width))[:, :, top : top + size[0], left : left + size[1]]
