"""Splits of samples: what is split off from train where a data set has no val or test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError
from lightning_nn.settings import Group


@dataclass(frozen=True)
class Splits(Group):
    """The splits that are split off from train where the data itself has none.

    Args:
        val: share of all samples to split off for validation if there is no such split; above 0, below 1.
        test: share of all samples to split off for testing if there is no such split; above 0, below 1.
        seed: seed of the random choice, which is the same on every machine; 0 or above.

    Raises:
        UserError: a value is out of its range, or nothing is left to train on.
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if not 0 < share < 1:
                raise UserError(f"--data.splits.{name} is {share}; it must be above 0 and below 1")
        if self.val + self.test >= 1:
            both = f"--data.splits.val + --data.splits.test is {self.val + self.test:g}"
            raise UserError(f"{both}; it must be below 1, or train is empty")
        if self.seed < 0:
            raise UserError(f"--data.splits.seed is {self.seed}; it must be 0 or above")

    @property
    def shares(self) -> dict[str, float]:
        """Share of each split that may be missing, in the order in which they are split off."""
        return {"test": self.test, "val": self.val}


def stratified_split(labels: Index, fraction: float, seed: int) -> tuple[Index, Index]:
    """Split off a stratified split: each class in proportion, at least one sample of each class that has two.

    Args:
        labels: int64 (N,).
        fraction: fraction of the samples to split off, above 0 and below 1.
        seed: of the choice, which is the same on every machine.

    Returns:
        Sample numbers that stay and that are split off, each in ascending order.
    """
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        indices = random.permutation(np.flatnonzero(labels == label))
        chosen.append(indices[: max(1, round(fraction * len(indices))) if len(indices) > 1 else 0])
    second = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), second), second


def complete(
    provided: Mapping[str, Index],
    splits: Splits,
    labels: Index | None = None,
    *,
    name: str,
    only: str | None = None,
) -> tuple[dict[str, Index], list[str]]:
    """Split off missing splits from train, each a fraction of all of it; train keeps what stays.

    Args:
        provided: int64, sample numbers of each split that exists.
        splits: shares of those that don't.
        labels: int64 (N,), class of each sample, to split off each class in proportion; None to ignore classes.
        name: of the data, for errors.
        only: the only split to return, all samples if it is missing; None to return all three.

    Returns:
        Sample numbers of each split in ascending order, and a note on each split that was split off.

    Raises:
        UserError: a split, or a class in train, is left without samples.
    """
    if only is not None:
        return {only: provided[only] if only in provided else np.sort(np.concatenate([*provided.values()]))}, []
    whole, indices = provided["train"], {**provided}
    missing = [split for split in splits.shares if split not in provided]
    if labels is None:
        indices["train"] = np.random.default_rng(splits.seed).permutation(whole)
    for split in missing:
        train, count = indices["train"], splits.shares[split] * len(whole)
        if labels is None:
            chosen = np.arange(len(train)) < max(1, round(count))
        else:
            chosen = np.isin(np.arange(len(train)), stratified_split(labels[train], count / len(train), splits.seed)[1])
        indices[split], indices["train"] = np.sort(train[chosen]), train[~chosen]
    classes = np.unique(labels[whole]) if labels is not None else np.empty(0)
    lost = labels is not None and len(np.unique(labels[indices["train"]])) < len(classes)
    if lost or not all(map(len, indices.values())):
        remedy = "; each class needs at least three" if labels is not None else ""
        raise UserError(f"{name}: {len(whole):,} images are too few to split off {' and '.join(missing)}{remedy}")
    how = ", stratified by class" if labels is not None else ""
    notes = [f"{s} is split off from train: {len(indices[s]):,} of {len(whole):,} images{how}" for s in missing]
    return {split: np.sort(indices[split]) for split in SPLITS}, notes
