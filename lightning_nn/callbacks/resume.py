"""Exact resume: a resumed run ends with the same bits as an uninterrupted one, and stops where that would stop."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging, Timer
from torch import Tensor

from lightning_nn.callbacks.lightning_internals import check_counts, set_max_steps, settle_progress
from lightning_nn.data.batches import Origin
from lightning_nn.errors import UserError, nearest
from lightning_nn.runs.comparison import better
from lightning_nn.settings import EarlyStoppingSettings


class ExactResume(pl.Callback):
    """Exact resume from any checkpoint that was written between two batches, to the bit.

    It does what Lightning leaves out:

    - Gradients: validation may run before an optimizer step has all its batches (`accumulate_grad_batches`). A
      checkpoint written then holds the gradients so far, those of each process.
    - Progress: see `lightning_internals.settle_progress`.
    - `max_steps`: Lightning treats a run that is limited by steps as one that stopped within an epoch, even at its
      end. The limit is therefore hidden until the first batch.
    - Precision: Lightning loads weights before it converts the model to the precision that they were trained in.
    - Weight averaging: Lightning sets up its schedule only at the start of an epoch, and changes the learning rate
      by doing so.
    """

    def __init__(self) -> None:
        self._max_steps: int | None = None
        self._gradients: dict[str, Tensor] = {}
        self._averaging = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Convert the model to the precision of the run."""
        if stage == "fit":
            trainer.precision_plugin.convert_module(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the gradients of an incomplete optimizer step to the checkpoint."""
        done = trainer.fit_loop.batch_idx + 1
        if done % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            return
        gradients = {name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None}
        if trainer.world_size > 1:
            gradients = {name: trainer.strategy.all_gather(gradient) for name, gradient in gradients.items()}
        checkpoint["lightning_nn_gradients"] = gradients

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Load the gradients, and settle the progress."""
        if trainer.state.fn != "fit" or "loops" not in checkpoint:
            return
        check_counts(checkpoint["loops"])
        settle_progress(checkpoint["loops"]["fit_loop"], trainer.accumulate_grad_batches)
        self._gradients = checkpoint.get("lightning_nn_gradients", {})
        averaging = checkpoint["callbacks"].get(StochasticWeightAveraging.__qualname__, {})
        self._averaging = averaging.get("scheduler_state") is not None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hide the limit of steps while Lightning restores the progress."""
        if trainer.ckpt_path is not None:
            self._max_steps = trainer.max_steps
            set_max_steps(trainer, -1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the limit of steps, the gradients and the schedule of weight averaging."""
        if self._max_steps is not None:
            set_max_steps(trainer, self._max_steps)
            self._max_steps = None
        for name, parameter in pl_module.named_parameters():
            if name in self._gradients:
                gradient = self._gradients[name]
                if trainer.world_size > 1:
                    gradient = gradient[trainer.global_rank]
                parameter.grad = gradient.to(parameter.device)
        self._gradients = {}
        if self._averaging:
            rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers]
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, StochasticWeightAveraging):
                    callback.on_train_epoch_start(trainer, pl_module)
            for optimizer, saved in zip(trainer.optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, saved, strict=True):
                    group["lr"] = rate
            self._averaging = False


