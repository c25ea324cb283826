"""What predict needs of the data: raw input to batches and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lightning_nn.data.batches import Batch, Index


class InputOptions(Protocol):
    """What predict's --data options say of the raw inputs.

    Attributes:
        text: texts given one by one, None for none.
        file: a file or folder, "-" for standard input; None for none.
        encoding: of a file of text.
    """

    text: list[str] | None
    file: str | None
    encoding: str


class Processor(Protocol):
    """Turns raw input into batches as a model was trained to read it. A checkpoint carries its state.

    Attributes:
        kind: its name in `lightning_nn.catalog.PROCESSORS`.
    """

    kind: str

    def encode(self, raw: list[Any]) -> Batch:
        """Make a batch without labels from raw inputs: texts, or pictures (paths or PIL images).

        Raises:
            UserError: an input that cannot be read.
        """
        ...

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, Batch]]:
        """Make batches without labels, of inputs of like length and bounded in all, each with its inputs' numbers.

        Args:
            raw: any number of inputs.
            batch_size: inputs in a batch, at most.

        Raises:
            UserError: see `encode`.
        """
        ...

    def row_labels(self) -> dict[str, list[str]]:
        """Name what the rows of a model's tables stand for, by kind: "categories", "words", ..."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return its constructor's arguments as plain data (str, int, float, bool, None, lists and dicts of these)."""
        ...

    @classmethod
    def inputs(cls, options: InputOptions) -> Iterator[Any]:
        """Read the raw inputs that predict's options name, one after another.

        Raises:
            UserError: an option that makes no sense for this kind of input, or nothing where it points.
        """
        ...


class LabeledProcessor(Processor, Protocol):
    """A processor of labelled data.

    Attributes:
        categories: name of each class, in the order of the labels.
    """

    categories: list[str]
