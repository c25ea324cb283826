"""Rows of n-grams in their table: hashes of the spelling of words, by whole numbers alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

_FACTOR, _PRIME = 1_000_003, (1 << 31) - 1  # their product and a code stay within int64


def word_code(word: str) -> int:
    """Return the code of a word, 1 to 2^31 - 2."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % (_PRIME - 1) + 1


def extended(hashed: Any, code: Any) -> Any:
    """Return the hash of an n-gram with one word more, of the code 0 behind the end; a number each, or a tensor."""
    return (hashed * _FACTOR + code) % _PRIME


def ngram_rows(codes: Sequence[int], longest: int, rows: int) -> list[list[int]]:
    """Return the rows of the n-grams of 2 to `longest` words that begin at each word of a sequence.

    Args:
        codes: of its words.
        longest: longest n-gram; 1 for none.
        rows: of the table.
    """
    padded, found = [*codes, *[0] * longest], []
    for start, hashed in enumerate(codes):
        of_word = []
        for code in padded[start + 1 : start + longest]:
            hashed = extended(hashed, code)
            of_word.append(hashed % rows)
        found.append(of_word)
    return found
