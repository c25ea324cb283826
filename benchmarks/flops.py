"""Speed of a training step in FLOP/s, against the machine's own large matrix product.

    python benchmarks/flops.py --rounds 5 --model convnet --data cifar10 -c conf/convnet-cifar10-record.yaml

A step is forward, backward and optimizer, on augmented batches that are on the device already; further options are
train.py's. Its floating-point operations are those of convolutions and matrix products, counted by torch. Measured are
the memory formats of the weights, the implementations of the optimizer and, with --compile, `torch.compile`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from pytorch_lightning.utilities import move_data_to_device
from report import Report, Spread, at_least, parser, run_main
from speed import Setup, prepare
from torch.utils.flop_counter import FlopCounterMode

PRODUCT = "matrix product"


class Way(NamedTuple):
    """One way of making the same step."""

    memory_format: torch.memory_format = torch.channels_last
    optimizer: dict[str, bool] | None = None
    compiled: bool = False


LOOP = {"foreach": False, "fused": False}
WAYS = {
    "channels_last, optimizer: its default": Way(),
    "channels_last, optimizer: loop": Way(optimizer=LOOP),
    "channels_last, optimizer: foreach": Way(optimizer={**LOOP, "foreach": True}),
    "channels_last, optimizer: fused": Way(optimizer={**LOOP, "fused": True}),
    "contiguous, optimizer: its default": Way(torch.contiguous_format),
}
COMPILED = {"channels_last, compiled": Way(compiled=True)}


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=5, help="n: measurements of each side; default 5")
    made.add_argument("--batches", type=at_least(1), default=3, help="steps in a round; default %(default)s")
    made.add_argument("--size", type=at_least(1), default=4096, help="side of the large matrices; default %(default)s")
    made.add_argument("--compile", action="store_true", help="also measure torch.compile, which needs a C++ compiler")
    args, options = made.parse_known_args(argv)
    measure(args, prepare(options)).show(args.json)


def measure(args: argparse.Namespace, setup: Setup) -> Report:
    """Measure the FLOP/s of each side, alternating."""
    device, loader = setup.device, setup.data.train_dataloader()
    moved = (move_data_to_device(batch, device) for _, batch in zip(range(args.batches), loader, strict=False))
    batches = [setup.data.augmented(batch) for batch in moved]
    flop = count_flop(setup, batches[0])
    samples = sum(batch.size for batch in batches)
    a, b = torch.rand(2, args.size, args.size, device=device)
    sides: dict[str, Callable[[], Any]] = {PRODUCT: lambda: a @ b}
    work = {PRODUCT: 2.0 * args.size**3}
    chooses = "foreach" in setup.model.optimizer.build(setup.model.parameter_groups()).defaults
    for name, way in {**WAYS, **(COMPILED if args.compile else {})}.items():
        if way.optimizer is not None and not chooses:
            continue
        sides[name], work[name] = step(setup, way, batches), flop * samples
    first = {name: seconds(run, device) for name, run in sides.items()}  # allocations, and compilation
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(args.rounds):
        for name, run in sides.items():
            rates[name].append(work[name] / seconds(run, device))
            print(f"round {number + 1} of {args.rounds}, {name}: {rates[name][-1] / 1e9:.1f} GFLOP/s", file=sys.stderr)
    spreads = {name: Spread.of([rate / 1e9 for rate in values]) for name, values in rates.items()}
    top = spreads[PRODUCT].median
    fractions = {name: spread.median / top for name, spread in spreads.items()}
    rows = [
        [
            name,
            spread.text(".1f"),
            f"{fractions[name]:.2f}",
            "" if name == PRODUCT else f"{1e9 * spread.median / flop:,.0f}",
        ]
        for name, spread in spreads.items()
    ]
    notes = [f"{flop / 1e9:.3f} GFLOP a sample, forward and back, in batches of {batches[0].size}; float32."]
    notes += [
        f"Compilation and the first {len(batches)} steps: {first[name]:.0f} s." for name in COMPILED if name in first
    ]
    return Report(
        f"A training step of {type(setup.model).__name__} against a product of {args.size} x {args.size} matrices",
        ["side", "GFLOP/s, median (range)", "of the product's", "samples/s"],
        rows,
        notes,
        args.rounds,
        {"flop_per_s": rates, "fractions": fractions, "flop_per_sample": flop, "first_seconds": first},
    )


def count_flop(setup: Setup, batch: Any) -> float:
    """Count the floating-point operations of a sample, forward and back."""
    model = deepcopy(setup.model).train()
    with FlopCounterMode(display=False) as counter:
        model.training_losses(batch)[0].mean().backward()
    return counter.get_total_flops() / batch.size


def step(setup: Setup, way: Way, batches: list[Any]) -> Callable[[], None]:
    """Make a function that trains a copy of the model on the batches."""
    model = deepcopy(setup.model).train().to(memory_format=way.memory_format)
    optimizer = model.optimizer.build([group for group in model.parameter_groups() if group["params"]])
    if way.optimizer is not None:
        groups = [{k: v for k, v in group.items() if k not in way.optimizer} for group in optimizer.param_groups]
        optimizer = type(optimizer)(groups, lr=model.optimizer.lr, **way.optimizer)
    losses = torch.compile(model.training_losses) if way.compiled else model.training_losses

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            losses(batch)[0].mean().backward()
            optimizer.step()

    return run


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """Measure the seconds that a function takes on the device."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    run_main(main)
