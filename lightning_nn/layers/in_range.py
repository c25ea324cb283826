"""Pixels kept within their range while they are trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
