"""Base class of data sets with labelled samples: classes, their counts, and balancing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import Index
from lightning_nn.data.loader import LabeledSource
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.sanitize import shorten

_COUNTED = 1024  # samples whose classes are counted at once
_WIDTH = 120  # of the list of classes in a note


class LabeledDataModule(DataModule):
    """A data set whose samples belong to classes, unless it gives captions of them instead; see `DataModule`.

    Args:
        batch_size: samples in a batch of one process; 1 is gradient descent on single samples, "all" on the whole set.
        balanced: train on each class as often as on the largest one, repeating samples.
    """

    def __init__(self, batch_size: BatchSize, balanced: bool = False) -> None:
        super().__init__(batch_size)
        self.balanced = balanced

    @property
    def categories(self) -> list[str]:
        """Name of each class, in the order of the labels; none if the samples have no labels."""
        self.prepare_once()
        return categories_of(self.processor)

    @property
    def class_counts(self) -> list[int]:
        """Number of training samples, or pixels of masks, per class; zeros if there is no train split."""
        return self.counts("train")

    def labels(self, split: str) -> Index:
        """Return the class of each sample of a split, int64 (N,), or of each pixel, uint8 (N, H, W).

        Args:
            split: name of an existing split.
        """
        self.prepare_once()
        return cast(LabeledSource, self.sources[split]).labels

    def prepare_once(self) -> None:
        """Also note the classes with their counts, and warn of those that a provided val or test never shows.

        Raises:
            UserError: see `DataModule.prepare_once`.
        """
        if self._prepared:
            return
        super().prepare_once()
        if not self.categories:
            return
        split, source = next(iter(self.sources.items()))
        counts = self.counts(split)
        pixels = sum(counts) > len(source)  # a sample belongs to one class
        note = note_on_pixels if pixels else note_on_classes
        self.notes = [note(self.categories, counts, split), *self.notes]
        if "train" in self.sources:
            noun = "pixels" if pixels else "samples"
            for split in ("val", "test"):
                if split in self.sources and split in self.provided_splits:
                    self.notes += warning_of_missing(self.categories, counts, self.counts(split), split, noun)

    def counts(self, split: str) -> list[int]:
        """Return the number of samples, or pixels of masks, of each class in a split; zeros if it is missing."""
        self.prepare_once()
        labels = self.labels(split) if split in self.sources else np.empty(0, np.int64)
        return count_classes(labels, len(self.categories))

    def epoch_counts(self) -> list[int] | None:
        """Return the counts of the classes in an epoch of train, equal ones if they are balanced; see `DataModule`."""
        if not self.categories:
            return None
        counts, alike = self.class_counts, self.balanced_labels("train") is not None
        return [max(counts) * (count > 0) for count in counts] if alike else counts

    def check_processor(self) -> None:
        """Refuse a trained model with other classes.

        Raises:
            UserError: names the classes of both.
        """
        fixed, categories = categories_of(self.fixed_processor), categories_of(self.processor)
        if self.fixed_processor is not None and fixed != categories:
            raise UserError(
                f"the model's categories are {', '.join(fixed)}; this data has {', '.join(categories)}. "
                "For other categories train a new run from these weights: --finetune"
            )

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Also yield the labels."""
        yield from super().contents(split)
        if not self.categories:
            return
        labels = self.labels(split)
        yield labels if labels.ndim > 1 else np.asarray(labels, np.int64)

    def balanced_labels(self, split: str) -> Index | None:
        """Return the labels of train if it is to be balanced."""
        return self.labels(split) if self.balanced and split == "train" else None


def categories_of(processor: Processor | None) -> list[str]:
    """Return the names of the classes that a processor knows; none if it is one of samples without labels."""
    return list(getattr(processor, "categories", []))


def count_classes(labels: NDArray[Any], num_classes: int) -> list[int]:
    """Count the samples or pixels of each class, a part of the labels at a time, as they may be memory-mapped.

    Args:
        labels: int64 (N,) or uint8 (N, H, W); values of `num_classes` and above are not counted.
        num_classes: K.
    """
    counts = np.zeros(num_classes, np.int64)
    for start in range(0, len(labels), _COUNTED):
        counts += np.bincount(labels[start : start + _COUNTED].reshape(-1), minlength=num_classes)[:num_classes]
    return [int(count) for count in counts]


def note_on_pixels(names: Sequence[str], counts: Sequence[int], split: str) -> str:
    """Name the classes with their shares: `3 categories, of the pixels of train: sky 40.0%, road 35.0%, car 25.0%`.

    Args:
        names: of the K classes.
        counts: number of pixels of each class.
        split: that they are counted in.
    """
    listed = [f"{shorten(name, 40)} {n / max(sum(counts), 1):.1%}" for name, n in zip(names, counts, strict=True)]
    return f"{len(names):,} categories, of the pixels of {split}: {_list(listed)}"


def note_on_classes(names: Sequence[str], counts: Sequence[int], split: str) -> str:
    """Name the classes with their counts: `3 categories: neg (30 in train), pos (30), unsup (60)`.

    Args:
        names: of the K classes.
        counts: number of samples of each class.
        split: that they are counted in.
    """
    shown = [shorten(name, 40) for name in names]
    if len(set(counts)) == 1:
        return f"{len(names):,} categories: {_list(shown)} ({counts[0]:,} each in {split})"
    where = [f" in {split}"] + [""] * len(names)
    listed = [f"{name} ({n:,}{w})" for name, n, w in zip(shown, counts, where, strict=False)]
    return f"{len(names):,} categories: {_list(listed, f', of {min(counts):,} to {max(counts):,}')}"


def warning_of_missing(
    names: Sequence[str], trained: Sequence[int], counts: Sequence[int], split: str, noun: str = "samples"
) -> list[str]:
    """Warn of classes of train that another split never shows; an empty list if there are none.

    Args:
        names: of the K classes.
        trained: number of samples of each class in train.
        counts: number of samples of each class in the other split.
        split: name of the other split.
        noun: what is counted, "samples" or "pixels".
    """
    whole = sum(trained)
    missing = [
        f"{shorten(name, 40)} ({n:,} of {whole:,} {noun} of train, {n / whole:.1%})"
        for name, n, m in zip(names, trained, counts, strict=True)
        if n and not m
    ]
    if not missing:
        return []
    classes = "a class" if len(missing) == 1 else f"{len(missing):,} classes"
    return [
        f"warning: {split} never shows {classes} of train: {_list(missing)}; take what is no class out of train, or "
        f"add such {noun} to {split}"
    ]


def _list(items: list[str], about: str = "") -> str:
    """Join as many items as fit, and count the others."""
    shown, width = 0, 0
    while shown < len(items) and (width := width + len(items[shown]) + 2) <= _WIDTH:
        shown += 1
    more = [f"... ({len(items) - shown:,} more{about})"] if shown < len(items) else []
    return ", ".join([*items[:shown], *more])
