"""Decorrelation of neighbouring pixels by fixed kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.layers.normalize import Normalize

_UNFOLDED = 8  # images at once; an unfolded image is K^2 times as large


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

    def measure(self, images: Iterable[Tensor], eps: float = 5e-4) -> None:
        """Compute the kernels.

        Args:
            images: batches of normalised images (N, C, H, W).
            eps: added to the eigenvalues.
        """
        _, channels, kernel, _ = self.weight.shape
        covariance, count = torch.zeros(2, dtype=torch.float64)
        for some in (part for image in images for part in torch.split(image, _UNFOLDED)):
            patches = F.unfold(some.double(), kernel).transpose(1, 2).flatten(0, 1)  # (places, C K K)
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


def measure_images(normalize: Normalize, net: nn.Module, batches: Iterable[Any]) -> None:
    """Set mean, deviation and whitening kernels to those of training images, unless they came with weights.

    Args:
        normalize: for mean and deviation.
        net: what follows; its whitening layers read normalised images.
        batches: of images; each pass yields the same ones.
    """
    channels = len(normalize.mean)
    if not normalize.measured.all():
        normalize.measure(batch.image.expand(-1, channels, -1, -1) for batch in batches)
    for module in net.modules():
        if isinstance(module, Whitening) and not module.measured.all():
            module.measure(normalize(batch.image.expand(-1, channels, -1, -1)) for batch in batches)
