"""Arithmetic on flat batches: the rows of all segments one after another, and the number of rows of each segment."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32; leave integers, float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def segment_ids(lengths: Tensor, total: int) -> Tensor:
    """Return the segment of each row.

    Args:
        lengths: int64 (S,), rows of each segment.
        total: sum of `lengths`; as an argument, so that nothing waits for the device.

    Returns:
        int64 (total,), 0 to S - 1.
    """
    index = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(index, lengths, output_size=total)


def segment_starts(lengths: Tensor) -> Tensor:
    """Return the first row of each segment, int64 (S,)."""
    return lengths.cumsum(0) - lengths


def segment_sum(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum the rows of each segment, (W, ...) to (S, ...); half precision accumulates in float32."""
    wide = at_least_float32(values)
    out = wide.new_zeros(len(lengths), *values.shape[1:])
    return out.index_add(0, segment_ids(lengths, len(values)), wide).to(values.dtype)


def segment_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Average the rows of each segment, (W, E) to (S, E); half precision accumulates in float32."""
    return (segment_sum(at_least_float32(values), lengths) / lengths.unsqueeze(1)).to(values.dtype)


def segment_max(values: Tensor, lengths: Tensor) -> Tensor:
    """Take the maximum over the rows of each segment, (W, ...) to (S, ...); each segment has at least one row."""
    out = values.new_full((len(lengths), *values.shape[1:]), -torch.inf)
    index = segment_ids(lengths, len(values)).view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    return out.scatter_reduce(0, index, values, "amax")


def segment_softmax(scores: Tensor, lengths: Tensor) -> Tensor:
    """Compute the softmax within each segment.

    Args:
        scores: (W,), any finite values; half precision is converted to float32.
        lengths: int64 (S,), rows of each segment.

    Returns:
        (W,), positive, summing to 1 within each segment.
    """
    scores = at_least_float32(scores)
    segment = segment_ids(lengths, len(scores))
    # The shift cancels out, in the gradient too, so it needs none.
    shifted = scores - segment_max(scores.detach(), lengths)[segment]
    weights = shifted.exp()
    return weights / segment_sum(weights, lengths)[segment]
