"""Recurrent layers over flat batches, without padding.

A packed sequence is time-major: the first row of every sequence, longest sequence first, then the second rows, and so
on. A flat batch is sequence-major. One index maps the one to the other; reversed time is another index.

A state has the sequences in its first dimension, so that any of them can be selected. A layer of forward direction
computes one step at a time, too, with the same states.

On a CPU the states are computed by the equations in `cells`; on other devices, in half precision, and while torch
compiles or exports, by torch's own layer, which holds the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_nn.layers.cells import Cell as CellEquations
from lightning_nn.layers.cells import GRUCell, LSTMCell, PlainCell, ReLUCell, gate_values, recurrence
from lightning_nn.layers.ragged import segment_ids, segment_starts

State = Tensor | tuple[Tensor, ...]  # of N sequences, each tensor (N, ...)

Cell = Literal["rnn", "lstm", "gru"]
Direction = Literal["forward", "backward", "both"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
EQUATIONS: dict[str, type[CellEquations]] = {"rnn": PlainCell, "lstm": LSTMCell, "gru": GRUCell}


class Weights(NamedTuple):
    """Weights of a layer by torch's names, of each direction: U, W, and their biases."""

    rows: list[Tensor]  # U, (G H, E)
    state: list[Tensor]  # W, (G H, H)
    rows_bias: list[Tensor]  # b, (G H,)
    state_bias: list[Tensor]  # c, (G H,)


