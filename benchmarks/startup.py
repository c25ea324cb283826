"""Time from a command to its first training step on a cached corpus, compared with `import pytorch_lightning` alone.

    python benchmarks/startup.py --rounds 5 --model han --data text --data.path PATH

Both run in new processes, alternating, after one start that builds the cache. The goal is less than 2 s more.
Further options are train.py's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import ROOT, Report, Spread, at_least, environment, parser, run_main

from lightning_nn.errors import UserError

_IMPORT = "import time, pytorch_lightning; print(time.time())"


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=5, help="n: measurements of each side; default 5")
    args, options = made.parse_known_args(argv)
    options = options if "--model" in options else ["--model", "han", *options]
    imports, begins, firsts = [], [], []
    start_training(options)
    for number in range(args.rounds):
        imports.append(import_lightning())
        start, figures = start_training(options)
        begins.append(figures["begin"] - start)
        firsts.append(figures["first"] - start)
        print(f"round {number + 1}: import {imports[-1]:.2f} s, first step {begins[-1]:.2f} s", file=sys.stderr)
    more = [begin - alone for begin, alone in zip(begins, imports, strict=True)]
    sides = {
        "`import pytorch_lightning`": imports,
        "first training step begins": begins,
        "first training step has ended": firsts,
        "more than the import, until it begins": more,
    }
    Report(
        "From the start of the process, the cache being there",
        ["until", "seconds, median (range)"],
        [[name, Spread.of(values).text()] for name, values in sides.items()],
        n=args.rounds,
        figures=sides,
    ).show(args.json)


def import_lightning() -> float:
    """Measure the seconds from the start of a process until Lightning is imported."""
    start = time.time()
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
    return float(done.stdout) - start


def start_training(options: list[str], steps: int = 1) -> tuple[float, dict[str, float]]:
    """Run the command for some steps.

    Returns:
        Start of the process, in seconds since 1970, and the record of `clock.Clock`.

    Raises:
        UserError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clock.json"
        clock = ["clock.Clock", "--trainer.callbacks.path", str(file), "--trainer.callbacks.steps", str(steps)]
        command = [sys.executable, str(ROOT / "train.py"), "fit", *options, "--folder", folder, "--trainer.callbacks"]
        start = time.time()
        done = subprocess.run(
            [*command, *clock], env=environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if not file.is_file():
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise UserError(f"training ended before step {steps} (exit code {done.returncode}): {' '.join(said[-2:])}")
        return start, json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_main(main)
