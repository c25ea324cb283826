"""What passes from data to models: tuples of tensors that Lightning moves to a device by itself.

Text is flat. A batch of documents is one row of word ids with two rows of counts, so nothing in it is padding:

    documents  (D,)  how many sentences each document has
    sentences  (S,)  how many words each sentence has,  S = documents.sum()
    words      (W,)  all word ids, one after another,   W = sentences.sum()
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.errors import UserError

Index = NDArray[np.int64]


class ImageBatch(NamedTuple):
    """Pictures as they were read: normalisation is the model's.

    Attributes:
        image: uint8 (B, C, H, W), 0 to 255.
        label: int64 (B,), 0 to K - 1; None where there is none.
    """

    image: Tensor
    label: Tensor | None = None

    @property
    def size(self) -> int:
        """Samples in the batch, B."""
        return len(self.image)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuses what a model can't read.

        Args:
            limits: the model's arguments: `num_classes`, and `features` or `channels` where it has them.

        Raises:
            UserError: empty, or of another type or shape.
        """
        _require("image", self.image, torch.uint8, "(B, C, H, W)", "pixels are numbers of 0 to 255, not yet normalised")
        if "vocabulary_size" in limits:
            raise UserError("a batch of pictures; this model reads texts: a TextBatch")
        shape = tuple(self.image.shape[1:])
        if limits.get("features", math.prod(shape)) != math.prod(shape):
            raise UserError(f"pictures of {shape}; this model was made for {limits['features']} numbers each")
        if limits.get("channels", shape[0]) != shape[0]:
            raise UserError(f"pictures of {shape}; this model was made for {limits['channels']} channels")
        _check_labels(self.label, self.size, limits["num_classes"])


class TextBatch(NamedTuple):
    """Documents of sentences of words, without padding.

    Attributes:
        documents: int64 (D,), sentences of each document, at least 1.
        sentences: int64 (S,), words of each sentence, at least 1.
        words: int64 (W,), word ids, 0 to V - 1; 0 is the unknown word.
        label: int64 (D,), 0 to K - 1; None where there is none.
    """

    documents: Tensor
    sentences: Tensor
    words: Tensor
    label: Tensor | None = None

    @property
    def size(self) -> int:
        """Samples in the batch, D."""
        return len(self.documents)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuses what a model can't read.

        Args:
            limits: the model's arguments: `classes` and `vocabulary`.

        Raises:
            UserError: empty, of another type or shape, counts that don't add up, or ids beyond the vocabulary.
        """
        if "vocabulary_size" not in limits:
            raise UserError("a batch of texts; this model reads pictures: an ImageBatch")
        for name, shape in (("documents", "(D,)"), ("sentences", "(S,)"), ("words", "(W,)")):
            _require(name, getattr(self, name), torch.int64, shape, "see TextBatch")
        _check_labels(self.label, self.size, limits["num_classes"])
        if self.words.device.type != "cpu":  # looking at values would wait for the device
            return
        for name, counts, parts in (("documents", self.documents, "sentences"), ("sentences", self.sentences, "words")):
            if counts.min() < 1 or counts.sum() != len(getattr(self, parts)):
                raise UserError(
                    f"{name} counts the {parts} of each, at least 1; its sum is {int(counts.sum())}, its least "
                    f"{int(counts.min())}, and there are {len(getattr(self, parts))} {parts}"
                )
        _check_range("word ids", self.words, limits["vocabulary_size"], "vocabulary_size")


Batch = ImageBatch | TextBatch


def _require(name: str, values: Tensor, dtype: torch.dtype, shape: str, remedy: str) -> None:
    """One field of a batch: its type, its number of dimensions, and that there is something in it."""
    if not isinstance(values, Tensor) or values.dtype != dtype or values.dim() != len(shape.split()):
        got = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"{name} of a batch is {got}; expected {dtype} {shape}: {remedy}")
    if not values.numel():
        raise UserError(f"{name} of a batch is empty, {tuple(values.shape)}: leave empty batches out")


def _check_labels(label: Tensor | None, size: int, num_classes: int) -> None:
    if label is None:
        return
    _require("label", label, torch.int64, "(B,)", "the number of each sample's class")
    if len(label) != size:
        raise UserError(f"a batch of {size} samples has {len(label)} labels")
    if label.device.type == "cpu":
        _check_range("labels", label, num_classes, "num_classes")


def _check_range(name: str, values: Tensor, limit: int, argument: str) -> None:
    least, most = (int(v) for v in values.aminmax())
    if least < 0 or most >= limit:
        raise UserError(f"{name} go from {least} to {most}; this model was made for 0 to {limit - 1} ({argument})")
