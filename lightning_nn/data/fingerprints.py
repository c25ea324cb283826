"""Fingerprints of large files, remembered, so that a second start need not read gigabytes.

A file counts as unchanged if its path, inode, size, both times of its last change (that of the inode can't be set by
hand) and, from 1 MB, 64 blocks of its contents are as before. What stays unseen: contents changed between these blocks
where the file system keeps no time of the inode (Windows, some network shares) and the other time was set back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.data.cache import cache_folder, fingerprint
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_text

_LARGE = 1 << 26  # bytes; less is read in a tenth of a second
_SETTLED = 2.0  # seconds since the last change; files younger than their clock's tick could change unnoticed
_SAMPLES = 64  # places of a file whose contents are compared
_BLOCK = 4096  # bytes of each
_SAMPLED = 1 << 20  # bytes from which contents are compared; a folder of many small files is read as fast as sampled


class _State(NamedTuple):
    path: str
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int
    samples: str


def remembered_fingerprint(paths: list[Path], settings: dict[str, Any]) -> str:
    """`cache.fingerprint`, without reading large files again that are as before.

    Args:
        paths: files.
        settings: plain data.
    """
    if sum(path.stat().st_size for path in paths) < _LARGE:
        return fingerprint(paths, settings)
    states = [_state(path) for path in paths]
    name = hashlib.blake2b(json.dumps([states, settings]).encode(), digest_size=16).hexdigest()
    memory = cache_folder() / "fingerprints" / name
    with contextlib.suppress(OSError):
        return memory.read_text(encoding="ascii")
    key = fingerprint(paths, settings)
    now = time.time()
    settled = all(max(state.modified, state.changed) / 1e9 < now - _SETTLED for state in states)
    if settled and [_state(path) for path in paths] == states:
        with contextlib.suppress(UserError):  # it is only a shortcut
            write_text(memory, key)
    return key


def _state(path: Path) -> _State:
    stat = path.stat()
    samples = _samples(path, stat.st_size) if stat.st_size >= _SAMPLED else ""
    real = os.path.realpath(path)
    return _State(real, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, samples)


def _samples(path: Path, size: int) -> str:
    """A digest of blocks spread over the file, the first and the last among them."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * (size - _BLOCK) // (_SAMPLES - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
