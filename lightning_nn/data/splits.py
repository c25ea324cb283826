"""Splits of labeled samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lightning_nn.data.batches import Index
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


def split_off(train: Index, fractions: Mapping[str, float], seed: int) -> dict[str, Index]:
    """Split off splits from train at random, each a fraction of it, at least one sample.

    Args:
        train: int64 (N,), sample numbers.
        fractions: fraction of each split, in the order in which they are split off.
        seed: of the choice, which is the same on every machine.

    Returns:
        Sample numbers of each split and of what stays of train, each in ascending order.

    Raises:
        UserError: nothing stays.
    """
    order, found = np.random.default_rng(seed).permutation(train), {}
    for split, fraction in fractions.items():
        count = max(1, round(fraction * len(train)))
        found[split], order = np.sort(order[:count]), order[count:]
    if not len(order):
        raise UserError(f"{len(train)} images are too few to split off {' and '.join(fractions)}")
    return {"train": np.sort(order), **found}
