"""Duplicate samples, found by the hashes of their contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.loader import Fingerprints


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
    found = order[np.minimum(places, len(known) - 1)]
    return np.where(known[found] == samples, found, -1)


def duplicates(splits: Mapping[str, Fingerprints], place: Callable[[str, int], str]) -> str:
    """Report how many samples of a split also occur in an earlier split, and where the first of them are.

    Args:
        splits: hashes of the samples of each split, in the order train, val, test.
        place: function that names the place of a sample, given split and index.

    Returns:
        One line; "" if there are no duplicates.
    """
    found = "; ".join(_duplicates(splits, place))
    return f"duplicates across splits: {found}" if found else ""


def _duplicates(splits: Mapping[str, Fingerprints], place: Callable[[str, int], str]) -> Iterator[str]:
    for earlier, split in combinations(splits, 2):
        same = matches(splits[split], splits[earlier])
        numbers = np.flatnonzero(same >= 0)
        if len(numbers):
            first = int(numbers[0])
            where = f"{place(split, first)} is {place(earlier, int(same[first]))}"
            yield f"{len(numbers):,} of {len(same):,} {split} samples stand in {earlier} ({where})"
