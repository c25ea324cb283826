"""A callback that the command loads by `--trainer.callbacks clock.Clock`: when steps began and ended, and memory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_nn.callbacks.run_statistics import peak_memory


class Clock(pl.Callback):
    """Writes down the first step and the last, then ends the process: what follows is not measured.

    Args:
        path: JSON file to write: begin, first (end of the first step), end (of the last), as seconds since 1970;
            peak_mb, the most memory so far; parameters of the model.
        steps: how many.
    """

    def __init__(self, path: str, steps: int = 1) -> None:
        self.path, self.steps = Path(path), steps
        self.times: dict[str, float] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes the first one."""
        self.times.setdefault("begin", time.time())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes the first one and ends with the last."""
        self.times.setdefault("first", time.time())
        if trainer.global_step >= self.steps:
            parameters = sum(parameter.numel() for parameter in pl_module.parameters())
            memory = {"peak_mb": peak_memory() / 2**20, "parameters": parameters}
            figures = {**self.times, "end": time.time(), **memory}
            self.path.write_text(json.dumps(figures), encoding="utf-8")
            os._exit(0)
