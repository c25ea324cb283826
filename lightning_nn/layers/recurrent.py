"""Recurrent layers over flat batches: no padding, no Python loop over sequences or time steps.

A packed sequence is time-major: the first row of every sequence, longest sequence first, then the second rows, and so
on. A flat batch is sequence-major. One index maps the one to the other; reversed time is another index.

A state has the sequences in its first dimension, so that any of them can be selected, and a layer of forward direction
also computes one step at a time: the same states, value for value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_nn.layers.ragged import segment_ids, segment_starts

State = Tensor | tuple[Tensor, ...]  # of N sequences, each tensor (N, ...)

Cell = Literal["rnn", "lstm", "gru"]
Direction = Literal["forward", "backward", "both"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


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
        self.rnn = CELLS[cell](
            input_size,
            hidden_size,
            num_layers=layers,
            bidirectional=direction == "both",
            dropout=dropout if layers > 1 else 0.0,
        )
        self.output_size = hidden_size * (2 if direction == "both" else 1)

    def forward(self, rows: Tensor, lengths: Tensor, initial: State | None = None) -> Tensor:
        """Compute the states of every step.

        Args:
            rows: (W, E), the rows of all sequences, one after another.
            lengths: int64 (S,), rows of each sequence, at least 1.
            initial: state before the first row, from `step`; None for zeros.

        Returns:
            (W, output_size), in the order of `rows`; forward and backward states side by side.
        """
        order, batch_sizes = time_major(lengths, len(rows), backward=self.direction == "backward")
        rows = self._in_dtype_of_weights(rows.index_select(0, order))
        first = None if initial is None else self._layers_first(select_state(initial, longest_first(lengths)))
        with torch.autocast("cpu", enabled=False):
            states = cast(PackedSequence, self.rnn(PackedSequence(rows, batch_sizes), first)[0]).data
        return torch.empty_like(states).index_copy(0, order, states)

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
        before = None if state is None else self._layers_first(state)
        rows = self._in_dtype_of_weights(rows).unsqueeze(0)
        with torch.autocast("cpu", enabled=False):
            output, after = self.rnn(rows, before)
        return output[0], _map(after, lambda each: each.transpose(0, 1))

    def _layers_first(self, state: State) -> State:
        return _map(state, lambda each: self._in_dtype_of_weights(each).transpose(0, 1).contiguous())

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
        state = None if initial is None else initial[longest_first(lengths)]
        states = []
        for step in torch.split(rows.index_select(0, order), running.tolist()):
            _, state = self.step(step, None if state is None else state[: len(step)])
            states.append(state)
        packed = torch.cat(states)
        return torch.empty_like(packed).index_copy(0, order, packed)

    def step(self, rows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute one step of several sequences.

        Args:
            rows: (N, H), a row of each sequence.
            state: (N, H), of the step before; None for zeros.

        Returns:
            The state (N, H), twice: as output and as state.
        """
        state = (rows if state is None else rows + self.recurrent(state)).relu()
        return state, state


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
    if backward:
        step = lengths[sequence] - 1 - step
    rank = torch.empty_like(lengths)
    rank[longest_first(lengths)] = torch.arange(len(lengths), device=lengths.device)
    running = torch.bincount(step)  # (T,)
    place = segment_starts(running)[step] + rank[sequence]  # (W,) of each row of the flat batch in the packed one
    order = torch.empty_like(place).index_copy(0, place, torch.arange(total, device=place.device))
    return order, running.cpu()
