"""Batches that pass from data to models: tuples of tensors, which Lightning moves to a device by itself.

Lightning reads the batch size from the first field. Text is flat and has no padding:

    documents  (D,)  number of sentences of each document
    sentences  (S,)  number of words of each sentence,  S = documents.sum()
    words      (W,)  ids of all words, in order,        W = sentences.sum()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from lightning_nn.data.representation import readable
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


@readable
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


@readable
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


@readable
class TextBatch(NamedTuple):
    """Documents of sentences of words, without padding.

    Attributes:
        documents: int64 (D,), number of sentences of each document, at least 1.
        sentences: int64 (S,), number of words of each sentence, at least 1.
        words: int64 (W,), word ids, 0 to V - 1; 0 is the unknown word.
        label: int64 (D,), 0 to K - 1, or float (D, K), the share of each class; None if unknown.
        index: int64 (D,), of the documents in their split; None outside a data set.
    """

    documents: Tensor
    sentences: Tensor
    words: Tensor
    label: Tensor | None = None
    index: Tensor | None = None  # type: ignore[assignment]

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
            None if self.index is None else self.index[chosen],
        )


@readable
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


@readable
class StyleBatch(NamedTuple):
    """Pictures for their content, and pictures for their style.

    Attributes:
        content: uint8 (B, 3, H, W), 0 to 255, or float, 0 to 1; None for style alone.
        style: uint8 or float (3, H, W) each, likewise, of any sizes; empty for content alone.
        picture: int64 (B,), number of each sample among the pictures that a model makes; None where it makes none.
    """

    content: Tensor | None
    style: tuple[Tensor, ...] = ()
    picture: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples: contents or pictures, B."""
        return next((len(field) for field in (self.picture, self.content) if field is not None), 1)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `height`, `width` and `pictures` if it has them.

        Raises:
            UserError: the batch is empty, has another dtype or shape, or more pictures than the model.
        """
        if self.content is not None:
            check_image(
                self.content, {"channels": 3, **{key: limits[key] for key in ("height", "width") if key in limits}}
            )
        for image in self.style or ():
            check_pixels("style", image, "(3, H, W)")
            if len(image) != 3:
                raise UserError(f"a style of {tuple(image.shape)}; it must have 3 channels")
        if self.content is None and not self.style and self.picture is None:
            raise UserError("a batch has neither content nor style")
        if self.picture is None:
            return
        require("picture", self.picture, (torch.int64,), "(B,)", "see StyleBatch")
        if self.content is not None and len(self.content) != len(self.picture):
            raise UserError(f"a batch of {len(self.content)} contents is for {len(self.picture)} pictures")
        if self.picture.device.type == "cpu":
            check_range("pictures", self.picture, limits.get("pictures", len(self.picture)), "pictures")

    def select(self, index: Iterable[int]) -> StyleBatch:
        """Return some samples by their indices in this batch, in the order given, with all styles."""
        chosen = list(index)
        content, picture = (None if field is None else field[chosen] for field in (self.content, self.picture))
        return StyleBatch(content, self.style, picture)

    def shows_the_same_as(self, other: StyleBatch) -> bool:
        """Return whether another batch has equal contents and styles."""
        if len(self.style) != len(other.style) or (self.content is None) != (other.content is None):
            return False
        pairs = [*zip(self.style, other.style, strict=True)]
        if self.content is not None and other.content is not None:
            pairs.append((self.content, other.content))
        return all(one is another or torch.equal(one, another) for one, another in pairs)


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ROUNDING = 0.01  # of values that were sampled between pixels, in half precision


def require(name: str, values: Tensor, dtypes: tuple[torch.dtype, ...], shape: str, remedy: str) -> None:
    """Check one field of a batch.

    Args:
        name: of the field, for the error.
        values: of the field.
        dtypes: that it may have.
        shape: its dimensions by letters, such as "(B, C, H, W)".
        remedy: what to do, for the error.

    Raises:
        UserError: another type, another number of dimensions, or nothing in it.
    """
    if not isinstance(values, Tensor) or values.dtype not in dtypes or values.dim() != len(shape.split()):
        got = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"{name} of a batch is {got}; expected {dtypes[0]} {shape}: {remedy}")
    if not values.numel():
        raise UserError(f"{name} of a batch is empty, {tuple(values.shape)}: leave empty batches out")


def check_pixels(name: str, image: Tensor, shape: str) -> None:
    """Check that images are uint8 of 0 to 255 or floats of 0 to 1, of which values are read on the CPU alone.

    Args:
        name: of the field, for the error.
        image: uint8 or float.
        shape: its dimensions by letters.

    Raises:
        UserError: another type, number of dimensions or range.
    """
    require(name, image, (torch.uint8, *FLOATS), shape, "uint8 pixels of 0 to 255, or floats of 0 to 1")
    if image.dtype == torch.uint8 or image.device.type != "cpu":
        return
    least, most = (float(value) for value in image.detach().aminmax())
    if not (least >= -_ROUNDING and most <= 1 + _ROUNDING):
        raise UserError(
            f"{name} of a batch has floats of {least:g} to {most:g}; expected 0 to 1, not normalised: give uint8 "
            "pixels of 0 to 255, or divide them by 255"
        )


def check_image(image: Tensor, limits: Mapping[str, Any]) -> None:
    """Check the images of a batch.

    Args:
        image: uint8 (B, C, H, W), 0 to 255, or float, 0 to 1.
        limits: the model's arguments: `features`, `channels`, `height` and `width` where it has them.

    Raises:
        UserError: another type, shape or range.
    """
    check_pixels("image", image, "(B, C, H, W)")
    shape = tuple(image.shape[1:])
    if limits.get("features", math.prod(shape)) != math.prod(shape):
        raise UserError(f"images of {shape}; this model was made for {limits['features']} values each")
    size = (limits.get("height", shape[1]), limits.get("width", shape[2]))
    if size != shape[1:]:
        raise UserError(f"images of {shape}; this model was made for {size[0]} x {size[1]} pixels")
    if limits.get("channels", shape[0]) != shape[0]:
        raise UserError(f"images of {shape}; this model was made for {limits['channels']} channels")


def check_labels(label: Tensor | None, size: int, num_classes: int | None) -> None:
    """Check the labels of a batch.

    Args:
        label: int64 (B,), or float (B, K); None where there are none.
        size: samples in the batch, B.
        num_classes: of the model, K; None where any number will do.

    Raises:
        UserError: another type, shape or number, or a class beyond the model's.
    """
    if label is None:
        return
    shares = isinstance(label, Tensor) and label.is_floating_point()
    dtypes, shape = (FLOATS, "(B, K)") if shares else ((torch.int64,), "(B,)")
    require("label", label, dtypes, shape, "the class index of each sample, or the share of each class")
    if len(label) != size:
        raise UserError(f"a batch of {size} samples has {len(label)} labels")
    if num_classes is None:
        return
    if shares and label.shape[1] != num_classes:
        raise UserError(f"labels give shares of {label.shape[1]} classes; this model was made for {num_classes}")
    if not shares and label.device.type == "cpu":
        check_range("labels", label, num_classes, "num_classes")


def check_counts(name: str, counts: Tensor, of: str, total: int) -> None:
    """Check that counts are at least 1 and add up.

    Args:
        name: of the counts, for the error.
        counts: int64 (N,).
        of: what they count.
        total: how many of these there are.

    Raises:
        UserError: they don't.
    """
    if counts.min() < 1 or counts.sum() != total:
        raise UserError(
            f"{name} counts the {of} of each, at least 1; its sum is {int(counts.sum())}, its minimum "
            f"{int(counts.min())}, and there are {total} {of}"
        )


def check_range(name: str, values: Tensor, limit: int, argument: str) -> None:
    """Check that values are numbers from 0 to below a limit; waits for the device.

    Args:
        name: of the values, for the error.
        values: int64.
        limit: the first number that is too large.
        argument: what the model calls the limit.

    Raises:
        UserError: some are beyond it.
    """
    least, most = (int(v) for v in values.aminmax())
    if least < 0 or most >= limit:
        raise UserError(f"{name} go from {least} to {most}; this model was made for 0 to {limit - 1} ({argument})")
