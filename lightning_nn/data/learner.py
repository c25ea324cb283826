"""Facts that a data module passes to a model when a run starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lightning_nn.data.batches import Batch
from lightning_nn.data.loader import Source
from lightning_nn.data.processor import Processor

BATCH = 64  # samples that are measured at once


@runtime_checkable
class Learner(Protocol):
    """A model to which the data module passes facts about the data; any other LightningModule gets none.

    Attributes:
        batch_type: type of its batches.
        processor: the one it was trained with, or None.
        train_batches: batches per epoch on each process.
    """

    batch_type: type[Batch]
    processor: Processor | None
    train_batches: int | None


@runtime_checkable
class ClassLearner(Protocol):
    """A model to which the data module passes the class counts of an epoch of train.

    Attributes:
        class_counts: number of training samples, or pixels of masks, per class; equal ones where they are balanced.
    """

    class_counts: list[int] | None


@runtime_checkable
class Measurer(Protocol):
    """A model that measures training samples before its first step, such as their mean.

    Attributes:
        first_samples: number of samples wanted, at most.
    """

    first_samples: int

    def measure(self, batches: Iterable[Any]) -> None:
        """Measure training samples, unless the model was trained before.

        Args:
            batches: each pass over them reads them anew.
        """
        ...


class SpreadSamples:
    """Samples spread evenly over a split, read batch by batch in each pass.

    Args:
        source: the split.
        count: number of samples, at most.
    """

    def __init__(self, source: Source, count: int) -> None:
        count = min(count, len(source))
        self.source, self.index = source, np.linspace(0, len(source) - 1, count, dtype=np.int64)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of up to `BATCH` samples."""
        for start in range(0, len(self.index), BATCH):
            yield self.source[self.index[start : start + BATCH]]


def measure_samples(model: object, source: Source) -> None:
    """Let a `Measurer` measure samples of its training split."""
    if isinstance(model, Measurer):
        model.measure(SpreadSamples(source, model.first_samples))
