"""The equations of the cells against torch's packed layers, with the same weights: values and gradients."""

from __future__ import annotations

from copy import deepcopy
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from lightning_nn.layers.cells import Cell, GRUCell, LSTMCell, PlainCell, ReLUCell, recurrence
from lightning_nn.layers.recurrent import Cell as Name
from lightning_nn.layers.recurrent import FlatReLU, FlatRNN
from tests.layers.ragged_batches import gradients, lengths_lists, rows_of

E, H = 3, 4
CASES: dict[str, tuple[type[Cell], nn.RNNBase]] = {
    "rnn": (PlainCell, nn.RNN(E, H)),
    "relu": (ReLUCell, nn.RNN(E, H, nonlinearity="relu")),
    "lstm": (LSTMCell, nn.LSTM(E, H)),
    "gru": (GRUCell, nn.GRU(E, H)),
}
# Each with its own kind of row: one sequence, one row, all equal, all of length 1.
LENGTHS = st.one_of(lengths_lists, st.sampled_from([[1], [7], [3, 3, 3], [1, 1, 1]]))


def packed(lengths: list[int], dtype: torch.dtype) -> PackedSequence:
    rows = [torch.randn(length, E, dtype=dtype) for length in sorted(lengths, reverse=True)]
    return pack_sequence(rows)


def initial_of(cell: type[Cell], sequences: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(torch.randn(1, sequences, H, dtype=dtype).requires_grad_() for _ in range(cell.states))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
@given(lengths=LENGTHS)
def test_a_cell_is_torchs_layer_with_its_weights(name: str, dtype: torch.dtype, lengths: list[int]) -> None:
    cell, layer = CASES[name][0], deepcopy(CASES[name][1]).to(dtype)
    rows, initial = packed(lengths, dtype), initial_of(cell, len(lengths), dtype)
    x = rows.data.requires_grad_()
    given_to_torch = initial if cell.states == 2 else initial[0]
    expected = layer(PackedSequence(x, rows.batch_sizes), given_to_torch)[0].data
    u = nn.functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0).unsqueeze(0)
    own = recurrence(cell, u, layer.weight_hh_l0[None], layer.bias_hh_l0[None], initial, rows.batch_sizes.tolist())[0]
    torch.testing.assert_close(own, expected)
    moved = (x, *initial, *layer.parameters())
    torch.testing.assert_close(gradients(own, *moved), gradients(expected, *moved))


@pytest.mark.seconds
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", get_args(Name))
@given(lengths=LENGTHS)
def test_both_directions_at_once_are_two_layers(name: Name, layers: int, lengths: list[int]) -> None:
    """An initial state of each direction and layer, in torch's order; gradients of all of them."""
    flat = FlatRNN(E, H, name, "both", layers).double()
    rows, states = rows_of(lengths, E), 2 if name == "lstm" else 1
    shape = (len(lengths), 2 * layers, H)
    initial = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(states))
    own = flat(rows, torch.tensor(lengths), initial if states == 2 else initial[0])
    expected = []
    for number, sequence in enumerate(rows.split(lengths)):
        first = tuple(part[number].unsqueeze(1) for part in initial)
        expected.append(flat.rnn(sequence.unsqueeze(1), first if states == 2 else first[0])[0][:, 0])
    torch.testing.assert_close(own, torch.cat(expected))
    moved = (rows, *initial, *flat.parameters())
    torch.testing.assert_close(gradients(own, *moved), gradients(torch.cat(expected), *moved))


@pytest.mark.seconds
@pytest.mark.parametrize("name", CASES)
def test_a_gradient_can_be_differentiated_again(name: str) -> None:
    cell, layer = CASES[name][0], deepcopy(CASES[name][1]).double()
    u = torch.randn(1, 5, cell.gates * H, dtype=torch.float64, requires_grad=True)
    initial = tuple(torch.randn(1, 3, H, dtype=torch.float64, requires_grad=True) for _ in range(cell.states))

    def states(u: Tensor, weight: Tensor, bias: Tensor, *initial: Tensor) -> Tensor:
        return recurrence(cell, u, weight, bias, initial, [3, 1, 1])

    weight, bias = (p.detach()[None].requires_grad_() for p in (layer.weight_hh_l0, layer.bias_hh_l0))
    assert torch.autograd.gradgradcheck(states, (u, weight, bias, *initial))


def test_without_a_gradient_nothing_is_kept() -> None:
    layer = FlatRNN(E, H, "lstm")
    with torch.no_grad():
        states = layer(torch.randn(4, E), torch.tensor([3, 1]))
    assert states.grad_fn is None


@pytest.mark.parametrize("name", get_args(Name))
def test_weights_of_torchs_layer_load(name: Name) -> None:
    layers = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    trained, flat = layers[name](E, H, 2, bidirectional=True), FlatRNN(E, H, name, layers=2)
    flat.rnn.load_state_dict(trained.state_dict())
    rows = torch.randn(5, E)
    torch.testing.assert_close(flat(rows, torch.tensor([5])), trained(rows)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_torchs(dtype: torch.dtype) -> None:
    flat, rows = FlatRNN(E, H, "rnn").to(dtype), torch.randn(5, E).to(dtype)
    assert torch.equal(flat(rows, torch.tensor([5])), flat.rnn(rows)[0])


def test_an_exported_layer_computes_the_same() -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat = FlatRNN(E, H, "gru", "forward")

        def forward(self, rows: Tensor) -> Tensor:
            return self.flat.step(rows)[0]

    module, rows = Step(), torch.randn(5, E)
    exported = torch.export.export(module, (rows,)).module()
    torch.testing.assert_close(exported(rows), module(rows))
    torch.testing.assert_close(deepcopy(module)(rows), module(rows))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_relu_layer_under_autocast_computes_in_the_dtype_of_its_weights(dtype: torch.dtype) -> None:
    layer, rows = FlatReLU(H), torch.randn(5, H).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        states = layer(rows, torch.tensor([3, 2]))
    expected = layer(rows.float(), torch.tensor([3, 2]))
    torch.testing.assert_close(states, expected)
    moved = (rows, *layer.parameters())
    torch.testing.assert_close(gradients(states, *moved), gradients(expected, *moved))