class FlatRNN(nn.Module):
    """Recurrent layers over a flat batch of sequences.

    Under autocast on the CPU it computes in the dtype of its weights: many processors have no bfloat16 LSTM
    (oneDNN: "could not create a primitive descriptor"), and the rest took 4 to 10 times as long on one with AVX2.

    `rnn` is s_t = tanh(W s_{t-1} + U x_t + b) (Elman 1990), `lstm` Hochreiter and Schmidhuber 1997 with forget gates
    (Gers et al. 2000), `gru` Cho et al. 2014 as in cuDNN: the reset gate after the product.

    Args:
        input_size: width of a row, E.
        hidden_size: width of the state in each direction, H.
        cell: rnn, lstm or gru.
        direction: forward, backward (from the last row to the first) or both (Schuster and Paliwal 1997).
        layers: number of layers, each over the states of the one below.
        dropout: probability of dropping a value between layers, 0 to 1.

    Attributes:
        output_size: width of the output, H, or 2 H for both directions.

    Raises:
        ValueError: an unknown cell or direction, or a size below 1.

    Example:
        >>> states = FlatRNN(8, 4)(torch.randn(5, 8), torch.tensor([3, 2]))
        >>> states.shape  # both directions
        torch.Size([5, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell: Cell = "gru",
        direction: Direction = "both",
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, known in (("cell", cell, tuple(CELLS)), ("direction", direction, get_args(Direction))):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
        self.direction = direction
        self.equations = EQUATIONS[cell]
        self.rnn = CELLS[cell](
            input_size,
            hidden_size,
            num_layers=layers,
            bidirectional=direction == "both",
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output_size = hidden_size * (2 if direction == "both" else 1)

    def forward(
        self, rows: Tensor, lengths: Tensor, initial: State | None = None, index: Tensor | None = None
    ) -> Tensor:
        """Compute the states of every step.

        Args:
            rows: (W, E), the rows of all sequences, one after another.
            lengths: int64 (S,), rows of each sequence, at least 1.
            initial: state before the first row, from `step`; None for zeros.
            index: int64 (W,), the row of each step among fewer `rows`, such as the vectors of distinct words: what
                depends on the row alone is then computed once for all steps that share it.

        Returns:
            (W, output_size), in the order of the steps; forward and backward states side by side.
        """
        orders, running = self._orders(lengths, len(rows) if index is None else len(index))
        rows = self._in_dtype_of_weights(rows)
        first = None if initial is None else _map(initial, lambda part: self._in_dtype_of_weights(part))
        first = None if first is None else select_state(first, longest_first(lengths))
        with torch.autocast("cpu", enabled=False):
            if _by_equations(rows) and not torch.compiler.is_compiling():
                return self._all_steps(rows, index, orders, running.tolist(), first)
            rows = rows if index is None else rows.index_select(0, index)
            packed = PackedSequence(rows.index_select(0, orders[0]), running)
            states = cast(PackedSequence, self.rnn(packed, None if first is None else _layers_first(first))[0]).data
        return torch.empty_like(states).index_copy(0, orders[0], states)

    def _all_steps(
        self, rows: Tensor, index: Tensor | None, orders: list[Tensor], running: list[int], initial: State | None
    ) -> Tensor:
        """Compute the states of every step, (W, D H); `initial` has the longest sequence first."""
        order, place = _of_directions(orders)
        for layer in range(self.rnn.num_layers):
            if layer > 0:
                rows, index = nn.functional.dropout(rows, self.rnn.dropout, self.training), None
            states = recurrence(*self._recurrence_of(layer, rows, order, place, initial, running[0], index), running)
            rows = _Reordered.apply(states.flatten(0, 1), place, order).view(states.shape[1], -1)  # (W, D H)
        return rows

    def _recurrence_of(
        self,
        layer: int,
        rows: Tensor,
        order: Tensor,
        place: Tensor,
        initial: State | None,
        sequences: int,
        index: Tensor | None = None,
    ) -> tuple[type[CellEquations], Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        """Prepare the arguments of `recurrence` for a layer over rows of the one below."""
        weights = self.layer_weights()[layer]
        directions = len(weights.rows)
        u = nn.functional.linear(rows, torch.cat(weights.rows), torch.cat(weights.rows_bias))  # (W, D G H)
        u = u.view(len(rows) * directions, -1)
        if index is None:
            u = _Reordered.apply(u, order, place)
        else:
            u = u.index_select(0, index[order // directions] * directions + order % directions)
        u = u.view(directions, len(order) // directions, -1)  # (D, W, G H)
        parts = () if initial is None else (initial,) if isinstance(initial, Tensor) else initial
        first = tuple(part[:, layer * directions : (layer + 1) * directions].transpose(0, 1) for part in parts)
        first = first or (u.new_zeros(directions, sequences, self.rnn.hidden_size),) * self.equations.states
        return self.equations, u, torch.stack(weights.state), torch.stack(weights.state_bias), first

    @torch.no_grad()
    def gates(self, rows: Tensor, lengths: Tensor) -> list[dict[str, Tensor]]:
        """Compute the gates of every step.

        Args:
            rows: (W, E), as for `forward`.
            lengths: int64 (S,), as for `forward`.

        Returns:
            Of each layer, by name (input, forget, output; reset, update; a plain RNN has none), each (W, output_size),
            0 to 1, in the order of `rows`. Sequences begin with zeros; there is no dropout between layers.
        """
        orders, running = self._orders(lengths, len(rows))
        order, place = _of_directions(orders)
        rows, layers = rows.to(next(self.rnn.parameters()).dtype), []
        with torch.autocast(rows.device.type, enabled=False):
            for layer in range(self.rnn.num_layers):
                arguments = self._recurrence_of(layer, rows, order, place, None, len(lengths))
                gates = gate_values(*arguments, running.tolist())
                layers.append({n: v.flatten(0, 1)[place].view(len(rows), -1) for n, v in gates.items()})
                rows = recurrence(*arguments, running.tolist()).flatten(0, 1)[place].view(len(rows), -1)
        return layers

    def kept(self, rows: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Compute the share of its state that a layer keeps at each step: an LSTM's forget gate, a GRU's update gate.

        Args:
            rows: (W, E), as for `forward`.
            lengths: int64 (S,), as for `forward`.

        Returns:
            The mean over all units, (W,), 0 to 1, by direction ("forward"), of several layers with their number
            ("layer 2, forward"); empty for a plain RNN.
        """
        kept: dict[str, Tensor] = {}
        directions = ["forward", "backward"] if self.direction == "both" else [self.direction]
        for number, gates in enumerate(self.gates(rows, lengths) if self.equations.keeps else [], 1):
            layer = f"layer {number}, " if self.rnn.num_layers > 1 else ""
            values = gates[self.equations.keeps].chunk(len(directions), 1)
            kept |= {layer + name: of_units.mean(1) for name, of_units in zip(directions, values, strict=True)}
        return kept

    def _orders(self, lengths: Tensor, total: int) -> tuple[list[Tensor], Tensor]:
        """Return the order of each direction, and the number of sequences still running at each step."""
        order, running = time_major(lengths, total, backward=self.direction == "backward")
        return [order, mirrored_rows(lengths, total)[order]] if self.direction == "both" else [order], running

    def layer_weights(self) -> list[Weights]:
        """Return the weights of each layer."""
        ends = ("", "_reverse") if self.rnn.bidirectional else ("",)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [
            Weights(*([getattr(self.rnn, f"{name}_l{layer}{end}") for end in ends] for name in names))
            for layer in range(self.rnn.num_layers)
        ]

    def step(self, rows: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute one step of several sequences; forward direction only.

        Args:
            rows: (N, E), a row of each sequence.
            state: of the step before, from `step`; None for zeros, before the first.

        Returns:
            The output (N, H), and the state: (N, layers, H), of an LSTM a pair, hidden state and cell.

        Raises:
            ValueError: a direction that needs all rows at once.
        """
        if self.direction != "forward":
            raise ValueError(f"direction is {self.direction!r}; only forward can go step by step")
        rows = self._in_dtype_of_weights(rows)
        state = None if state is None else _map(state, lambda part: self._in_dtype_of_weights(part))
        with torch.autocast("cpu", enabled=False):
            if _by_equations(rows):
                return self._one_step(rows, state)
            output, after = self.rnn(rows.unsqueeze(0), None if state is None else _layers_first(state))
        return output[0], _map(after, lambda part: part.transpose(0, 1))

    def _one_step(self, rows: Tensor, state: State | None) -> tuple[Tensor, State]:
        if state is None:
            zeros = rows.new_zeros(rows.shape[0], self.rnn.num_layers, self.rnn.hidden_size)
            state = (zeros,) * self.equations.states
        before = (state,) if isinstance(state, Tensor) else state
        after = []
        for layer, weights in enumerate(self.layer_weights()):
            if layer > 0:
                rows = nn.functional.dropout(rows, self.rnn.dropout, self.training)
            own = tuple(part[:, layer] for part in before)
            u = nn.functional.linear(rows, weights.rows[0], weights.rows_bias[0])
            m = nn.functional.linear(own[0], weights.state[0], weights.state_bias[0])
            after.append(self.equations.step(u, m, own)[0])
            rows = after[-1][0]
        parts = tuple(torch.stack(layers, 1) for layers in zip(*after, strict=True))
        return rows, parts if len(parts) > 1 else parts[0]

    def _in_dtype_of_weights(self, rows: Tensor) -> Tensor:
        if rows.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            return rows.to(next(self.rnn.parameters()).dtype)
        return rows

    def last(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Select the final state of each sequence, in each direction.

        Args:
            states: (W, output_size), from `forward`.
            lengths: int64 (S,).

        Returns:
            (S, output_size).
        """
        first = segment_starts(lengths)
        last = first + lengths - 1
        if self.direction == "forward":
            return states[last]
        if self.direction == "backward":
            return states[first]
        forward, backward = states.chunk(2, dim=1)
        return torch.cat([forward[last], backward[first]], dim=1)


class FlatReLU(nn.Module):
    """Recurrent layer of Mao et al. 2014 over a flat batch: r_t = relu(U r_{t-1} + w_t).

    A row has the width of the state and is added to it without weights of its own.

    Args:
        size: width of a row and of the state, H.

    Example:
        >>> FlatReLU(2)(torch.ones(3, 2), torch.tensor([2, 1])).tolist()  # before training it sums
        [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.recurrent = nn.Linear(size, size, bias=False)  # U
        nn.init.eye_(self.recurrent.weight)  # copies at first what it has seen (Le, Jaitly and Hinton 2015)

    def forward(self, rows: Tensor, lengths: Tensor, initial: Tensor | None = None) -> Tensor:
        """Compute the states of every step, (W, H), in the order of `rows`.

        Args:
            rows: (W, H), the rows of all sequences, one after another.
            lengths: int64 (S,), rows of each sequence, at least 1.
            initial: (S, H), state before the first row; None for zeros.
        """
        order, running = time_major(lengths, len(rows))
        first = rows.new_zeros(len(lengths), rows.shape[1]) if initial is None else initial[longest_first(lengths)]
        u, weight = rows.index_select(0, order).unsqueeze(0), self.recurrent.weight.unsqueeze(0)
        bias = weight.new_zeros(1, len(self.recurrent.weight))
        packed = recurrence(ReLUCell, u, weight, bias, (first.unsqueeze(0),), running.tolist())[0]
        return torch.empty_like(packed).index_copy(0, order, packed)

    def step(self, rows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute one step of several sequences.

        Args:
            rows: (N, H), a row of each sequence.
            state: (N, H), of the step before; None for zeros.

        Returns:
            The state (N, H), twice: as output and as state.
        """
        m = torch.zeros_like(rows) if state is None else self.recurrent(state)
        ((state,), _) = ReLUCell.step(rows, m, ())
        return state, state


def _by_equations(rows: Tensor) -> bool:
    """Tell whether a step is computed by the equations, not by torch's layer."""
    return rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64)


