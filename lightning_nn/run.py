"""A run's folder: logs/MODEL/RUN with config.yaml, checkpoints/, TensorBoard events and results.json."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
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

from lightning_nn.callbacks.best import BestValidation
from lightning_nn.catalog import MODELS
from lightning_nn.checkpoint import write_whole
from lightning_nn.errors import UserError


class Run:
    """Where a run is kept.

    Args:
        folder: logs/MODEL/RUN.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def checkpoints(self) -> Path:
        """Folder of last.ckpt and best.ckpt."""
        return self.folder / "checkpoints"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def best(self) -> Path:
        """The best checkpoint by validation."""
        return self.checkpoints / "best.ckpt"

    @property
    def config(self) -> Path:
        """All settings of the run."""
        return self.folder / "config.yaml"

    @property
    def results(self) -> Path:
        """What came of it."""
        return self.folder / "results.json"

    @classmethod
    def new(cls, logs: str, model: str, name: str | None) -> Run:
        """A folder for a new run, the same on every process of it; made once something is written.

        Args:
            logs: folder of all runs.
            model: the model's name.
            name: of the run; None for the time.

        Raises:
            UserError: the folder holds a run already, or can't be written.
        """
        chosen = name or datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = Path(logs) / model / chosen
        count = 1
        if not is_first_process():
            folder = folder.with_name(os.environ.get("LIGHTNING_NN_RUN", chosen))
        else:
            if (folder / "checkpoints").exists() and name is not None:
                raise UserError(
                    f"{folder} holds a run already: choose another --name, or go on with it: "
                    f"--ckpt_path {folder / 'checkpoints' / 'last.ckpt'}"
                )
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                while not _made(folder) and name is None:
                    count += 1
                    folder = folder.with_name(f"{chosen}-{count}")
                os.environ["LIGHTNING_NN_RUN"] = folder.name
                probe = folder / ".writable"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise UserError(
                    f"can't write to {folder}: {error.strerror}; choose another folder with --folder"
                ) from None
        return cls(folder)

    def discard(self) -> None:
        """Removes the folder of a run that keeps nothing."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    @classmethod
    def of(cls, checkpoint: Path) -> Run | None:
        """The run that a checkpoint belongs to, None if it lies elsewhere."""
        run = cls(checkpoint.absolute().parent.parent)
        if checkpoint.parent.name != "checkpoints" or not run.config.is_file():
            return None
        with contextlib.suppress(ValueError):
            run.folder = run.folder.relative_to(Path.cwd())
        return run


def _made(folder: Path) -> bool:
    """Makes a folder; False if it was there."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def is_first_process() -> bool:
    """Whether this process is the one that writes: rank 0, before there are ranks and after."""
    return all(
        int(os.environ.get(name, "0")) == 0
        for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    )


def find_checkpoint(logs: str, model: str | None, which: str) -> Path:
    """The file that `last`, `best` or a path means.

    Args:
        logs: folder of all runs.
        model: look among its runs; None for all.
        which: last, best (of the newest run that has one) or a file.

    Raises:
        UserError: there is no such run.
    """
    if which not in ("last", "best"):
        return Path(which)
    found = list(Path(logs).glob(f"{model or '*'}/*/checkpoints/{which}.ckpt"))
    if not found:
        where = Path(logs) / (model or "")
        raise UserError(f"no run with a {which}.ckpt in {where}; train one first: train.py --model {model or 'NAME'}")
    return max(found, key=lambda path: path.stat().st_mtime)


class Record(pl.Callback):
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
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = {key: value for key, value in old.items() if not (trained and key.startswith("test/"))}
    text = json.dumps({**kept, **results}, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


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
    here = Path(__file__).parent
    try:
        ask = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
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


def resume_command(run: Run, model: str) -> str:
    """The command that goes on with a run."""
    return f"{program()} --model {model} --ckpt_path {shlex.quote(str(run.last))}"


def program() -> str:
    """How the command was called: `lightning-nn` where it is installed, else `python train.py`, from anywhere."""
    called = Path(sys.argv[0])
    if called.name.startswith("lightning-nn"):
        return called.name
    elsewhere = called.name == "train.py" and called.absolute().parent != Path.cwd()
    return f"python {shlex.quote(str(called) if elsewhere else 'train.py')}"
