"""Recurrent layers by their equations against torch's packed layer: seconds of forward and backward on a CPU.

    python benchmarks/cells.py --threads 1 --hidden_size 50 --hidden_size 100

Both sides have the same weights and take turns in one process; states and gradients are first checked to agree. The
clock is the CPU time of the process, which other processes disturb less than the time on the wall; `--wall` takes that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import get_args

import torch
from report import Report, Spread, at_least, parser, run_main
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lightning_nn.layers.recurrent import Cell, FlatRNN, time_major


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=5, help="n: measurements of each side; default 5")
    made.add_argument("--threads", type=at_least(1), default=1)
    made.add_argument("--sequences", type=at_least(1), default=640)
    made.add_argument("--shortest", type=at_least(1), default=3, help="rows of a sequence at least; default 3")
    made.add_argument("--longest", type=at_least(1), default=60, help="rows of a sequence at most; default 60")
    made.add_argument("--input_size", type=at_least(1), default=200)
    made.add_argument(
        "--hidden_size", type=at_least(1), action="append", help="any number of times; default 50 and 100"
    )
    made.add_argument("--wall", action="store_true", help="measure time on the wall; the machine must be idle")
    args = made.parse_args(argv)
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    clock = time.perf_counter if args.wall else time.process_time
    lengths = torch.randint(args.shortest, args.longest + 1, (args.sequences,))
    rows, figures = torch.randn(int(lengths.sum()), args.input_size), {}
    table = []
    for cell in get_args(Cell):
        for hidden_size in args.hidden_size or [50, 100]:
            layer = FlatRNN(args.input_size, hidden_size, cell)
            packed, equations = packed_layer(layer, lengths), by_equations(layer, lengths)
            check(packed, equations, rows)
            pairs = [(seconds(packed, rows, clock), seconds(equations, rows, clock)) for _ in range(args.rounds)]
            torchs, ours = (Spread.of(side) for side in zip(*pairs, strict=True))
            ratio = Spread.of([before / after for before, after in pairs])
            table.append([cell, str(hidden_size), torchs.text(".3f"), ours.text(".3f"), ratio.text()])
            figures[f"{cell}/{hidden_size}"] = {"torch": torchs, "equations": ours, "times as fast": ratio}
    unit = "seconds" if args.wall else "CPU seconds"
    Report(
        title=f"Recurrent layers, both directions, forward and backward, {args.threads} threads: {unit}",
        columns=["cell", "H", "torch's packed layer, median (range)", "equations", "times as fast"],
        rows=table,
        notes=[
            f"{args.sequences} sequences of {args.shortest} to {args.longest} rows, in all {len(rows):,}, "
            f"E {args.input_size}, float32."
        ],
        n=args.rounds,
        figures=figures,
    ).show(args.json)


def by_equations(layer: FlatRNN, lengths: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the layer as a function of its rows."""
    return lambda rows: layer(rows, lengths)


def packed_layer(layer: FlatRNN, lengths: Tensor) -> Callable[[Tensor], Tensor]:
    """Return torch's layer with the same weights, as a function of the rows of a flat batch."""

    def states(rows: Tensor) -> Tensor:
        order, running = time_major(lengths, len(rows))
        packed = layer.rnn(PackedSequence(rows.index_select(0, order), running))[0].data
        return torch.empty_like(packed).index_copy(0, order, packed)

    return states


def check(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Raise an AssertionError if two layers differ in their states or in the gradient of their rows."""
    results = []
    for side in (one, other):
        inputs = rows.clone().requires_grad_()
        states = side(inputs)
        results.append((states, *torch.autograd.grad(states.square().sum(), inputs)))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


def seconds(side: Callable[[Tensor], Tensor], rows: Tensor, clock: Callable[[], float]) -> float:
    """Measure forward and backward, the gradients of weights and rows included."""
    inputs = rows.clone().requires_grad_()
    start = clock()
    states = side(inputs)
    torch.autograd.backward(states, torch.ones_like(states))
    return clock() - start


if __name__ == "__main__":
    run_main(main)
