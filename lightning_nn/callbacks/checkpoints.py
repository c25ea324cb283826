"""The checkpoints that a run keeps: the best by validation, and the last, often enough to lose only minutes."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from lightning_nn.callbacks.lightning_internals import validation_follows
from lightning_nn.callbacks.statistics import LOSS, rank
from lightning_nn.errors import UserError

HANGUP = int(getattr(signal, "SIGHUP", 0))  # 0 on Windows, which has none
STOPPING = [number for number in (int(signal.SIGINT), int(signal.SIGTERM), HANGUP) if number]
ASK_EVERY = 8  # steps; processes wait for each other to agree


class BestCheckpoint(ModelCheckpoint):
    """Checkpoint of the epoch with the best validation, best.ckpt: of equal ones that with the lowest loss.

    Args:
        folder: folder of the file.
        monitor: the metric.
        mode: min or max.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=False,  # right after validation, so that last.ckpt holds the best score
        )
        self.best_loss = math.inf

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Return whether the validation is the best so far, and keep its loss if it is; Lightning saves it then."""
        if current is None:
            return False
        loss = float(trainer.callback_metrics.get(LOSS, math.inf))
        is_best = self.best_model_score is None
        if self.best_model_score is not None:
            best = rank(float(self.best_model_score), self.best_loss, self.mode)
            is_best = rank(float(current), loss, self.mode) > best
        is_best = trainer.strategy.reduce_boolean_decision(is_best)
        if is_best:
            self.best_loss = loss
        return is_best

    def state_dict(self) -> dict[str, Any]:
        """Return Lightning's state and the loss of the best validation."""
        return {**super().state_dict(), "best_loss": self.best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score of the run, even if its folder was moved; Lightning would forget the score then."""
        best = str(Path(str(self.dirpath)) / "best.ckpt")
        if Path(best).is_file() and state_dict["best_model_score"] is not None:
            place = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
            state_dict = {**state_dict, **place, "best_k_models": {best: state_dict["best_model_score"]}}
        elif not Path(best).is_file():  # a score without its file would keep a worse epoch from being saved
            none: dict[str, Any] = {
                "best_model_score": None,
                "best_k_models": {},
                "best_model_path": "",
                "kth_best_model_path": "",
                "best_loss": math.inf,
            }
            state_dict = {**state_dict, **none, "dirpath": self.dirpath, "kth_value": self.kth_value}
        self.best_loss = float(state_dict["best_loss"])
        super().load_state_dict(state_dict)


class LastCheckpoint(Checkpoint):
    """Checkpoint last.ckpt, saved after each validation and epoch, every few minutes within one, and on Ctrl-C.

    The first Ctrl-C (or SIGTERM, or SIGHUP of a terminal that is closed) ends the run after the current optimizer step
    and the validation that belongs to it, so that the checkpoint is whole; a second one ends the run at once, unless it
    is a SIGHUP, which may come twice.

    Args:
        path: the file.
        minutes: longest time between two saves, above 0.

    Raises:
        UserError: `minutes` is not above 0.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        if minutes <= 0:
            raise UserError(f"--checkpoint.minutes is {minutes}; it must be above 0")
        self.path, self.seconds = path, 60 * minutes
        self.interrupted = False
        self._saved_at = 0.0
        self._saved_step = -1
        self._handlers: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and keep the present signal handlers to restore them later."""
        self._saved_at = time.monotonic()
        self.interrupted = False
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in STOPPING}
            if handlers.get(HANGUP) == signal.SIG_IGN:  # nohup
                del handlers[HANGUP]
            self._handlers = handlers

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle signals instead of Lightning, which would end a run at SIGTERM without saving it."""
        for number in self._handlers:
            signal.signal(number, self._on_signal)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the former signal handlers."""
        self._restore_signals()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End an interrupted run between two epochs, after the metrics of the last one were written."""
        if self._agree(trainer, self.interrupted):
            raise KeyboardInterrupt

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if `minutes` have passed or the last step is done; end an interrupted run."""
        if trainer.is_last_batch or validation_follows(trainer):
            return  # saved after the validation that follows; a run resumed from here would skip it
        end = _ends_here(trainer)
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not end:
            return  # an incomplete optimizer step
        if trainer.world_size > 1 and trainer.global_step % ASK_EVERY and not end:
            return
        due = time.monotonic() - self._saved_at > self.seconds
        if self._agree(trainer, due or end or self.interrupted):
            self._save(trainer)
            if not end and self._agree(trainer, self.interrupted):
                raise KeyboardInterrupt

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save within an epoch, after the best checkpoint was chosen; end an interrupted run that is not over."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.is_last_batch:
            return  # saved at the end of the epoch
        self._save(trainer)
        if not _ends_here(trainer) and self._agree(trainer, self.interrupted):
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of an epoch; an epoch that ended early was saved after its last step."""
        if trainer.is_last_batch:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the last step is not saved yet."""
        if trainer.global_step != self._saved_step:
            self._save(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the former signal handlers."""
        self._restore_signals()

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def _agree(self, trainer: pl.Trainer, wish: bool) -> bool:
        """Return whether any process wishes it, so that all save together."""
        if trainer.world_size == 1:
            return wish
        return trainer.strategy.reduce_boolean_decision(wish, all=False)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.interrupted and number == HANGUP:
            return
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        message = "\nstopping after this step or validation; Ctrl-C again stops at once"
        try:
            print(message, file=sys.stderr, flush=True)
        except RuntimeError:  # the signal came while the run was writing there
            os.write(2, f"{message}\n".encode())

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def _ends_here(trainer: pl.Trainer) -> bool:
    """Return whether the run ends after this batch and its validation, before the end of the epoch."""
    enough = trainer.current_epoch >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return (trainer.should_stop and enough) or trainer.global_step == trainer.max_steps


class RunSettings(pl.Callback):
    """The name of the data set, the trainer's settings and the seed, added to each checkpoint.

    A checkpoint that was moved out of its run's folder can thus be resumed as the run itself.

    Args:
        data: name of the data set.
        settings: of the run by group, as plain data, without those that the model and the data module save
            themselves.
    """

    def __init__(self, data: str, settings: Mapping[str, Any]) -> None:
        self.run = {"data": data, **settings}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add them; Lightning calls this hook before the model's."""
        checkpoint.setdefault("lightning_nn", {})["run"] = self.run
