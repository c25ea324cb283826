from __future__ import annotations

import torch
from hypothesis import given
from torch import Tensor

from lightning_nn.layers import ContextAttention
from tests.layers.ragged_batches import gradients, lengths_lists, rows_of

E, A = 4, 3


def by_hand(layer: ContextAttention, segment: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 5 to 7 of Yang et al. 2016, a row at a time."""
    W, b, u_w = layer.projection.weight, layer.projection.bias, layer.context.weight[0]
    scores = []
    for h_t in segment:
        u_t = torch.tanh(W @ h_t + b)  # eq. 5
        scores.append(torch.exp(u_t @ u_w))
    weights = [score / sum(scores) for score in scores]  # eq. 6
    summary = sum((a_t * h_t for a_t, h_t in zip(weights, segment, strict=True)), torch.zeros(E, dtype=segment.dtype))
    return summary, torch.stack(weights)


@given(lengths_lists)
def test_equals_the_papers_equations(lengths: list[int]) -> None:
    layer = ContextAttention(E, A).double()
    rows = rows_of(lengths, E)
    summaries, weights = layer(rows, torch.tensor(lengths))
    hand = [by_hand(layer, segment) for segment in rows.split(lengths)]
    expected = torch.stack([summary for summary, _ in hand])
    torch.testing.assert_close(summaries, expected)
    torch.testing.assert_close(weights, torch.cat([w for _, w in hand]))
    moved = (rows, *layer.parameters())
    torch.testing.assert_close(gradients(summaries, *moved), gradients(expected, *moved))


def test_gradients_are_those_of_finite_differences() -> None:
    layer, lengths = ContextAttention(2, 2).double(), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda x: layer(x, lengths), rows_of([2, 1], 2))


def test_weights_are_float32_and_summaries_keep_the_type_of_the_rows() -> None:
    layer = ContextAttention(E, A).bfloat16()
    summaries, weights = layer(torch.randn(3, E, dtype=torch.bfloat16), torch.tensor([2, 1]))
    assert (summaries.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(weights[:2].sum(), torch.tensor(1.0))
