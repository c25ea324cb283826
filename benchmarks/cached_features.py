r"""Gain of an epoch on cached features over one that runs the frozen encoder, against what the parts' times allow.

    python benchmarks/cached_features.py --data captions --data.path PATH --model.encoder.network mobilenet_v1 \
        --finetune FILE

Options are train.py's, with --model show_and_tell unless given; --model.finetune.trainable is head. The command is
timed with the features that it keeps in the cache, and with the frozen encoder in each step. Separately: the encoder
over the same images, and a plain loop on features. If nothing else took time, the gain would be encoder and
loop over the loop alone. Alternating, in one process, validation included. The goal is 0.8 of that gain.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch
from report import Report, Spread, at_least, parser, run_main
from speed import Setup, prepare, run_command, run_plain

from lightning_nn.errors import UserError

NEVER = 1_000_000  # epochs after which the encoder would be trained: until then it is frozen, but not cached


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=3, help="n: measurements of each side; default 3")
    args, rest = made.parse_known_args(argv)
    options = rest if "--model" in rest else ["--model", "show_and_tell", *rest]
    options += ["--model.finetune.trainable", "head", "--trainer.max_epochs", "1"]
    setup = prepare(options)
    if setup.data.encoder is None:
        raise UserError("nothing is cached: --data must hold captions and --data.augment be off")
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as logs:
        sides = {
            "train.py, cached features": lambda name: run_command(options, Path(logs), name),
            "train.py, encoder in each step": lambda name: run_command(
                [*options, "--model.finetune.unfreeze_at", str(NEVER)], Path(logs), name
            ),
            "the encoder alone": lambda name: encode(setup),
            "a plain loop on features": lambda name: run_plain(setup, 1),
        }
        for number in range(args.rounds):
            for place, (side, run) in enumerate(sides.items()):
                seconds.setdefault(side, []).append(run(f"round{number}-{place}"))
                print(f"round {number + 1} of {args.rounds}, {side}: {seconds[side][-1]:.2f} s", file=sys.stderr)
    cached, whole, encoder, loop = (Spread.of(values).median for values in seconds.values())
    gain, allowed = whole / cached, (encoder + loop) / loop
    Report(
        "An epoch on cached features, with its validation",
        ["", "seconds, median (range)"],
        [[side, Spread.of(values).text()] for side, values in seconds.items()],
        notes=[f"Gain {gain:.2f}; the parts allow {allowed:.2f}; {gain / allowed:.2f} of it is reached."],
        n=args.rounds,
        figures={"seconds": seconds, "gain": gain, "allowed": allowed},
    ).show(args.json)


def encode(setup: Setup) -> float:
    """Measure the seconds of the encoder over the images of train and val."""
    data, encoder = setup.data, setup.data.encoder
    data.use_features(None)
    try:
        start = time.perf_counter()
        for batches in (data.train_dataloader(), data.val_dataloader()):
            for batch in batches:
                encoder.compute(batch.image)
        if setup.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start
    finally:
        data.use_features(encoder)


if __name__ == "__main__":
    run_main(main)
