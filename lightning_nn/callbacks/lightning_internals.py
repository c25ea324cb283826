"""The private names of Lightning and jsonargparse that the project relies on, each in a function of its own.

A test calls each function, so that a version that renames one of these names fails there first.
"""

from __future__ import annotations

import traceback
from functools import reduce
from operator import or_
from typing import Any, cast, get_args

import pytorch_lightning as pl
from jsonargparse import ArgumentParser

COUNTS = ("ready", "started", "processed", "completed")


def validation_follows(trainer: pl.Trainer) -> bool:
    """Return whether validation follows the current training batch.

    Lightning decides by interval, epoch, time and a requested stop; no public name tells.

    Args:
        trainer: as passed to `on_train_batch_end`.
    """
    loop: Any = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


def settle_progress(loop: dict[str, Any], accumulate: int) -> int:
    """Rewrite the saved progress of a fit into a form that Lightning resumes exactly.

    Lightning writes six forms of a checkpoint between two batches, one for each hook that saves, and resumes some
    of them with a batch too many, an epoch counted twice, or not at all. This function maps them to two: within an
    epoch, as if written after a training batch without validation; and between two epochs.

    Args:
        loop: state of the fit loop, `checkpoint["loops"]["fit_loop"]`; changed in place.
        accumulate: batches of an optimizer step.

    Returns:
        Batches of the epoch that are done; 0 between two epochs. A state that was written within a batch stays
        unchanged.

    Raises:
        KeyError: Lightning has renamed a key.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    inner = loop["epoch_loop.state_dict"]
    steps = int(inner["_batches_that_stepped"])
    done, begun = batches["current"]["ready"], epochs["total"]["started"]
    if not done or batches["current"]["processed"] != done or epochs["current"]["started"] != begun:
        return int(done)
    counted = epochs["total"]["processed"] == begun  # the epoch, and its last step
    if batches["is_last_batch"]:
        for count in (epochs["total"], epochs["current"]):
            count.update(dict.fromkeys(COUNTS, begun))
        batches["total"].update(dict.fromkeys(COUNTS, batches["total"]["ready"]))
        inner["_batches_that_stepped"] = steps + (not counted)
        return 0
    for count in (epochs["total"], epochs["current"]):
        count.update(ready=begun, started=begun, processed=begun - 1, completed=begun - 1)
    for count in (batches["total"], batches["current"]):
        last = count["ready"]
        count.update(started=last, processed=last, completed=last - 1)
    inner["_batches_that_stepped"] = steps - (counted and done % accumulate == 0)
    return int(done)


def check_counts(loops: dict[str, Any]) -> None:
    """Check that all counts in the saved state of loops are numbers; Lightning would fail on them in mid-training.

    Raises:
        TypeError: a count is something else.
    """
    for key, value in loops.items():
        if isinstance(value, dict):
            check_counts(value)
        elif key in COUNTS and not isinstance(value, int):
            raise TypeError(f"{key} is {value!r}, not a count")


def set_max_steps(trainer: pl.Trainer, max_steps: int) -> None:
    """Set the number of steps after which a fit ends; `Trainer.max_steps` itself can't be set.

    Args:
        trainer: trainer of the fit.
        max_steps: number of optimizer steps; -1 for no limit.
    """
    trainer.fit_loop.epoch_loop.max_steps = max_steps


def is_restoring(error: BaseException) -> bool:
    """Return whether an error was raised while Lightning restored the state of a run from a checkpoint.

    Args:
        error: as caught around `Trainer.fit`.
    """
    return any("checkpoint_connector" in frame.filename for frame in traceback.extract_tb(error.__traceback__))


def try_int_before_float(parser: ArgumentParser) -> None:
    """Let options that take both read 3 as an int: `typing` may have cached their type with float first."""
    for action in parser._actions:
        kinds = get_args(getattr(action, "_typehint", None))
        if {int, float} <= {*kinds}:
            cast(Any, action)._typehint = reduce(or_, sorted(kinds, key=lambda kind: kind is not int))
