"""When a run ends before its last epoch, and on what metric."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_nn.errors import UserError, nearest
from lightning_nn.settings import EarlyStoppingSettings, better


class MonitorCheck(pl.Callback):
    """Refuses what validation can't give: before the first step, not after the first epoch.

    Args:
        monitors: name of each metric, by the group of the option that names it.
    """

    def __init__(self, monitors: dict[str, str]) -> None:
        self.monitors = monitors

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Look at the interval of validation.

        Raises:
            UserError: it is longer than an epoch.
        """
        every, data = trainer.val_check_interval, getattr(trainer, "datamodule", None)
        within_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
        if stage != "fit" or data is None or not isinstance(every, int) or not within_epoch:
            return
        batches, limit = len(data.train_dataloader()), trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        if every > batches:
            raise UserError(
                f"--trainer.val_check_interval {every}: an epoch has {batches} batches; use as many at most, or count "
                "over all epochs: --trainer.check_val_every_n_epoch null"
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look for the metrics, also those of a person's own callbacks.

        Raises:
            UserError: one is not there; with the nearest.
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
    """Ends a run whose validation no longer gets better.

    Args:
        settings: which metric, and for how long.
    """

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        super().__init__(
            settings.monitor,
            settings.min_delta,
            settings.patience,
            mode=better(settings.monitor, settings.mode),
            check_on_train_epoch_end=False,  # a resumed run ends its epoch without a validation
        )

        self.stopping = False  # whether it has asked for the end, which --trainer.min_epochs may put off

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask for the end again in a run that was resumed before its `min_epochs`."""
        trainer.should_stop = trainer.should_stop or self.stopping

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best value so far."""
        super().on_validation_end(trainer, pl_module)
        self.stopping = self.stopping or self.wait_count >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the best value, and whether the end was asked for."""
        return {**super().state_dict(), "stopping": self.stopping}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting, with the patience asked for now."""
        self.stopping = state_dict["stopping"] and state_dict["patience"] == self.patience
        super().load_state_dict({**state_dict, "patience": self.patience})

    @staticmethod
    def impatience(checkpoint: dict[str, Any]) -> int:
        """Return how many validations without a better value a checkpoint has counted; 0 where nobody counted.

        Args:
            checkpoint: as read.
        """
        for key, state in checkpoint.get("callbacks", {}).items():
            if key.startswith("ResumableEarlyStopping"):
                return max(int(state["wait_count"]), int(state["patience"]) if state["stopping"] else 0)
        return 0
