"""The option with which a run that has ended can be resumed."""

from __future__ import annotations

import math

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from lightning_nn.callbacks.early_stopping import ResumableEarlyStopping


def option_to_go_on(trainer: pl.Trainer) -> str:
    """Return the option, with a value, that lets a run that has ended train further.

    Args:
        trainer: after `fit`.
    """
    stop = trainer.early_stopping_callback
    if isinstance(stop, ResumableEarlyStopping) and stop.stopping:
        return f"--early_stopping.patience {2 * max(stop.patience, stop.wait_count)}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"--trainer.max_steps {2 * trainer.max_steps}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (longer := longer_time(callback)):
            return f"--trainer.max_time {longer}"
    return f"--trainer.max_epochs {2 * trainer.current_epoch}"


def longer_time(timer: Timer) -> str | None:
    """Return twice the time that a run has used, in the form of `--trainer.max_time`; None if it has time left.

    Args:
        timer: of the run.
    """
    left = timer.time_remaining()
    if left is None or left > 0:
        return None
    minutes, seconds = divmod(math.ceil(2 * timer.time_elapsed()), 60)
    return f"{minutes // 1440:02}:{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}"
