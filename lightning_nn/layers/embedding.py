"""Word embeddings, with word dropout and vectors of characters and of n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lightning_nn.layers.ngrams import NGrams

INITIAL_STD = 0.1  # of the values of a word's vector
MAX_CHARACTERS = 8  # only the first characters of a word count


class WordDropout(nn.Dropout):
    """Dropout that replaces words by the unknown word, in training only.

    It trains the vector of the unknown word, which no training word would otherwise use, and keeps a model from
    relying on single words (after Iyyer et al. 2015, who leave the words out).

    Args:
        p: probability of replacing a word, 0 to 1.

    Raises:
        ValueError: a probability outside its range.

    Example:
        >>> WordDropout(1.0)(torch.tensor([7, 3]))  # in training
        tensor([0, 0])
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"word_dropout is {p}; it must be 0 to 1")
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Return the word ids (W,), some replaced by 0."""
        if not self.training or self.p == 0:
            return input
        return input * (torch.rand(input.shape, device=input.device) >= self.p)


def plain_table(vocabulary_size: int, size: int) -> nn.Embedding:
    """Make a table of word vectors with a row for each word."""
    table = nn.Embedding(vocabulary_size, size)
    nn.init.normal_(table.weight, std=INITIAL_STD)
    return table


@torch.no_grad()
def initialise_rows(table: nn.Embedding, vectors: Tensor, chosen: Tensor) -> None:
    """Write vectors into rows of a plain table, scaled to the deviation of its other values.

    Args:
        table: (V, E), at random.
        vectors: (V, K), K at most E; the other values of a row stay random.
        chosen: bool (V,), the rows.
    """
    scale = INITIAL_STD / vectors[chosen].square().mean().sqrt().clamp(min=torch.finfo(vectors.dtype).tiny)
    table.weight[chosen, : vectors.shape[1]] = (scale * vectors[chosen]).to(table.weight)


class WordEmbedding(nn.Module):
    """Embedding of words, with dropout of words and of values.

    Each distinct word of a batch is computed once, so that all its occurrences lose the same values (as in Gal and
    Ghahramani 2016, who drop whole words), and what follows may be computed once, too: see `distinct`.

    A word's vector is its row of a table, or what a smaller table has for it (`lightning_nn.layers.small_embedding`).
    With `num_characters` it is that vector plus the mean vector of the word's first
    `MAX_CHARACTERS` characters (X. Chen, L. Xu, Z. Liu, M. Sun, H. Luan: Joint Learning of Character and Word
    Embeddings, IJCAI 2015; the sum, without their factor 1/2, which the next layer makes up for). A rare Chinese
    word is still made of common characters. Where each word is one character, nothing is gained. With `ngrams` the
    vectors of the n-grams that begin at a word are added to its vector, at each of its places.

    Args:
        vocabulary_size: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.
        num_characters: rows of the table of characters, C, row 0 for padding; None: no vectors from characters.
        table: module from ids (W,) to vectors (W, E) in place of the plain table; None for that.
        ngrams: vectors of n-grams; None for none.

    Attributes:
        table: the table of words.
        word_characters: int32 (V, MAX_CHARACTERS), ids of the characters of each word, padded with 0; all 0 until
            `set_words` is called.

    Raises:
        ValueError: a size below 1, or a probability outside its range.

    Example:
        >>> WordEmbedding(vocabulary_size=100, size=8)(torch.tensor([7, 3, 7])).shape
        torch.Size([3, 8])
    """

    word_characters: Tensor

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        num_characters: int | None = None,
        table: nn.Module | None = None,
        ngrams: NGrams | None = None,
    ) -> None:
        super().__init__()
        if vocabulary_size < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary_size} words with {size} values each; both must be at least 1")
        self.vocabulary_size = vocabulary_size
        self.table = plain_table(vocabulary_size, size) if table is None else table
        self.characters = None
        if num_characters is not None:
            if num_characters < 1:
                raise ValueError(f"num_characters is {num_characters}; it must be their number and one more for none")
            self.characters = nn.EmbeddingBag(num_characters, size, mode="mean", padding_idx=0)
            nn.init.normal_(self.characters.weight, std=0.1)
            self.register_buffer("word_characters", torch.zeros(vocabulary_size, MAX_CHARACTERS, dtype=torch.int32))
        self.ngrams = ngrams
        self._has_words = False
        self._replacement: Tensor | None = None
        self.word_dropout = WordDropout(word_dropout)
        self.dropout = nn.Dropout(dropout)

    def set_words(self, words: Sequence[str], characters: Sequence[str]) -> None:
        """Set how the words are spelled; without `num_characters` and `ngrams` nothing is done.

        Args:
            words: the V words in the order of their ids; the unknown word, at 0, has no characters.
            characters: the C characters in the order of their ids; the first stands for padding.

        Raises:
            ValueError: the numbers do not match, or a word has a character that is not listed.
        """
        if self.characters is not None:
            rows = (self.vocabulary_size, self.characters.num_embeddings)
            if rows != (len(words), len(characters)):
                raise ValueError(
                    f"made for {rows[0]} words of {rows[1]} characters, not for {len(words)} of {len(characters)}"
                )
            number = {character: i for i, character in enumerate(characters)}
            try:
                ids = [[number[character] for character in word[:MAX_CHARACTERS]] for word in words[1:]]
            except KeyError as error:
                raise ValueError(f"the character {error} of a word is not among the characters") from None
            rows_of_words = [row + [0] * (MAX_CHARACTERS - len(row)) for row in ([], *ids)]
            self.word_characters.copy_(torch.tensor(rows_of_words, dtype=torch.int32))
        if self.ngrams is not None:
            self.ngrams.set_words(words)
        self._has_words = True

    def forward(self, words: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the vectors (..., E) of word ids (...).

        Args:
            words: ids, int64 (...).
            lengths: see `distinct`.

        Raises:
            RuntimeError: there are characters or n-grams, but `set_words` was never called.
        """
        vectors, rows = self.distinct(words, lengths)
        return nn.functional.embedding(rows, vectors)

    def distinct(self, words: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the vectors (V', E) of the distinct words, and for each word the row of its vector, int64 (...).

        Every word has a row with n-grams, by which occurrences of a word differ, and while torch compiles or exports,
        which can't know how many are distinct.

        Args:
            words: ids, int64 (...); (W,) with n-grams.
            lengths: int64 (S,), words of each sequence, beyond which no n-gram reaches; None: all are one sequence.

        Raises:
            RuntimeError: there are characters or n-grams, but `set_words` was never called.
        """
        places = torch.arange(words.numel(), device=words.device).view(words.shape)
        if self._replacement is not None:
            return self._replacement, places
        words = self.word_dropout(words)
        if torch.compiler.is_compiling():
            vectors, rows = self._vectors(words.flatten()), places
        else:
            distinct, rows = torch.unique(words, return_inverse=True)
            vectors = self._vectors(distinct)
        if self.ngrams is not None:
            self._check_words(self.ngrams.codes)
            lengths = words.new_tensor([len(words)]) if lengths is None else lengths
            vectors, rows = nn.functional.embedding(rows, vectors) + self.ngrams(words, lengths), places
        return self.dropout(vectors), rows

    @contextmanager
    def replaced(self, vectors: Tensor) -> Iterator[None]:
        """Take other vectors for the words of a batch, whatever its ids: points on the way from one text to another.

        Args:
            vectors: (W, E).
        """
        self._replacement = vectors
        try:
            yield
        finally:
            self._replacement = None

    def _vectors(self, words: Tensor) -> Tensor:
        vectors: Tensor = self.table(words)
        if self.characters is not None:
            self._check_words(self.word_characters)
            vectors = vectors + self.characters(self.word_characters[words])
        return vectors

    def _check_words(self, spelling: Tensor) -> None:
        self._has_words = self._has_words or bool(spelling.any())  # it may have come with the weights
        if not self._has_words:
            raise RuntimeError("words have no spelling yet: call set_words(words, characters), or set the processor")
