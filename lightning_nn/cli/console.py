"""Lightning without its advertisement, and without the messages nobody can act on: by name, never all."""

from __future__ import annotations

import logging
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from lightning_nn.catalog import MODELS
from lightning_nn.cli.usage import program
from lightning_nn.data.module import DataModule
from lightning_nn.runs.run_folder import Run
from lightning_nn.sanitize import sanitize

_CHATTER = re.compile(
    r"Tip: |Loading `train_dataloader` to estimate|`weights_only` was not set|[GTH]PU available"
    r"|Trainer already configured|litlogger|litmodels"
    r"|Seed set to|Restor(ing|ed) |Loaded model weights|Detected KeyboardInterrupt|`Trainer\.fit` stopped"
    r"|distributed_backend|Initializing distributed|All distributed processes|Starting with \d+ processes|^-+$"
    r"|MEMBER: \d+/\d+|Running in `fast_dev_run`|will use (all|only) \d+ batch|`Trainer\(overfit_batches|^\s*$"
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Holds them back while a command runs."""
    names = ("utilities.rank_zero", "utilities.seed", "trainer.connectors.checkpoint_connector")
    roots = ("pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(f"{root}.{name}") for root in roots for name in names]
    for logger in loggers:
        logger.addFilter(_worth_saying)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*LeafSpec.*",
                ".*smaller than the logging interval.*",
                ".*Checkpoint directory .* exists and is not empty.*",
                ".*module\\(s\\) in eval mode.*",
                ".*is not a multiple of.*",
                ".*Total length of `list` across ranks is zero.*",  # a data set without such a split
                ".*overridden `on_before_batch_transfer`.*",
                ".*could not find the monitored key.*",  # before the first validation; later it is an error
                ".*The dirpath has changed from.*",  # a checkpoint from elsewhere begins a run here
                r"(?s).*(Jsonargparse|v5\.0\.0).*",  # names that the next jsonargparse drops, used by Lightning too
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not _CHATTER.search(record.getMessage())


def show_data(data: DataModule, stream: TextIO) -> None:
    """Prints the table of the data and what is to be said of it.

    Args:
        data: prepared.
        stream: where to.
    """
    header, *rows = data.summary
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(sanitize, row))
    Console(file=stream, width=None if stream.isatty() else 80, highlight=False, markup=False).print(table)
    for note in data.notes:
        print(sanitize(note), file=stream)
    stream.flush()


def show_results(run: Run, results: dict[str, Any], model: str, resume: str) -> None:
    """Prints the closing table and the commands that come next.

    Args:
        run: where it is kept.
        results: what is in its results.json.
        model: the model's name.
        resume: the command that resumes it for longer.
    """
    table = Table(title=None, show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in results.items():
        if "/" in key or key in ("best_epoch", "seconds", "samples_per_second", "peak_memory_mb", "parameters"):
            text = _figure(value) if "/" in key else f"{value:,}" if isinstance(value, int | float) else str(value)
            table.add_row(key, text)
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False, markup=False)
    console.print(table)
    print(f"\nrun       {run.folder}")
    print(f"look      tensorboard --logdir {shlex.quote(str(run.folder))}")
    if run.last.is_file():
        print(f"go on     {resume}")
    if run.best.is_file():
        ask = '--data.text "……"' if "text" in MODELS[model].batch_types else "--data.file PICTURE"
        print(f"ask       {program()} predict --ckpt_path {shlex.quote(str(run.best))} {ask}")


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.4g}"
