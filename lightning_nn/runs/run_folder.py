"""A run's folder: logs/MODEL/RUN with config.yaml, checkpoints/, TensorBoard events and results.json."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

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
        checkpoint = checkpoint.absolute()
        run = cls(checkpoint.parent.parent)
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
