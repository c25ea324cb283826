"""Hashes of the training samples of earlier runs, stored in the cache under the digest of their train split.

A checkpoint holds only that digest. A later test finds the hashes by it, if it uses the same cache.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from lightning_nn.data.cache import cache_folder
from lightning_nn.data.loader import Fingerprints
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically

_CHECKSUM = 8  # bytes at the end of a file
_DIGEST = re.compile("[0-9a-f]{32}")


def keep(digest: str, fingerprints: Fingerprints) -> None:
    """Store the hashes of a train split; a cache that can't be written is ignored, since training can go ahead.

    Args:
        digest: digest of the split.
        fingerprints: uint64 (N,), hash of each sample.
    """
    if recall(digest) is None:
        hashes = np.unique(fingerprints).astype("<u8").tobytes()
        with suppress(UserError):
            write_atomically(_file(digest), lambda stream: stream.write(hashes + _checksum(hashes)))


def recall(digest: object) -> Fingerprints | None:
    """Return the hashes of a train split, uint64, sorted; None if they are not in this cache, or damaged.

    Args:
        digest: value from a checkpoint, not validated.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    try:
        content = _file(digest).read_bytes()
    except OSError:
        return None
    hashes, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
    return np.frombuffer(hashes, "<u8").astype(np.uint64) if checksum == _checksum(hashes) else None


def _checksum(hashes: bytes) -> bytes:
    return hashlib.blake2b(hashes, digest_size=_CHECKSUM).digest()


def _file(digest: str) -> Path:
    return cache_folder() / "trained" / digest
