"""Pixels to numbers that networks learn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of 0 to 255


def normalize(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Scale pixels to -1 to 1.

    Args:
        image: uint8 (B, C, H, W), 0 to 255.
        dtype: of the result.
    """
    return image.to(dtype) / 127.5 - 1


class Normalize(nn.Module):
    """Shift and scale of each channel, kept with the weights; -1 to 1 until `measure` has seen images.

    Args:
        channels: channels of the images, C.

    Attributes:
        mean: (C, 1, 1), of 0 to 255.
        deviation: (C, 1, 1), likewise.
        measured: bool (C,), whether both come from images; it has their length, so that it is loaded where they are.
    """

    mean: Tensor
    deviation: Tensor
    measured: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels, 1, 1), 127.5))
        self.register_buffer("deviation", torch.full((channels, 1, 1), 127.5))
        self.register_buffer("measured", torch.zeros(channels, dtype=torch.bool))

    def measure(self, image: Tensor) -> None:
        """Set mean and deviation to those of images, uint8 or float (N, C, H, W), 0 to 255."""
        deviation, mean = torch.std_mean(image.double(), dim=(0, 2, 3), correction=0)
        self.set(mean.tolist(), deviation.clamp(min=1.0).tolist())  # a channel may be constant

    def set(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Set mean and deviation, a number a channel, of 0 to 255."""
        for buffer, values in ((self.mean, mean), (self.deviation, deviation)):
            buffer.copy_(buffer.new_tensor(values)[:, None, None])
        self.measured.fill_(True)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise images, uint8 or float (B, C, H, W), 0 to 255, to the dtype of `mean`."""
        return (image - self.mean).div_(self.deviation).to(self.mean.dtype)  # one copy: as fast as memory
