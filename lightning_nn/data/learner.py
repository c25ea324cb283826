"""Facts that a data module passes to a model when a run starts."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from lightning_nn.data.batches import Batch
from lightning_nn.data.loader import Source
from lightning_nn.data.processor import Processor


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
    """A model to which the data module passes the class counts of train.

    Attributes:
        class_counts: number of training samples, or pixels of masks, per class.
    """

    class_counts: list[int] | None


@runtime_checkable
class Measurer(Protocol):
    """A model that measures training samples before its first step, such as their mean.

    Attributes:
        first_samples: number of samples wanted.
    """

    first_samples: int

    def measure(self, batch: Any) -> None:
        """Measure training samples, unless the model was trained before."""
        ...


def measure_samples(model: object, source: Source) -> None:
    """Let a `Measurer` measure samples that are spread evenly over its training split."""
    if isinstance(model, Measurer):
        count = min(model.first_samples, len(source))
        model.measure(source[np.linspace(0, len(source) - 1, count, dtype=np.int64)])
