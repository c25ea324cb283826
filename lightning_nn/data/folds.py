"""Folds of a training split: each is held out once, and a model is trained on all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lightning_nn.data.batches import Batch, Index
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.loader import Fingerprints, LabeledSource


class Subset:
    """Some samples of a source, numbered from 0.

    Args:
        source: the source.
        indices: int64 (N,), numbers of the samples in it.
    """

    def __init__(self, source: LabeledSource, indices: Index) -> None:
        self.source, self.indices = source, indices
        self.labels: Index = source.labels[indices]
        self.lengths: Index | None = None if source.lengths is None else source.lengths[indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> Batch:
        batch: Any = self.source[self.indices[index]]
        return batch._replace(index=torch.from_numpy(index))

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the contents of each sample, uint64 (N,)."""
        return self.source.fingerprints()[self.indices]


def fold_numbers(labels: Index, contents: Fingerprints, folds: int, seed: int) -> Index:
    """Assign samples to folds at random, each class in proportion; samples of equal contents share a fold.

    A copy of a held-out sample in the training of its fold would give away the label, right or wrong.

    Args:
        labels: int64 (N,), class of each sample.
        contents: uint64 (N,), hash of each sample.
        folds: number of folds.
        seed: of the assignment.

    Returns:
        int64 (N,), 0 to folds - 1.
    """
    distinct, first, copies = np.unique(contents, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(distinct))
    order = order[np.argsort(labels[first[order]], kind="stable")]
    numbers = np.empty(len(distinct), np.int64)
    numbers[order] = np.arange(len(distinct)) % folds
    return numbers[copies]


def held_out(data: LabeledDataModule, numbers: Index) -> Iterator[tuple[Index, LabeledDataModule]]:
    """Yield for each fold its samples of train, and the data with them as test and all others as train.

    Args:
        data: the prepared data, with a train split; its val split, if any, stays the same in all folds.
        numbers: int64 (N,), fold of each sample of train.
    """
    train: Any = data.sources["train"]
    for fold in range(int(numbers.max()) + 1):
        inside, outside = np.flatnonzero(numbers == fold), np.flatnonzero(numbers != fold)
        splits = {**data.sources, "train": Subset(train, outside), "test": Subset(train, inside)}
        yield inside, data.with_sources(splits)
