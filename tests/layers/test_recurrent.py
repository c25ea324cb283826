from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from lightning_nn.layers import FlatRNN, time_major
from lightning_nn.layers.recurrent import CELLS, Cell, Direction, FlatReLU, State, select_state
from tests.layers.ragged_batches import gradients, lengths_lists, rows_of

E, H = 3, 4
LENGTHS = [3, 1, 5, 3, 2]


def one_at_a_time(layer: FlatRNN, rows: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """States of every step and final states, by torch's own layer over one sequence after another."""
    states, last = [], []
    for sequence in rows.split(lengths):
        sequence = sequence.flip(0) if layer.direction == "backward" else sequence
        output, final = layer.rnn(sequence)
        final = final[0] if isinstance(final, tuple) else final  # an LSTM's (h, c)
        states.append(output.flip(0) if layer.direction == "backward" else output)
        last.append(torch.cat(list(final[-2:] if layer.direction == "both" else final[-1:])))
    return torch.cat(states), torch.stack(last)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("direction", get_args(Direction))
@pytest.mark.parametrize("cell", get_args(Cell))
def test_equals_torch_on_each_sequence(cell: Cell, direction: Direction, layers: int) -> None:
    layer = FlatRNN(E, H, cell, direction, layers).double()
    rows = rows_of(LENGTHS, E)
    states = layer(rows, torch.tensor(LENGTHS))
    last = layer.last(states, torch.tensor(LENGTHS))
    expected_states, expected_last = one_at_a_time(layer, rows, LENGTHS)
    torch.testing.assert_close(states, expected_states)
    torch.testing.assert_close(last, expected_last)
    assert states.shape == (sum(LENGTHS), layer.output_size)
    moved = (rows, *layer.parameters())
    torch.testing.assert_close(gradients(states, *moved), gradients(expected_states, *moved))


@pytest.mark.seconds
@pytest.mark.parametrize("direction", get_args(Direction))
@given(lengths=lengths_lists)
def test_any_lengths(direction: Direction, lengths: list[int]) -> None:
    layer = FlatRNN(E, H, "gru", direction).double()
    rows = rows_of(lengths, E)
    states = layer(rows, torch.tensor(lengths))
    torch.testing.assert_close(states, one_at_a_time(layer, rows, lengths)[0])


@pytest.mark.parametrize("backward", [False, True])
@given(lengths=lengths_lists)
def test_time_major_is_the_order_of_a_packed_sequence(backward: bool, lengths: list[int]) -> None:
    numbers = list(torch.arange(sum(lengths)).split(lengths))
    longest_first = sorted(numbers, key=len, reverse=True)
    packed = pack_sequence([n.flip(0) if backward else n for n in longest_first])
    order, batch_sizes = time_major(torch.tensor(lengths), sum(lengths), backward=backward)
    assert order.tolist() == packed.data.tolist()
    assert batch_sizes.tolist() == packed.batch_sizes.tolist()


def test_dropout_stands_between_layers_only() -> None:
    rows, lengths = rows_of(LENGTHS, E), torch.tensor(LENGTHS)
    one, two = (FlatRNN(E, H, layers=n, dropout=0.5).double() for n in (1, 2))
    assert torch.equal(one(rows, lengths), one(rows, lengths))
    assert not torch.equal(two(rows, lengths), two(rows, lengths))


@pytest.mark.parametrize("cell", get_args(Cell))
def test_double_precision_gradients(cell: Cell) -> None:
    layer, lengths = FlatRNN(2, 2, cell).double(), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda x: layer(x, lengths), rows_of([2, 1], 2))


