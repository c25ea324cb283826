"""Progress of a run: a moving line in a terminal, a plain line for each epoch in a file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.callbacks.progress_bar import ProgressBar, columns

INTERVAL = 0.2  # seconds between two drawings in a terminal
HEARTBEAT = 60.0  # seconds without a line after which one is written to a file
KEPT = 1000  # losses held at most before they are summed


class Progress(pl.callbacks.ProgressBar):
    """Progress on standard error; values are read from the device only when something is shown.

    Args:
        stream: output; None for standard error.
        interval: shortest time between two drawings in a terminal, in seconds.
        heartbeat: seconds without a line after which one is written if `stream` is not a terminal.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = INTERVAL, heartbeat: float = HEARTBEAT) -> None:
        super().__init__()
        self._given_stream, self._interval, self._heartbeat = stream, interval, heartbeat
        self._enabled = True
        self._bar: ProgressBar | None = None
        self._interrupted: tuple[ProgressBar | None, float] | None = None  # bar of training, start of validation
        self._begun = False  # whether the first batch of this epoch is known
        self._losses: list[Tensor] = []
        self._sum, self._count, self._recent = 0.0, 0, math.nan
        self._epoch_start = 0.0
        self._validated: dict[str, float] = {}
        self._fresh = False  # whether they are of this epoch

    @property
    def is_enabled(self) -> bool:
        """True if anything is shown."""
        return self._enabled

    @property
    def is_disabled(self) -> bool:
        """True if nothing is shown."""
        return not self._enabled

    def disable(self) -> None:
        """Show nothing from now on."""
        self._enabled = False
        self._end()

    def enable(self) -> None:
        """Show progress again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print a message without breaking the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(*args, **kwargs)

    # ------------------------------------------------------------------ training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the line of an epoch that was resumed in its middle, for which Lightning calls no epoch hook."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the line of the epoch."""
        self._losses, self._sum, self._count, self._recent = [], 0.0, 0, math.nan
        self._epoch_start, self._fresh, self._begun = time.monotonic(), False, False
        self._begin(_epoch(trainer), None, lambda: self._values(trainer))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar, which draws itself when it is due."""
        if self._bar is None:
            return
        if outputs is not None and (loss := outputs.get("loss")) is not None:
            self._losses.append(loss)
        if not self._begun:  # the first batch tells where a resumed epoch starts
            self._bar.begin_at(batch_idx, _steps(trainer, batch_idx + 1))
            self._begun = True
        self._bar.update(batch_idx + 1 - self._bar.n)
        if len(self._losses) >= KEPT:
            self._add_losses(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line that stays of the epoch."""
        if not self._enabled:
            return
        self._add_losses(trainer)
        if not (self._count or self._fresh):  # a resumed run first ends the epoch in which it was saved
            return
        parts = [_epoch(trainer)]
        if self._count:
            parts.append(f"train/loss {_number(self._sum / self._count)}")
        if self._fresh:
            parts += _shown(self._validated)
        self._leave([*parts, f"{time.monotonic() - self._epoch_start:.1f} s"])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._end()

    # ------------------------------------------------------------------ evaluation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show validation in place of training, unless it is the sanity check."""
        if not trainer.sanity_checking:
            if self._bar is not None:
                self._bar.clear()
            self._interrupted, self._bar = (self._bar, time.monotonic()), None
            self._begin("validate", _batches(trainer.num_val_batches))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the metrics and return to the bar of training."""
        if not self._enabled or trainer.sanity_checking:
            return
        self._end()
        if trainer.state.fn != "fit" or self._interrupted is None:
            return
        names = [n for n in trainer.callback_metrics if n.startswith("val/") and n.count("/") == 1]  # none of a class
        self._validated = {name: float(trainer.callback_metrics[name]) for name in names}
        self._fresh = True
        (self._bar, began), self._interrupted = self._interrupted, None
        if self._bar is None:
            return
        self._bar.skip(time.monotonic() - began)  # the rate counts training alone
        if not trainer.is_last_batch and not self._bar.moves:
            done = f"{trainer.fit_loop.epoch_loop.batch_idx + 1}/{self._bar.total or '?'}"
            self._leave([self._bar.desc, done, *_shown(self._validated)])

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the line of the test."""
        self._begin("test", _batches(trainer.num_test_batches))

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the line of the prediction."""
        self._begin("predict", _batches(trainer.num_predict_batches))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance the bar, which draws itself when it is due."""
        if self._bar is not None and not trainer.sanity_checking:
            self._bar.update()

    on_validation_batch_end = on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._end()

    on_predict_end = on_test_end

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar, so that the error message stands alone."""
        self._end()

    # ------------------------------------------------------------------ parts

    @property
    def _stream(self) -> TextIO:
        return self._given_stream or sys.stderr

    def _begin(self, name: str, total: int | None, values: Callable[[], list[str]] = list) -> None:
        self._end()
        if self._enabled:
            every = self._interval if self._stream.isatty() else self._heartbeat
            self._bar = ProgressBar(self._stream, name, total, every, values)

    def _end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _leave(self, parts: list[str]) -> None:
        """Write a line that stays, above the bar; a terminal that is too narrow for it gets several, of whole parts."""
        if self._bar is not None:
            self._bar.clear()
        stream = self._stream
        width = columns(stream) if stream.isatty() else sys.maxsize
        gap = "  " if len("  ".join(parts)) < width else " "
        lines = parts[:1]
        for part in parts[1:]:
            longer = f"{lines[-1]}{gap}{part}"
            lines = [*lines[:-1], longer] if len(longer) < width else [*lines, f"  {part}"]
        stream.write("\n".join(lines) + "\n")
        stream.flush()

    def _values(self, trainer: pl.Trainer) -> list[str]:
        """Return the values shown after the counts of training: the recent loss and the last validation's metrics."""
        self._add_losses(trainer)
        scores = _shown({k: v for k, v in self._validated.items() if k != "val/loss"})
        return [f"loss {_number(self._recent)}", *scores[:2]]

    def _add_losses(self, trainer: pl.Trainer) -> None:
        """Add up the losses since the last call."""
        if not self._losses:
            return
        losses = torch.stack(self._losses).float().sum().item() * trainer.accumulate_grad_batches
        self._recent = losses / len(self._losses)
        self._sum, self._count = self._sum + losses, self._count + len(self._losses)
        self._losses.clear()


def _epoch(trainer: pl.Trainer) -> str:
    """Format the epoch, counted from 1, and their number if it is known."""
    last = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else None
    return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last else "")


def _steps(trainer: pl.Trainer, done: int) -> int | None:
    """Return the batches of this epoch; fewer if the run's last step comes before its end, None if unknown."""
    total = _batches(trainer.num_training_batches)
    if trainer.max_steps is None or trainer.max_steps < 0:
        return total
    accumulated = trainer.accumulate_grad_batches
    last = (done // accumulated + trainer.max_steps - trainer.global_step) * accumulated
    return last if total is None else min(total, last)


def _batches(count: float | list[int | float]) -> int | None:
    """Sum the batches of all loaders; None if a loader has no end."""
    total = sum(count) if isinstance(count, list) else count
    return None if math.isinf(total) else int(total)


def _shown(values: dict[str, float]) -> list[str]:
    return [f"{name} {_number(value)}" for name, value in values.items()]


def _number(value: float) -> str:
    """Format a number to three decimal places, or to three digits if places would show nothing of it."""
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.3g}"
