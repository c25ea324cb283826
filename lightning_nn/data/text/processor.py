"""Conversion of texts to batches as in training; prediction needs nothing else of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lightning_nn.data.batch_sampler import BatchSampler
from lightning_nn.data.batches import Index, TextBatch
from lightning_nn.data.normalization import unescape
from lightning_nn.data.processor import MOST, InputOptions, Record, check_state
from lightning_nn.data.text.prediction_inputs import read_inputs
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.errors import UserError

LONGEST = 50_000  # maximum number of characters in a batch: bounds memory when predicting on long documents


class TextProcessor:
    """Processor of texts, with the vocabulary, segmenter and limits of training.

    Args:
        categories: name of each class, in the order of the labels.
        words: the vocabulary, the unknown word at 0.
        segmenter: "jieba", "chars" or "words".
        user_words: words added to jieba's dictionary.
        max_sentences: sentences to which a text is truncated.
        max_words: words to which a sentence is truncated.
        lower: make letters lower-case.
        unescape: read entities and the like, see `lightning_nn.data.normalization.unescape`.
        text_column: column of the texts in the table of training, as --data.text_column names it, several joined by
            commas; "" if it was no table.

    Attributes:
        read: words of all texts encoded so far.
        unknown: those of them that are not in the vocabulary.
    """

    kind = "text"

    def __init__(
        self,
        categories: list[str],
        words: list[str],
        segmenter: SegmenterName,
        user_words: list[str],
        max_sentences: int,
        max_words: int,
        lower: bool = False,
        unescape: bool = False,
        text_column: str = "",
    ) -> None:
        names = {"categories": categories, "words": words, "user_words": user_words}
        check_state(names, categories=list, words=list, user_words=list)
        limits = {"max_sentences": max_sentences, "max_words": max_words}
        check_state(limits, max_sentences=range(1, MOST), max_words=range(1, MOST))
        reading = {"segmenter": segmenter, "lower": lower, "unescape": unescape, "text_column": text_column}
        check_state(reading, segmenter=SegmenterName, lower=bool, unescape=bool, text_column=str)
        self.categories = categories
        self.vocabulary = Vocabulary(words)
        self.segmenter = Segmenter(segmenter, user_words, lower=lower)
        self.user_words, self.max_sentences, self.max_words = user_words, max_sentences, max_words
        self.unescape, self.text_column = unescape, text_column
        self.read = self.unknown = 0

    def tokens(self, text: str) -> list[list[str]]:
        """Segment a text into truncated sentences of words, as `encode` reads it; [] for a text without words."""
        sentences = self.segmenter.sentences(unescape(text) if self.unescape else text, self.max_sentences)
        return [sentence[: self.max_words] for sentence in sentences]

    def encode(self, raw: list[Any]) -> TextBatch:
        """Encode texts as a batch without labels. A text without words becomes one unknown word.

        Raises:
            UserError: an input is not a string.
        """
        documents: list[int] = []
        sentences: list[int] = []
        words: list[str] = []
        for text in raw:
            if not isinstance(text, str):
                raise UserError(f"expected a text (str), got {type(text).__name__}: {str(text)[:40]!r}")
            segmented = self.tokens(text) or [[""]]
            documents.append(len(segmented))
            sentences.extend(map(len, segmented))
            words.extend(word for sentence in segmented for word in sentence)
        ids = self.vocabulary.ids(words)
        wordless = words.count("")
        self.read += len(ids) - wordless
        self.unknown += int((ids == 0).sum()) - wordless
        return TextBatch(
            torch.tensor(documents, dtype=torch.int64),
            torch.tensor(sentences, dtype=torch.int64),
            torch.from_numpy(ids),
        )

    def unknown_share(self) -> float:
        """Return the share of unknown words in all texts encoded so far, 0 before the first."""
        return self.unknown / self.read if self.read else 0.0

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, TextBatch]]:
        """Yield batches of texts of similar length: up to `batch_size` texts and `LONGEST` characters, or one text.

        Raises:
            UserError: see `encode`.
        """
        if not raw:
            return
        most = self.max_sentences * self.max_words  # words read of a text
        lengths = np.array([min(len(text), most) if isinstance(text, str) else 1 for text in raw])
        for index in BatchSampler(len(raw), batch_size, lengths=lengths, max_length=LONGEST):
            yield index, self.encode([raw[i] for i in index])

    def inputs(self, options: InputOptions) -> Iterator[Record]:
        """Read texts: those given one by one, then the lines or the rows of a file.

        Raises:
            UserError: see `lightning_nn.data.text.prediction_inputs.read_inputs`.
        """
        return read_inputs(options, self.text_column)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories, words, and the characters of the words."""
        return {
            "categories": self.categories,
            "words": self.vocabulary.words,
            "characters": self.vocabulary.characters,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return {
            "categories": self.categories,
            "words": self.vocabulary.words,
            "segmenter": self.segmenter.name,
            "user_words": self.user_words,
            "max_sentences": self.max_sentences,
            "max_words": self.max_words,
            "lower": self.segmenter.lower,
            "unescape": self.unescape,
            "text_column": self.text_column,
        }
