"""Batches that pass from data to models: tuples of tensors, which Lightning moves to a device by itself.

Lightning reads the batch size from the first field. Text is flat and has no padding:

    documents  (D,)  number of sentences of each document
    sentences  (S,)  number of words of each sentence,  S = documents.sum()
    words      (W,)  ids of all words, in order,        W = sentences.sum()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from lightning_nn.data.batch_checks import FLOATS, check_counts, check_image, check_labels, check_range, require
from lightning_nn.data.style_batch import StyleBatch as StyleBatch
from lightning_nn.errors import UserError

Index = NDArray[np.int64]

IGNORED = 255  # value of a mask where a pixel has no class and is not counted
UNKNOWN, START, END = 0, 1, 2  # ids of the words of captions that are no words


class Batch(Protocol):
    """Interface of all batches; each is a NamedTuple of tensors."""

    @property
    def size(self) -> int:
        """Number of samples."""
        ...

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments.

        Raises:
            UserError: the batch is empty, has another dtype or shape, or has values beyond the limits.
        """
        ...

    def select(self, index: Iterable[int]) -> Self:
        """Return some samples by their indices in this batch, in the order given."""
        ...


class Origin(NamedTuple):
    """Place of a batch in a run, from which everything random about it is drawn.

    Attributes:
        seed: seed of the run's order of samples.
        rank: of the process.
        epoch: counted from 0.
        number: of the batch in the epoch, counted from 0.
    """

    seed: int
    rank: int
    epoch: int
    number: int

    def random_seed(self, stream: int = 0) -> int:
        """Return a seed of 63 bits for a generator.

        Args:
            stream: 0, or another number for numbers that are independent of those.
        """
        key = (*self, stream) if stream else self
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


