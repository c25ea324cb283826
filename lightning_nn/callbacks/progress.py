"""One line that says how far a run is: it moves in a terminal and is a plain line an epoch in a file."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from torch import Tensor
from tqdm import tqdm

INTERVAL = 0.2  # seconds between two drawings in a terminal
HEARTBEAT = 60.0  # seconds without a line after which a file gets one
KEPT = 1000  # losses held at most before they are added up

_FORMAT = "{desc} {bar} {n_fmt}/{total_fmt} {rate_noinv_fmt} {remaining}{postfix}"
_ENDLESS = "{desc} {n_fmt} {rate_noinv_fmt} {elapsed}{postfix}"


class Progress(ProgressBar):
    """Progress on standard error; values are read from the device only when something is shown.

    Args:
        stream: where it goes; None is standard error.
        interval: seconds between two drawings in a terminal, at least.
        heartbeat: seconds without a line after which one is written where there is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = INTERVAL, heartbeat: float = HEARTBEAT) -> None:
        super().__init__()
        self._given_stream, self._interval, self._heartbeat = stream, interval, heartbeat
        self._enabled, self._terminal = True, False
        self._due, self._drawn = math.inf, ""
        self._what, self._start, self._first, self._done = "", 0.0, 0, 0
        self._total: int | None = None
        self._losses: list[Tensor] = []
        self._sum, self._count, self._recent = 0.0, 0, math.nan
        self._epoch_start = 0.0
        self._validated: dict[str, float] = {}
        self._fresh = False
        self._interrupted: tuple[str, int | None, float, int, float] = ("", None, 0.0, 0, 0.0)

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
        self._enabled, self._due = False, math.inf

    def enable(self) -> None:
        """Shows things again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints without breaking the line."""
        self._clear()
        print(*args, **kwargs)

    # ------------------------------------------------------------------ training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins a line for an epoch that was resumed in its middle, which Lightning does not announce."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the epoch's line."""
        self._losses, self._sum, self._count, self._recent = [], 0.0, 0, math.nan
        self._epoch_start, self._fresh = time.monotonic(), False
        self._begin(_epoch(trainer), None, -1)  # the first batch tells where a resumed epoch goes on

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the clock; draws if it is time to."""
        if not self._enabled:
            return
        losses = self._losses
        if outputs is not None and (loss := outputs.get("loss")) is not None:
            losses.append(loss)
        if self._first < 0:
            self._first, self._total = batch_idx, self._steps(trainer, batch_idx + 1)
        if time.monotonic() < self._due:
            if len(losses) >= KEPT:
                self._add_losses(trainer)
            return
        self._done = batch_idx + 1
        self._add_losses(trainer)
        self._show(f"loss {_number(self._recent)}")

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
            parts += [f"{name} {_number(value)}" for name, value in self._validated.items()]
        parts.append(f"{time.monotonic() - self._epoch_start:.1f} s")
        self._leave(parts)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the moving line away."""
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Takes the moving line away, so that the message stands alone."""
        self._end()

    # ------------------------------------------------------------------ evaluation

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows validation in the place of training, unless it is the sanity check."""
        if not trainer.sanity_checking:
            self._interrupted = (self._what, self._total, self._start, self._first, time.monotonic())
            self._begin("validate", _batches(trainer.num_val_batches), 0)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Looks at the clock; draws if it is time to."""
        self._count_batch(trainer.sanity_checking)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reads the metrics and goes back to training."""
        if not self._enabled or trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self._end()
            return
        names = [name for name in trainer.callback_metrics if name.startswith("val/")]
        self._validated = {name: float(trainer.callback_metrics[name]) for name in names}
        self._fresh = True
        self._what, self._total, start, self._first, stopped = self._interrupted
        self._start = start + time.monotonic() - stopped  # the rate is that of training alone
        if not trainer.is_last_batch and not self._terminal:
            values = [f"{name} {_number(value)}" for name, value in self._validated.items()]
            self._leave([self._what, f"{trainer.fit_loop.epoch_loop.batch_idx + 1}/{self._total or '?'}", *values])

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the test's line."""
        self._begin("test", _batches(trainer.num_test_batches), 0)

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
        self._count_batch()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the moving line away."""
        self._end()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the prediction's line."""
        self._begin("predict", _batches(trainer.num_predict_batches), 0)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Looks at the clock; draws if it is time to."""
        self._count_batch()

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the moving line away."""
        self._end()

    # ------------------------------------------------------------------ the line

    @property
    def _stream(self) -> TextIO:
        return self._given_stream or sys.stderr

    def _begin(self, what: str, total: int | None, first: int) -> None:
        if not self._enabled:
            return
        self._terminal = self._stream.isatty()
        self._what, self._total, self._first, self._done = what, total, first, first
        self._start = time.monotonic()
        if self._terminal or self._due == math.inf:
            self._due = self._start + (self._interval if self._terminal else self._heartbeat)

    def _count_batch(self, silent: bool = False) -> None:
        if silent or not self._enabled:
            return
        self._done += 1
        if time.monotonic() >= self._due:
            self._show("")

    def _show(self, loss: str) -> None:
        """Draws the line, or writes one where there is no terminal."""
        now = time.monotonic()
        self._due = now + (self._interval if self._terminal else self._heartbeat)
        steps, elapsed = self._done - self._first, max(now - self._start, 1e-9)
        known = {k: v for k, v in self._validated.items() if k != "val/loss"} if loss else {}
        values = [loss, *(f"{name} {_number(value)}" for name, value in list(known.items())[:2])]
        if not self._terminal:
            self._write("  ".join([*self._position(steps / elapsed), *filter(None, values)]) + "\n")
            return
        line = tqdm.format_meter(
            steps + self._first,
            self._total or 0,  # 0 is none
            elapsed,
            ncols=self._columns() - 1,
            prefix=self._what,
            unit="",
            initial=self._first,
            bar_format=_ENDLESS if self._total is None else _FORMAT,
            postfix=" ".join(filter(None, values)),
            ascii=not (getattr(self._stream, "encoding", None) or "").lower().startswith("utf"),
        )
        self._write("\r" + line.ljust(len(self._drawn)))
        self._drawn = line

    def _position(self, rate: float) -> list[str]:
        """What is done, how many batches of it, how fast, and how long it will take."""
        parts = [self._what, f"{self._done}/{self._total or '?'}", f"{rate:.1f}/s"]
        if self._total is not None:
            parts.append(f"{tqdm.format_interval((self._total - self._done) / rate)} left")
        return parts

    def _leave(self, parts: list[str]) -> None:
        """Writes a line that stays, above the moving one."""
        self._clear()
        line = "  ".join(parts)
        self._write((line if not self._terminal or len(line) < self._columns() else " ".join(parts)) + "\n")
        self._due = time.monotonic() + (self._interval if self._terminal else self._heartbeat)

    def _clear(self) -> None:
        if self._drawn:
            self._write("\r" + " " * len(self._drawn) + "\r")
            self._drawn = ""

    def _end(self) -> None:
        self._clear()
        self._due = math.inf

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):
            return 80

    def _steps(self, trainer: pl.Trainer, done: int) -> int | None:
        """Batches of this epoch, fewer where the last step comes before its end."""
        total = _batches(trainer.num_training_batches)
        if trainer.max_steps is None or trainer.max_steps < 0:
            return total
        accumulated = trainer.accumulate_grad_batches
        last = (done // accumulated + trainer.max_steps - trainer.global_step) * accumulated
        return last if total is None else min(total, last)

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


def _batches(count: float | list[int | float]) -> int | None:
    """Their number over all loaders; None where there is no end."""
    total = sum(count) if isinstance(count, list) else count
    return None if math.isinf(total) else int(total)


def _number(value: float) -> str:
    """Three places, or three digits where these would say nothing."""
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.3g}"
