"""Tables on the terminal, and a filter for Lightning's advertisements and messages nobody can act on.

The filter names each message; all others pass.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table

from lightning_nn.runs.run_folder import Run
from lightning_nn.sanitize import sanitize

if TYPE_CHECKING:
    from lightning_nn.data.module import DataModule

_CHATTER = re.compile(
    r"Tip: |Loading `train_dataloader` to estimate|`weights_only` was not set|[GTH]PU available"
    r"|Trainer already configured|litlogger|litmodels"
    r"|Seed set to|Restor(ing|ed) |Loaded model weights|Detected KeyboardInterrupt|`Trainer\.fit` stopped"
    r"|distributed_backend|Initializing distributed|All distributed processes|Starting with \d+ processes|^-+$"
    r"|MEMBER: \d+/\d+|Running in `fast_dev_run`|will use (all|only) \d+ batch|`Trainer\(overfit_batches|^\s*$"
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Filter messages of Lightning and Pillow that tell a user nothing while a command runs."""
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
                ".*Total length of `list` across ranks is zero.*",  # a data set without this split
                ".*overridden `on_before_batch_transfer`.*",
                ".*could not find the monitored key.*",  # before the first validation; an error later on
                ".*The dirpath has changed from.*",  # a run starts from a checkpoint of another folder
                r"(?s).*(Jsonargparse|v5\.0\.0).*",  # deprecated names, which Lightning uses too
            ):
                warnings.filterwarnings("ignore", message)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of tags; a picture that can't be read is an error
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    return not _CHATTER.search(record.getMessage())


def show_data(data: DataModule, stream: TextIO) -> None:
    """Print the table of the data and its notes.

    Args:
        data: the prepared data.
        stream: where to print.
    """
    show_table(data.summary, stream)
    for note in data.notes:
        show_text(note, stream)
    stream.flush()


def show_text(text: str, stream: TextIO) -> None:
    """Print an untrusted text as one line, which a terminal breaks between words."""
    console_of(stream).print(sanitize(text), soft_wrap=not stream.isatty())


def console_of(stream: TextIO) -> Console:
    """Return a console that writes to a stream, 80 columns wide unless that is a terminal."""
    return Console(file=stream, width=None if stream.isatty() else 80, highlight=False, markup=False, emoji=False)


def show_table(rows: list[tuple[str, ...]], stream: TextIO) -> None:
    """Print a table.

    Args:
        rows: the rows, header first.
        stream: where to print.
    """
    header, *body = rows
    table = Table(*header, box=None, pad_edge=False)
    for row in body:
        table.add_row(*map(sanitize, row))
    console_of(stream).print(table)


def show_results(run: Run, results: dict[str, Any], resume: str, predict: str) -> None:
    """Print the closing table and the commands that may come next.

    Args:
        run: the finished run.
        results: contents of its results.json.
        resume: the command that resumes the run and trains longer.
        predict: the command that predicts with the checkpoint that is the result; empty if there is none.
    """
    table = Table(title=None, show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    for key, value in results.items():
        if isinstance(value, int | float) and (
            "/" in key or key in ("best_epoch", "seconds", "samples_per_second", "peak_memory_mb", "parameters")
        ):
            text = _figure(value) if "/" in key else f"{value:,}"
            table.add_row(sanitize(key), text)
    console_of(sys.stdout).print(table)
    if results.get("note"):
        print()
        show_text(results["note"], sys.stdout)
    if run.pictures:
        print("\nthere is no validation and no test: the result is what the last step left")
    print(f"\nrun          {run.folder}")
    for picture in run.pictures:
        print(f"picture      {picture}")
    if any(run.folder.glob("events.out.tfevents.*")):  # not with another logger
        print(f"tensorboard  tensorboard --logdir {shlex.quote(str(run.folder))}")
    for name, file in (("report", run.report), ("samples", run.samples), ("mistakes", run.mistakes)):
        if file.is_file():
            print(f"{name:<12} {file}")
    if run.last.is_file():
        print(f"resume       {resume}")
    if predict:
        print(f"predict      {predict}")


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.4g}"
