"""Statistics of a run: commands, seconds, samples, the best validation, and a note if it learns nothing."""

from __future__ import annotations

import math
import platform
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch

from lightning_nn.runs.comparison import better
from lightning_nn.runs.run_folder import commit, versions
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.task import Task

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


class BestValidation(pl.Callback):
    """The best validation so far, chosen by the best checkpoint's monitor, else by the model's.

    Attributes:
        metrics: values by name; empty before the first validation.
        epoch: its epoch, counted from 0; None before the first validation.
        monotony: what `Task.monotony` says of it.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.epoch: int | None = None
        self.monotony: str | None = None
        self._restored = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the metrics of the validation that has just ended if it is the best."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.global_step:
            return  # before the first step there is no best checkpoint
        checkpoint = trainer.checkpoint_callback
        folder = getattr(checkpoint, "dirpath", None)
        if self._restored and folder is not None and not Path(folder, "best.ckpt").is_file():
            self.metrics, self.epoch = {}, None  # a new run from an old checkpoint: its best.ckpt is elsewhere
        self._restored = False
        name = getattr(checkpoint, "monitor", None) or getattr(pl_module, "monitor", LOSS)
        if name is None:  # a task whose last state is its result
            return
        mode = better(name, getattr(checkpoint, "mode", None))
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/") or k == name}
        new, old = (rank(m.get(name, math.nan), m.get(LOSS, math.inf), mode) for m in (metrics, self.metrics))
        if not self.metrics or new > old:
            self.metrics, self.epoch = metrics, trainer.current_epoch
            self.monotony = cast(Task, pl_module).monotony("val")

    def state_dict(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return {"metrics": dict(self.metrics), "epoch": self.epoch, "monotony": self.monotony}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the attributes."""
        self.metrics, self.epoch, self._restored = dict(state_dict["metrics"]), state_dict["epoch"], True
        self.monotony = None if state_dict["monotony"] is None else str(state_dict["monotony"])


class RunStatistics(pl.Callback):
    """Statistics of a run, for results.json, and a line on standard error if the first epoch learned nothing.

    Args:
        command: the command line that trains now.
        best: the callback that keeps the best validation.

    Attributes:
        commands: all command lines of the run, the first one and those that resumed it.
        seconds: time of training, validation included.
        samples: training samples that this process has used, repeats counted.
    """

    def __init__(self, command: str, best: BestValidation) -> None:
        self.commands = [command]
        self.seconds = 0.0
        self.samples = 0
        self.best = best
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
        """Start the clock of the steps again: validation is not training."""
        self._mark = time.perf_counter()

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
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the statistics so far."""
        self.commands = [*map(str, state_dict["commands"]), *self.commands]
        self.seconds, self._train_seconds = float(state_dict["seconds"]), float(state_dict["train_seconds"])
        self.samples = int(state_dict["samples"])

    def _note(self, trainer: pl.Trainer, model: pl.LightningModule, *, first: bool = False) -> str | None:
        train = [float(value) for name, value in trainer.callback_metrics.items() if name == "train/loss"]
        val = self.best.metrics.get(LOSS)
        return learning_note(cast(Task, model), val, train[0] if train else None, self.best.monotony, first=first)

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


_NEAR = 0.99  # share of the loss of guessing from which on a loss counts as such


def learning_note(
    task: Task, val: float | None, train: float | None, monotony: str | None, *, first: bool = False
) -> str | None:
    """Return a line that names what a run fails to learn, with the remedy; None if there is nothing to say.

    Args:
        task: the trained model.
        val: loss of the best validation; None without validation.
        train: loss of the newest epoch over the training samples; None if it is not known.
        monotony: clause about the best validation, of `Task.monotony`.
        first: whether this is said after the first epoch, when a loss that one of the splits is spared counts as
            learning.
    """
    guess, losses = task.guessing_loss(), [loss for loss in (val, train) if loss is not None]
    facts, by_heart = [monotony] if monotony else [], False
    if guess and losses and (min(losses) if first else losses[0]) >= _NEAR * guess:
        name, loss = ("train/loss", losses[0]) if val is None else ("val/loss", val)
        facts.insert(0, f"{name} is {loss:.3g}, no lower than by guessing ({guess:.3g})")
        by_heart = not monotony and min(losses) < _NEAR * guess
    if not facts:
        return None
    said = " and ".join(facts)
    if by_heart:
        return f"{said}, but train/loss is {train:.3g}: train for fewer epochs, on more samples, or with weight decay"
    remedy = task.learning_remedy()
    return f"after the first epoch {said}; if it stays so, {remedy}" if first else f"{said}: {remedy}"