@pytest.mark.parametrize("by_equations", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("direction", get_args(Direction))
def test_rows_shared_by_steps_equal_a_row_for_each_step(
    direction: Direction, layers: int, by_equations: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = FlatRNN(3, 4, "lstm", direction, layers).double()
    if not by_equations:
        monkeypatch.setattr("lightning_nn.layers.recurrent._by_equations", lambda rows: False)
    lengths = torch.tensor(LENGTHS)
    index = torch.randint(0, 5, (int(lengths.sum()),))
    rows = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)  # the last belongs to no step
    weights = [rows, *layer.parameters()]
    shared, separate = layer(rows, lengths, index=index), layer(rows[index], lengths)
    torch.testing.assert_close(shared, separate)
    probe = torch.randn_like(shared)
    for one, other in zip(
        torch.autograd.grad(shared, weights, probe), torch.autograd.grad(separate, weights, probe), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lengths", [LENGTHS, [3, 3]], ids=["unequal", "equal"])
@pytest.mark.parametrize("cell", get_args(Cell))
def test_autocast_on_the_cpu_computes_in_float32(cell: Cell, lengths: list[int], dtype: torch.dtype) -> None:
    """Whatever primitives a processor has: values, gradients and dtypes are those without autocast."""
    layer = FlatRNN(E, H, cell, layers=2)
    rows = torch.randn(sum(lengths), E).to(dtype).requires_grad_()  # as a linear layer under autocast returns them
    with torch.autocast("cpu", dtype):
        states = layer(rows, torch.tensor(lengths))
        assert torch.is_autocast_enabled("cpu"), "left as it was"
    expected = layer(rows.float(), torch.tensor(lengths))
    torch.testing.assert_close(states, expected)
    moved = (rows, *layer.parameters())
    torch.testing.assert_close(gradients(states, *moved), gradients(expected, *moved))


def reach(layer: FlatRNN, steps: int) -> list[float]:
    """Measure the dependence of the last state on the row 0, 10, 20, ... steps before it: norm of the gradient."""
    rows = rows_of([steps + 1], E)
    gradient = torch.autograd.grad(layer(rows, torch.tensor([steps + 1]))[-1].sum(), rows)[0]
    return [float(gradient[steps - back].norm()) for back in range(0, steps + 1, 10)]


def test_a_plain_rnn_forgets_and_an_lstm_with_open_forget_gates_does_not() -> None:
    """Hochreiter 1991, Bengio et al. 1994: the gradient through a plain recurrence falls geometrically.

    Both with torch's initial weights, the LSTM with its forget gates opened by a bias (Gers et al. 2000, Jozefowicz et
    al. 2015). What an LSTM's cell keeps over 50 steps is then its forget gate to the 50th power.
    """
    plain, lstm = (CELLS[cell](E, 16) for cell in ("rnn", "lstm"))
    torch.nn.init.constant_(
        dict(lstm.named_parameters())["bias_ih_l0"][16:32], 5.0
    )  # gates lie in the order i, f, g, o
    reaches = {}
    for cell, weights in {"rnn": plain, "lstm": lstm}.items():
        layer = FlatRNN(E, 16, cell, "forward")  # type: ignore[arg-type]
        layer.rnn = weights
        reaches[cell] = reach(layer.double(), 50)
    forgotten = {cell: far[-1] / far[0] for cell, far in reaches.items()}
    assert all(later < sooner / 10 for sooner, later in pairwise(reaches["rnn"])), reaches
    assert forgotten["rnn"] < 1e-8, forgotten
    assert forgotten["lstm"] > 1e-1, forgotten


@pytest.mark.parametrize(
    ("cell", "names"), [("lstm", ["input", "forget", None, "output"]), ("gru", ["reset", "update"])]
)
def test_gates_are_those_of_the_equations(cell: Cell, names: list[str | None]) -> None:
    """From the state before, in the second of two layers, for both directions."""
    layer, lengths = FlatRNN(E, H, cell, layers=2).double().eval(), torch.tensor(LENGTHS)
    rows = rows_of(LENGTHS, E)
    below = FlatRNN(E, H, cell).double()
    below.rnn.load_state_dict({name: value for name, value in layer.rnn.state_dict().items() if "_l0" in name})
    inputs, states, gates = below(rows, lengths), layer(rows, lengths), layer.gates(rows, lengths)[1]
    weights = dict(layer.rnn.named_parameters())
    for number, (end, back) in enumerate({"": -1, "_reverse": 1}.items()):
        before = []
        for sequence in states.chunk(2, 1)[number].split(LENGTHS):
            zero = sequence.new_zeros(1, H)
            before.append(torch.cat([zero, sequence[:-1]] if back < 0 else [sequence[1:], zero]))
        sums = inputs @ weights[f"weight_ih_l1{end}"].T + weights[f"bias_ih_l1{end}"]
        sums = sums + torch.cat(before) @ weights[f"weight_hh_l1{end}"].T + weights[f"bias_hh_l1{end}"]
        for name, values in zip(names, sums.sigmoid().split(H, 1), strict=False):
            if name is not None:
                torch.testing.assert_close(gates[name].chunk(2, 1)[number], values)
    assert FlatRNN(E, H, "rnn").double().gates(rows, lengths) == [{}]


# ---------------------------------------------------------------------- step by step, from an initial state


def initial_of(layer: FlatRNN, sequences: int) -> State:
    """A random state, float64, that asks for a gradient; of an LSTM a pair."""
    shape = (sequences, layer.rnn.num_layers, H)
    state = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    return tuple(state) if isinstance(layer.rnn, torch.nn.LSTM) else state[0]


def step_by_step(layer: FlatRNN | FlatReLU, rows: Tensor, lengths: list[int], state: Any) -> Tensor:
    """Outputs of every step, one sequence after another."""
    outputs = []
    for number, sequence in enumerate(rows.split(lengths)):
        one = select_state(state, torch.tensor([number]))
        for row in sequence:
            output, one = layer.step(row[None], one)
            outputs.append(output)
    return torch.cat(outputs)


@pytest.mark.seconds
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", get_args(Cell))
@given(lengths=lengths_lists)
def test_single_steps_equal_the_whole_sequences(cell: Cell, layers: int, lengths: list[int]) -> None:
    layer = FlatRNN(E, H, cell, "forward", layers).double()
    rows, initial = rows_of(lengths, E), initial_of(layer, len(lengths))
    whole, steps = layer(rows, torch.tensor(lengths), initial), step_by_step(layer, rows, lengths, initial)
    torch.testing.assert_close(whole, steps)
    moved = (rows, *layer.parameters(), *([initial] if isinstance(initial, Tensor) else initial))
    torch.testing.assert_close(gradients(whole, *moved), gradients(steps, *moved))
    zeros = select_state(layer.step(rows[:1])[1], torch.zeros(len(lengths), dtype=torch.int64))
    zeros = zeros * 0 if isinstance(zeros, Tensor) else tuple(each * 0 for each in zeros)
    torch.testing.assert_close(layer(rows, torch.tensor(lengths)), layer(rows, torch.tensor(lengths), zeros))


@given(lengths=lengths_lists)
def test_a_relu_layer_is_its_equation(lengths: list[int]) -> None:
    """r_t = relu(U r_{t-1} + w_t)."""
    layer = FlatReLU(H).double()
    torch.nn.init.normal_(layer.recurrent.weight)
    rows, initial = rows_of(lengths, H), torch.randn(len(lengths), H, dtype=torch.float64, requires_grad=True)
    by_hand = []
    for sequence, r in zip(rows.split(lengths), initial, strict=True):
        for w in sequence:
            r = (layer.recurrent.weight @ r + w).relu()
            by_hand.append(r)
    whole, steps = layer(rows, torch.tensor(lengths), initial), step_by_step(layer, rows, lengths, initial)
    moved = (rows, initial, *layer.parameters())
    expected = gradients(torch.stack(by_hand), *moved)
    for found in (whole, steps):
        torch.testing.assert_close(found, torch.stack(by_hand))
        torch.testing.assert_close(gradients(found, *moved), expected)
    zeros = torch.zeros(len(lengths), H, dtype=torch.float64)
    torch.testing.assert_close(layer(rows, torch.tensor(lengths)), layer(rows, torch.tensor(lengths), zeros))


@pytest.mark.parametrize("direction", ["backward", "both"])
def test_only_forward_goes_step_by_step(direction: Direction) -> None:
    with pytest.raises(ValueError, match=f"direction is '{direction}'; only forward"):
        FlatRNN(E, H, direction=direction).step(torch.zeros(1, E))


def test_a_step_under_autocast_computes_in_float32() -> None:
    layer, rows = FlatRNN(E, H, "lstm", "forward"), torch.randn(2, E)
    output, state = layer.step(rows)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = layer.step(rows.bfloat16(), select_state(state, torch.tensor([1, 0])))
    assert half.dtype == output.dtype == torch.float32
