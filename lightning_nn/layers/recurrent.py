"""Recurrent layers over flat batches: no padding, no Python loop over sequences or time steps.

A packed sequence is time-major: the first row of every sequence, longest sequence first, then the second rows, and so
on. A flat batch is sequence-major. One index maps the one to the other; reversed time is another index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lightning_nn.layers.ragged import segment_ids, segment_starts

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

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Compute the states of every step.

        Args:
            rows: (W, E), the rows of all sequences, one after another.
            lengths: int64 (S,), rows of each sequence, at least 1.

        Returns:
            (W, output_size), in the order of `rows`; forward and backward states side by side.
        """
        order, batch_sizes = time_major(lengths, len(rows), backward=self.direction == "backward")
        rows = rows.index_select(0, order)
        if rows.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            rows = rows.to(next(self.rnn.parameters()).dtype)
        with torch.autocast("cpu", enabled=False):
            states = cast(PackedSequence, self.rnn(PackedSequence(rows, batch_sizes))[0]).data
        return torch.empty_like(states).index_copy(0, order, states)

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


def time_major(lengths: Tensor, total: int, *, backward: bool = False) -> tuple[Tensor, Tensor]:
    """Map the rows of a packed sequence to those of a flat batch.

    Args:
        lengths: int64 (S,), rows of each sequence, at least 1.
        total: their sum, W.
        backward: order each sequence from its last row to its first.

    Returns:
        int64 (W,): row k of the packed sequence is this row of the flat batch; and int64 (T,) on the CPU: the
        number of sequences still running at each step.
    """
    sequence = segment_ids(lengths, total)  # (W,)
    step = torch.arange(total, device=lengths.device) - segment_starts(lengths)[sequence]  # (W,)
    if backward:
        step = lengths[sequence] - 1 - step
    # Longest first, as PackedSequence wants; equal lengths keep their order.
    rank = torch.empty_like(lengths)
    rank[lengths.argsort(descending=True, stable=True)] = torch.arange(len(lengths), device=lengths.device)
    running = torch.bincount(step)  # (T,)
    place = segment_starts(running)[step] + rank[sequence]  # (W,) of each row of the flat batch in the packed one
    order = torch.empty_like(place).index_copy(0, place, torch.arange(total, device=place.device))
    return order, running.cpu()
