"""Interface of processors, which convert raw input to batches for prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import Batch, Index

NO_INPUT = 'predict needs an input: --data.text "……" or --data.file FILE (- for standard input)'


class InputOptions(Protocol):
    """The --data options of predict, which name the raw inputs.

    Attributes:
        text: texts given one by one; None for none.
        files: files and folders, "-" for standard input; empty for none.
        encoding: encoding of a text file.
        form: "text" for a text a line, or the suffix of a kind of table, such as "csv"; None to choose by the name.
        text_column: column of a table that holds the texts; None for that of training.
        max_pixels: maximum number of pixels of an image; a larger one is refused.
        stdin: standard input.
        say: prints a remark for the user.
    """

    text: list[str] | None
    files: list[str]
    encoding: str
    form: str | None
    text_column: str | None
    max_pixels: int
    stdin: BinaryIO
    say: Callable[[str], None]


class Record(NamedTuple):
    """An input of predict, and the columns that are written back before its prediction.

    Attributes:
        raw: what is predicted on; if the record can't be read, an empty input, whose prediction is not written.
        cells: value of each column.
        error: why the record can't be read; "" if it can, None for inputs of which each can be read.
        columns: names of all columns of the input, as far as they are known; () if `cells` has them.
        empty: predicted on in place of `raw` if that turns out not to be readable; None if each is known to be.
    """

    raw: Any
    cells: Mapping[str, Any]
    error: str | None = None
    columns: Sequence[str] = ()
    empty: Any = None


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
        """Yield the raw inputs that the options of predict name; a `Record` where more than the input is written back.

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


class CaptionWriter(Processor, Protocol):
    """A processor of images that writes captions.

    Attributes:
        files: name of each image of a split, by the name of the split; set by the data set, and not in the state.
        pictures: function from an image's index to the image, uint8 (H, W, 3), by the name of the split; likewise.
    """

    files: Mapping[str, Sequence[str]]
    pictures: Mapping[str, Callable[[int], NDArray[np.uint8]]]

    def spell(self, ids: Iterable[int]) -> str:
        """Write the words of a caption, ids of the model's vocabulary or of the data's further words."""
        ...
