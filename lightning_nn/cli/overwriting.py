"""The files that a command reads, none of which it may write.

Files are compared by identity: a link, a hard link, another spelling of a path and another case of a name all mean the
same file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.saved_settings import PATHS

_NO_DATA = (".html", ".htm", ".onnx", ".pt2")  # suffixes of outputs that no data set reads

_Identity = tuple[int, int]


class InputFiles:
    """The files that a command reads."""

    def __init__(self) -> None:
        self._files: dict[_Identity, str] = {}
        self._folders: dict[_Identity, str] = {}

    @classmethod
    def of(cls, checkpoint: Checkpoint, imports: Iterable[str], files: Iterable[Path] = ()) -> InputFiles:
        """Collect the inputs of a command that uses a checkpoint.

        Args:
            checkpoint: the open file; whatever it says its model was trained on is an input, too.
            imports: modules that --import names.
            files: further inputs.
        """
        inputs = cls()
        for path in files:
            inputs._add(path, "an input file")
        for name in imports:
            inputs._add(Path(getattr(sys.modules.get(Path(name).stem), "__file__", None) or name), "a file of --import")
        for name, text in _texts({"data": checkpoint.data_arguments, "model": checkpoint.arguments}):
            for part in (text, *text.split(",")):
                inputs._add(Path(part), f"training data of {checkpoint.path}", is_data=name in PATHS)
        inputs._add(checkpoint.path, "the checkpoint")
        return inputs

    def _add(self, path: Path, what: str, *, is_data: bool = False) -> None:
        identity = _identity(path)
        if identity is None:
            return
        if not path.expanduser().is_dir():
            self._files[identity] = what
        elif is_data:
            self._folders[identity] = what

    def refuse(self, out: Path, option: str) -> None:
        """Refuse a file to write if it is an input.

        Args:
            out: the file, which need not exist.
            option: the option that names it, with its value.

        Raises:
            UserError: it is an input, or is one of the files in a folder of training data.
        """
        if (identity := _identity(out)) is None:
            return
        which = "" if option.endswith(str(out)) else f" writes {out}, which"
        if what := self._files.get(identity):
            raise UserError(f"{option}{which} is {what}; name another file")
        for parent in Path(os.path.realpath(out)).parents if out.suffix.lower() not in _NO_DATA else ():
            if what := self._folders.get(_identity(parent) or (0, 0)):
                raise UserError(f"{option}{which} is there already, in the {what}; name another file")

    def refuse_folder(self, folder: Path, option: str) -> None:
        """Refuse to write into a folder that holds inputs.

        Raises:
            UserError: see `refuse`.
        """
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            self.refuse(file, option)


def check_out(out: Path, inputs: InputFiles) -> None:
    """Refuse an output file that can't be written, before anything is computed.

    Raises:
        UserError: it is a folder, its folder does not exist, or it is an input.
    """
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file")
    if not out.parent.is_dir():
        raise UserError(f"can't write --out {out}: no such folder: {out.parent}")
    inputs.refuse(out, f"--out {out}")


def _identity(path: Path) -> _Identity | None:
    """Return device and inode of what a path leads to; None if nothing is there."""
    try:
        found = path.expanduser().stat()
    except (OSError, ValueError, RuntimeError):  # a text that is no path
        return None
    return found.st_dev, found.st_ino


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts in nested settings, each with its dotted name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, name)
