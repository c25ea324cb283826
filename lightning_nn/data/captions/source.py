"""Images, or features of them, with captions: the samples of a split, and a data set of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import CaptionBatch, Index
from lightning_nn.data.captions.processor import CaptionProcessor, Language, TokenName
from lightning_nn.data.captions.words import CaptionTable, Tokens, make_vocabulary, number, other_words, unknown_share
from lightning_nn.data.images.conversion import MAX_PIXELS, ImageForm, Pixels
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.loader import Fingerprints, Source
from lightning_nn.data.module import View
from lightning_nn.data.processor import Processor
from lightning_nn.data.text.corpus import many_unknown, ranges
from lightning_nn.errors import UserError


class CaptionSource:
    """Images of one split with their captions, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        captions: of the images of this split, in their order.
        indices: int64, indices of the images in this split; None for all.
        fingerprints: uint64 (N,), hash of each image, if already known.

    Attributes:
        features: float (N, F), given in place of the images; None for the images themselves.
    """

    lengths: Index | None = None

    def __init__(
        self,
        images: Pixels,
        captions: CaptionTable,
        indices: Index | None = None,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        self.images, self.captions = images, captions
        self.features: NDArray[np.float32] | None = None
        self.indices = np.arange(len(images)) if indices is None else indices
        self._fingerprints = fingerprints
        self._first_caption = np.concatenate([[0], captions.captions.cumsum()])  # of each image
        self._first_word = np.concatenate([[0], captions.length.cumsum()])  # of each caption

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> CaptionBatch:
        inputs: NDArray[Any] = self.images if self.features is None else self.features
        images = torch.from_numpy(np.asarray(inputs[self.indices[index]]))
        captions = ranges(self._first_caption[index], self.captions.captions[index])
        length = self.captions.length[captions]
        words = self.captions.words[ranges(self._first_word[captions], length)]
        image_index = np.repeat(np.arange(len(index)), self.captions.captions[index])
        return CaptionBatch(images, torch.from_numpy(image_index), torch.from_numpy(length), torch.from_numpy(words))

    def picture(self, index: int) -> Pixels:
        """Return an image as it can be shown, uint8 (H, W, 3)."""
        image = np.asarray(self.images[self.indices[index]]).transpose(1, 2, 0)
        return np.repeat(image, 3, 2) if image.shape[2] == 1 else image

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        if self._fingerprints is not None:
            return self._fingerprints[self.indices]
        return _hashes(self.images[i] for i in self.indices)

    def all_fingerprints(self) -> Fingerprints:
        """Return the hashes of all `images`, also of those in other splits."""
        return _hashes(self.images) if self._fingerprints is None else self._fingerprints


class CaptionSet(NamedTuple):
    """Images with captions and their splits.

    Attributes:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        form: of the images.
        indices: int64, indices of the images in each split, by its name.
        captions: words of each caption of these images, by the name of the split.
        language: of the captions.
        tokens: what a word is.
        min_count: words that occur less often in train are not in the vocabulary.
        fingerprints: uint64 (N,), hash of each image; None if they are computed on demand.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        files: name of each image, by the name of the split; empty if they have none.
        notes: remarks on how the data was read, for the user.
    """

    images: Pixels
    form: ImageForm
    indices: Mapping[str, Index]
    captions: Mapping[str, Tokens]
    language: Language
    tokens: TokenName
    min_count: int
    fingerprints: Fingerprints | None = None
    scale: int | None = None
    files: Mapping[str, Sequence[str]] = {}
    notes: Sequence[str] = ()


def view_captions(data: CaptionSet, trained: Processor | None, max_pixels: int = MAX_PIXELS) -> View:
    """Show images with their captions; the vocabulary is a trained model's if there is one, else that of train.

    Args:
        data: images and captions that were read.
        trained: processor of a trained model; None for none.
        max_pixels: maximum number of pixels of a raw image for the processor.

    Raises:
        UserError: the trained model writes another language or other tokens.
    """
    if isinstance(trained, CaptionProcessor):
        for name, option, value in (
            ("language", "--data.language", data.language),
            ("tokens", "--data.vocabulary.tokens", data.tokens),
        ):
            if (writes := getattr(trained, name)) != value:
                raise UserError(f"the model's {name} is {writes}; this data has {value}: use {option} {writes}")
        words = trained.words
    else:
        words = make_vocabulary(data.captions["train"], data.min_count)
    processor = CaptionProcessor(words, *data.form, data.language, data.tokens, data.scale, max_pixels=max_pixels)
    processor.others = other_words(data.captions.values(), words)
    processor.files = dict(data.files)
    sources: dict[str, Source] = {}
    rows: list[tuple[str, ...]] = [("split", "images", "captions", "words each", "unknown words")]
    unknown = {}
    for split, captions in data.captions.items():
        table = number(captions, words, processor.others)
        source = CaptionSource(data.images, table, data.indices[split], data.fingerprints)
        sources[split], processor.pictures[split] = source, source.picture
        mean, unknown[split] = f"{np.mean(table.length):.1f}", unknown_share(table, words)
        least, most = table.captions.min(), table.captions.max()
        per_image = f"{least}" if least == most else f"{least} to {most}"
        counts = f"{len(captions):,}", f"{len(table.length):,} ({per_image} each)"
        rows.append((split, *counts, mean, f"{unknown[split]:.2%}"))
    remedy = "lower --data.vocabulary.min_count"
    if data.language == "zh" and data.tokens == "words":
        remedy += ", or use --data.vocabulary.tokens chars"
    notes = many_unknown(unknown, remedy if trained is None else "the model was not trained on them")
    channels, height, width = data.form.shape
    arguments = {"channels": channels, "height": height, "width": width, "vocabulary_size": len(words)}
    return View(sources, processor, rows, arguments, [*data.notes, *notes])


def _hashes(images: Iterable[Pixels]) -> Fingerprints:
    return np.fromiter(map(fingerprint_image, images), np.uint64)
