"""The best validation of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_nn.settings import better


class BestValidation:
    """Metrics of the best validation so far, chosen by the best checkpoint's monitor, else by the model's.

    Attributes:
        metrics: values by name; empty before the first validation.
        epoch: its epoch, counted from 0; None before the first validation.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.epoch: int | None = None
        self._restored = False

    def update(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the metrics of the validation that has just ended if it is the best."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.global_step:
            return  # before the first step there is no best checkpoint
        checkpoint = trainer.checkpoint_callback
        folder = getattr(checkpoint, "dirpath", None)
        if self._restored and folder is not None and not Path(folder, "best.ckpt").is_file():
            self.metrics, self.epoch = {}, None  # a new run from an old checkpoint: its best.ckpt is elsewhere
        self._restored = False
        name = getattr(checkpoint, "monitor", None) or getattr(pl_module, "monitor", "val/loss")
        if name is None:  # a task whose last state is its result
            return
        mode = better(name, getattr(checkpoint, "mode", None))
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/") or k == name}
        sign = 1 if mode == "max" else -1
        if name not in self.metrics or name not in metrics or not sign * metrics[name] <= sign * self.metrics[name]:
            self.metrics, self.epoch = metrics, trainer.current_epoch

    def state_dict(self) -> dict[str, Any]:
        """Return both attributes as plain data."""
        return {"metrics": dict(self.metrics), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both attributes."""
        self.metrics, self.epoch, self._restored = dict(state["metrics"]), state["epoch"], True
