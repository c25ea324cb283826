"""Vocabulary: the options that determine it, words and their ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from lightning_nn.errors import UserError, choose
from lightning_nn.settings import Group

UNKNOWN = "<unk>"
SegmenterChoice = Literal["auto", "jieba", "chars", "words"]


@dataclass(frozen=True)
class TextVocabulary(Group):
    """Words of texts: how they are told apart, and which of them the model knows.

    Args:
        segmenter: "jieba" for Chinese words, "chars" for each character as a word, "words" for words between spaces and
            punctuation, as in English, or "auto": "words" if the first documents of train are such text, else "jieba".
        user_dict: UTF-8 file of words to add to jieba's dictionary, one per line, as WORD, WORD FREQUENCY or WORD
            FREQUENCY TAG, the form of jieba's own.
        min_count: words that occur less often in train are unknown.
        max_size: maximum number of words in the vocabulary.
        lower: make letters lower-case; if not given, with segmenter words only.
        unescape: read as line breaks <br> and, where it can hardly mean anything else, the two signs \\n; and entities
            such as &amp; as the signs they mean.

    Raises:
        UserError: a value is out of its range.
    """

    segmenter: SegmenterChoice = "auto"
    user_dict: str | None = None
    min_count: int = 2
    max_size: int = 50_000
    lower: bool | None = None
    unescape: bool = True

    def __post_init__(self) -> None:
        choose("--data.vocabulary.segmenter", self.segmenter, SegmenterChoice)
        for name, value, least in (("min_count", self.min_count, 1), ("max_size", self.max_size, 2)):
            if value < least:
                raise UserError(f"--data.vocabulary.{name} is {value}; it must be at least {least}")


class Vocabulary:
    """Table of words; a word's id is its position in the table.

    Args:
        words: the table, the unknown word at 0.

    Attributes:
        words: the table.
    """

    def __init__(self, words: list[str]) -> None:
        if not words or words[0] != UNKNOWN:
            raise ValueError(f"a vocabulary begins with {UNKNOWN!r}, got {words[:1]}")
        self.words = words

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1, max_size: int | None = None) -> Vocabulary:
        """Build a vocabulary of the most frequent words; ties are ordered by code points.

        Args:
            counts: number of occurrences of each word.
            min_count: words that occur less often are left out.
            max_size: largest number of words, including the unknown word; None for no limit.
        """
        words = [word for word in frequent_words(counts, min_count) if word != UNKNOWN]
        return cls([UNKNOWN, *words][:max_size])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return self._ids.get(cast(str, word), 0) > 0

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def ids(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Look up word ids, int64, 0 for words not in the table."""
        return np.fromiter((self._ids.get(word, 0) for word in words), np.int64)

    @cached_property
    def characters(self) -> list[str]:
        """All characters of the words, in order of first occurrence, after "" for no character at 0."""
        return list(dict.fromkeys(["", *itertools.chain.from_iterable(self.words[1:])]))


def frequent_words(counts: Mapping[str, int], min_count: int = 1) -> list[str]:
    """List the words that occur often enough, the most frequent first; ties are ordered by code points.

    Args:
        counts: number of occurrences of each word.
        min_count: words that occur less often are left out.
    """
    return sorted((w for w, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word))