def _of_directions(orders: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Join the orders of D directions, (W,) each, for rows viewed as (W D, ...): one order (D W,) and its inverse."""
    order = torch.cat([order * len(orders) + number for number, order in enumerate(orders)])
    return order, torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))


class _Reordered(torch.autograd.Function):
    """Rows in another order; the gradient is put back by the inverse order, where torch's adds up row by row."""

    @staticmethod
    def forward(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        return rows.index_select(0, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        order, inverse = ctx.saved_tensors
        return _Reordered.apply(gradients[0], inverse, order), None, None


def _layers_first(state: State) -> State:
    return _map(state, lambda part: part.transpose(0, 1).contiguous())


def select_state(state: State, index: Tensor) -> State:
    """Select sequences of a state by their indices, int64 (M,), each any number of times."""
    return _map(state, lambda each: each.index_select(0, index))


def _map(state: State, function: Callable[[Tensor], Tensor]) -> State:
    return function(state) if isinstance(state, Tensor) else tuple(function(each) for each in state)


def longest_first(lengths: Tensor) -> Tensor:
    """Return the sequences in the order of a packed sequence, int64 (S,); equal lengths keep their order."""
    return lengths.argsort(descending=True, stable=True)


def time_major(lengths: Tensor, total: int, *, backward: bool = False) -> tuple[Tensor, Tensor]:
    """Map the rows of a packed sequence to those of a flat batch.

    Args:
        lengths: int64 (S,), rows of each sequence, at least 1.
        total: their sum, W.
        backward: order each sequence from its last row to its first.

    Returns:
        int64 (W,): row k of the packed sequence is this row of the flat batch; and int64 (T,) on the CPU: the
        number of sequences still running at each step.

    Raises:
        ValueError: on a CPU, lengths that don't add up; on other devices this would wait for them.
    """
    if (
        lengths.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and (lengths.min() < 1 or lengths.sum() != total)
    ):
        raise ValueError(f"lengths of {int(lengths.min())} and more, in all {int(lengths.sum())}, for {total} rows")
    sequence = segment_ids(lengths, total)  # (W,)
    step = torch.arange(total, device=lengths.device) - segment_starts(lengths)[sequence]  # (W,)
    rank = torch.empty_like(lengths)
    rank[longest_first(lengths)] = torch.arange(len(lengths), device=lengths.device)
    running = torch.bincount(step)  # (T,)
    place = segment_starts(running)[step] + rank[sequence]  # (W,) of each row of the flat batch in the packed one
    order = torch.empty_like(place).index_copy(0, place, torch.arange(total, device=place.device))
    return mirrored_rows(lengths, total)[order] if backward else order, running.cpu()


def mirrored_rows(lengths: Tensor, total: int) -> Tensor:
    """Find the row as far from the end of its sequence as each row is from the beginning, int64 (W,)."""
    ends = 2 * segment_starts(lengths) + lengths - 1  # (S,)  first row plus last row
    return ends[segment_ids(lengths, total)] - torch.arange(total, device=lengths.device)
