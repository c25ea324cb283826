"""Words as vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordDropout(nn.Dropout):
    """In training, words are randomly replaced by the unknown word.

    That teaches the unknown word's vector, which no training word would otherwise use, and keeps a model from relying
    on single words (after the word dropout of Iyyer et al. 2015, who leave the words out).

    Args:
        p: probability of replacing a word, 0 to 1.

    Raises:
        ValueError: a probability outside its range.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Word ids (W,) with zeros among them."""
        if not self.training or self.p == 0:
            return input
        return input * (torch.rand(input.shape, device=input.device) >= self.p)


class WordEmbedding(nn.Module):
    """A table of word vectors, with dropout of words and of values.

    Args:
        vocabulary: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.

    Raises:
        ValueError: a size below 1, or a probability outside its range.
    """

    def __init__(self, vocabulary: int, size: int, word_dropout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        if vocabulary < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary} words with {size} values each; both must be at least 1")
        self.table = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.word_dropout = WordDropout(word_dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (W, E) of word ids (W,)."""
        return self.dropout(self.table(self.word_dropout(words)))
