"""Words of captions and their ids, for the vocabulary and for metrics that can be compared with published ones.

English follows the rules of the Penn Treebank as the tokenizer of pycocoevalcap does (Stanford's PTBTokenizer in lower
case), which also drops punctuation; round brackets stay, as there, because its list has them in upper case. Chinese is
cut into jieba's words or into characters; punctuation is dropped, letters stay as they are, since jieba knows T恤.

Ids 0 to V - 1 are the vocabulary of the model: three that are no words, then the words that are frequent in train. Ids
from V on are all other words of the data, so that metrics compare true words and never one unknown word with another.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.captions.processor import Language, TokenName
from lightning_nn.data.normalization import normalize_text
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.data.text.vocabulary import frequent_words
from lightning_nn.errors import UserError, choose
from lightning_nn.settings import Group

SPECIAL = ("<unknown>", "<start>", "<end>")  # by their ids, UNKNOWN, START and END

Tokens = Sequence[Sequence[Sequence[str]]]  # words of each caption of each image

# What pycocoevalcap drops, and the signs that PTB writes as other ones that it drops.
_DROPPED = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", ";", '"'))
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}

# Typographic signs as PTB writes them, whatever they touch.
_ASCII = str.maketrans(
    dict.fromkeys("“”„‟«»", '"')
    | dict.fromkeys("‘‚‛‹", "`")
    | dict.fromkeys("’›", "'")
    | dict.fromkeys("–—―", " -- ")
    | dict.fromkeys("‐‑‒", "-")
    | {"…": " ... "}
)

_ABBREVIATIONS = (
    "mr|mrs|ms|dr|drs|prof|st|jr|sr|gen|col|capt|lt|sgt|rev|hon|gov|sen|rep|etc|vs|inc|corp|ltd|co|bros|mt|ft|ave|blvd"
    r"|dept|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|no(?=\.\s*\d)"
)
_TOKEN = re.compile(
    rf"""
      </?[a-z!][^<>]*>                                          # a tag
    | https?://\S+ | [\w.]+@[\w.]+\.\w+                         # an address
    | \.{{3,}} | -{{2,}}
    | (?:{_ABBREVIATIONS})\.
    | (?:[^\W\d_]\.)+(?![^\W_])                                 # initials
    | '(?:s|re|ve|ll|d|m)\b | n't\b                             # a contraction written apart
    | 'n' | 't(?=is\b|was\b) | '\d\ds?\b
    | [+-]?\d+(?:[.,:/]\d+)*(?![^\W_])(?!-[^\W_])               # a number
    | [^\W_]+(?:(?:[-/_.]|'(?!n'))[^\W_]+)*                    # a word with its contractions
    | \S
    """,
    re.VERBOSE,
)
_CONTRACTION = re.compile(r"(.+?)(n't|'(?:s|re|ve|ll|d|m))")
_TWO = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}


def english_words(text: str) -> list[str]:
    """Split an English caption into words in lower case, without punctuation."""
    words: list[str] = []
    for token in _TOKEN.findall(text.translate(_ASCII).lower()):
        if token not in _DROPPED and not token.startswith(("..", "--")):
            words += _parts(token)
    return words


def _parts(token: str) -> list[str]:
    """Split a contraction: can't is ca and n't, as in the Penn Treebank."""
    if token in _BRACKETS:
        return [_BRACKETS[token]]
    endings: list[str] = []
    while "'" in token and (match := _CONTRACTION.fullmatch(token)):
        token = match[1]
        endings.insert(0, match[2])
    return [*_TWO.get(token, (token,)), *endings]


@dataclass(frozen=True)
class CaptionVocabulary(Group):
    """Words of captions: how they are told apart, and which of them the model knows.

    Args:
        tokens: "words", or "chars" for each Chinese character as a word; metrics count the same.
        min_count: words that occur less often in train are unknown to the model.
        max_words: maximum number of words of a caption, also of those that metrics compare with; the rest is dropped.

    Raises:
        UserError: a value is out of its range.
    """

    tokens: TokenName = "words"
    min_count: int = 5
    max_words: int = 100

    def __post_init__(self) -> None:
        choose("--data.vocabulary.tokens", self.tokens, TokenName)
        for name, value in (("min_count", self.min_count), ("max_words", self.max_words)):
            if value < 1:
                raise UserError(f"--data.vocabulary.{name} is {value}; it must be at least 1")


class Tokenizer:
    """Splitter of captions into words.

    Args:
        language: "en" or "zh".
        tokens: "words", or "chars" for each character as a word.

    Raises:
        UserError: English by characters.
    """

    def __init__(self, language: Language, tokens: TokenName) -> None:
        if language == "en" and tokens == "chars":
            raise UserError("--data.vocabulary.tokens chars is for Chinese; English captions are split into words")
        self._segmenter = None if language == "en" else Segmenter("chars" if tokens == "chars" else "jieba")

    def __call__(self, caption: str) -> list[str]:
        """Split a caption; [] for one without words."""
        text = normalize_text(caption)
        if self._segmenter is None:
            return english_words(text)
        return [word for word in self._segmenter(text) if not all(map(_is_punctuation, word))]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PSZC"


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
    spoken = {word for captions in splits for caption in chain.from_iterable(captions) for word in caption}
    return sorted(spoken.difference(words[len(SPECIAL) :]))


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
