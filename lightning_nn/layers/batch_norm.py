"""Batch normalisation over several processes, and of a batch of one value a channel."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.layers.ragged import at_least_float32


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps, (B, C, H, W), or of flat samples, (B, C) (Ioffe and Szegedy 2015).

    Where several processes train, mean and variance are those of the batches of all of them together, on CPUs too
    (torch.nn.SyncBatchNorm needs GPUs), so that the gradient is that of one process.

    A batch with one value a channel has no variance, and torch raises an error in training; here such a batch is
    normalised by the running statistics, which it doesn't change. The last batch of an epoch may be a single sample.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel, to the same shape."""
        if self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return self._over_processes(input)
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if input.dim() == 4:
            return super().forward(input)
        return super().forward(input[:, :, None, None]).flatten(1)

    def _over_processes(self, input: Tensor) -> Tensor:
        """Normalise by the mean and variance over the batches of all processes, which may differ in size."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        x = at_least_float32(input)
        others, shape = [0, *range(2, x.dim())], (-1, *[1] * (x.dim() - 2))  # all dimensions but that of channels
        count = x.new_tensor([x.numel() / self.num_features])
        total, count = _SumOverProcesses.apply(torch.cat([x.sum(others), count])).split([self.num_features, 1])
        mean = total / count
        centred = x - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(others)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        y = centred * (self.weight * (variance + self.eps).rsqrt()).view(shape) + self.bias.view(shape)
        return y.to(input.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, each: Tensor) -> Tensor:
        total = each.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total: Tensor = _SumOverProcesses.apply(gradient)
        return total


def with_batch_norms(net: nn.Module) -> nn.Module:
    """Replace the batch norms of a network just made by `BatchNorm`."""
    for name, norm in list(net.named_modules()):
        if type(norm) is nn.BatchNorm2d:
            net.set_submodule(name, BatchNorm(norm.num_features, norm.eps, norm.momentum))
    return net
