"""Max pooling that keeps no copy of its input for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class MaxPool2d(nn.MaxPool2d):
    """Maximum of each window, as torch's; while training on a CPU, windows side by side need less memory.

    torch keeps the input until the backward pass, though the places of the maxima are enough. After a wide convolution
    that is the largest tensor of a network.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool maps, (B, C, H, W) to (B, C, H', W')."""
        kernel, stride = int(self.kernel_size), int(self.stride)  # type: ignore[arg-type]
        if kernel > stride or self.padding or not (input.is_cpu and input.requires_grad and torch.is_grad_enabled()):
            return super().forward(input)
        return _MaxPool.apply(input, kernel, stride)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, kernel: int, stride: int) -> Tensor:
        output, places = F.max_pool2d(input, kernel, stride, return_indices=True)
        ctx.save_for_backward(places)
        ctx.shape = input.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,), (batch, channels, height, width) = ctx.saved_tensors, ctx.shape
        if places.is_contiguous(memory_format=torch.channels_last):
            places, grad = (each.permute(0, 2, 3, 1).reshape(batch, -1, channels) for each in (places, grad))
            pixels = grad.new_zeros(batch, height * width, channels).scatter_(1, places, grad)
            return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2), None, None
        pixels = grad.new_zeros(batch, channels, height * width).scatter_(2, places.flatten(2), grad.flatten(2))
        return pixels.view(batch, channels, height, width), None, None
