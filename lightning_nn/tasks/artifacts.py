"""Where a model looked: a document with the weight of each word and sentence."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """An answer and what it rests on.

    Attributes:
        sentences: the words of each sentence.
        word_weights: the weight of each word, summing to 1 within a sentence.
        sentence_weights: the weight of each sentence, summing to 1.
        category: the answer.
        probability: the model's, 0 to 1.
        truth: the right answer, where it is known.
    """

    sentences: list[list[str]]
    word_weights: list[list[float]]
    sentence_weights: list[float]
    category: str
    probability: float
    truth: str | None = None
