"""Numbering of the words of captions.

Ids 0 to V - 1 are the vocabulary of the model: three that are no words, then the words that are frequent in train. Ids
from V on are all other words of the data, so that metrics compare true words and never one unknown word with another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.text.vocabulary import frequent_words

SPECIAL = ("<unknown>", "<start>", "<end>")  # by their ids, UNKNOWN, START and END

Tokens = Sequence[Sequence[Sequence[str]]]  # words of each caption of each image


class CaptionTable(NamedTuple):
    """Captions of N images as word ids, without padding.

    Attributes:
        captions: int64 (N,), number of captions of each image, at least 1.
        length: int64 (M,), words of each caption, at least 1.
        words: int64 (W,), ids of all words.
    """

    captions: Index
    length: Index
    words: Index


def make_vocabulary(train: Tokens, min_count: int) -> list[str]:
    """Make the vocabulary of a model: the special ones, then words by falling count, those of one count by code points.

    Args:
        train: captions of the training split.
        min_count: words that occur less often are left out.
    """
    counts = Counter(chain.from_iterable(chain.from_iterable(train)))
    return [
        *SPECIAL,
        *frequent_words({word: count for word, count in counts.items() if word not in SPECIAL}, min_count),
    ]


def other_words(splits: Iterable[Tokens], words: list[str]) -> list[str]:
    """List the words of all splits that are not in a vocabulary, by code points; their ids go on from its length."""
    found = {word for captions in splits for caption in chain.from_iterable(captions) for word in caption}
    return sorted(found.difference(words[len(SPECIAL) :]))


def number(captions: Tokens, words: list[str], others: list[str]) -> CaptionTable:
    """Convert the words of captions to ids.

    Args:
        captions: words of each caption of each image.
        words: vocabulary, V words, the special ones first.
        others: all words of the captions that are not in it.
    """
    ids: Mapping[str, int] = {word: i for i, word in enumerate([*words, *others]) if i >= len(SPECIAL)}
    flat = list(chain.from_iterable(captions))
    return CaptionTable(
        np.array([len(of_image) for of_image in captions], np.int64),
        np.array([len(caption) for caption in flat], np.int64),
        np.array([ids[word] for word in chain.from_iterable(flat)], np.int64),
    )


def unknown_share(table: CaptionTable, words: list[str]) -> float:
    """Return the share of the words of captions that are not in the vocabulary, 0 to 1."""
    return float((table.words >= len(words)).mean())
