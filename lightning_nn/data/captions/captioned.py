"""What all data sets of captions share: from images and words to sources, processor and table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import Index
from lightning_nn.data.captions.processor import CaptionProcessor, Language, TokenName
from lightning_nn.data.captions.source import CaptionSource
from lightning_nn.data.captions.vocabulary import Tokens, make_vocabulary, number, other_words, unknown_share
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError


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
    """

    images: NDArray[Any]
    form: ImageForm
    indices: Mapping[str, Index]
    captions: Mapping[str, Tokens]
    language: Language
    tokens: TokenName
    min_count: int
    fingerprints: Fingerprints | None = None
    scale: int | None = None


class Captioned(NamedTuple):
    """What a data module makes of a `CaptionSet`.

    Attributes:
        sources: by the name of the split.
        processor: with the vocabulary.
        summary: rows of the table shown when a run starts.
    """

    sources: dict[str, CaptionSource]
    processor: CaptionProcessor
    summary: list[tuple[str, ...]]


def make_captioned(data: CaptionSet, trained: Processor | None, max_pixels: int = MAX_PIXELS) -> Captioned:
    """Make sources, processor and table, with all words numbered.

    Args:
        data: images and captions.
        trained: processor of a trained model, whose vocabulary is used; None to make one from train.
        max_pixels: maximum number of pixels of a raw image for the processor.

    Raises:
        UserError: the trained model writes another language or other tokens.
    """
    if isinstance(trained, CaptionProcessor):
        for name, value in (("language", data.language), ("tokens", data.tokens)):
            if (writes := getattr(trained, name)) != value:
                raise UserError(f"the model's {name} is {writes}; this data has {value}: use --data.{name} {writes}")
        words = trained.words
    else:
        words = make_vocabulary(data.captions["train"], data.min_count)
    processor = CaptionProcessor(words, *data.form, data.language, data.tokens, data.scale, max_pixels=max_pixels)
    processor.others = other_words(data.captions.values(), words)
    sources = {}
    summary: list[tuple[str, ...]] = [("split", "images", "captions", "words each", "unknown words")]
    for split, captions in data.captions.items():
        table = number(captions, words, processor.others)
        sources[split] = CaptionSource(data.images, table, data.indices[split], data.fingerprints)
        mean, unknown = f"{np.mean(table.length):.1f}", f"{unknown_share(table, words):.2%}"
        summary.append((split, f"{len(captions):,}", f"{len(table.length):,}", mean, unknown))
    return Captioned(sources, processor, summary)
