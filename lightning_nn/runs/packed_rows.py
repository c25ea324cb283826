"""Weights in few bits: half precision, or whole numbers of 8 or 4 bits with a scale for each row or block.

    w = s q,   s = max |w| / (2^(b-1) - 1),   q = round(w / s) in b bits

of each row at 8 bits, of each 32 values of a row at 4 bits, where one scale for a row would lose its small values. Only
tensors with rows of some length are packed so; biases keep half precision, whole numbers keep their type.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Bits = Literal[32, 16, 8, 4]

BLOCK = 32  # values that share a scale at 4 bits
_SHORTEST = 16  # rows below keep half precision: their scale would be a large part of them


def is_packed(weights: Tensor, bits: Bits) -> bool:
    """Return whether a tensor becomes whole numbers of so many bits."""
    return bits < 16 and weights.is_floating_point() and weights.dim() > 1 and weights[0].numel() >= _SHORTEST


def pack(weights: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
    """Round the rows of a tensor to whole numbers.

    Args:
        weights: (R, ...), finite.
        bits: 8 or 4.

    Returns:
        The numbers, int8 (R, W) for rows of W values, or uint8 (R, W / 2 rounded up), two to a byte; and the scales,
        float16 (R, blocks).
    """
    rows = weights.detach().float().flatten(1)
    width, block = rows.shape[1], BLOCK if bits == 4 else rows.shape[1]
    blocks = F.pad(rows, (0, -width % block)).view(len(rows), -1, block)  # (R, blocks, block)
    most = 2 ** (bits - 1) - 1
    scales = (blocks.abs().amax(2, keepdim=True) / most).half()
    numbers = (blocks / scales.float().clamp(min=torch.finfo(torch.float32).tiny)).round().clamp(-most, most)
    numbers = numbers.flatten(1)[:, :width].to(torch.int8)
    if bits == 4:
        low, high = F.pad(numbers, (0, width % 2)).view(torch.uint8).view(len(rows), -1, 2).unbind(2)
        numbers = (low & 15) | (high << 4)
    return numbers.contiguous(), scales[:, :, 0].contiguous()


def unpack(numbers: Tensor, scales: Tensor, shape: list[int]) -> Tensor:
    """Return weights from their whole numbers, float32.

    Args:
        numbers: from `pack`.
        scales: from `pack`.
        shape: of the weights.

    Raises:
        ValueError: they do not fit each other.
    """
    count, width = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
    bits = {torch.int8: 8, torch.uint8: 4}.get(numbers.dtype, 0)
    block = BLOCK if bits == 4 else width
    bytes_of_row = -(-width // 2) if bits == 4 else width
    if not bits or width < 1 or numbers.shape != (count, bytes_of_row) or scales.shape != (count, -(-width // block)):
        raise ValueError(f"packed weights of shape {shape} have numbers {list(numbers.shape)}, {numbers.dtype}")
    if bits == 4:
        signed = numbers.view(torch.int8)
        numbers = torch.stack([(signed << 4) >> 4, signed >> 4], 2).flatten(1)[:, :width]
    return (numbers * scales.float().repeat_interleave(block, 1)[:, :width]).view(shape)


def packed_bytes(weights: Tensor, bits: Bits) -> int:
    """Count the bytes of a tensor as `save_weights` writes it.

    Args:
        weights: the tensor.
        bits: 32 for floats of four bytes.
    """
    if not weights.is_floating_point():
        return weights.numel() * weights.element_size()
    if not is_packed(weights, bits):
        return weights.numel() * (4 if bits == 32 else 2)
    count, width = len(weights), weights[0].numel()
    return count * (-(-width * bits // 8) + 2 * (-(-width // BLOCK) if bits == 4 else 1))
