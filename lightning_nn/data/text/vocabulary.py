"""Words and their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "<unk>"


class Vocabulary:
    """A table of words; a word's id is its place in it.

    Args:
        words: the table, the unknown word at 0.

    Attributes:
        words: as given.
    """

    def __init__(self, words: list[str]) -> None:
        if not words or words[0] != UNKNOWN:
            raise ValueError(f"a vocabulary begins with {UNKNOWN!r}, got {words[:1]}")
        self.words = words

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1, max_size: int | None = None) -> Vocabulary:
        """The most frequent words, those equally frequent in the order of their code points.

        Args:
            counts: how often each word occurs.
            min_count: words that occur less often are left out.
            max_size: words at most, the unknown word among them; None is no limit.
        """
        words = [word for word, count in counts.items() if count >= min_count and word != UNKNOWN]
        words.sort(key=lambda word: (-counts[word], word))
        return cls([UNKNOWN, *words][:max_size])

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def ids(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Int64 ids of words, 0 for those not in the table."""
        return np.fromiter((self._ids.get(word, 0) for word in words), np.int64)

    @cached_property
    def characters(self) -> list[str]:
        """All characters that the words are made of, in the order in which they first occur; before them "", none."""
        return list(dict.fromkeys(["", *itertools.chain.from_iterable(self.words[1:])]))