class StepSeed(pl.Callback):
    """Seed of torch before each training step, made from (seed, rank, epoch, batch), for dropout and the like.

    A resumed run thus draws the same numbers as an uninterrupted one, on every process, and no random state has to
    be saved.

    Args:
        seed: of the run; a resumed run keeps its first seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch for this step: the generators of the CPU and of the device in use."""
        seed = Origin(self.seed, trainer.global_rank, trainer.current_epoch, batch_idx).random_seed()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every kind of device: 1 ms a step
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the seed of the resumed run."""
        self.seed = int(state_dict["seed"])


class MonitorCheck(pl.Callback):
    """A check that validation yields the monitored metrics, done before the first step, not after the first epoch.

    Args:
        monitors: name of each metric, by the group of the option that names it.
    """

    def __init__(self, monitors: dict[str, str]) -> None:
        self.monitors = monitors

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the interval between validations.

        Raises:
            UserError: the interval is longer than an epoch.
        """
        every, data = trainer.val_check_interval, getattr(trainer, "datamodule", None)
        within_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
        if stage != "fit" or data is None or not isinstance(every, int) or not within_epoch:
            return
        batches, limit = len(data.train_dataloader()), trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        if every > batches:
            raise UserError(
                f"--trainer.val_check_interval {every}: an epoch has only {batches} batches; give at most that, or "
                "count over all epochs: --trainer.check_val_every_n_epoch null"
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that validation gave each monitored metric, those of a user's own callbacks included.

        Raises:
            UserError: a metric is missing; the error names the nearest.
        """
        metrics = [name for name in trainer.callback_metrics if name.startswith("val/")]
        monitors = [(f"--{group}.monitor", monitor) for group, monitor in self.monitors.items()]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping | ModelCheckpoint) and str(callback.monitor).startswith("val/"):
                monitors.append((f"--trainer.callbacks, {type(callback).__name__}: monitor", str(callback.monitor)))
        for where, monitor in monitors:
            if monitor not in metrics:
                raise UserError(f"{where} {monitor}: validation gives no such metric{nearest(monitor, metrics)}")


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping: ends a run whose validation no longer improves.

    Args:
        settings: the metric and the patience.
    """

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        super().__init__(
            settings.monitor,
            settings.min_delta,
            settings.patience,
            mode=better(settings.monitor, settings.mode),
            check_on_train_epoch_end=False,  # a resumed run ends its epoch without a validation
        )

        self.stopping = False  # whether the end was requested, which --trainer.min_epochs may put off
        self.best_epoch: int | None = None  # of the best value, counted from 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Request the end again in a run that was resumed before its `min_epochs`."""
        trainer.should_stop = trainer.should_stop or self.stopping

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the metric with its best value so far."""
        before = self.best_score
        super().on_validation_end(trainer, pl_module)
        if self.best_score is not before:  # a new tensor
            self.best_epoch = trainer.current_epoch
        self.stopping = self.stopping or self.wait_count >= self.patience

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why the run ends, if it ends early."""
        if self.stopping and not trainer.interrupted:
            pl_module.print(self.reason(trainer.current_epoch), file=sys.stderr)

    def reason(self, epochs: int) -> str:
        """Return a line on why the run ends early.

        Args:
            epochs: number of epochs of the run so far.
        """
        end, patience = f"stopped early after {epochs} epochs", f"--early_stopping.patience {self.patience}"
        if self.wait_count < self.patience or self.best_epoch is None:
            return f"{end}: the patience ran out before --trainer.min_epochs ({patience})"
        validations = f"{self.wait_count} validation{'s' * (self.wait_count != 1)}"
        margin = f" by more than {abs(self.min_delta):g}" if self.min_delta else ""
        return (
            f"{end}: {self.monitor} was best in epoch {self.best_epoch + 1}, {float(self.best_score):.4g}, and did not "
            f"improve{margin} in the {validations} since ({patience})"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the best value and its epoch, and whether the end was requested."""
        return {**super().state_dict(), "stopping": self.stopping, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count; the patience is the present run's."""
        self.stopping = state_dict["stopping"] and state_dict["patience"] == self.patience
        self.best_epoch = state_dict["best_epoch"]
        super().load_state_dict({**state_dict, "patience": self.patience})

    @staticmethod
    def impatience(checkpoint: dict[str, Any]) -> int:
        """Return how many validations without improvement a checkpoint has counted; 0 without early stopping.

        Args:
            checkpoint: Lightning's dictionary, as loaded.
        """
        for key, state in checkpoint.get("callbacks", {}).items():
            if key.startswith("ResumableEarlyStopping"):
                return max(int(state["wait_count"]), int(state["patience"]) if state["stopping"] else 0)
        return 0


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
