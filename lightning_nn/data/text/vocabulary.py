"""Vocabulary: words and their ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "<unk>"


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
