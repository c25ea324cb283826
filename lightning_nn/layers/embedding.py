"""Words as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MAX_CHARACTERS = 8  # characters of a word that are looked at, from its first


class WordDropout(nn.Dropout):
    """In training, words are randomly replaced by the unknown word.

    That teaches the unknown word's vector, which no training word would otherwise use, and keeps a model from relying
    on single words (after the word dropout of Iyyer et al. 2015, who leave the words out).

    A dropout by its class too, so that whoever asks a model for its dropouts finds it.

    Args:
        p: probability of replacing a word, 0 to 1.

    Raises:
        ValueError: a probability outside its range.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"word_dropout is {p}; it must be 0 to 1")
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Word ids (W,) with zeros among them."""
        if not self.training or self.p == 0:
            return input
        return input * (torch.rand(input.shape, device=input.device) >= self.p)


class WordEmbedding(nn.Module):
    """Vectors of words, with dropout of words and of values.

    A word's vector is its row of a table; where characters have vectors, it is that row plus the mean of those of its
    first `MAX_CHARACTERS` characters (X. Chen, L. Xu, Z. Liu, M. Sun, H. Luan: Joint Learning of Character and Word
    Embeddings, IJCAI 2015; addition, without their factor 1/2, for which a layer on top makes up). A Chinese word that
    is rare is still made of characters that are not. Where words are characters, nothing is gained.

    Args:
        vocabulary_size: words, V; id 0 is the unknown word.
        size: width of a vector, E.
        word_dropout: probability of replacing a word by the unknown one in training, 0 to 1.
        dropout: probability of dropping a value of a vector, 0 to 1.
        num_characters: rows of the table of characters, C, row 0 for none; None: words have no characters.

    Attributes:
        word_characters: int32 (V, MAX_CHARACTERS), the characters of each word, 0 behind its last; 0 throughout until
            `set_characters`.

    Raises:
        ValueError: a size below 1, or a probability outside its range.
    """

    word_characters: Tensor

    def __init__(
        self,
        vocabulary_size: int,
        size: int,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        num_characters: int | None = None,
    ) -> None:
        super().__init__()
        if vocabulary_size < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary_size} words with {size} values each; both must be at least 1")
        self.table = nn.Embedding(vocabulary_size, size)
        nn.init.normal_(self.table.weight, std=0.1)
        self.characters = None
        if num_characters is not None:
            if num_characters < 1:
                raise ValueError(f"num_characters is {num_characters}; it must be their number and one more for none")
            self.characters = nn.EmbeddingBag(num_characters, size, mode="mean", padding_idx=0)
            nn.init.normal_(self.characters.weight, std=0.1)
            self.register_buffer("word_characters", torch.zeros(vocabulary_size, MAX_CHARACTERS, dtype=torch.int32))
        self._spelled = False
        self.word_dropout = WordDropout(word_dropout)
        self.dropout = nn.Dropout(dropout)

    def set_characters(self, words: Sequence[str], characters: Sequence[str]) -> None:
        """Says what characters the words are made of; where characters have no vectors, that is of no interest.

        Args:
            words: V of them, by their ids; the unknown one, at 0, has no characters.
            characters: C of them, the first one standing for none.

        Raises:
            ValueError: other numbers of them, or a word with a character that is not among them.
        """
        if self.characters is None:
            return
        rows = (self.table.num_embeddings, self.characters.num_embeddings)
        if rows != (len(words), len(characters)):
            raise ValueError(
                f"made for {rows[0]} words of {rows[1]} characters, not for {len(words)} of {len(characters)}"
            )
        number = {character: i for i, character in enumerate(characters)}
        try:
            spelled = [[number[character] for character in word[:MAX_CHARACTERS]] for word in words[1:]]
        except KeyError as error:
            raise ValueError(f"the character {error} of a word is not among the characters") from None
        rows_of_words = [row + [0] * (MAX_CHARACTERS - len(row)) for row in ([], *spelled)]
        self.word_characters.copy_(torch.tensor(rows_of_words, dtype=torch.int32))
        self._spelled = True

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (W, E) of word ids (W,).

        Raises:
            RuntimeError: words are to be made of characters, and nobody has said of which.
        """
        words = self.word_dropout(words)
        vectors = self.table(words)
        if self.characters is not None:
            self._check_spelled()
            vectors = vectors + self.characters(self.word_characters[words])
        return self.dropout(vectors)

    def _check_spelled(self) -> None:
        self._spelled = self._spelled or bool(self.word_characters.any())  # they may have come with the weights
        if not self._spelled:
            raise RuntimeError(
                "words have no characters yet: call set_characters(words, characters), or set the model's reader"
            )
