"""What predict needs of the data: raw input to batches and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lightning_nn.data.batches import Batch, Index


class Processor(Protocol):
    """What predict needs of the data: raw input to batches, class numbers to names. A checkpoint carries its state.

    Attributes:
        kind: its name in `lightning_nn.catalog.PROCESSORS`.
        categories: name of each class, in the order of the labels.
    """

    kind: str
    categories: list[str]

    def encode(self, raw: list[Any]) -> Batch:
        """A batch without labels from raw inputs: texts, or pictures (paths or PIL images).

        Raises:
            UserError: an input that cannot be read.
        """
        ...

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, Batch]]:
        """Batches without labels, of inputs of like length and bounded in all, each with the numbers of its inputs.

        Args:
            raw: any number of inputs.
            batch_size: inputs in a batch, at most.

        Raises:
            UserError: see `encode`.
        """
        ...

    def row_labels(self) -> dict[str, list[str]]:
        """Names of what the rows of a model's tables stand for, by kind: "categories", "words", ..."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Its constructor's arguments as plain data (str, int, float, bool, None, lists and dicts of these)."""
        ...
