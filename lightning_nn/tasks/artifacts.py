"""Plain data that a task returns for display; `lightning_nn.visualization` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.metrics.calibration import Bin


class Explanation(NamedTuple):
    """A document with its predicted class and the weight of each word and sentence.

    Attributes:
        sentences: the words of each sentence.
        word_weights: the weight of each word, summing to 1 within a sentence.
        sentence_weights: the weight of each sentence, summing to 1.
        category: the predicted class.
        probability: of this class by the model, 0 to 1.
        truth: the true class; None if unknown.
        unknown: those of the words that are not in the model's vocabulary, if the words are the reader's own.
    """

    sentences: list[list[str]]
    word_weights: list[list[float]]
    sentence_weights: list[float]
    category: str
    probability: float
    truth: str | None = None
    unknown: frozenset[str] = frozenset()


class GateExplanation(NamedTuple):
    """A document with its predicted class and the share of its state that a recurrent layer keeps at each word.

    Attributes:
        sentences: the words of each sentence.
        kept: of each layer and direction, by its name, the value of each word, 0 to 1, over all sentences.
        gate: name of the gate that the values are of: forget (LSTM) or update (GRU).
        category: the predicted class.
        probability: of this class by the model, 0 to 1.
        truth: the true class; None if unknown.
        unknown: those of the words that are not in the model's vocabulary, if the words are the reader's own.
    """

    sentences: list[list[str]]
    kept: dict[str, list[float]]
    gate: str
    category: str
    probability: float
    truth: str | None = None
    unknown: frozenset[str] = frozenset()


class GradientExplanation(NamedTuple):
    """A document with its predicted class and what each word contributes to the class's log probability.

    Attributes:
        sentences: the words of each sentence.
        contributions: of each word, over all sentences, by integrated gradients; negative ones speak against the class.
        attention: the weight of each word in the document, summing to 1; empty for a model without attention.
        category: the predicted class.
        probability: of this class by the model, 0 to 1.
        truth: the true class; None if unknown.
        unknown: those of the words that are not in the model's vocabulary, if the words are the reader's own.
    """

    sentences: list[list[str]]
    contributions: list[float]
    attention: list[float]
    category: str
    probability: float
    truth: str | None = None
    unknown: frozenset[str] = frozenset()


class Mistake(NamedTuple):
    """A sample whose predicted class is wrong.

    Attributes:
        place: file and line by which a person finds it, or its number in the split.
        text: the beginning of its text; "" if it is no text.
        truth: its class.
        category: the predicted class.
        probability: of the predicted class, 0 to 1.
        truth_probability: of its class, 0 to 1.
        shown: its words with their weights, or its image, uint8 (H, W, 3); None if there is neither.
    """

    place: str
    text: str
    truth: str
    category: str
    probability: float
    truth_probability: float
    shown: Explanation | NDArray[np.uint8] | None = None


class Mistakes(NamedTuple):
    """The most confident mistakes of a split.

    Attributes:
        samples: those of the largest probability of the wrong class, the largest first.
        wrong: number of all mistakes.
        total: number of samples in the split.
    """

    samples: list[Mistake]
    wrong: int
    total: int


class Calibration(NamedTuple):
    """Agreement of the probabilities of a classifier with the share of its predictions that are right.

    Attributes:
        bins: predictions of similar probability, calibrated.
        raw_bins: likewise, at temperature 1.
        error: expected calibration error of the calibrated probabilities, 0 to 1.
        raw_error: of the raw ones.
        temperature: by which logits are divided.
    """

    bins: list[Bin]
    raw_bins: list[Bin]
    error: float
    raw_error: float
    temperature: float


class ConfusionMatrix(NamedTuple):
    """Counts of each pair of true and predicted class.

    Attributes:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes.
    """

    matrix: Tensor
    categories: list[str]


class Attention(NamedTuple):
    """Attention of a model over a few documents.

    Attributes:
        documents: one explanation per document.
    """

    documents: list[Explanation]


class Gates(NamedTuple):
    """Gates of recurrent layers over a few documents.

    Attributes:
        documents: one explanation per document.
    """

    documents: list[GateExplanation]


class ImageGrid(NamedTuple):
    """Images to be shown side by side.

    Attributes:
        name: name of the grid, such as "augmented".
        images: uint8 (H, W, 3) each.
        titles: one per image, shown below it; an empty list for none.
    """

    name: str
    images: list[NDArray[np.uint8]]
    titles: list[str]


class Legend(NamedTuple):
    """Names and colours of the classes of masks.

    Attributes:
        categories: names of the K classes, in the order of their values.
        colours: (red, green, blue) of each class, 0 to 255; an empty list for those of the palette.
    """

    categories: list[str]
    colours: Sequence[Sequence[int]] = ()


class Masks(NamedTuple):
    """Images with the predicted and the true class of each pixel.

    Attributes:
        images: uint8 (H, W, 3) each.
        predicted: uint8 (H, W) each; an empty list if unknown.
        true: uint8 (H, W) each, 255 where a pixel is ignored; an empty list if unknown.
        legend: names and colours of the classes.
        name: name of the drawing.
        titles: one per image; if there are any, a page shows them too.
    """

    images: list[NDArray[np.uint8]]
    predicted: list[NDArray[np.uint8]]
    true: list[NDArray[np.uint8]]
    legend: Legend
    name: str = "masks"
    titles: Sequence[str] = ()


class Captions(NamedTuple):
    """Images with the model's caption and reference captions.

    Attributes:
        images: uint8 (H, W, 3) each.
        captions: the model's, one per image.
        references: captions by people, any number per image.
        name: name of the drawing.
        titles: one per image, shown beside it; an empty list for none.
    """

    images: list[NDArray[np.uint8]]
    captions: list[str]
    references: list[list[str]]
    name: str = "captions"
    titles: Sequence[str] = ()


class Table(NamedTuple):
    """A table of values of every sample of a split, as a CSV file.

    Attributes:
        name: of the file, without suffix.
        columns: names of the columns.
        rows: values, texts, numbers or lists of them.
    """

    name: str
    columns: Sequence[str]
    rows: list[Sequence[Any]]


class Activations(NamedTuple):
    """Outputs of the layers of a network on a few samples.

    Attributes:
        layers: outputs of each layer, of any shape, by its name, first to last.
    """

    layers: dict[str, Tensor]


class Patches(NamedTuple):
    """Patches of images that the channels of a network's layers respond to most.

    Attributes:
        layers: uint8 (channels, patches, C, size, size) of each layer, by its name, the strongest patch first.
    """

    layers: dict[str, Tensor]


class Picture(NamedTuple):
    """A picture that a model makes.

    Attributes:
        image: uint8 (H, W, 3).
        settings: text about it, which is written into its file.
        name: name of the file, without a suffix.
    """

    image: NDArray[np.uint8]
    settings: str
    name: str = "picture"


Artifact = (
    ConfusionMatrix
    | Mistakes
    | Calibration
    | Attention
    | Gates
    | ImageGrid
    | Masks
    | Captions
    | Table
    | Activations
    | Patches
    | Picture
)
Prediction = Any  # a NamedTuple; writers work from its _fields
