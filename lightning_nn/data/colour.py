"""Random changes of colour, composed to one 3 x 3 matrix and a shift for each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_nn.layers.normalize import fractions
from lightning_nn.layers.style import YIQ

LUMINANCE = YIQ[0]


def change(
    image: Tensor,
    brightness: Tensor | None = None,
    contrast: Tensor | None = None,
    saturation: Tensor | None = None,
    hue: Tensor | None = None,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of images, in this order.

    Args:
        image: uint8 or float (B, C, H, W); saturation and hue need three channels.
        brightness: (B,), factor; None for no change, like the others.
        contrast: (B,), factor on the distance of each value from the image's mean luminance.
        saturation: (B,), factor on the distance of each pixel from its luminance; 0 is gray.
        hue: (B,), turn of the colour circle, -0.5 to 0.5.

    Returns:
        float (B, C, H, W), 0 to 1.
    """
    image = fractions(image)
    count, channels = image.shape[:2]
    weights = image.new_tensor(LUMINANCE if channels == 3 else [1 / channels] * channels)
    one = torch.eye(channels, dtype=image.dtype, device=image.device)
    linear, offset = one.repeat(count, 1, 1), image.new_zeros(count, channels, 1)
    if brightness is not None:
        linear = linear * brightness[:, None, None]
    if contrast is not None:
        factor, mean = contrast[:, None, None], image.mean((2, 3))[:, :, None]
        gray = weights @ (linear @ mean + offset)  # (B, 1)
        linear, offset = linear * factor, offset * factor + (1 - factor) * gray[:, :, None]
    if saturation is not None:
        factor = saturation[:, None, None]
        by = factor * one + (1 - factor) * weights.expand(channels, channels)
        linear, offset = by @ linear, by @ offset
    if hue is not None:
        to_yiq = image.new_tensor(YIQ)
        angle = hue * (2 * math.pi)
        cos, sin = angle.cos(), angle.sin()
        turn = one.repeat(count, 1, 1)
        turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
        by = torch.linalg.inv(to_yiq) @ turn @ to_yiq
        linear, offset = by @ linear, by @ offset
    return torch.baddbmm(offset, linear, image.flatten(2)).clamp(0, 1).view(image.shape)
