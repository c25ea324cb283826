"""MobileNet v1: convolutions in two steps, first in space, a kernel a channel, then across channels, a weight a pair.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications" (2017). From M to N
channels by kernels of K x K, a place costs K^2 M + M N multiplications instead of K^2 M N: for K = 3 a ninth of it.

As in the paper's TensorFlow code, which the published weights come from: ReLU6, padding SAME, a batch norm with an
epsilon of 1e-3 after each convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.layers.convolution import initialise

EPSILON = 1e-3
_CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)  # after each pair of convolutions
_HALVED = (1, 3, 5, 11)  # pairs with stride 2


class SameConv2d(nn.Conv2d):
    """Convolution to ceil(N / stride) places on N pixels, as TensorFlow's SAME: an odd zero goes right and below."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        (top, bottom), (left, right) = (
            same_padding(*sizes) for sizes in zip(input.shape[2:], self.kernel_size, self.stride, strict=True)
        )
        if (top, left) != (bottom, right):
            input, top, left = F.pad(input, (left, right, top, bottom)), 0, 0
        return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), groups=self.groups)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Count the zeros before and after `size` pixels."""
    places = -(-size // stride)
    zeros = max((places - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


class MobileNetV1(nn.Module):
    """MobileNet v1, by the names of the published weights: `conv1`, `dw.i` and `pw.i`, each `.conv` and `.bn`, `fc`.

    Args:
        num_classes: number of classes, K.
        multiplier: the paper's width multiplier, above 0: share of the channels of each layer, at least 8.
    """

    def __init__(self, num_classes: int, multiplier: float = 1.0) -> None:
        super().__init__()
        first, *channels = (max(int(count * multiplier), 8) for count in (32, *_CHANNELS))
        pairs = list(zip((first, *channels), channels, strict=False))
        self.conv1 = Normed(SameConv2d(3, first, 3, stride=2, bias=False))
        self.dw = nn.ModuleList(
            Normed(SameConv2d(m, m, 3, stride=2 if i in _HALVED else 1, groups=m, bias=False))
            for i, (m, _) in enumerate(pairs)
        )
        self.pw = nn.ModuleList(Normed(SameConv2d(m, n, 1, bias=False)) for m, n in pairs)
        self.fc = nn.Linear(channels[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, (B, K), of images (B, 3, H, W), -1 to 1."""
        return self.fc(self.maps(x).mean((2, 3)))

    def maps(self, x: Tensor) -> Tensor:
        """Compute the last maps, (B, C', H / 32, W / 32)."""
        x = self.conv1(x)
        for depthwise, pointwise in zip(self.dw, self.pw, strict=True):
            x = pointwise(depthwise(x))
        return x


class Normed(nn.Sequential):
    """A convolution, batch normalisation and ReLU6.

    Args:
        convolution: the convolution; it gets first weights after He et al. 2015.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        initialise(convolution, "kaiming")
        self.conv = convolution
        self.bn = nn.BatchNorm2d(convolution.out_channels, eps=EPSILON)
        self.relu = nn.ReLU6()


def unfolded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give convolutions with a bias, into which a batch norm was folded, a batch norm that adds just this bias.

    Args:
        weights: by name, such as dw.3.conv.bias.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        layer, is_bias, _ = name.partition(".conv.bias")
        if is_bias:
            one = torch.ones_like(weight, dtype=torch.float32)
            norm = {"weight": one, "bias": weight, "running_mean": 0 * one, "running_var": one - EPSILON}
            tensors |= {f"{layer}.bn.{key}": value for key, value in norm.items()}
        else:
            tensors[name] = weight
    return tensors
