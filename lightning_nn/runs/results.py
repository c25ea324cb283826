"""What came of a run: its results.json, and the closing table."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import lightning_nn.compat  # noqa: F401  isort: skip

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from lightning_nn.callbacks.best_validation import BestValidation
from lightning_nn.catalog import MODELS
from lightning_nn.runs.checkpoint import write_atomically
from lightning_nn.runs.run_folder import Run, program, resume_command


class RunStatistics(pl.Callback):
    """Keeps what a run did, for results.json.

    Attributes:
        seconds: spent in training, validation included.
        samples: seen in training by this process.
        best: the best validation.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples = 0
        self.best = BestValidation()
        self._start = 0.0
        self._train_seconds = 0.0
        self._mark = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clocks; a resumed run has no start of its first epoch."""
        self._start = self._mark = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock of the steps."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts samples."""
        self.samples += batch.size
        now = time.perf_counter()
        self._train_seconds, self._mark = self._train_seconds + now - self._mark, now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remembers the metrics of the best epoch."""
        self._mark = time.perf_counter()  # validation is not training
        self.best.update(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock."""
        self.seconds += time.perf_counter() - self._start
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        elapsed = time.perf_counter() - self._start if self._start else 0.0
        return {
            "seconds": self.seconds + elapsed,
            "train_seconds": self._train_seconds,
            "samples": self.samples,
            "best": self.best.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.seconds, self._train_seconds = state_dict["seconds"], state_dict["train_seconds"]
        self.samples = state_dict["samples"]
        self.best.load_state_dict(state_dict["best"])

    def results(self, trainer: pl.Trainer, model: pl.LightningModule, seed: int) -> dict[str, Any]:
        """Everything but the metrics of the test."""
        return {
            **{name: value for name, value in self.best.metrics.items() if name.startswith("val/")},
            "best_epoch": None if self.best.epoch is None else self.best.epoch + 1,  # counted as the bar does
            "epochs": trainer.current_epoch,
            "seconds": round(self.seconds, 2),
            "samples_per_second": round(self.samples * trainer.world_size / max(self._train_seconds, 1e-9), 1),
            "peak_memory_mb": round(peak_memory() / 2**20),
            "parameters": sum(p.numel() for p in model.parameters()),
            "sizes": {split: len(source) for split, source in cast(Any, trainer).datamodule.sources.items()},
            "seed": seed,
            "processes": trainer.world_size,
            "device": device_name(trainer),
            "finished": datetime.now().isoformat(timespec="seconds"),
            "versions": versions(),
            "commit": commit(),
        }


def save_results(path: Path, results: dict[str, Any], *, trained: bool = False) -> None:
    """Writes results.json whole; what it held before and is not in `results` stays.

    Args:
        path: the file.
        results: what to write.
        trained: the model has changed, so figures of a test there was are of another one: they go.
    """
    try:
        old = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError):
        print(f"{path} could not be read; it is written anew", file=sys.stderr)
        old = {}
    kept = {key: value for key, value in old.items() if not (trained and key.startswith("test/"))}
    text = json.dumps({**kept, **results}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def peak_memory() -> int:
    """Most bytes this process has held: on the GPU if it used one, else in memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_name(trainer: pl.Trainer) -> str:
    """What the run computed on."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("lightning-nn", "torch", "pytorch-lightning", "torchmetrics", "jieba", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of a checkout, with a plus if it was changed; None for an installed package."""
    package = Path(__file__).parent.parent
    try:
        # An environment may lie inside somebody else's repository.
        tracked = ["git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        ask = ["git", "-C", str(package), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def show_results(run: Run, results: dict[str, Any], model: str, more: str) -> None:
    """Prints the closing table and the commands that come next.

    Args:
        run: where it is kept.
        results: what is in its results.json.
        model: the model's name.
        more: the option that lets the run go on.
    """
    table = Table(title=None, show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in results.items():
        if "/" in key or key in ("best_epoch", "seconds", "samples_per_second", "peak_memory_mb", "parameters"):
            text = _figure(value) if "/" in key else f"{value:,}" if isinstance(value, int | float) else str(value)
            table.add_row(key, text)
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False, markup=False)
    console.print(table)
    print(f"\nrun       {run.folder}")
    print(f"look      tensorboard --logdir {shlex.quote(str(run.folder))}")
    if run.last.is_file():
        print(f"go on     {resume_command(run, model)} {more}")
    if run.best.is_file():
        ask = '--data.text "……"' if MODELS[model].reads == "text" else "--data.file PICTURE"
        print(f"ask       {program()} predict --ckpt_path {shlex.quote(str(run.best))} {ask}")


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.4g}"
