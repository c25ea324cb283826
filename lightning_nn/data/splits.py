"""Splits of labeled samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse fractions of the samples that can't be split off as val and test.

    Raises:
        UserError: names the argument and its value.
    """
    for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}; it must be above 0 and below 1")
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction + test_fraction is {val_fraction + test_fraction:g}; must be below 1, or train is empty"
        )


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
    splits: Mapping[str, Index],
    fractions: Mapping[str, float],
    seed: int,
    labels: Index | None = None,
    *,
    name: str,
    only: str | None = None,
) -> tuple[dict[str, Index], list[str]]:
    """Split off missing splits from train, each a fraction of all of it; train keeps what stays.

    Args:
        splits: int64, sample numbers of each split that exists.
        fractions: fraction of each split that may be missing, in the order in which they are split off.
        seed: of the choice, which is the same on every machine.
        labels: int64 (N,), class of each sample, to split off each class in proportion; None to ignore classes.
        name: of the data, for errors.
        only: the only split to return, all samples if it is missing; None to return all three.

    Returns:
        Sample numbers of each split in ascending order, and a note on each split that was split off.

    Raises:
        UserError: a split, or a class in train, is left without samples.
    """
    if only is not None:
        return {only: splits[only] if only in splits else np.sort(np.concatenate([*splits.values()]))}, []
    whole, missing, indices = splits["train"], [split for split in fractions if split not in splits], {**splits}
    if labels is None:
        indices["train"] = np.random.default_rng(seed).permutation(whole)
    for split in missing:
        train, count = indices["train"], fractions[split] * len(whole)
        if labels is None:
            chosen = np.arange(len(train)) < max(1, round(count))
        else:
            chosen = np.isin(np.arange(len(train)), stratified_split(labels[train], count / len(train), seed)[1])
        indices[split], indices["train"] = np.sort(train[chosen]), train[~chosen]
    classes = np.unique(labels[whole]) if labels is not None else np.empty(0)
    lost = labels is not None and len(np.unique(labels[indices["train"]])) < len(classes)
    if lost or not all(map(len, indices.values())):
        each = "; each class needs at least three" if labels is not None else ""
        raise UserError(f"{name}: {len(whole):,} images are too few to split off {' and '.join(missing)}{each}")
    how = ", stratified by class" if labels is not None else ""
    notes = [f"{s} is split off from train: {len(indices[s]):,} of {len(whole):,} images{how}" for s in missing]
    return {split: np.sort(indices[split]) for split in SPLITS}, notes
