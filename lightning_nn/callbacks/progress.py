"""Progress of a run: a moving line in a terminal, a plain line for each epoch in a file."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

if TYPE_CHECKING:
    Tqdm = tqdm[NoReturn]
else:
    Tqdm = tqdm


_FORMAT = "{desc} {bar} {n_fmt}/{total_fmt} {rate_noinv_fmt} {remaining}{postfix}"
_ENDLESS = "{desc} {n_fmt} {rate_noinv_fmt} {elapsed}{postfix}"


class ProgressBar(Tqdm):
    """Progress of a task: a moving bar that leaves nothing behind in a terminal, a line now and then in a file.

    Args:
        stream: output.
        name: of the task, shown at the left.
        total: batches of the task; None if it has no end.
        every: seconds without a drawing after which `update` draws.
        values: returns the texts shown after the counts; called for each drawing.
    """

    monitor_interval = 0  # no monitor thread

    def __init__(
        self,
        stream: TextIO,
        name: str,
        total: int | None,
        every: float,
        values: Callable[[], list[str]] = list,
    ) -> None:
        self.moves, self.values = stream.isatty(), values
        super().__init__(
            file=stream,
            desc=name,
            total=total,
            mininterval=every,
            miniters=1,
            delay=max(every, 1e-9),  # 0 would draw at once
            smoothing=0,
            leave=False,
            position=0,
            unit="",
            ncols=80,
            nrows=20,  # tqdm would hide the bar in a terminal that does not know its height
        )

    @property
    def format_dict(self) -> Any:
        """All that is drawn: tqdm's own items, the present width of the terminal, and the values."""
        items = super().format_dict
        items["bar_format"] = _ENDLESS if self.total is None else _FORMAT
        return {**items, "ncols": columns(self.fp) - 1, "postfix": " ".join(self.values())}

    def begin_at(self, done: int, total: int | None) -> None:
        """Set where the task starts, before the first `update`.

        Args:
            done: batches done earlier; the rate does not count them.
            total: batches of the task; None if it has no end.
        """
        self.initial = self.n = self.last_print_n = done
        self.total = total

    def skip(self, seconds: float) -> None:
        """Exclude time spent on something else from the rate."""
        if not self.disable:
            self.start_t += seconds
            self.last_print_t += seconds

    def display(self, msg: str | None = None, pos: int | None = None) -> bool | None:  # type: ignore[override]
        """Draw the bar in a terminal, or `msg`; write a line in a file."""
        if self.moves:
            return super().display(msg, pos)
        if msg is None:
            self.fp.write("  ".join([*self._position(), *self.values()]) + "\n")
            self.fp.flush()
        return False

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from a terminal until it is drawn again."""
        if self.moves:
            super().clear(nolock)

    def close(self) -> None:
        """Remove the bar for good."""
        self.disable = self.disable or not self.moves  # in a file there is nothing to remove
        super().close()

    def _position(self) -> list[str]:
        """Return the task's name, batches done, rate and remaining time."""
        rate = (self.n - self.initial) / max(super().format_dict["elapsed"], 1e-9)
        parts = [self.desc, f"{self.n}/{self.total or '?'}", f"{rate:.1f}/s"]
        if self.total is not None and rate > 0:
            parts.append(f"{self.format_interval((self.total - self.n) / rate)} left")
        return parts


ProgressBar.set_lock(threading.RLock())  # tqdm's own is one of multiprocessing


def columns(stream: Any) -> int:
    """Return the width of a terminal; 80 if there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


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
