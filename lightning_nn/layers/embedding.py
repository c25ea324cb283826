"""Words as vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordEmbedding(nn.Module):
    """A table of word vectors; in training, words are randomly replaced by the unknown word.

    That teaches the unknown word's vector, which no training word would otherwise use, and keeps a model from relying
    on single words (after the word dropout of Iyyer et al. 2015, who leave the words out).

    Args:
        vocabulary: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of replacing a word by the unknown one, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.

    Raises:
        ValueError: a size below 1, or a probability outside its range.
    """

    def __init__(self, vocabulary: int, size: int, word_dropout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        if vocabulary < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary} words with {size} values each; both must be at least 1")
        if not 0 <= word_dropout <= 1:
            raise ValueError(f"word_dropout is {word_dropout}; it must be 0 to 1")
        self.table = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (W, E) of word ids (W,)."""
        if self.training and self.word_dropout > 0:
            words = words * (torch.rand(words.shape, device=words.device) >= self.word_dropout)
        return self.dropout(self.table(words))
