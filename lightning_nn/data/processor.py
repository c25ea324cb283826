"""Interface of data to models: processors, which convert raw input to batches, and facts about the data of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import Batch, Index
from lightning_nn.errors import UserError

NO_INPUT = 'predict needs an input: --data.text "……" or --data.file FILE (- for standard input)'


MOST = 1 << 31  # of a count in a state


def check_state(state: Mapping[str, Any], **fields: Any) -> None:
    """Check what a processor is made of: a checkpoint, which anyone may have written, holds the same values.

    Args:
        state: arguments of the constructor by name.
        fields: what each must be: a range of whole numbers, a tuple or `Literal` of values, or bool, str or list; a
            list is one of texts.

    Raises:
        UserError: a value is something else.
    """
    for name, kind in fields.items():
        value = state[name]
        if isinstance(kind, range):
            fits, expected = (
                type(value) is int and value in kind,
                f"a whole number of {kind.start} to {kind.stop - 1:,}",
            )
        elif kind is list:
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
            expected = "a list of texts"
        elif isinstance(kind, type):
            fits, expected = type(value) is kind, {"bool": "true or false", "str": "a text"}[kind.__name__]
        else:
            choices = kind if isinstance(kind, tuple) else get_args(kind)
            fits = any(type(value) is type(choice) and value == choice for choice in choices)
            expected = " or ".join(map(str, choices))
        if not fits:
            raise UserError(f"{name} is {repr(value)[:40]}; expected {expected}")


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


class Described(Protocol):
    """A data set, as a data module describes it to models."""

    def describe_for(self, batch_type: type[Batch]) -> dict[str, Any]:
        """Prepare the data for a type of batch, and return the model arguments that it determines."""
        ...


class SampleOrigin(NamedTuple):
    """Origin of a sample, by which a person finds it again.

    Attributes:
        file: name of its file, or of the split of a generated set; "" if it has none.
        line: its line or row in that file, counted from 1; None if the file is the sample.
        text: the beginning of its text, as the model reads it; "" if it is no text.
    """

    file: str = ""
    line: int | None = None
    text: str = ""


@runtime_checkable
class Samples(Protocol):
    """The samples of a split, by their index, with what is known of where they come from."""

    def __getitem__(self, index: Index) -> Batch: ...

    def origins(self, index: Index) -> list[SampleOrigin]:
        """Return the origin of some samples."""
        ...


class RunFacts(NamedTuple):
    """Facts about the data, which a data module tells a task when a run starts.

    Attributes:
        processor: the one that the data is read with.
        train_batches: batches of an epoch of training on each process; None if the run does not train.
        class_counts: training samples, or pixels of masks, of each class in an epoch; None without classes or train.
        samples: makes a number of training samples, spread evenly and read batch by batch in each pass; None if the run
            does not train.
        splits: samples of each split, by its name, as far as they can be shown.
    """

    processor: Processor | None = None
    train_batches: int | None = None
    class_counts: list[int] | None = None
    samples: Callable[[int], Iterable[Any]] | None = None
    splits: Mapping[str, Samples] = {}


class UnknownWords(Protocol):
    """Count of texts, and of those that are unfamiliar: most of their content words are not in the vocabulary.

    Attributes:
        texts: number of texts that have words.
        unfamiliar: number of unfamiliar ones.
        words: unknown words of the first unfamiliar text, each once, in order.
        counted: number of different words of that text among which they are.
    """

    texts: int
    unfamiliar: int
    words: list[str]
    counted: int

    def clear(self) -> None:
        """Begin anew."""
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
