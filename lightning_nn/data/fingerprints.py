"""Remembered fingerprints of large files, so that a second start need not read gigabytes.

A file counts as unchanged if its path, inode, size, modification time, inode change time (which can't be set by hand)
and, from 1 MB, 64 blocks of its contents are as before. A change goes unnoticed only if it lies between these blocks,
the file system keeps no inode change time (Windows, some network shares) and the modification time was set back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.data.cache import cache_folder, fingerprint
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text

_KEY = re.compile("[0-9a-f]{32}")
_LARGE = 1 << 26  # bytes; anything smaller is read in a tenth of a second
_SETTLED = 2.0  # seconds since the last change; within a tick of the clock a file could change unnoticed
_SAMPLES = 64  # blocks per file that are compared
_BLOCK = 4096  # bytes per block
_SAMPLED = 1 << 20  # bytes from which blocks are compared; many small files are read as fast as sampled


class _State(NamedTuple):
    path: str
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int
    samples: str


def remembered_fingerprint(paths: list[Path], settings: dict[str, Any]) -> str:
    """Return `cache.fingerprint`, without reading large unchanged files again.

    Args:
        paths: files.
        settings: plain data.
    """
    if sum(path.stat().st_size for path in paths) < _LARGE:
        return fingerprint(paths, settings)
    states = [_state(path) for path in paths]
    name = hashlib.blake2b(json.dumps([states, settings]).encode(), digest_size=16).hexdigest()
    memory = cache_folder() / "fingerprints" / name
    with contextlib.suppress(OSError, UnicodeError):
        if _KEY.fullmatch(known := memory.read_text(encoding="ascii")):
            return known
    key = fingerprint(paths, settings)
    now = time.time()
    settled = all(max(state.modified, state.changed) / 1e9 < now - _SETTLED for state in states)
    if settled and [_state(path) for path in paths] == states:
        with contextlib.suppress(UserError):  # the memory only saves time
            write_text(memory, key)
    return key


def _state(path: Path) -> _State:
    stat = path.stat()
    samples = _samples(path, stat.st_size) if stat.st_size >= _SAMPLED else ""
    real = os.path.realpath(path)
    return _State(real, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, samples)


def _samples(path: Path, size: int) -> str:
    """Hash blocks spread evenly over the file, including the first and the last."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * (size - _BLOCK) // (_SAMPLES - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
