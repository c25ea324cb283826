"""Interface of processors, which convert raw input to batches for prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lightning_nn.data.batches import Batch, Index


class InputOptions(Protocol):
    """The --data options of predict, which name the raw inputs.

    Attributes:
        text: texts given one by one; None for none.
        file: a file or folder, "-" for standard input; None for none.
        encoding: encoding of a text file.
        max_pixels: maximum number of pixels of an image; a larger one is refused.
    """

    text: list[str] | None
    file: str | None
    encoding: str
    max_pixels: int


class Processor(Protocol):
    """Converter of raw input to batches, the way a model was trained. A checkpoint stores its state.

    Attributes:
        kind: name in `lightning_nn.catalog.PROCESSORS`.
    """

    kind: str

    def encode(self, raw: list[Any]) -> Batch:
        """Make a batch without labels from raw inputs: texts, or images (paths or PIL images).

        Raises:
            UserError: an input can't be read.
        """
        ...

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, Batch]]:
        """Yield batches of bounded size without labels, inputs of similar length together, each with their indices.

        Args:
            raw: any number of inputs.
            batch_size: maximum number of inputs in a batch.

        Raises:
            UserError: see `encode`.
        """
        ...

    def row_labels(self) -> dict[str, list[str]]:
        """Return the labels of the rows of a model's weight tables by kind: "categories", "words", ..."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data (str, int, float, bool, None, lists and dicts of these)."""
        ...

    def inputs(self, options: InputOptions) -> Iterator[Any]:
        """Yield the raw inputs that the options of predict name.

        Raises:
            UserError: an option does not apply to this kind of input, or points to nothing.
        """
        ...


class LabeledProcessor(Processor, Protocol):
    """A processor of labelled data.

    Attributes:
        categories: name of each class, in the order of the labels.
    """

    categories: list[str]
