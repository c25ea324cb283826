"""The table of models and data sets; a new topic is one row here. Importing it loads nothing heavy."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, NamedTuple

from lightning_nn.errors import UserError, nearest


class Entry(NamedTuple):
    """A row of the catalog.

    Attributes:
        path: module and class, "module:Class", or the class itself.
        batch_types: kinds of batch: "image", "mask", "text", "caption", "style" or "content". A model reads one, a
            data set gives one or several; they fit if they have one in common.
        line: description in one line.
        data: default data set of a model.
    """

    path: str | type
    batch_types: tuple[str, ...]
    line: str
    data: str = ""

    def load(self) -> Any:
        """Import the class."""
        return _load(self.path)

    def fits(self, other: Entry) -> bool:
        """Tell whether a model and a data set have a kind of batch in common."""
        return not set(self.batch_types).isdisjoint(other.batch_types)


MODELS: dict[str, Entry] = {
    "logistic": Entry("lightning_nn.models.logistic:LogisticRegression", ("image",), "one neuron", "digits"),
    "softmax": Entry(
        "lightning_nn.models.softmax:SoftmaxClassifier", ("image",), "K neurons and softmax, hidden layers", "digits"
    ),
    "convnet": Entry("lightning_nn.models.convnet:ConvNet", ("image",), "convolution, pooling, any layers", "digits"),
    "backbone": Entry(
        "lightning_nn.models.backbone:BackboneClassifier", ("image",), "AlexNet to MobileNet, fine-tuning", "scenes"
    ),
    "fcn": Entry("lightning_nn.models.fcn:FCN", ("mask",), "fully convolutional, a class a pixel", "scenes"),
    "style_transfer": Entry(
        "lightning_nn.models.style_transfer:StyleTransfer", ("style",), "a picture with another's style", "photos"
    ),
    "fast_style": Entry(
        "lightning_nn.models.fast_style:FastStyleTransfer", ("content",), "a style for any picture", "pictures"
    ),
    "lstm": Entry("lightning_nn.models.lstm:LSTMClassifier", ("text",), "recurrent network over words", "bulletins"),
    "han": Entry("lightning_nn.models.han:HAN", ("text",), "hierarchical attention: words, sentences", "bulletins"),
    "show_and_tell": Entry(
        "lightning_nn.models.show_and_tell:ShowAndTell", ("caption",), "describes a picture, by an LSTM", "scenes"
    ),
    "multimodal_rnn": Entry(
        "lightning_nn.models.multimodal_rnn:MultimodalRNN", ("caption",), "describes a picture, by an m-RNN", "scenes"
    ),
}

DATA: dict[str, Entry] = {
    "digits": Entry("lightning_nn.data.images.digits:Digits", ("image",), "1,797 handwritten digits, 8x8, included"),
    "cifar10": Entry("lightning_nn.data.images.cifar10:CIFAR10", ("image",), "60,000 images, 32x32, 10 classes"),
    "images": Entry("lightning_nn.data.images.data_module:Images", ("image",), "your images, one folder per class"),
    "scenes": Entry(
        "lightning_nn.data.synthetic.scenes.data_module:Scenes",
        ("image", "mask", "caption"),
        "drawn scenes, masks, captions",
    ),
    "segmentation": Entry(
        "lightning_nn.data.segmentation.data_module:SegmentationData", ("mask",), "your images and their masks"
    ),
    "photos": Entry("lightning_nn.data.photos.data_module:Photos", ("style",), "two photographs: content and style"),
    "pictures": Entry("lightning_nn.data.photos.data_module:Pictures", ("content",), "many contents, one style"),
    "bulletins": Entry(
        "lightning_nn.data.synthetic.bulletins.data_module:Bulletins", ("text",), "Chinese bulletins, generated"
    ),
    "text": Entry("lightning_nn.data.text.data_module:TextData", ("text",), "your texts: TSV, CSV, JSONL or folders"),
    "captions": Entry(
        "lightning_nn.data.captions.data_module:CaptionData", ("caption",), "your images and their captions, Flickr8k"
    ),
}

PROCESSORS: dict[str, str | type] = {
    "image": "lightning_nn.data.images.processor:ImageProcessor",
    "mask": "lightning_nn.data.segmentation.source:MaskProcessor",
    "caption": "lightning_nn.data.captions.processor:CaptionProcessor",
    "content": "lightning_nn.data.photos.processor:ContentProcessor",
    "style": "lightning_nn.data.photos.processor:PhotoProcessor",
    "text": "lightning_nn.data.text.processor:TextProcessor",
}


def register(
    name: str, cls: str | type, batch_types: str | tuple[str, ...], line: str = "", data: str | None = None
) -> None:
    """Add a model or a data set of your own, so that the command line knows it.

    Write it into a module and name that module: `python -m lightning_nn --import mine.py --model mine`.

        from lightning_nn import catalog
        catalog.register("mine", MyModel, "text", "my own", data="bulletins")  # a model: MyModel.name is "mine"
        catalog.register("letters", Letters, "text", "my letters")  # a data set

    Args:
        name: what the command line calls it: small letters, digits and _, a letter first.
        cls: the class, a `Task` or a `DataModule`, or "module:Class", imported when it is used.
        batch_types: of its batches: "image", "mask", "text", "caption", "style", "content" or a name of your own; one
            or several.
        line: what it is, in a line; the first of the docstring if none is given.
        data: for a model, the data set it trains on if none is named; None for a data set.

    Raises:
        UserError: the name is taken or can't be one, or the class does not fit.
    """
    table = DATA if data is None else MODELS
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"register: {name!r} is no name: small letters, digits and _, a letter first")
    if name in table and table[name].path != cls:
        raise UserError(f"register: there is a {name!r} already")
    kinds = (batch_types,) if isinstance(batch_types, str) else tuple(batch_types)
    if not kinds:
        raise UserError(f"register: {name!r} has no batch type")
    if isinstance(cls, str):
        if cls.count(":") != 1:
            raise UserError(f"register: {cls!r} is no class: give it as module:Class")
    else:
        line = line or (cls.__doc__ or "").strip().partition("\n")[0]
        if data is not None and getattr(cls, "name", None) != name:
            raise UserError(f"register: {cls.__name__}.name must be {name!r}, by which its checkpoints know it")
    table[name] = Entry(cls, kinds, line, data or "")


def register_processor(kind: str, cls: str | type) -> None:
    """Add a processor of your own, so that checkpoints that hold its state can be read.

    Args:
        kind: its `kind`.
        cls: the class, or "module:Class"; its constructor takes what its `state_dict` returns.

    Raises:
        UserError: the kind is taken.
    """
    if PROCESSORS.get(kind, cls) != cls:
        raise UserError(f"register_processor: there is a {kind!r} already")
    PROCESSORS[kind] = cls


def _load(path: str | type) -> Any:
    if isinstance(path, type):
        return path
    module, name = path.split(":")
    return getattr(import_module(module), name)


def find(table: dict[str, Entry], name: str, noun: str) -> Entry:
    """Return the row of a name.

    Args:
        table: MODELS or DATA.
        name: name of the row.
        noun: for the error, "model" or "data set".

    Raises:
        UserError: there is no such name; the error suggests the nearest one.
    """
    if name not in table:
        raise UserError(f"unknown {noun} {name!r}{nearest(name, table)}")
    return table[name]


def processor(kind: str, state: dict[str, Any]) -> Any:
    """Make a processor from its state in a checkpoint.

    Args:
        kind: a name in PROCESSORS.
        state: arguments of its constructor, but not those that are given by keyword alone.

    Raises:
        UserError: there is no such processor, or it has other arguments or values.
    """
    if not isinstance(kind, str) or kind not in PROCESSORS:
        raise UserError(f"the checkpoint has the unknown processor {kind!r}{nearest(str(kind), PROCESSORS)}")
    try:
        cls = _load(PROCESSORS[kind])
        parameters = signature(cls).parameters
        if options := [
            name for name in state if name in parameters and parameters[name].kind is Parameter.KEYWORD_ONLY
        ]:
            raise TypeError(f"{options[0]} is no part of a state")
        made = cls(**state)
        for rows, names in made.row_labels().items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise TypeError(f"its {rows} are no list of texts")
        return made
    except (UserError, TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise UserError(f"the checkpoint's processor can't be loaded: {str(error)[:300]}") from None
