"""Words as vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPELLED = 8  # characters of a word that are looked at, from its first


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
    """Vectors of words, with dropout of words and of values.

    A word's vector is its row of a table; where characters have vectors, it is that row plus the mean of its
    characters' (X. Chen, L. Xu, Z. Liu, M. Sun, H. Luan: Joint Learning of Character and Word Embeddings, IJCAI 2015,
    section 3.1: addition, without the factor 1/2). A Chinese word that is rare is still made of characters that are
    not.

    Args:
        vocabulary: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.
        characters: rows of the table of characters, C, row 0 for none; None: words have no characters.

    Attributes:
        spelling: int32 (V, SPELLED), the characters of each word, 0 behind its last; nothing but 0 until `spell`.

    Raises:
        ValueError: a size below 1, or a probability outside its range.
    """

    spelling: Tensor

    def __init__(
        self,
        vocabulary: int,
        size: int,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        characters: int | None = None,
    ) -> None:
        super().__init__()
        if vocabulary < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary} words with {size} values each; both must be at least 1")
        self.table = nn.Embedding(vocabulary, size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.characters = None
        if characters is not None:
            if characters < 1:
                raise ValueError(f"a table of {characters} characters; the data's describe() has their number")
            self.characters = nn.EmbeddingBag(characters, size, mode="mean", padding_idx=0)
            nn.init.normal_(self.characters.weight, std=0.1)
            self.register_buffer("spelling", torch.zeros(vocabulary, SPELLED, dtype=torch.int32))
        self.word_dropout = WordDropout(word_dropout)
        self.dropout = nn.Dropout(dropout)

    def spell(self, spelling: Tensor) -> None:
        """Says what characters the words are made of.

        Args:
            spelling: integers (V, SPELLED), each 0 to C - 1; 0 is no character.
        """
        self.spelling.copy_(spelling)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (W, E) of word ids (W,)."""
        words = self.word_dropout(words)
        vectors = self.table(words)
        if self.characters is not None:
            vectors = vectors + self.characters(self.spelling[words])
        return self.dropout(vectors)
