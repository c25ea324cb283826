"""Options of the table of word vectors, which is most of a text model: plain, or one of the small forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lightning_nn.errors import UserError, choose
from lightning_nn.layers.embedding import WordEmbedding
from lightning_nn.layers.ngrams import NGrams
from lightning_nn.layers.small_embedding import TABLES, CodedTable, ProductQuantisedTable, SmallTable
from lightning_nn.settings import Group

TableKind = Literal[
    "plain", "factorised", "hashed", "quotient_remainder", "product_quantised", "coded", "frequent"
]  # see lightning_nn/layers/small_embedding.py


@dataclass(frozen=True)
class WordTable(Group):
    """Form of the table of word vectors.

    Args:
        kind: plain: a row a word. factorised: vectors of low rank (ALBERT, Lan et al. 2020). hashed: each word weighs
            two shared rows (Svenstrup et al. 2017). quotient_remainder: the product of two shared rows (Shi et al.
            2020). product_quantised: parts picked from a few values, learned end to end (Chen, Li, Sun 2020); smaller
            only after `compress`. coded: the same with fixed codes, as `compress` makes it. frequent: rows for frequent
            words; a rare one is the sum of a shared row and its characters, as with character_vectors.
        times: how many times smaller than the plain table, above 1; of frequent, without the characters.
        parts: of product_quantised and coded, into which a vector is cut, a divisor of embedding_size; null: as `times`
            needs.
        centroids: of product_quantised and coded, values to choose a part from, 2 to 256; null: as `times` needs.
        norms: of coded, whether each word has a code of its norm, on top.
        ngrams: longest n-gram of words, in words, whose vector is added to that of the word where it begins, from
            2-grams on; 1: none. Words of one character have n-grams of characters. See
            `lightning_nn/layers/ngrams.py`.
        ngram_rows: rows of the table of n-grams, at least 1; n-grams share them by their hash.
        ngram_dropout: probability of leaving out an n-gram in training, 0 to 1.

    Raises:
        UserError: an unknown kind, or a value out of its range.
    """

    kind: TableKind = "plain"
    times: float = 16.0
    parts: int | None = None
    centroids: int | None = None
    norms: bool = False
    ngrams: int = 1
    ngram_rows: int = 1 << 18
    ngram_dropout: float = 0.5

    def __post_init__(self) -> None:
        choose("--model.embedding.kind", self.kind, TableKind)
        if not 1 < self.times < math.inf:
            raise UserError(f"--model.embedding.times is {self.times}; it must be above 1")
        if (self.parts is None) != (self.centroids is None):
            raise UserError("--model.embedding.parts and --model.embedding.centroids go together: give both or neither")
        for name, value, least in (("ngrams", self.ngrams, 1), ("ngram_rows", self.ngram_rows, 1)):
            if value < least:
                raise UserError(f"--model.embedding.{name} is {value}; it must be at least {least}")
        if not 0 <= self.ngram_dropout <= 1:
            raise UserError(f"--model.embedding.ngram_dropout is {self.ngram_dropout}; it must be 0 to 1")
        coded = self.kind in (ProductQuantisedTable.kind, CodedTable.kind)
        for name, default in (("parts", None), ("centroids", None), ("norms", False)):
            if not coded and (value := getattr(self, name)) != default:
                raise UserError(f"--model.embedding.{name} is {value}, but a {self.kind} table has none: leave it out")

    def embed(
        self,
        vocabulary_size: int,
        size: int,
        word_dropout: float,
        dropout: float,
        num_characters: int,
        character_vectors: bool,
    ) -> WordEmbedding:
        """Make the embedding of words with this table.

        Args:
            vocabulary_size: words, V.
            size: width of a vector, E.
            word_dropout: see `WordEmbedding`.
            dropout: see `WordEmbedding`.
            num_characters: rows of the table of characters, C.
            character_vectors: add the vectors of a word's characters, as a frequent table always does: its rare words
                are nothing else.

        Raises:
            ValueError: see `WordEmbedding` and `make`.
        """
        characters = num_characters if character_vectors or self.kind == "frequent" else None
        table = self.make(vocabulary_size, size)
        ngrams = None
        if self.ngrams > 1:
            ngrams = NGrams(vocabulary_size, size, self.ngrams, self.ngram_rows, self.ngram_dropout)
        return WordEmbedding(vocabulary_size, size, word_dropout, dropout, characters, table, ngrams)

    def make(self, vocabulary_size: int, size: int) -> SmallTable | None:
        """Make the table; None for a plain one.

        Args:
            vocabulary_size: words, V.
            size: width of a vector, E.

        Raises:
            ValueError: this kind does not become that small for so few words, or `parts` does not divide the width.
        """
        if self.kind == "plain":
            return None
        if self.parts is None or self.centroids is None:
            return TABLES[self.kind].sized(vocabulary_size, size, self.times)
        if self.kind == CodedTable.kind:
            return CodedTable(vocabulary_size, size, self.parts, self.centroids, self.norms)
        return ProductQuantisedTable(vocabulary_size, size, self.parts, self.centroids)
