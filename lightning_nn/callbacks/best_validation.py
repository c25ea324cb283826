"""The best validation of a run: by the monitored metric, and by the loss where that is equal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_nn.settings import better

LOSS = "val/loss"  # decides between validations with the same score


def rank(score: float, loss: float, mode: str) -> tuple[float, float]:
    """Return the rank of a validation, larger if it is better; a score that is not a number is the worst.

    Args:
        score: the monitored metric.
        loss: decides between equal scores; infinity if validation gives none.
        mode: min or max, of the score.
    """
    sign = 1 if mode == "max" else -1
    return (-math.inf if math.isnan(score) else sign * score), (-math.inf if math.isnan(loss) else -loss)


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

    def update(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> bool:
        """Keep the metrics of the validation that has just ended if it is the best; return whether it is."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.global_step:
            return False  # before the first step there is no best checkpoint
        checkpoint = trainer.checkpoint_callback
        folder = getattr(checkpoint, "dirpath", None)
        if self._restored and folder is not None and not Path(folder, "best.ckpt").is_file():
            self.metrics, self.epoch = {}, None  # a new run from an old checkpoint: its best.ckpt is elsewhere
        self._restored = False
        name = getattr(checkpoint, "monitor", None) or getattr(pl_module, "monitor", LOSS)
        if name is None:  # a task whose last state is its result
            return False
        mode = better(name, getattr(checkpoint, "mode", None))
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/") or k == name}
        new, old = (rank(m.get(name, math.nan), m.get(LOSS, math.inf), mode) for m in (metrics, self.metrics))
        if self.metrics and new <= old:
            return False
        self.metrics, self.epoch = metrics, trainer.current_epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return both attributes as plain data."""
        return {"metrics": dict(self.metrics), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both attributes."""
        self.metrics, self.epoch, self._restored = dict(state["metrics"]), state["epoch"], True
