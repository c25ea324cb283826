"""What a task can show of its work; `lightning_nn.visualization` draws it. Plain data: no Lightning, no drawing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Explanation(NamedTuple):
    """A document, the model's prediction for it and the weight of each word and sentence.

    Attributes:
        sentences: the words of each sentence.
        word_weights: the weight of each word, summing to 1 within a sentence.
        sentence_weights: the weight of each sentence, summing to 1.
        category: the predicted class.
        probability: the model's, 0 to 1.
        truth: the true class, where it is known.
    """

    sentences: list[list[str]]
    word_weights: list[list[float]]
    sentence_weights: list[float]
    category: str
    probability: float
    truth: str | None = None


class ConfusionMatrix(NamedTuple):
    """How often each class was taken for each.

    Attributes:
        matrix: int64 (K, K), rows true, columns predicted.
        categories: names of the K classes.
    """

    matrix: Tensor
    categories: list[str]


class Attention(NamedTuple):
    """Where a model looked, for a few documents.

    Attributes:
        documents: an explanation of each.
    """

    documents: list[Explanation]


class ImageGrid(NamedTuple):
    """A few images side by side.

    Attributes:
        name: of the grid, such as "augmented".
        images: uint8 (H, W, 3) each.
        titles: one below each image; empty for none.
    """

    name: str
    images: list[NDArray[np.uint8]]
    titles: list[str]


class Masks(NamedTuple):
    """A few images with the class of each pixel, predicted and true.

    Attributes:
        images: uint8 (H, W, 3) each.
        predicted: uint8 (H, W) each, 255 where a pixel is ignored.
        true: likewise; empty where the truth is not known.
        categories: names of the classes.
    """

    images: list[NDArray[np.uint8]]
    predicted: list[NDArray[np.uint8]]
    true: list[NDArray[np.uint8]]
    categories: list[str]


class Captions(NamedTuple):
    """A few images, each with the model's caption and people's.

    Attributes:
        images: uint8 (H, W, 3) each.
        captions: the model's, one an image.
        references: people's, any number an image.
    """

    images: list[NDArray[np.uint8]]
    captions: list[str]
    references: list[list[str]]


Artifact = ConfusionMatrix | Attention | ImageGrid | Masks | Captions
Prediction = Any  # a NamedTuple; writers work from its _fields
