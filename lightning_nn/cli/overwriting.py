"""The files that a command reads, none of which it may write.

Files are compared by identity: a link, a hard link, another spelling of a path and another case of a name all mean the
same file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.saved_settings import PATHS

_KEPT = (".ckpt", ".pt", ".pth", ".py", ".safetensors", ".yaml", ".yml")  # suffixes that no output has
_NO_DATA = (".html", ".htm", ".onnx", ".pt2")  # suffixes of outputs that no data set reads

_Identity = tuple[int, int]
_Input = tuple[Path, str, bool]  # a path, what it is, and whether a folder there is training data


class InputFiles:
    """The files that a command reads; the disk is asked for them only if a file to write is there already.

    Args:
        inputs: the paths.
    """

    def __init__(self, inputs: Iterable[_Input] = ()) -> None:
        self._inputs = inputs

    @classmethod
    def of(cls, checkpoint: Checkpoint, imports: Iterable[str], files: Iterable[Path] = ()) -> InputFiles:
        """Name the inputs of a command that uses a checkpoint.

        Args:
            checkpoint: the open file; whatever it says its model was trained on is an input, too.
            imports: modules that --import names.
            files: further inputs.
        """
        return cls(_named(checkpoint, imports, files))

    @cached_property
    def _identities(self) -> tuple[dict[_Identity, str], dict[_Identity, str]]:
        """Look the inputs up: what each of the files is, and each of the folders of training data."""
        files: dict[_Identity, str] = {}
        folders: dict[_Identity, str] = {}
        for path, meaning, is_data in self._inputs:
            if (identity := _identity(path)) is None:
                continue
            if not path.expanduser().is_dir():
                files[identity] = meaning
            elif is_data:
                folders[identity] = meaning
        return files, folders

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
        files, folders = self._identities
        if meaning := files.get(identity):
            raise UserError(f"{option}{which} is {meaning}; name another file")
        for parent in Path(os.path.realpath(out)).parents if folders and out.suffix.lower() not in _NO_DATA else ():
            if meaning := folders.get(_identity(parent) or (0, 0)):
                raise UserError(f"{option}{which} is there already, in the {meaning}; name another file")

    def refuse_folder(self, folder: Path, option: str) -> None:
        """Refuse to write into a folder that holds inputs.

        Raises:
            UserError: see `refuse`.
        """
        if folder.is_dir() and (meaning := self._identities[1].get(_identity(folder) or (0, 0))):
            raise UserError(f"{option} is the {meaning}; name another folder")
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            self.refuse(file, option)


def check_out(out: Path, inputs: InputFiles) -> None:
    """Refuse an output file that can't be written, before anything is computed.

    Raises:
        UserError: it is a folder, its folder does not exist, it is an input, or it is there already and has the suffix
            of weights, settings or code.
    """
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file")
    if not out.parent.is_dir():
        raise UserError(f"can't write --out {out}: no such folder: {out.parent}")
    inputs.refuse(out, f"--out {out}")
    if out.suffix.lower() in _KEPT and out.exists():
        raise UserError(
            f"--out {out} is there already, and no output of this command is a {out.suffix}; name another file"
        )


def check_out_folder(out: Path, inputs: InputFiles) -> None:
    """Refuse an output folder that can't be written, before anything is computed.

    Raises:
        UserError: it is a file, its parent does not exist, or it holds an input or training data.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder, or a file with a suffix")
    if not out.absolute().parent.is_dir():
        raise UserError(f"can't write --out {out}: no such folder: {out.parent}")
    inputs.refuse_folder(out, f"--out {out}")


def _named(checkpoint: Checkpoint, imports: Iterable[str], files: Iterable[Path]) -> Iterator[_Input]:
    for path in files:
        yield path, "an input file", False
    for name in imports:
        file = getattr(sys.modules.get(Path(name).stem), "__file__", None) or name
        yield Path(file), "a file of --import", False
    for name, text in _texts({"data": checkpoint.data_arguments, "model": checkpoint.arguments}):
        for part in filter(None, (text, *text.split(","))):
            yield Path(part), f"training data of {checkpoint.path}", name in PATHS
    is_folder = checkpoint.path.is_dir()
    for path in sorted(checkpoint.path.iterdir()) if is_folder else [checkpoint.path]:
        yield path, "a file of the model" if is_folder else "the checkpoint", False


def _identity(path: Path) -> _Identity | None:
    """Return device and inode of what a path leads to; None if nothing is there."""
    try:
        status = path.expanduser().stat()
    except (OSError, ValueError, RuntimeError):  # a text that is no path
        return None
    return status.st_dev, status.st_ino


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
