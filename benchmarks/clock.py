"""Callback for `--trainer.callbacks clock.Clock` that records times of steps and memory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_nn.callbacks.statistics import peak_memory


class Clock(pl.Callback):
    """Callback that records the first and last step, then ends the process: what follows is not measured.

    Args:
        path: JSON file to write: begin, first (end of the first step), end (of the last), in seconds since 1970;
            peak_mb, peak memory so far; parameters, the number of the model's.
        steps: number of steps.
    """

    def __init__(self, path: str, steps: int = 1) -> None:
        self.path, self.steps = Path(path), steps
        self.times: dict[str, float] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the beginning of the first step."""
        self.times.setdefault("begin", time.time())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the end of the first step, and end the process after the last one."""
        self.times.setdefault("first", time.time())
        if trainer.global_step >= self.steps:
            parameters = sum(parameter.numel() for parameter in pl_module.parameters())
            memory = {"peak_mb": peak_memory() / 2**20, "parameters": parameters}
            figures = {**self.times, "end": time.time(), **memory}
            self.path.write_text(json.dumps(figures), encoding="utf-8")
            os._exit(0)
