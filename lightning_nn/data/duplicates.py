"""Duplicate samples, found by the hashes of their contents: between splits, and between a test and an earlier training.

The hashes of the training samples of a run are stored in the cache under the digest of their split, which is all that
a checkpoint holds of them. A later test finds the hashes by it, if it uses the same cache.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.cache import cache_folder
from lightning_nn.data.loader import Fingerprints, Source
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically

_CHECKSUM = 8  # bytes at the end of a file
_DIGEST = re.compile("[0-9a-f]{32}")


def matches(samples: Fingerprints, known: Fingerprints) -> Index:
    """Find each sample among known ones.

    Args:
        samples: uint64 (N,), hash of each sample.
        known: uint64 (M,), hash of each known sample.

    Returns:
        int64 (N,), the index of the first known sample with the same contents; -1 if there is none.
    """
    if len(known) == 0:
        return np.full(len(samples), -1)
    order = np.argsort(known, kind="stable")
    places = np.searchsorted(known, samples, sorter=order)
    nearest = order[np.minimum(places, len(known) - 1)]
    return np.where(known[nearest] == samples, nearest, -1)


def duplicates(splits: Mapping[str, Fingerprints], place: Callable[[str, int], str]) -> str:
    """Report how many samples of a split also occur in an earlier split, and where the first of them are.

    Args:
        splits: hashes of the samples of each split, in the order train, val, test.
        place: function that names the place of a sample, given split and index.

    Returns:
        One line; "" if there are no duplicates.
    """
    examples = "; ".join(_duplicates(splits, place))
    return f"duplicates across splits: {examples}" if examples else ""


def _duplicates(splits: Mapping[str, Fingerprints], place: Callable[[str, int], str]) -> Iterator[str]:
    for earlier, split in combinations(splits, 2):
        same = matches(splits[split], splits[earlier])
        numbers = np.flatnonzero(same >= 0)
        if len(numbers):
            first = int(numbers[0])
            where = f"{place(split, first)} is {place(earlier, int(same[first]))}"
            yield f"{len(numbers):,} of {len(same):,} {split} samples stand in {earlier} ({where})"


@runtime_checkable
class Normalizing(Protocol):
    """A source whose samples may be equal but for what does not matter, such as case and punctuation."""

    def normalized_fingerprints(self) -> Fingerprints:
        """Return a hash of what matters of each sample, uint64 (N,)."""
        ...


def normalized_fingerprints(source: Source) -> Fingerprints:
    """Return a hash of what matters of each sample, uint64 (N,): the words of a text, the pixels of a resized image."""
    return source.normalized_fingerprints() if isinstance(source, Normalizing) else source.fingerprints()


def copies(contents: Fingerprints) -> list[Index]:
    """Group samples with equal contents: the numbers of each group of two or more, the first sample's group first.

    Args:
        contents: uint64 (N,), hash of each sample.
    """
    order = np.argsort(contents, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(contents[order])) + 1)
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def remember_trained(digest: str, fingerprints: Fingerprints) -> None:
    """Store the hashes of a train split; a cache that can't be written is ignored, since training can go ahead.

    Args:
        digest: digest of the split.
        fingerprints: uint64 (N,), hash of each sample.
    """
    if recall_trained(digest) is None:
        hashes = np.unique(fingerprints).astype("<u8").tobytes()
        with suppress(UserError):
            write_atomically(_file(digest), lambda stream: stream.write(hashes + _checksum(hashes)))


def recall_trained(digest: object) -> Fingerprints | None:
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