class ImageBatch(NamedTuple):
    """Images, not normalised: the model does that.

    Attributes:
        image: uint8 (B, C, H, W), 0 to 255, or float, 0 to 1.
        label: int64 (B,), 0 to K - 1, or float (B, K), the share of each class; None if unknown.
        index: int64 (B,), index of each sample in its split; None without a split.
        origin: place of the batch in a run; None once it was used for augmentation, and without a loader.
    """

    image: Tensor
    label: Tensor | None = None
    index: Tensor | None = None  # type: ignore[assignment]
    origin: Origin | None = None

    @property
    def size(self) -> int:
        """Number of samples, B."""
        return len(self.image)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `num_classes`, `features`, `channels`, `height` and `width` if it has them.

        Raises:
            UserError: the batch is empty, has another dtype or shape, or a label beyond the model's.
        """
        check_image(self.image, limits)
        check_labels(self.label, self.size, limits.get("num_classes"))

    def select(self, index: Iterable[int]) -> ImageBatch:
        """Return some samples by their indices in this batch, in the order given."""
        return ImageBatch(*_rows(self[:3], index))


class MaskBatch(NamedTuple):
    """Images and the class of each pixel.

    Attributes:
        image: uint8 (B, C, H, W), 0 to 255, or float, 0 to 1.
        mask: uint8 (B, H, W), 0 to K - 1, or 255 where a pixel is ignored; None if unknown.
        index: int64 (B,), index of each sample in its split; None without a split.
        origin: place of the batch in a run; None once it was used for augmentation, and without a loader.
        extent: int64 (B, 2), height and width of each image of a padded batch, before augmentation; None if not padded.
    """

    image: Tensor
    mask: Tensor | None = None
    index: Tensor | None = None  # type: ignore[assignment]
    origin: Origin | None = None
    extent: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples, B."""
        return len(self.image)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `num_classes` and `channels` if it has them.

        Raises:
            UserError: the batch is empty, has another dtype or shape, or a class beyond the model's.
        """
        check_image(self.image, limits)
        if self.mask is None:
            return
        require("mask", self.mask, (torch.uint8,), "(B, H, W)", "the class index of each pixel")
        if self.mask.shape != (self.size, *self.image.shape[2:]):
            raise UserError(f"a batch of images {tuple(self.image.shape)} has masks {tuple(self.mask.shape)}")
        classes = limits.get("num_classes", IGNORED)
        if self.mask.device.type == "cpu" and bool(((self.mask >= classes) & (self.mask != IGNORED)).any()):
            most = int(self.mask[self.mask != IGNORED].max())
            raise UserError(f"masks go up to {most}; this model was made for 0 to {classes - 1} (num_classes)")

    def select(self, index: Iterable[int]) -> MaskBatch:
        """Return some samples by their indices in this batch, in the order given."""
        image, mask, number, extent = _rows((*self[:3], self.extent), index)
        return MaskBatch(image, mask, number, extent=extent)


class TextBatch(NamedTuple):
    """Documents of sentences of words, without padding.

    Attributes:
        documents: int64 (D,), number of sentences of each document, at least 1.
        sentences: int64 (S,), number of words of each sentence, at least 1.
        words: int64 (W,), word ids, 0 to V - 1; 0 is the unknown word.
        label: int64 (D,), 0 to K - 1, or float (D, K), the share of each class; None if unknown.
    """

    documents: Tensor
    sentences: Tensor
    words: Tensor
    label: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples: documents, D."""
        return len(self.documents)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `vocabulary_size`, and `num_classes` if it has it.

        Raises:
            UserError: the batch is empty, has another dtype or shape, counts that don't add up, or ids beyond the
                vocabulary.
        """
        for name, shape in (("documents", "(D,)"), ("sentences", "(S,)"), ("words", "(W,)")):
            require(name, getattr(self, name), (torch.int64,), shape, "see TextBatch")
        check_labels(self.label, self.size, limits.get("num_classes"))
        if self.words.device.type != "cpu":  # reading values would wait for the device
            return
        check_counts("documents", self.documents, "sentences", len(self.sentences))
        check_counts("sentences", self.sentences, "words", len(self.words))
        check_range("word ids", self.words, limits["vocabulary_size"], "vocabulary_size")

    def select(self, index: Iterable[int]) -> TextBatch:
        """Return some samples by their indices in this batch, in the order given."""
        chosen = list(index)
        of_documents = torch.split(self.sentences, self.documents.tolist())
        words = torch.split(self.words, [int(counts.sum()) for counts in of_documents])
        return TextBatch(
            self.documents[chosen],
            torch.cat([of_documents[i] for i in chosen]),
            torch.cat([words[i] for i in chosen]),
            None if self.label is None else self.label[chosen],
        )


class CaptionBatch(NamedTuple):
    """Images with any number of captions each.

    Attributes:
        image: uint8 (B, C, H, W), 0 to 255, or float, 0 to 1; or features of the images, float (B, F).
        image_index: int64 (N,), index of each caption's image, 0 to B - 1, ascending; None without captions.
        length: int64 (N,), number of words of each caption, at least 1; None without captions.
        words: int64 (W,), word ids of all captions in order; V and above for words that are not in the model's
            vocabulary, so that metrics tell them apart; None without captions.
        index: int64 (B,), index of each sample in its split; None without a split.
        origin: place of the batch in a run; None once it was used for augmentation, and without a loader.
    """

    image: Tensor
    image_index: Tensor | None = None
    length: Tensor | None = None
    words: Tensor | None = None
    index: Tensor | None = None  # type: ignore[assignment]
    origin: Origin | None = None

    @property
    def size(self) -> int:
        """Number of samples: images, B."""
        return len(self.image)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `channels` or `features` if it has them.

        Raises:
            UserError: the batch is empty, has another dtype or shape, counts that don't add up, negative ids, or an
                image index out of order or range.
        """
        if self.image.dim() == 2:
            require("image", self.image, FLOATS, "(B, F)", "features of images")
            if limits.get("features", self.image.shape[1]) != self.image.shape[1]:
                raise UserError(f"{self.image.shape[1]} features; this model was made for {limits['features']}")
        else:
            check_image(self.image, limits)
        if self.words is None or self.length is None or self.image_index is None:
            return
        for name, shape in (("image_index", "(N,)"), ("length", "(N,)"), ("words", "(W,)")):
            require(name, getattr(self, name), (torch.int64,), shape, "see CaptionBatch")
        if len(self.length) != len(self.image_index):
            raise UserError(f"{len(self.length)} captions belong to {len(self.image_index)} images")
        if self.words.device.type != "cpu":
            return
        check_counts("length", self.length, "words", len(self.words))
        steps = self.image_index.diff(prepend=self.image_index.new_zeros(1))
        if steps.min() < 0 or self.image_index[-1] >= self.size:
            raise UserError(f"image_index of a batch must ascend from 0 to at most {self.size - 1}, its last image")
        if self.words.min() < 0:
            raise UserError(f"word ids of a batch go from {int(self.words.min())}; they must be 0 or above")

    def select(self, index: Iterable[int]) -> CaptionBatch:
        """Return some images with their captions by the images' indices in this batch, in the order given."""
        chosen = list(index)
        if self.words is None or self.length is None or self.image_index is None:
            return CaptionBatch(self.image[chosen])
        captions = [(self.image_index == i).nonzero().flatten() for i in chosen]
        kept, words = torch.cat(captions), torch.split(self.words, self.length.tolist())
        images = [i for i, of_image in enumerate(captions) for _ in of_image]
        of = torch.tensor(images, dtype=torch.int64, device=self.image.device)
        spoken = torch.cat([self.words[:0], *(words[i] for i in kept.tolist())])
        return CaptionBatch(self.image[chosen], of, self.length[kept], spoken)


def _rows(fields: tuple[Tensor | None, ...], index: Iterable[int]) -> list[Any]:
    chosen = list(index)
    return [None if field is None else field[chosen] for field in fields]


class FrozenEncoder(NamedTuple):
    """An encoder that is not trained, so that the features of images can be computed once.

    Attributes:
        key: hash of its layers and weights.
        compute: function from images, uint8 (B, C, H, W), to features, float (B, F) on the CPU.
    """

    key: str
    compute: Callable[[Tensor], Tensor]
