"""Fingerprints of large files, remembered, so that a second start need not read gigabytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from lightning_nn.data.cache import cache_folder, fingerprint

_LARGE = 1 << 26  # bytes; less is read in a tenth of a second
_SETTLED = 2.0  # seconds since the last change; files younger than their clock's tick could change unnoticed


def remembered_fingerprint(paths: list[Path], settings: dict[str, Any]) -> str:
    """`cache.fingerprint`, without reading large files again whose path, size and time of change are as before.

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
        with contextlib.suppress(OSError):  # it is only a shortcut
            memory.parent.mkdir(parents=True, exist_ok=True)
            partial = memory.with_name(f"{name}.{os.getpid()}")
            partial.write_text(key, encoding="ascii")
            partial.replace(memory)
    return key


def _states(paths: list[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of the last change of each file."""
    stats = [(os.path.realpath(path), path.stat()) for path in paths]
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
