"""Images as networks take them: values and sizes. Images are uint8 of 0 to 255 or floats of 0 to 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.layers.ragged import at_least_float32

IMAGENET_MEAN, IMAGENET_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of 0 to 255


def fractions(image: Tensor) -> Tensor:
    """Convert images to floats of 0 to 1; floats stay as they are."""
    return image if image.is_floating_point() else image.float().div_(255)


def levels(image: Tensor, like: Tensor) -> Tensor:
    """Convert images to floats of 0 to 255, on the device and in the precision of another tensor."""
    return image.to(like) * 255 if image.is_floating_point() else image.to(like)


def whole_levels(image: Tensor) -> Tensor:
    """Convert images to uint8, as they are shown."""
    return image.detach().float().mul(255).round().clamp(0, 255).byte() if image.is_floating_point() else image


def rgb(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image, uint8 or float (C, H, W) of one or three channels, to uint8 (H, W, 3) as it is shown."""
    return whole_levels(image).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()


def normalize(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Scale images (B, C, H, W) to -1 to 1.

    Args:
        image: uint8 or float.
        dtype: of the result.
    """
    return image.to(dtype) * 2 - 1 if image.is_floating_point() else image.to(dtype) / 127.5 - 1


class Normalize(nn.Module):
    """Shift and scale of each channel, kept with the weights; -1 to 1 until `measure` has seen images.

    Args:
        channels: channels of the images, C.

    Attributes:
        mean: (C, 1, 1), of 0 to 255.
        deviation: (C, 1, 1), of 0 to 255.
        measured: bool (C,), whether both come from images; it has their length, so that it is loaded where they are.
        white: largest value in float images, 1; 255 in pictures that are painted.
    """

    mean: Tensor
    deviation: Tensor
    measured: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, 1, 1), 127.5))
        self.register_buffer("deviation", torch.full((channels, 1, 1), 127.5))
        self.register_buffer("measured", torch.zeros(channels, dtype=torch.bool))
        self.white = 1.0

    def measure(self, images: Iterable[Tensor]) -> None:
        """Set mean and deviation to those of batches of images, uint8 or float (N, C, H, W)."""
        sums, count = torch.zeros(2, len(self.mean), dtype=torch.float64), 0
        for image in images:
            values = levels(image, sums)
            sums += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
            count += values[:, 0].numel()
        mean, square = sums / count
        self.set(mean.tolist(), (square - mean**2).clamp(min=1.0).sqrt().tolist())  # a channel may be constant

    def set(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Set mean and deviation, a number a channel, of 0 to 255."""
        for buffer, values in ((self.mean, mean), (self.deviation, deviation)):
            buffer.copy_(buffer.new_tensor(values)[:, None, None])
        self.measured.fill_(True)

    def description(self) -> str:
        """Describe the normalisation in a few words, for the summary."""
        symmetric = bool(((self.mean == 127.5) & (self.deviation == 127.5)).all())
        return "scaled to -1 to 1" if symmetric and self.measured.all() else "scaled by mean and deviation"

    def forward(self, image: Tensor) -> Tensor:
        """Normalise images, uint8 or float (B, C, H, W), to the dtype of `mean`."""
        unit = self.white / 255 if image.is_floating_point() else 1.0
        return (image - self.mean * unit).div_(self.deviation * unit).to(self.mean.dtype)  # one copy: as fast as memory


Size = tuple[int, int]


def with_longer_side(size: Size, longer: float) -> Size:
    """Scale rows and columns so that the longer side is `longer` pixels and the other at least 1."""
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
