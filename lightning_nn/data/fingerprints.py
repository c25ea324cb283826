"""Remembered fingerprints of large files, so that a second start doesn't read gigabytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from lightning_nn.data.cache import cache_folder, fingerprint

_LARGE = 1 << 26  # bytes; smaller data is read in a tenth of a second
_SETTLED = 2.0  # seconds since the last change; within a tick of the file system's clock a change goes unnoticed


def remembered_fingerprint(paths: list[Path], settings: dict[str, Any]) -> str:
    """Compute `cache.fingerprint` without reading large files again if path, size and time of change are unchanged.

    Args:
        paths: files.
        settings: plain data.
    """
    states = _states(paths)
    if sum(size for _, size, _ in states) < _LARGE:
        return fingerprint(paths, settings)
    name = hashlib.blake2b(json.dumps([states, settings]).encode(), digest_size=16).hexdigest()
    memory = cache_folder() / "fingerprints" / name
    with contextlib.suppress(OSError):
        return memory.read_text(encoding="ascii")
    key = fingerprint(paths, settings)
    newest = max(changed for _, _, changed in states) / 1e9
    if newest < time.time() - _SETTLED and _states(paths) == states:
        with contextlib.suppress(OSError):  # only a shortcut: fails silently
            memory.parent.mkdir(parents=True, exist_ok=True)
            partial = memory.with_name(f"{name}.{os.getpid()}")
            partial.write_text(key, encoding="ascii")
            partial.replace(memory)
    return key


def _states(paths: list[Path]) -> list[tuple[str, int, int]]:
    """Return path, size and time of the last change of each file."""
    stats = [(os.path.realpath(path), path.stat()) for path in paths]
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
