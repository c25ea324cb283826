"""Decorrelation of neighbouring pixels by fixed kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Whitening(nn.Module):
    """Convolution with fixed kernels that decorrelate the pixels of a patch (as in Jordan 2024, arXiv:2404.00498).

    The kernels are the eigenvectors of the covariance of patches, divided by the roots of their eigenvalues, and their
    negatives. Until `measure` has seen images they are orthogonal at random. The bias is learned.

    Args:
        channels: channels of the input, C.
        kernel: size of a patch, K; there are 2 C K K kernels.

    Attributes:
        measured: bool (2 C K K,), whether the kernels come from images.
    """

    weight: Tensor
    measured: Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = channels * kernel**2
        self.register_buffer("weight", self._kernels(nn.init.orthogonal_(torch.empty(size, size)), channels, kernel))
        self.register_buffer("measured", torch.zeros(2 * size, dtype=torch.bool))
        self.bias = nn.Parameter(torch.zeros(2 * size))

    def measure(self, image: Tensor, eps: float = 5e-4) -> None:
        """Compute the kernels.

        Args:
            image: normalised (N, C, H, W).
            eps: added to the eigenvalues.
        """
        _, channels, kernel, _ = self.weight.shape
        covariance, count = torch.zeros(2, dtype=torch.float64)
        for some in torch.split(image.double(), 256):
            patches = F.unfold(some, kernel).transpose(1, 2).flatten(0, 1)  # (places, C K K)
            covariance = covariance + patches.T @ patches
            count = count + len(patches)
        values, vectors = torch.linalg.eigh(covariance / count)
        self.weight.copy_(self._kernels((vectors / (values + eps).sqrt()).T.flip(0), channels, kernel))
        self.measured.fill_(True)

    @staticmethod
    def _kernels(rows: Tensor, channels: int, kernel: int) -> Tensor:
        return torch.cat([rows, -rows]).view(-1, channels, kernel, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, 2 C K K, H - K + 1, W - K + 1)."""
        return F.conv2d(x, self.weight, self.bias)
