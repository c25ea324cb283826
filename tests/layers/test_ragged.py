from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_nn.layers import segment_ids, segment_max, segment_mean, segment_softmax, segment_starts, segment_sum
from tests.layers.ragged_batches import gradients, lengths_lists, rows_of

REFERENCES: dict[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    segment_sum: lambda rows: rows.sum(0),
    segment_mean: lambda rows: rows.mean(0),
    segment_max: lambda rows: rows.amax(0),
}


@given(lengths_lists)
def test_ids_and_starts_count_through_the_segments(lengths: list[int]) -> None:
    expected = [segment for segment, n in enumerate(lengths) for _ in range(n)]
    assert segment_ids(torch.tensor(lengths), sum(lengths)).tolist() == expected
    assert segment_starts(torch.tensor(lengths)).tolist() == [expected.index(s) for s in range(len(lengths))]


@pytest.mark.parametrize("reduce", REFERENCES, ids=lambda f: f.__name__)
@given(lengths=lengths_lists)
def test_reductions_equal_a_loop(reduce: Callable[[Tensor, Tensor], Tensor], lengths: list[int]) -> None:
    rows = rows_of(lengths, 3)
    got = reduce(rows, torch.tensor(lengths))
    expected = torch.stack([REFERENCES[reduce](segment) for segment in rows.split(lengths)])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(got, rows), gradients(expected, rows))


@given(lengths_lists)
def test_softmax_equals_torch_on_each_segment(lengths: list[int]) -> None:
    scores = rows_of(lengths)
    got = segment_softmax(scores, torch.tensor(lengths))
    expected = torch.cat([segment.softmax(0) for segment in scores.split(lengths)])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(got, scores), gradients(expected, scores))


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=12), st.integers(1, 4))
def test_softmax_is_stable_for_large_scores(values: list[float], segments: int) -> None:
    scores = torch.tensor(values * segments)
    weights = segment_softmax(scores, torch.full((segments,), len(values)))
    expected = torch.tensor(values, dtype=torch.float64).softmax(0).repeat(segments)
    torch.testing.assert_close(weights, expected.float(), atol=1e-6, rtol=1e-4)


def test_softmax_of_half_precision_is_computed_in_float32() -> None:
    scores = torch.tensor([1.0, 1.001, 0.5], dtype=torch.bfloat16)
    assert segment_softmax(scores, torch.tensor([3])).dtype == torch.float32


def test_a_segment_does_not_see_its_neighbours() -> None:
    scores = torch.tensor([0.0, 0.0, 1e4, -1e4])
    assert segment_softmax(scores, torch.tensor([2, 2])).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_gradients_are_those_of_finite_differences() -> None:
    lengths, rows = torch.tensor([2, 1, 3]), rows_of([2, 1, 3])
    assert torch.autograd.gradcheck(lambda x: segment_softmax(x, lengths), rows)
    assert torch.autograd.gradcheck(lambda x: segment_max(x, lengths), rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_added_up_in_float32(dtype: torch.dtype) -> None:
    ones, lengths = torch.ones(3000, 2, dtype=dtype), torch.tensor([3000])
    assert segment_sum(ones, lengths).tolist() == [[torch.tensor(3000.0).to(dtype).item()] * 2]
    large = torch.full((70_000, 1), 2.0, dtype=dtype)
    assert segment_mean(large, torch.tensor([70_000])).tolist() == [[2.0]]
    assert segment_mean(large, torch.tensor([70_000])).dtype == dtype
