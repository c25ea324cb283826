"""Statistics of a run: commands, seconds, samples, the best validation."""

from __future__ import annotations

import platform
import sys
import time
from datetime import datetime
from typing import Any, cast

import pytorch_lightning as pl
import torch

from lightning_nn.callbacks.best_validation import LOSS, BestValidation
from lightning_nn.callbacks.learning_note import learning_note
from lightning_nn.runs.results import commit, versions
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.base import Task


class RunStatistics(pl.Callback):
    """Statistics of a run, for results.json, and a line on standard error if the first epoch learned nothing.

    Args:
        command: the command line that trains now.

    Attributes:
        commands: all command lines of the run, the first one and those that resumed it.
        seconds: time of training, validation included.
        samples: training samples that this process has used, repeats counted.
        best: the best validation.
        monotony: what `Task.monotony` says of it.
    """

    def __init__(self, command: str) -> None:
        self.commands = [command]
        self.seconds = 0.0
        self.samples = 0
        self.best = BestValidation()
        self.monotony: str | None = None
        self._start = 0.0
        self._train_seconds = 0.0
        self._mark = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start both clocks; a resumed run calls no hook at the start of its first epoch."""
        self._start = self._mark = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the steps; after the first epoch, say if it learned nothing."""
        self._mark = time.perf_counter()
        if trainer.current_epoch == 1 and (note := self._note(trainer, pl_module, first=True)):
            pl_module.print(sanitize(note), file=sys.stderr)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count samples."""
        self.samples += batch.size
        now = time.perf_counter()
        self._train_seconds, self._mark = self._train_seconds + now - self._mark, now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the metrics of the best epoch."""
        self._mark = time.perf_counter()  # validation is not training
        if self.best.update(trainer, pl_module):
            self.monotony = cast(Task, pl_module).monotony("val")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self.seconds += time.perf_counter() - self._start
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics so far, for a resumed run."""
        elapsed = time.perf_counter() - self._start if self._start else 0.0
        return {
            "commands": self.commands,
            "seconds": self.seconds + elapsed,
            "train_seconds": self._train_seconds,
            "samples": self.samples,
            "best": self.best.state_dict(),
            "monotony": self.monotony,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the statistics so far."""
        self.commands = [*map(str, state_dict["commands"]), *self.commands]
        self.seconds, self._train_seconds = float(state_dict["seconds"]), float(state_dict["train_seconds"])
        self.samples = int(state_dict["samples"])
        self.best.load_state_dict(state_dict["best"])
        self.monotony = None if state_dict["monotony"] is None else str(state_dict["monotony"])

    def _note(self, trainer: pl.Trainer, model: pl.LightningModule, *, first: bool = False) -> str | None:
        train = [float(value) for name, value in trainer.callback_metrics.items() if name == "train/loss"]
        val = self.best.metrics.get(LOSS)
        return learning_note(cast(Task, model), val, train[0] if train else None, self.monotony, first=first)

    def results(self, trainer: pl.Trainer, model: pl.LightningModule, seed: int) -> dict[str, Any]:
        """Return all of results.json but the test metrics; without validation, the losses of the last epoch."""
        sizes = {split: len(source) for split, source in cast(Any, trainer).datamodule.sources.items()}
        logged = {} if "val" in sizes else trainer.callback_metrics
        trained = {k: float(v) for k, v in logged.items() if k.startswith("train/") and k.count("/") == 1}
        return {
            "commands": self.commands,
            **trained,
            **{name: value for name, value in self.best.metrics.items() if name.startswith("val/")},
            "note": self._note(trainer, model),
            "best_epoch": None if self.best.epoch is None else self.best.epoch + 1,  # counted from 1, as the bar does
            "epochs": trainer.current_epoch,
            "seconds": round(self.seconds, 2),
            "samples_per_second": round(self.samples * trainer.world_size / max(self._train_seconds, 1e-9), 1),
            "peak_memory_mb": round(peak_memory() / 2**20),
            "parameters": sum(p.numel() for p in model.parameters()),
            "sizes": sizes,
            "seed": seed,
            "processes": trainer.world_size,
            "device": device_name(trainer),
            "finished": datetime.now().isoformat(timespec="seconds"),
            "versions": versions(),
            "commit": commit(),
        }


def peak_memory() -> int:
    """Return the most bytes this process has held: on the GPU if it used one, else in memory; 0 on Windows."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_name(trainer: pl.Trainer) -> str:
    """Return the name of the device that the run computed on."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
