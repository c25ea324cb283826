"""Words as vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordEmbedding(nn.Module):
    """A table of word vectors; in training, words are now and then taken for the unknown word.

    That teaches the unknown word's vector, which no training word would otherwise use, and keeps a model from leaning
    on single words (word dropout, Iyyer et al. 2015).

    Args:
        vocabulary: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of taking a word for the unknown one, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.
    """

    def __init__(self, vocabulary: int, size: int, word_dropout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.word_dropout = word_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (W, E) of word ids (W,)."""
        if self.training and self.word_dropout > 0:
            words = words * (torch.rand(words.shape, device=words.device) >= self.word_dropout)
        return self.dropout(self.table(words))
