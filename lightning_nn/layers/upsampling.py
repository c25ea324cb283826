"""Upsampling by transposed convolution, which starts as bilinear interpolation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def bilinear_kernel(factor: int) -> Tensor:
    """Make the kernel whose transposed convolution with stride `factor` interpolates bilinearly.

    Args:
        factor: an even number.

    Returns:
        float32 (2 factor, 2 factor): a pyramid; its height is the product of 1 - |distance| / factor along both axes.
    """
    distance = torch.arange(2 * factor) - (factor - 0.5)
    along = 1 - distance.abs() / factor
    return torch.outer(along, along)


class Upsampling(nn.Module):
    """Enlarges maps by a transposed convolution, each channel by itself (Long, Shelhamer and Darrell 2015, 3.3).

    The kernel starts as `bilinear_kernel`, so the layer begins as `F.interpolate(x, scale_factor=factor,
    mode="bilinear")`; as there, values beyond the edge equal those at the edge.

    Args:
        channels: channels of the maps, C.
        factor: how many times higher and wider the maps become; an even number.
        learned: train the kernels; if False they stay bilinear.

    Attributes:
        weight: (C, 1, 2 factor, 2 factor), a parameter if learned, else a buffer.

    Example:
        >>> Upsampling(channels=3, factor=4)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])
    """

    weight: Tensor

    def __init__(self, channels: int, factor: int, learned: bool = True) -> None:
        super().__init__()
        if factor < 2 or factor % 2:
            raise ValueError(f"factor is {factor}; it must be an even number")
        self.factor = factor
        weight = bilinear_kernel(factor).expand(channels, 1, -1, -1).clone()
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge maps, (B, C, H, W) to (B, C, factor H, factor W)."""
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")  # the kernel reaches half a cell over the edge
        padding = self.factor + self.factor // 2
        return F.conv_transpose2d(x, self.weight, stride=self.factor, padding=padding, groups=len(self.weight))


def best_masks(mask: Tensor, num_classes: int, stride: int) -> Tensor:
    """Return the masks that bilinear upsampling makes of the true shares of the classes in cells of a stride.

    The largest share wins at each pixel. A network of this stride that learns its upsampling, or scores beyond the true
    shares, can come closer to the true masks.

    Args:
        mask: int64 (B, H, W); values of `num_classes` and above count for no class.
        num_classes: number of classes, K.
        stride: height and width of a cell; an even number.

    Returns:
        int64 (B, H, W).
    """
    height, width = mask.shape[1:]
    padded = F.pad(mask, (0, -width % stride, 0, -height % stride), value=num_classes)
    planes = (padded.unsqueeze(1) == torch.arange(num_classes, device=mask.device)[:, None, None]).float()
    cells = F.avg_pool2d(planes, stride)  # (B, K, H / stride, W / stride)
    fine = F.interpolate(cells, scale_factor=stride, mode="bilinear", align_corners=False)
    return fine.argmax(1)[:, :height, :width]
