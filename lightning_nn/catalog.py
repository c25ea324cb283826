"""The table of models and data sets; a new topic is one row here. Importing it loads nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from lightning_nn.errors import UserError, nearest


class Entry(NamedTuple):
    """A row of the catalog.

    Attributes:
        path: module and class, "module:Class".
        batch_types: kinds of batch: "image", "mask", "text", "caption" or "style". A model reads one, a data set gives
            one or several; they fit if they have one in common.
        line: description in one line.
        data: default data set of a model.
    """

    path: str
    batch_types: tuple[str, ...]
    line: str
    data: str = ""

    def load(self) -> Any:
        """Import the class."""
        module, name = self.path.split(":")
        return getattr(import_module(module), name)

    def fits(self, other: Entry) -> bool:
        """Tell whether a model and a data set have a kind of batch in common."""
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
    "digits": Entry("lightning_nn.data.images.digits:Digits", ("image",), "1,797 handwritten digits, 8x8, included"),
    "cifar10": Entry("lightning_nn.data.images.cifar10:CIFAR10", ("image",), "60,000 images, 32x32, 10 classes"),
    "images": Entry("lightning_nn.data.images.data_module:Images", ("image",), "your images, one folder per class"),
    "bulletins": Entry("lightning_nn.data.bulletins.data_module:Bulletins", ("text",), "Chinese bulletins, generated"),
    "text": Entry("lightning_nn.data.text.data_module:TextData", ("text",), "your texts: TSV, CSV, JSONL or folders"),
}

PROCESSORS: dict[str, str] = {
    "image": "lightning_nn.data.images.processor:ImageProcessor",
    "text": "lightning_nn.data.text.processor:TextProcessor",
}


def find(table: dict[str, Entry], name: str, what: str) -> Entry:
    """Return the row of a name.

    Args:
        table: MODELS or DATA.
        name: name of the row.
        what: noun for the error, "model" or "data set".

    Raises:
        UserError: there is no such name; the error suggests the nearest one.
    """
    if name not in table:
        raise UserError(f"unknown {what} {name!r}{nearest(name, table)}")
    return table[name]


def processor(kind: str, state: dict[str, Any]) -> Any:
    """Make a processor from its state in a checkpoint.

    Args:
        kind: a name in PROCESSORS.
        state: arguments of its constructor.

    Raises:
        UserError: there is no such processor, or it has other arguments.
    """
    if kind not in PROCESSORS:
        raise UserError(f"the checkpoint has the unknown processor {kind!r}{nearest(str(kind), PROCESSORS)}")
    module, name = PROCESSORS[kind].split(":")
    try:
        return getattr(import_module(module), name)(**state)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the checkpoint's processor can't be loaded: {error}") from None
