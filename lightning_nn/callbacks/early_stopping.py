"""When a run ends before its last epoch, and on what metric."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from lightning_nn.errors import UserError, nearest
from lightning_nn.settings import EarlyStoppingSettings, better


class MonitorCheck(pl.Callback):
    """Refuses a metric that validation does not give: at the check before the first step, not after the first epoch.

    Args:
        monitors: name of each metric, by the group of the option that names it.
    """

    def __init__(self, monitors: dict[str, str]) -> None:
        self.monitors = monitors

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks for them.

        Raises:
            UserError: one is not there; with the nearest.
        """
        there = [name for name in trainer.callback_metrics if name.startswith("val/")]
        for group, monitor in self.monitors.items():
            if monitor not in there:
                hint = nearest(monitor, there)
                raise UserError(f"--{group}.monitor {monitor}: validation gives no such metric{hint}")


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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting, with the patience asked for now."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    @staticmethod
    def impatience(checkpoint: dict[str, Any]) -> int:
        """Validations without a better value when a checkpoint was written; 0 where nobody counted.

        Args:
            checkpoint: as read.
        """
        states = [
            state for key, state in checkpoint.get("callbacks", {}).items() if key.startswith("ResumableEarlyStopping")
        ]
        return int(states[0]["wait_count"]) if states else 0
