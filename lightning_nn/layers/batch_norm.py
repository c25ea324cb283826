"""Batch normalisation that also trains on a batch of one value a channel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps, (B, C, H, W), or of flat samples, (B, C) (Ioffe and Szegedy 2015).

    A batch with one value a channel has no variance, and torch raises an error in training; here such a batch is
    normalised by the running statistics, which it doesn't change. The last batch of an epoch may be a single sample.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel, to the same shape."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if input.dim() == 4:
            return super().forward(input)
        return super().forward(input[:, :, None, None]).flatten(1)


def with_batch_norms(net: nn.Module) -> nn.Module:
    """Replace the batch norms of a network just made by those that also train on a batch of one value a channel."""
    for name, norm in list(net.named_modules()):
        if type(norm) is nn.BatchNorm2d:
            net.set_submodule(name, BatchNorm(norm.num_features, norm.eps, norm.momentum))
    return net
