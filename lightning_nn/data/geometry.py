"""Places that the pixels of changed images come from: 3 x 3 matrices that compose, and one sampling step for them all.

A matrix maps a place of the new image to a place of the old one, in homogeneous coordinates (x, y, 1): pixels from the
centre, x to the right, y down. Products compose: in `A @ B` the old image is changed by A first, and then by B.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn.data.batches import IGNORED
from lightning_nn.layers.normalize import fractions

Border = Literal["reflect", "black"]


def matrix(count: int, device: torch.device, **entries: Tensor) -> Tensor:
    """Make matrices (B, 3, 3) that are the identity but for some entries.

    Args:
        count: number of matrices, B.
        device: of the result.
        entries: (B,) each, by name: `xy` is how much of y is in the new x, `x1` what is added to x, `1x` the
            perspective along x.
    """
    made = torch.eye(3, device=device).repeat(count, 1, 1)
    for name, values in entries.items():
        made[:, "xy1".index(name[0]), "xy1".index(name[1])] = values
    return made


def rotation(degrees: Tensor) -> Tensor:
    """Turn images counterclockwise by (B,) degrees; return matrices (B, 3, 3)."""
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return matrix(len(degrees), degrees.device, xx=cos, xy=-sin, yx=sin, yy=cos)


def sample(image: Tensor, places: Tensor, border: Border) -> Tensor:
    """Sample images bilinearly at the places that matrices say.

    Args:
        image: uint8 or float (B, C, H, W).
        places: (B, 3, 3), from new to old.
        border: what is beyond the border: reflect, the image mirrored at its outermost pixels; black.

    Returns:
        float32 (B, C, H, W), 0 to 1, or float64 if the image is.
    """
    return _sample(fractions(image), places, border, "bilinear")


def sample_mask(mask: Tensor, places: Tensor, border: Border) -> Tensor:
    """Sample masks at the same places; each new pixel takes the class of the nearest old one.

    Args:
        mask: uint8 (B, H, W).
        places: (B, 3, 3), from new to old.
        border: as for the images; beyond a black one pixels are ignored, 255.

    Returns:
        uint8 (B, H, W).
    """
    found = _sample(mask[:, None].float() - IGNORED, places, border, "nearest")  # beyond a black border: 0
    return (found + IGNORED).round().to(torch.uint8)[:, 0]


def _sample(image: Tensor, places: Tensor, border: Border, mode: str) -> Tensor:
    height, width = image.shape[2:]
    image = image if image.dtype == torch.float64 else image.float()
    half = places.new_tensor([(width - 1) / 2, (height - 1) / 2])
    rows, columns = torch.arange(height, device=image.device), torch.arange(width, device=image.device)
    y, x = torch.meshgrid(rows - half[1], columns - half[0], indexing="ij")
    new = torch.stack([x, y, torch.ones_like(x)], dim=2).view(1, -1, 3)
    old = new @ places.mT  # (B, H W, 3)
    old = old[..., :2] / old[..., 2:] / half.clamp(min=0.5)  # -1 to 1 from the first pixel's centre to the last one's
    padding = "reflection" if border == "reflect" else "zeros"
    grid = old.view(len(image), height, width, 2).to(image.dtype)
    return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True)


def shift(image: Tensor, dx: Tensor, dy: Tensor, mirrored: Tensor | None, border: Border, fill: int = 0) -> Tensor:
    """Mirror and shift images by whole pixels: an index for each pixel, in any dtype, without arithmetic on it.

    Args:
        image: (B, ..., H, W).
        dx: int64 (B,), pixels to the right.
        dy: int64 (B,), pixels down.
        mirrored: bool (B,), images that are mirrored before they are shifted; None for none.
        border: reflect, as in `sample`, or black, which is filled.
        fill: value beyond a black border.

    Returns:
        The same shape and dtype.
    """
    count, height, width = len(image), *image.shape[-2:]
    x = torch.arange(width, device=image.device) - dx[:, None]  # (B, W)
    y = torch.arange(height, device=image.device) - dy[:, None]  # (B, H)
    inside = None
    if border == "black":
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None]
    x, y = _reflect(x, width), _reflect(y, height)
    if mirrored is not None:
        x = torch.where(mirrored[:, None], width - 1 - x, x)
    index = (y[:, :, None] * width + x[:, None]).view(count, 1, -1)
    planes = image.reshape(count, -1, height * width)
    moved = planes.gather(2, index.expand(planes.shape))
    if inside is not None:
        moved = moved.masked_fill(~inside.view(count, 1, -1), fill)
    return moved.view(image.shape)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Mirror an index at the first and the last pixel."""
    period = max(1, 2 * (size - 1))
    index = index.remainder(period)
    return torch.where(index >= size, period - index, index)
