from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_nn.runs.packed_rows import BLOCK, Bits, is_packed, pack, packed_bytes, unpack


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=2).map(lambda sides: [3, 16 + sum(sides), *sides]),
    bits=st.sampled_from([8, 4]),
    scale=st.sampled_from([1e-3, 1.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_values_are_half_a_step_off_at_most(shape: list[int], bits: Bits, scale: float, seed: int) -> None:
    weights = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    assert is_packed(weights, bits)
    numbers, scales = pack(weights, bits)
    assert numbers.numel() + 2 * scales.numel() == packed_bytes(weights, bits)
    restored = unpack(numbers, scales, shape)
    steps = scales.float().repeat_interleave(BLOCK if bits == 4 else numbers.shape[1], 1)[:, : weights[0].numel()]
    rounding = 0.5 + 2**-10 * 2 ** (bits - 1)  # of the scale in half precision, too
    assert bool(((restored - weights).flatten(1).abs() <= rounding * steps).all())
    assert torch.equal(unpack(*pack(restored, bits), shape).sign(), restored.sign())


@pytest.mark.parametrize(("bits", "error"), [(8, 0.01), (4, 0.12)])
def test_normal_values_keep_their_relative_error(bits: Bits, error: float) -> None:
    weights = torch.randn(40, 200, generator=torch.Generator().manual_seed(0))
    assert float((unpack(*pack(weights, bits), [40, 200]) - weights).norm() / weights.norm()) < error


def test_a_row_of_zeros_stays_zero() -> None:
    weights = torch.zeros(2, 20)
    for bits in (8, 4):
        assert torch.equal(unpack(*pack(weights, bits), [2, 20]), weights)


def test_what_has_no_rows_is_not_packed() -> None:
    for tensor in (torch.ones(50), torch.ones(9, 3), torch.ones(4, 40, dtype=torch.int32)):
        assert not is_packed(tensor, 8)
    assert not is_packed(torch.ones(4, 40), 16)
    assert [packed_bytes(torch.ones(4, 40), bits) for bits in (32, 16, 8, 4)] == [640, 320, 168, 96]
    assert packed_bytes(torch.ones(4, 40, dtype=torch.uint8), 4) == 160


@pytest.mark.parametrize(
    ("numbers", "scales", "shape"),
    [
        (torch.zeros(2, 20, dtype=torch.int8), torch.ones(2, 1), [2, 21]),
        (torch.zeros(2, 20, dtype=torch.int8), torch.ones(3, 1), [2, 20]),
        (torch.zeros(2, 20, dtype=torch.uint8), torch.ones(2, 1), [2, 40]),
        (torch.zeros(2, 20), torch.ones(2, 1), [2, 20]),
        (torch.zeros(0, dtype=torch.int8), torch.ones(0), []),
    ],
)
def test_parts_that_do_not_fit_are_refused(numbers: Tensor, scales: Tensor, shape: list[int]) -> None:
    with pytest.raises(ValueError, match="packed weights of shape"):
        unpack(numbers, scales, shape)
