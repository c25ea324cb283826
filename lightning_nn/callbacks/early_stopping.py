"""Early stopping that survives a resume, and a check of the metrics that a run monitors."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_nn.errors import UserError, nearest
from lightning_nn.settings import EarlyStoppingSettings, better


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
        there = [name for name in trainer.callback_metrics if name.startswith("val/")]
        monitors = [(f"--{group}.monitor", monitor) for group, monitor in self.monitors.items()]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping | ModelCheckpoint) and str(callback.monitor).startswith("val/"):
                monitors.append((f"--trainer.callbacks, {type(callback).__name__}: monitor", str(callback.monitor)))
        for where, monitor in monitors:
            if monitor not in there:
                raise UserError(f"{where} {monitor}: validation gives no such metric{nearest(monitor, there)}")


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

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Request the end again in a run that was resumed before its `min_epochs`."""
        trainer.should_stop = trainer.should_stop or self.stopping

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the metric with its best value so far."""
        super().on_validation_end(trainer, pl_module)
        self.stopping = self.stopping or self.wait_count >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the best value, and whether the end was requested."""
        return {**super().state_dict(), "stopping": self.stopping}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count; the patience is the present run's."""
        self.stopping = state_dict["stopping"] and state_dict["patience"] == self.patience
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
