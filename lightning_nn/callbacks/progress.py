"""How far a run is: a line that moves in a terminal and is a plain line an epoch in a file."""

from __future__ import annotations

import math
import time
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from torch import Tensor

from lightning_nn.callbacks.status_line import HEARTBEAT, INTERVAL, StatusLine, Task

KEPT = 1000  # losses held at most before they are added up


class Progress(ProgressBar):
    """Progress on standard error; values are read from the device only when something is shown.

    Args:
        stream: where it goes; None is standard error.
        interval: seconds between two drawings in a terminal, at least.
        heartbeat: seconds without a line after which one is written where there is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = INTERVAL, heartbeat: float = HEARTBEAT) -> None:
        super().__init__()
        self._line = StatusLine(stream, interval, heartbeat)
        self._enabled = True
        self._losses: list[Tensor] = []
        self._sum, self._count, self._recent = 0.0, 0, math.nan
        self._epoch_start = 0.0
        self._validated: dict[str, float] = {}
        self._fresh = False  # whether these are of this epoch
        self._interrupted: tuple[Task, float] | None = None  # training, and when validation began

    @property
    def is_enabled(self) -> bool:
        """Whether anything is shown."""
        return self._enabled

    @property
    def is_disabled(self) -> bool:
        """Whether nothing is shown."""
        return not self._enabled

    def disable(self) -> None:
        """Shows nothing from now on."""
        self._enabled = False
        self._line.end()

    def enable(self) -> None:
        """Shows things again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints without breaking the line."""
        self._line.clear()
        print(*args, **kwargs)

    # ------------------------------------------------------------------ training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins a line for an epoch that was resumed in its middle, which Lightning does not announce."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the epoch's line."""
        self._losses, self._sum, self._count, self._recent = [], 0.0, 0, math.nan
        self._epoch_start, self._fresh = time.monotonic(), False
        self._begin(Task(_epoch(trainer), None, first=-1))  # the first batch tells where a resumed epoch goes on

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the clock; draws if it is time to."""
        if not self._enabled:
            return
        losses, task = self._losses, self._line.task
        if outputs is not None and (loss := outputs.get("loss")) is not None:
            losses.append(loss)
        if task.first < 0:
            task.first, task.total = batch_idx, _steps(trainer, batch_idx + 1)
        task.done = batch_idx + 1
        due = self._line.due
        if due or len(losses) >= KEPT:
            self._add_losses(trainer)
        if due:
            scores = _shown({k: v for k, v in self._validated.items() if k != "val/loss"})
            self._line.show([f"loss {_number(self._recent)}", *scores[:2]])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves a line about the epoch."""
        if not self._enabled:
            return
        self._add_losses(trainer)
        if not (self._count or self._fresh):  # a resumed run ends the epoch it was saved in
            return
        parts = [_epoch(trainer)]
        if self._count:
            parts.append(f"train/loss {_number(self._sum / self._count)}")
        if self._fresh:
            parts += _shown(self._validated)
        self._line.leave([*parts, f"{time.monotonic() - self._epoch_start:.1f} s"])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the moving line away."""
        self._line.end()

    # ------------------------------------------------------------------ evaluation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows validation in the place of training, unless it is the sanity check."""
        if not trainer.sanity_checking:
            self._interrupted = (self._line.task, time.monotonic())
            self._begin(Task("validate", _batches(trainer.num_val_batches)))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reads the metrics and goes back to training."""
        if not self._enabled or trainer.sanity_checking:
            return
        if trainer.state.fn != "fit" or self._interrupted is None:
            self._line.end()
            return
        names = [name for name in trainer.callback_metrics if name.startswith("val/")]
        self._validated = {name: float(trainer.callback_metrics[name]) for name in names}
        self._fresh = True
        task, stopped = self._interrupted
        task.start += time.monotonic() - stopped  # the rate is that of training alone
        self._line.task = task
        if not trainer.is_last_batch and not self._line.terminal:
            done = f"{trainer.fit_loop.epoch_loop.batch_idx + 1}/{task.total or '?'}"
            self._line.leave([task.name, done, *_shown(self._validated)])

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the test's line."""
        self._begin(Task("test", _batches(trainer.num_test_batches)))

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the prediction's line."""
        self._begin(Task("predict", _batches(trainer.num_predict_batches)))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Looks at the clock; draws if it is time to."""
        if self._enabled and not trainer.sanity_checking:
            self._line.task.done += 1
            if self._line.due:
                self._line.show([])

    on_validation_batch_end = on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the moving line away."""
        self._line.end()

    on_predict_end = on_test_end

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Takes the moving line away, so that the message stands alone."""
        self._line.end()

    # ------------------------------------------------------------------ parts

    def _begin(self, task: Task) -> None:
        if self._enabled:
            self._line.begin(task)

    def _add_losses(self, trainer: pl.Trainer) -> None:
        """Adds up the losses since the last time."""
        if not self._losses:
            return
        losses = torch.stack(self._losses).float().sum().item() * trainer.accumulate_grad_batches
        self._recent = losses / len(self._losses)
        self._sum, self._count = self._sum + losses, self._count + len(self._losses)
        self._losses.clear()


def _epoch(trainer: pl.Trainer) -> str:
    """The epoch, counted from 1, of how many where that is known."""
    last = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else None
    return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last else "")


def _steps(trainer: pl.Trainer, done: int) -> int | None:
    """Batches of this epoch, fewer where the last step comes before its end."""
    total = _batches(trainer.num_training_batches)
    if trainer.max_steps is None or trainer.max_steps < 0:
        return total
    accumulated = trainer.accumulate_grad_batches
    last = (done // accumulated + trainer.max_steps - trainer.global_step) * accumulated
    return last if total is None else min(total, last)


def _batches(count: float | list[int | float]) -> int | None:
    """Their number over all loaders; None where there is no end."""
    total = sum(count) if isinstance(count, list) else count
    return None if math.isinf(total) else int(total)


def _shown(values: dict[str, float]) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in values.items()]


def _number(value: float) -> str:
    """Three places, or three digits where these would say nothing."""
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.3g}"
