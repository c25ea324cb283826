"""Write the weights of a run's best checkpoint into the package, with the metrics of its results.json.

python benchmarks/ship_weights.py logs/convnet/RUN lightning_nn/weights/convnet.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from report import run_main

from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.run_folder import Run
from lightning_nn.runs.weights_file import open_weights, save_weights

LARGEST = 4_000_000  # bytes


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("out", type=Path, help="the file to write")
    args = parser.parse_args(argv)
    run = Run(args.run)
    if not run.results.is_file():
        raise UserError(f"{run.results} is missing: train the run to its end")
    results = json.loads(run.results.read_text(encoding="utf-8"))
    kept = ("data", "seed", "best_epoch", "val/acc", "test/acc")
    save_weights(Checkpoint.open(run.best), args.out, {name: str(results[name]) for name in kept if name in results})
    if (size := args.out.stat().st_size) > LARGEST:
        args.out.unlink()
        raise UserError(f"{args.out} has {size:,} bytes; at most {LARGEST:,} are part of the package")
    print(f"{args.out}: {size:,} bytes, {len(open_weights(args.out).state_dict)} tensors")


if __name__ == "__main__":
    run_main(main)
