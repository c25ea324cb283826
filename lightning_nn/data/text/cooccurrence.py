"""Word vectors from the co-occurrences of words in train: positive pointwise mutual information and its SVD.

    n_wc           pairs of words w and c at most L words apart in a sentence
    p_c            n_c^0.75 / sum over c' of n_c'^0.75, with n_c = sum over w of n_wc
    M_wc           max(0, log n_wc / (n_w p_c))
    M = U S V^T    the largest singular values, vectors U S^(1/2)

O. Levy, Y. Goldberg: Neural Word Embedding as Implicit Matrix Factorization, NIPS 2014: skip-gram with negative samples
factorises such a matrix. The power 0.75 and S^(1/2) are those of O. Levy, Y. Goldberg, I. Dagan: Improving
Distributional Similarity with Lessons Learned from Word Embeddings, TACL 2015, sections 3.1 and 3.3.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.text.corpus import TextSource

SMOOTHING = 0.75
_DOCUMENTS = 10_000  # counted at once: bounds memory
_ITERATIONS = 5  # of the power method in the randomised SVD


class WordVectors:
    """Co-occurrences of the words of a vocabulary, from which vectors are made.

    Args:
        source: the documents of train.
        vocabulary_size: words, V; the unknown word, 0, occurs with none.
        window: words on each side that count, L.

    Attributes:
        covered: bool (V,), words that occur with another.
        option: that asks for them.
    """

    option: ClassVar[str] = "--data.pretrain"

    def __init__(self, source: TextSource, vocabulary_size: int, window: int) -> None:
        self.counts = cooccurrences(source, vocabulary_size, window)
        self.covered: NDArray[np.bool_] = np.asarray(self.counts.sum(1)).ravel() > 0

    def vectors(self, size: int, seed: int = 0) -> NDArray[np.float32]:
        """Compute the vectors, float32 (V, K), K the size or V if that is less; the same seed gives the same vectors.

        Args:
            size: width of a vector.
            seed: of the randomised SVD.
        """
        from sklearn.utils.extmath import randomized_svd

        size = min(size, len(self.covered))
        left, singular, _ = randomized_svd(positive_pmi(self.counts), size, n_iter=_ITERATIONS, random_state=seed)
        return (left * np.sqrt(singular)).astype(np.float32)


def cooccurrences(source: TextSource, vocabulary_size: int, window: int) -> Any:
    """Count the pairs of words at most `window` words apart in a sentence: a sparse, symmetric matrix (V, V)."""
    from scipy.sparse import coo_matrix, csr_matrix

    counts = csr_matrix((vocabulary_size, vocabulary_size))
    for first in range(0, len(source), _DOCUMENTS):
        batch = source[np.arange(first, min(first + _DOCUMENTS, len(source)))]
        words, lengths = batch.words.numpy(), batch.sentences.numpy()
        sentence = np.repeat(np.arange(len(lengths)), lengths)
        for distance in range(1, window + 1):
            left, right = words[:-distance], words[distance:]
            near = (sentence[:-distance] == sentence[distance:]) & (left > 0) & (right > 0)
            pairs = (left[near], right[near])
            counts += coo_matrix((np.ones(near.sum()), pairs), counts.shape).tocsr()
    return counts + counts.T


def positive_pmi(counts: Any) -> Any:
    """Compute M of the file's docstring from n_wc, a sparse matrix (V, V)."""
    matrix = counts.tocoo()
    of_word = np.asarray(counts.sum(1)).ravel()
    of_context = of_word**SMOOTHING / (of_word**SMOOTHING).sum()
    matrix.data = np.maximum(0, np.log(matrix.data / (of_word[matrix.row] * of_context[matrix.col])))
    return matrix.tocsr()
