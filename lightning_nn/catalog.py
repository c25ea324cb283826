"""The one table of models and data sets: a new topic is one row here. Imports nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from lightning_nn.errors import UserError, nearest


class Entry(NamedTuple):
    """A row: where the class is and what it is for.

    Attributes:
        path: module and class, "module:Class".
        batch_types: of its batches: "image", "mask", "text", "caption" or "style". A model has one, a data set gives
            one or several; they fit if they share one.
        line: what it is, in a line.
        data: for a model, the data set it trains on if none is named.
    """

    path: str
    batch_types: tuple[str, ...]
    line: str
    data: str = ""

    def load(self) -> Any:
        """The class, imported now."""
        module, name = self.path.split(":")
        return getattr(import_module(module), name)

    def fits(self, other: Entry) -> bool:
        """Whether a model and a data set, this and the other, share a kind of batch."""
        return not set(self.batch_types).isdisjoint(other.batch_types)


MODELS: dict[str, Entry] = {
    "logistic": Entry("lightning_nn.models.logistic:LogisticRegression", ("image",), "one neuron", "digits"),
    "softmax": Entry(
        "lightning_nn.models.softmax:SoftmaxClassifier", ("image",), "K neurons and softmax, hidden layers", "digits"
    ),
    "lstm": Entry("lightning_nn.models.lstm:LSTMClassifier", ("text",), "recurrent network over words", "bulletins"),
    "han": Entry("lightning_nn.models.han:HAN", ("text",), "hierarchical attention: words, sentences", "bulletins"),
}

DATA: dict[str, Entry] = {
    "digits": Entry("lightning_nn.data.images.digits:Digits", ("image",), "1,797 handwritten digits, 8x8, embedded"),
    "cifar10": Entry("lightning_nn.data.images.cifar10:CIFAR10", ("image",), "60,000 pictures, 32x32, 10 classes"),
    "images": Entry("lightning_nn.data.images.data_module:Images", ("image",), "your folders of pictures, one a class"),
    "bulletins": Entry(
        "lightning_nn.data.bulletins.data_module:Bulletins", ("text",), "Chinese bulletins, made on the spot"
    ),
    "text": Entry("lightning_nn.data.text.data_module:TextData", ("text",), "your texts: TSV, CSV, JSONL or folders"),
}

PROCESSORS: dict[str, str] = {
    "image": "lightning_nn.data.images.processor:ImageProcessor",
    "text": "lightning_nn.data.text.processor:TextProcessor",
}


def find(table: dict[str, Entry], name: str, what: str) -> Entry:
    """The row of a name.

    Args:
        table: MODELS or DATA.
        name: what to look for.
        what: how an error calls it, "model" or "data set".

    Raises:
        UserError: there is no such name; the nearest one is named.
    """
    if name not in table:
        raise UserError(f"unknown {what} {name!r}{nearest(name, table)}")
    return table[name]


def processor(kind: str, state: dict[str, Any]) -> Any:
    """Make a processor from what a checkpoint holds of it.

    Args:
        kind: a name in PROCESSORS.
        state: its constructor's arguments.

    Raises:
        UserError: there is no such processor, or it takes other arguments.
    """
    if kind not in PROCESSORS:
        raise UserError(f"the checkpoint was trained on data of the kind {kind!r}{nearest(str(kind), PROCESSORS)}")
    module, name = PROCESSORS[kind].split(":")
    try:
        return getattr(import_module(module), name)(**state)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"what the checkpoint says of its data can't be read: {error}") from None
