"""Vectors of n-grams of words, hashed into the rows of one table.

A. Joulin, E. Grave, P. Bojanowski, T. Mikolov: Bag of Tricks for Efficient Text Classification, EACL 2017, section 2.2.
They average the vectors of a document; here an n-gram's vector stands where the n-gram begins, so that a network above
reads them in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_nn.layers.ngram_hash import extended, word_code
from lightning_nn.layers.ragged import segment_ids, segment_starts


class NGrams(nn.Module):
    """Sum of the vectors of the n-grams that begin at each word, for n from 2 on.

    An n-gram (w_1, ..., w_n) has the row ((... c_1 p + c_2) p + ... + c_n) mod q mod R of the table, where c are codes
    of the words that follow from their spelling alone, so that a row means the same whatever the vocabulary. N-grams
    stay within their sequence: behind its end is a word of code 0. Vectors begin at zero, so that an n-gram that
    training has not met changes nothing, unless it shares a row.

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        longest: longest n-gram, in words, at least 2.
        rows: of the table, R, at least 1.
        dropout: probability of leaving out an n-gram in training, 0 to 1.

    Attributes:
        table: the table of n-grams, (R, E).
        codes: int64 (V,), of the words, 1 to 2^31 - 2; all 0 until `set_words` is called.

    Raises:
        ValueError: a value out of its range.
    """

    codes: Tensor

    def __init__(self, vocabulary_size: int, size: int, longest: int, rows: int, dropout: float = 0.0) -> None:
        super().__init__()
        if longest < 2 or rows < 1:
            raise ValueError(f"n-grams of up to {longest} words in {rows} rows; at least 2 words and 1 row")
        if not 0 <= dropout <= 1:
            raise ValueError(f"the dropout of n-grams is {dropout}; it must be 0 to 1")
        self.longest, self.dropout = longest, dropout
        self.table = nn.Embedding(rows, size)
        nn.init.zeros_(self.table.weight)
        self.register_buffer("codes", torch.zeros(vocabulary_size, dtype=torch.int64))

    def set_words(self, words: Sequence[str]) -> None:
        """Set the codes of the V words, in the order of their ids."""
        self.codes.copy_(torch.tensor([word_code(word) for word in words]))

    def rows(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Find the rows of the n-grams that begin at each word, int64 (W, longest - 1).

        Args:
            words: ids, int64 (W,).
            lengths: int64 (S,), words of each sequence.
        """
        total = len(words)
        left = (segment_starts(lengths) + lengths)[segment_ids(lengths, total)] - torch.arange(
            total, device=words.device
        )  # (W,)  words from here to the end of the sequence
        code = self.codes[words]
        hashed, rows = code, []
        for n in range(1, self.longest):
            following = torch.where(left > n, code.roll(-n), 0)
            hashed = extended(hashed, following)
            rows.append(hashed % self.table.num_embeddings)
        return torch.stack(rows, 1)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return the sum of the vectors of the n-grams that begin at each word, (W, E).

        Args:
            words: ids, int64 (W,).
            lengths: int64 (S,), words of each sequence.
        """
        vectors: Tensor = self.table(self.rows(words, lengths))  # (W, longest - 1, E)
        if self.training and self.dropout > 0:
            kept = torch.rand(vectors.shape[:2], device=vectors.device) >= self.dropout
            vectors = vectors * (kept.to(vectors) / max(1 - self.dropout, torch.finfo(vectors.dtype).tiny))[..., None]
        return vectors.sum(1)
