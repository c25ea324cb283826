"""Pixels to numbers that networks learn from."""

from __future__ import annotations

import torch
from torch import Tensor


def normalize(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Scale pixels to -1 to 1.

    Args:
        image: uint8 (B, C, H, W), 0 to 255.
        dtype: of the result.
    """
    return image.to(dtype) / 127.5 - 1
