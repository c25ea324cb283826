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
        ctx.window = (kernel, stride, list(input.shape))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,), (kernel, stride, shape) = ctx.saved_tensors, ctx.window
        return F.max_unpool2d(grad, places, kernel, stride, output_size=shape), None, None
