"""A run's folder: logs/MODEL/RUN with config.yaml, checkpoints/, TensorBoard events and results.json.

Only one process at a time trains in a folder: it holds a lock on the file `.lock`, which the system releases when the
process ends, however it ends. So the name of a run that crashed before its first checkpoint is free again, and the name
of a run that still trains is not.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text

TESTS = "tests"  # folder of a run with its further tests, whose results are not those of a run


class Run:
    """Folder of a run and its files.

    Args:
        folder: logs/MODEL/RUN.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None

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
    def pictures(self) -> list[Path]:
        """Pictures that the run has made, if its model makes any: picture.png, picture-2.png, ..., picture-10.png."""
        return sorted(self.folder.glob("picture*.png"), key=lambda file: (len(file.name), file.name))

    @property
    def results(self) -> Path:
        """Results of the run."""
        return self.folder / "results.json"

    @property
    def samples(self) -> Path:
        """Table of the test, a row for each sample."""
        return self.folder / "predictions.csv"

    @property
    def mistakes(self) -> Path:
        """Page of the most confident mistakes of the test."""
        return self.folder / "mistakes.html"

    @property
    def report(self) -> Path:
        """Page that shows all of the run, or of a test."""
        return self.folder / "report.html"

    def new_test(self) -> Run:
        """Return a folder for a further test of a checkpoint, tests/TIME, which is not made yet."""
        first = self.folder / TESTS / datetime.now().strftime("%Y%m%d-%H%M%S")
        folder, count = first, 1
        while folder.exists():
            count += 1
            folder = first.with_name(f"{first.name}-{count}")
        return Run(folder)

    @classmethod
    def new(cls, logs: str, model: str, name: str | None) -> Run:
        """Make a folder for a new run and claim it.

        Args:
            logs: folder of all runs.
            model: name of the model.
            name: name of the run; None for the present time.

        Raises:
            UserError: the name is no single folder, the folder holds a run already, another process trains in it, or
                it can't be written.
        """
        if name is not None and (Path(name).name != name or name == ".." or "\\" in name):
            raise UserError(f"--name {name}: a name is one folder, without / or \\; --folder chooses its parent")
        chosen = name or datetime.now().strftime("%Y%m%d-%H%M%S")
        run = cls(Path(logs) / model / chosen)
        if name is not None:
            run._make()
            run.claim()
            if run.is_begun:
                raise UserError(
                    f"{run.folder} holds a run already: choose another --name, or resume it: --ckpt_path {run.last}"
                )
        else:
            count = 1
            while not run._make():
                count += 1
                run.folder = run.folder.with_name(f"{chosen}-{count}")
            run.claim()
        return run

    @property
    def is_begun(self) -> bool:
        """True if the folder holds anything that a second run would overwrite."""
        return self.results.exists() or any(self.checkpoints.glob("*.ckpt"))

    def claim(self) -> None:
        """Keep other processes from training in this folder, until this process ends or this object is deleted.

        Only the main process of a run claims the folder.

        Raises:
            UserError: another process trains in it, or it can't be written.
        """
        if not is_first_process():
            return
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"another process is training in {self.folder}: wait for it, or choose another --name"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from None
        self._lock = lock

    def _make(self) -> bool:
        """Make the folder; return False if it exists already."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir()
        except FileExistsError as error:
            if not self.folder.is_dir():
                raise self._unwritable(error) from None
            return False
        except OSError as error:
            raise self._unwritable(error) from None
        return True

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"can't write to {self.folder}: {error.strerror}; choose another folder with --folder")

    def release(self) -> None:
        """Let other processes train in this folder."""
        if self._lock is not None:
            self._lock.release()

    def discard(self) -> None:
        """Remove the folder of a run that saved nothing."""
        self.release()
        with contextlib.suppress(OSError):
            (self.folder / ".lock").unlink(missing_ok=True)
            self.folder.rmdir()

    def remove(self) -> None:
        """Remove the folder with everything in it.

        Raises:
            UserError: it is no run's folder, another process trains in it, or it can't be removed.
        """
        if not self.config.is_file():
            raise UserError(f"{self.folder} is no run: it has no {self.config.name}")
        self.claim()
        self.release()
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise UserError(f"can't remove {self.folder}: {error.strerror or error}") from None

    @classmethod
    def of(cls, checkpoint: Path) -> Run | None:
        """Return the run that a checkpoint belongs to; None if it lies outside a run's folder."""
        checkpoint = checkpoint.absolute()
        run = cls(checkpoint.parent.parent)
        if checkpoint.parent.name != "checkpoints" or not run.config.is_file():
            return None
        with contextlib.suppress(ValueError):
            run.folder = run.folder.relative_to(Path.cwd())
        return run


def is_first_process() -> bool:
    """Return whether this is the main process, which writes: rank 0, also before Lightning assigns ranks."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    values = [os.environ.get(name, "") for name in names]
    return not any(value.isdecimal() and int(value) > 0 for value in values)


def save_results(path: Path, results: dict[str, Any], *, trained: bool = False) -> None:
    """Update results.json, written whole or not at all; earlier values that are not in `results` stay.

    Args:
        path: the file.
        results: values by name.
        trained: remove earlier test metrics, because the model has been trained further since.
    """
    old = load_results(path)
    if not old and path.is_file():
        print(f"{path} could not be read and is replaced", file=sys.stderr)
    kept = {key: value for key, value in old.items() if not (trained and key.startswith("test/"))}
    text = json.dumps({**kept, **results}, indent=2, ensure_ascii=False) + "\n"
    write_text(path, text)


def load_results(path: Path) -> dict[str, Any]:
    """Load results.json; empty if there is none, or if it can't be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    names = ("lightning-nn", "torch", "pytorch-lightning", "torchmetrics", "jieba", "numpy")
    installed = {"python": platform.python_version()}
    for name in names:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """Return the commit of a checkout, with a plus if files were changed; None for an installed package."""
    package = Path(__file__).parent.parent
    try:
        # An environment may lie inside somebody else's repository.
        tracked = ["git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        describe = ["git", "-C", str(package), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
