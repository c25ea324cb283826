"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_nn.errors import UserError


def write_atomically(path: Path, write: Callable[[Any], object]) -> None:
    """Calls `write` with a binary file that replaces `path` only once it is complete and on the disk.

    Raises:
        UserError: the disk is full or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):  # by a process that was killed while writing
            left.unlink(missing_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its zip writer, at times of closing it after the first.
        first: BaseException = error
        while isinstance(first.__context__, OSError | RuntimeError):
            first = first.__context__
        reason = first.strerror if isinstance(first, OSError) and first.strerror else str(first).splitlines()[0]
        kept = "; the one there before is kept" if path.exists() else ""
        raise UserError(
            f"can't write {path}: {reason}{kept}; free space or choose another folder with --folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
