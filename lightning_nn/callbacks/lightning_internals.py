"""The private names of Lightning that the project stands on, each in a function of its own.

A test calls each of them by the name that it needs, so that a version of Lightning that renames one fails there first.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

COUNTS = ("ready", "started", "processed", "completed")


def validation_follows(trainer: pl.Trainer) -> bool:
    """Return whether validation comes right after the training batch in hand.

    Lightning decides by interval, epoch, time and whether the run was asked to stop; no public name tells.

    Args:
        trainer: in `on_train_batch_end`.
    """
    loop: Any = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


def settle_progress(loop: dict[str, Any], accumulate: int) -> int:
    """Rewrite the saved progress of a fit into the form that Lightning resumes exactly.

    Lightning has six forms of a checkpoint between two batches, according to the hook that wrote it, and resumes some
    of them with a batch too many, an epoch counted twice, or not at all. Two are left: within an epoch, as if written
    after a training batch without validation; and between two epochs.

    Args:
        loop: state of the fit loop, `checkpoint["loops"]["fit_loop"]`; changed in place.
        accumulate: batches of an optimizer step.

    Returns:
        Batches of the epoch that are done; 0 between two epochs. A state that was written within a batch is left as
        it is.

    Raises:
        KeyError: Lightning has renamed what is looked for.
    """
    epochs, batches = loop["epoch_progress"], loop["epoch_loop.batch_progress"]
    inner = loop["epoch_loop.state_dict"]
    steps = inner["_batches_that_stepped"]
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


def set_max_steps(trainer: pl.Trainer, max_steps: int) -> None:
    """Set the number of steps after which a fit ends; -1 for no such end. `Trainer.max_steps` can't be set.

    Args:
        trainer: whose fit it is.
        max_steps: the number.
    """
    trainer.fit_loop.epoch_loop.max_steps = max_steps
