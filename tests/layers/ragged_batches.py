"""Flat batches to test with, and the hand loops they are compared to."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

lengths_lists = st.lists(st.integers(1, 7), min_size=1, max_size=6)


def rows_of(lengths: list[int], *width: int) -> Tensor:
    """Random rows, float64, that ask for a gradient."""
    return torch.randn(sum(lengths), *width, dtype=torch.float64, requires_grad=True)


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a sum in which each value of the output has a weight of its own."""
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((output * weights).sum(), inputs)
