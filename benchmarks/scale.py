"""A corpus repeated to more and more documents: checks that build time is linear and memory bounded by the batch.

    python benchmarks/scale.py --corpus PATH --sizes 1000 10000 100000 1000000

PATH is a value of --data.path. For each size the corpus is built, reopened, and trained on for some steps, each in a
separate process, with a separate cache that is deleted afterwards. The vocabulary is bounded, so that the model always
has the same size: a larger one makes steps slower whatever the number of documents. Further options are train.py's.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from report import Report, at_least, environment, parser, run_main
from startup import start_training

from lightning_nn.errors import UserError

_OPEN = """
import json, resource, sys, time
from pathlib import Path
from lightning_nn.data.text.data_module import TextData
start = time.perf_counter()
data = TextData(path=sys.argv[1])
data.prepare_once()
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
peak /= 2**20 if sys.platform == "darwin" else 2**10
print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak}))
"""


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--corpus", type=Path, required=True, metavar="PATH", help="file or folder to repeat")
    made.add_argument("--text_column", help="as --data.text_column")
    made.add_argument("--label_column", help="as --data.label_column")
    made.add_argument("--sizes", type=at_least(10), nargs="+", default=[10**3, 10**4, 10**5, 10**6], metavar="N")
    made.add_argument("--steps", type=at_least(2), default=30, help="training steps; default 30")
    made.add_argument("--vocabulary", type=at_least(2), default=5000, metavar="V", help="most words; default 5000")
    made.add_argument("--folder", type=Path, help="for corpora and caches during measurement; default temporary")
    args, options = made.parse_known_args(argv)
    options = options if "--model" in options else ["--model", "han", *options]
    options += ["--data.vocabulary.max_size", str(args.vocabulary)]
    texts = read(args.corpus, args.text_column, args.label_column)
    measured = {}
    for size in sorted(set(args.sizes)):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            measured[size] = measure(Path(folder), texts, size, args.steps, options)
        print(f"{size:,}: {measured[size]}", file=sys.stderr)
    report(measured, args.steps).show(args.json)


def read(corpus: Path, text_column: str | None, label_column: str | None) -> list[str]:
    """Read the training documents as lines of JSON.

    Raises:
        UserError: they can't be read.
    """
    from lightning_nn.data.text.documents import TextFiles

    records = TextFiles(corpus, text_column=text_column, label_column=label_column).records()["train"]
    lines = [json.dumps({"text": record.text, "label": record.label}, ensure_ascii=False) for record in records]
    if not lines:
        raise UserError(f"{corpus} has no documents")
    return lines


def measure(folder: Path, texts: list[str], size: int, steps: int, options: list[str]) -> dict[str, float]:
    """Measure a corpus of `size` documents."""
    corpus = folder / "corpus.jsonl"
    with corpus.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in itertools.islice(itertools.cycle(texts), size))
    with mock.patch.dict(os.environ, {"LIGHTNING_NN_CACHE": str(folder / "cache")}):
        built, opened = open_corpus(corpus), open_corpus(corpus)
        _, clock = start_training([*options, "--data", "text", "--data.path", str(corpus)], steps)
    return {
        "file_mb": corpus.stat().st_size / 2**20,
        "cache_mb": sum(file.stat().st_size for file in (folder / "cache").rglob("*") if file.is_file()) / 2**20,
        "build": built["seconds"],
        "build_mb": built["peak_mb"],
        "open": opened["seconds"],
        "parameters": clock["parameters"],
        "step": (clock["end"] - clock["first"]) / (steps - 1),
        "train_mb": clock["peak_mb"],
    }


def open_corpus(corpus: Path) -> dict[str, Any]:
    """Measure the seconds to prepare the data in a new process, imports aside, and the peak memory of any process."""
    command = [sys.executable, "-c", _OPEN, str(corpus)]
    done = subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UserError(f"{corpus.name} can't be prepared: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(measured: dict[int, dict[str, float]], steps: int) -> Report:
    """Build the table, with notes on the growth of time and memory."""
    columns = ["documents", "file MB", "cache MB", "build s", "build s a 1,000", "build peak MB", "open again s"]
    columns += ["parameters", "ms a step", "training peak MB"]
    rows = [
        [
            *(f"{size:,}", f"{m['file_mb']:,.1f}", f"{m['cache_mb']:,.1f}", f"{m['build']:,.1f}"),
            *(f"{1000 * m['build'] / size:.3f}", f"{m['build_mb']:,.0f}", f"{m['open']:.2f}"),
            *(f"{m['parameters']:,}", f"{1000 * m['step']:.1f}", f"{m['train_mb']:,.0f}"),
        ]
        for size, m in measured.items()
    ]
    notes = [f"{steps} training steps; build and open without imports, peak memory with them, of the largest process."]
    if len(measured) > 1:
        (least, first), (most, last) = sorted(measured.items())[-2:]  # a fixed cost dominates small sizes
        power = math.log(last["build"] / first["build"]) / math.log(most / least)
        notes.append(
            f"From {least:,} to {most:,} documents the time to build grows with the power {power:.2f} of their number "
            f"(1 is linear), training memory by {last['train_mb'] - first['train_mb']:,.0f} MB."
        )
    figures = {str(size): figures for size, figures in measured.items()}
    return Report("From few documents to many", columns, rows, notes, figures=figures)


if __name__ == "__main__":
    run_main(main)
