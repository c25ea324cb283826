"""Base class of data sets of captions: from images and words to sources, processor and table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import FrozenEncoder, Index
from lightning_nn.data.cache import thorough_checks
from lightning_nn.data.captions.features import cached_features
from lightning_nn.data.captions.processor import CaptionProcessor, Language, TokenName
from lightning_nn.data.captions.source import CaptionSource
from lightning_nn.data.captions.vocabulary import Tokens, make_vocabulary, number, other_words, unknown_share
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm, Pixels
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import DataModule
from lightning_nn.data.text.corpus import many_unknown
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
        files: name of each image, by the name of the split; empty if they have none.
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


class CaptionedModule(DataModule):
    """A data set that gives captions; its `prepare` reads a `CaptionSet` and passes it to `open_captions`.

    Attributes:
        encoder: computes the features that are given in place of images; None for the images themselves.
    """

    encoder: FrozenEncoder | None = None
    _compute = True

    def open_captions(self, data: CaptionSet, max_pixels: int = MAX_PIXELS) -> None:
        """Make sources, processor and table; the vocabulary is a trained model's if there is one, else that of train.

        Args:
            data: images and captions that were read.
            max_pixels: maximum number of pixels of a raw image for the processor.

        Raises:
            UserError: the trained model writes another language or other tokens.
        """
        trained = self.fixed_processor
        if isinstance(trained, CaptionProcessor):
            for name, value in (("language", data.language), ("tokens", data.tokens)):
                if (writes := getattr(trained, name)) != value:
                    raise UserError(
                        f"the model's {name} is {writes}; this data has {value}: use --data.{name} {writes}"
                    )
            words = trained.words
        else:
            words = make_vocabulary(data.captions["train"], data.min_count)
        processor = CaptionProcessor(words, *data.form, data.language, data.tokens, data.scale, max_pixels=max_pixels)
        processor.others = other_words(data.captions.values(), words)
        processor.files = dict(data.files)
        self.sources, self.processor = {}, processor
        self.summary = [("split", "images", "captions", "words each", "unknown words")]
        unknown = {}
        for split, captions in data.captions.items():
            table = number(captions, words, processor.others)
            source = CaptionSource(data.images, table, data.indices[split], data.fingerprints)
            self.sources[split], processor.pictures[split] = source, source.picture
            mean, unknown[split] = f"{np.mean(table.length):.1f}", unknown_share(table, words)
            least, most = table.captions.min(), table.captions.max()
            each = f"{least}" if least == most else f"{least} to {most}"
            counts = f"{len(captions):,}", f"{len(table.length):,} ({each} each)"
            self.summary.append((split, *counts, mean, f"{unknown[split]:.2%}"))
        remedy = "lower --data.min_count"
        if data.language == "zh" and data.tokens == "words":
            remedy += ", or use --data.tokens chars"
        self.notes += many_unknown(unknown, remedy if trained is None else "the model was not trained on them")
        self._add_features()

    def use_features(self, encoder: FrozenEncoder | None, *, compute: bool = True) -> None:
        """Give features in place of images, computed once and kept in the cache.

        Args:
            encoder: computes them; None for the images themselves.
            compute: False: give the images themselves if their features are not in the cache.
        """
        self.encoder, self._compute = encoder, compute
        self.prepare_once()
        self._add_features()

    def _add_features(self) -> None:
        found = [source for source in self.sources.values() if isinstance(source, CaptionSource)]
        if self.encoder is None or not found:
            features = None
        else:
            images, known = found[0].images, found[0].all_fingerprints()
            with thorough_checks(self.fixed_processor is not None):
                features = cached_features(images, known, self.encoder, compute=self._compute)
        for source in found:
            source.features = features

    def describe(self) -> dict[str, Any]:
        """Return the numbers of channels, rows, columns and words."""
        processor = self.processor
        assert isinstance(processor, CaptionProcessor)
        channels, height, width = processor.images.form.shape
        return {"channels": channels, "height": height, "width": width, "vocabulary_size": len(processor.words)}

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Also yield the captions."""
        yield from super().contents(split)
        if isinstance(source := self.sources[split], CaptionSource):
            yield from source.captions
