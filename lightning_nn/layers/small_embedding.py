"""Tables of word vectors that are smaller than a row of E values for each of V words, one class for each paper.

    factorised          e_w = P r_w                             Lan et al. 2020 (ALBERT)
    hashed              e_w = sum_i p_wi B[h_i(w)]              Svenstrup, Hansen, Winther 2017
    quotient_remainder  e_w = Q[w // M] * R[w % M]              Shi et al. 2020
    product_quantised   e_w = [V_1[c_w1], ..., V_D[c_wD]]       Chen, Li, Sun 2020: codes c_w learned end to end
    coded               the same with fixed codes               Jegou et al. 2011; Joulin et al. 2016 (fastText.zip)
    frequent            e_w = T[min(w, N)]                      rare words share a row; their characters tell them apart

`Class.sized(V, E, times)` makes one that is at least `times` times smaller than the plain table, as near to it as
its form allows. `deployed_bytes` is the size of what predictions need: values of four bytes, codes of one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from lightning_nn.layers.embedding import INITIAL_STD

if TYPE_CHECKING:
    from typing_extensions import Self

FLOAT_BYTES = 4
MOST_CODES = 256  # a code is a byte
LABELLED = (  # tensors with a row for each word, or with rows that mean nothing without the ids of the words
    "words.weight",
    "weights.weight",
    "buckets.weight",
    "quotient.weight",
    "remainder.weight",
    "queries.weight",
    "codes",
    "norm_codes",
    "rows.weight",
)
_HASH_PRIME = (1 << 31) - 1


class SmallTable(nn.Module, ABC):
    """Base of the small tables.

    Args:
        vocabulary_size: words, V, in the order of their frequency; id 0 is the unknown word.
        size: width of a vector, E.

    Raises:
        ValueError: a size below 1.
    """

    kind: ClassVar[str]

    def __init__(self, vocabulary_size: int, size: int) -> None:
        super().__init__()
        if vocabulary_size < 1 or size < 1:
            raise ValueError(f"a table of {vocabulary_size} words with {size} values each; both must be at least 1")
        self.num_embeddings, self.embedding_dim = vocabulary_size, size

    @classmethod
    @abstractmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Make a table that is at least `times` times smaller than V x E values of four bytes.

        Raises:
            ValueError: this form does not become that small for so few words.
        """

    @abstractmethod
    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""

    @property
    def deployed_bytes(self) -> int:
        """Bytes of what a prediction needs."""
        return FLOAT_BYTES * sum(parameter.numel() for parameter in self.parameters())

    @classmethod
    def _require(cls, number: int, least: int, times: float, vocabulary_size: int, size: int) -> int:
        if number < least:
            raise ValueError(
                f"a {cls.kind} table can't be {times:g} times smaller than {vocabulary_size:,} words of {size} values: "
                "lower --model.embedding.times"
            )
        return number


class FactorisedTable(SmallTable):
    """Word vectors of rank R: each word has R values, and one matrix maps them to E (Lan et al. 2020, section 3.1).

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        rank: values of a word, R, at least 1.
    """

    kind = "factorised"

    def __init__(self, vocabulary_size: int, size: int, rank: int) -> None:
        super().__init__(vocabulary_size, size)
        self.words = nn.Embedding(vocabulary_size, rank)
        self.projection = nn.Linear(rank, size, bias=False)
        nn.init.normal_(self.words.weight, std=INITIAL_STD)
        nn.init.normal_(self.projection.weight, std=1 / math.sqrt(rank))

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose the largest rank with V R + R E <= V E / times; see `SmallTable.sized`."""
        rank = int(vocabulary_size * size / times / (vocabulary_size + size))
        return cls(vocabulary_size, size, cls._require(rank, 1, times, vocabulary_size, size))

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        values: Tensor = self.projection(self.words(words))  # (W, R) to (W, E)
        return values


class HashedTable(SmallTable):
    """Word vectors from shared ones: each word weighs the B vectors that k hash functions pick for it.

    D. Svenstrup, J. Hansen, O. Winther: Hash Embeddings for Efficient Word Representations, NIPS 2017, equation 2. Each
    word has its own k weights, so that two words that share all vectors still differ (their D_2 is the word's id).

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        buckets: shared vectors, B, at least 1.
        hashes: hash functions, k, at least 1.
    """

    kind = "hashed"

    def __init__(self, vocabulary_size: int, size: int, buckets: int, hashes: int = 2) -> None:
        super().__init__(vocabulary_size, size)
        self.weights = nn.Embedding(vocabulary_size, hashes)
        self.buckets = nn.Embedding(buckets, size)
        nn.init.normal_(self.weights.weight, std=1 / math.sqrt(hashes))
        nn.init.normal_(self.buckets.weight, std=INITIAL_STD)
        drawn = torch.Generator().manual_seed(0)  # the functions are part of the form, the same in each run
        self.register_buffer(
            "coefficients", torch.randint(1, _HASH_PRIME, (2, hashes), generator=drawn), persistent=False
        )

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose the largest number of buckets with 2 V + B E <= V E / times; see `SmallTable.sized`."""
        buckets = int((vocabulary_size * size / times - 2 * vocabulary_size) / size)
        return cls(vocabulary_size, size, cls._require(buckets, 2, times, vocabulary_size, size))

    def bucket(self, words: Tensor) -> Tensor:
        """Return the buckets (W, k) that the hash functions ((a w + b) mod p) mod B pick for words (W,)."""
        a, b = self.get_buffer("coefficients")
        return (a * words[:, None] + b) % _HASH_PRIME % self.buckets.num_embeddings

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        weights, vectors = self.weights(words), self.buckets(self.bucket(words))  # (W, k), (W, k, E)
        return torch.einsum("wk,wke->we", weights, vectors)  # eq. 2


class QuotientRemainderTable(SmallTable):
    """Word vectors as products of two rows: those of the quotient and of the remainder of a word's id by M.

    H. Shi, D. Mudigere, M. Naumov, J. Yang: Compositional Embeddings Using Complementary Partitions, KDD 2020,
    section 3: no two words have both in common, so each has a vector of its own.

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        remainders: M, at least 1.
    """

    kind = "quotient_remainder"

    def __init__(self, vocabulary_size: int, size: int, remainders: int) -> None:
        super().__init__(vocabulary_size, size)
        self.quotient = nn.Embedding(math.ceil(vocabulary_size / remainders), size)
        self.remainder = nn.Embedding(remainders, size)
        nn.init.normal_(self.quotient.weight, mean=1.0, std=0.5)
        nn.init.normal_(self.remainder.weight, std=INITIAL_STD)

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose the largest M with M + ceil(V / M) <= V / times; see `SmallTable.sized`."""
        most = int(vocabulary_size / times)
        remainders = next((m for m in range(most, 0, -1) if m + math.ceil(vocabulary_size / m) <= most), 0)
        return cls(vocabulary_size, size, cls._require(remainders, 1, times, vocabulary_size, size))

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        remainders = self.remainder.num_embeddings
        vectors: Tensor = self.quotient(words // remainders) * self.remainder(words % remainders)
        return vectors


class ProductQuantisedTable(SmallTable):
    """Word vectors of D parts, each one of K values that the word picks for it, learned end to end.

    T. Chen, L. Li, Y. Sun: Differentiable Product Quantization for End-to-End Embedding Compression, ICML 2020, section
    2.3 (DPQ-SX, without their batch normalisation). A word's query picks the key of the largest inner product; the
    gradient is that of the softmax (straight-through). In training it is larger than a plain table: the queries are
    only needed to learn the codes, and `coded` leaves them out.

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        parts: D, a divisor of E.
        centroids: values to choose from, K, 1 to 256.

    Raises:
        ValueError: a number out of its range.
    """

    kind = "product_quantised"

    def __init__(self, vocabulary_size: int, size: int, parts: int, centroids: int) -> None:
        super().__init__(vocabulary_size, size)
        _check_codes(size, parts, centroids)
        self.queries = nn.Embedding(vocabulary_size, size)
        self.keys = nn.Parameter(torch.randn(parts, centroids, size // parts))
        self.centroids = nn.Parameter(INITIAL_STD * torch.randn(parts, centroids, size // parts))
        nn.init.normal_(self.queries.weight, std=math.sqrt(parts / size))

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose K and D as `code_sizes` does; see `SmallTable.sized`."""
        parts, centroids = code_sizes(vocabulary_size, size, times)
        return cls(vocabulary_size, size, cls._require(parts, 1, times, vocabulary_size, size), centroids)

    def scores(self, words: Tensor) -> Tensor:
        """Return the inner products (U, D, K) of the queries of words (U,) and all keys."""
        parts = len(self.keys)
        query = self.queries(words).unflatten(1, (parts, -1))  # (U, D, E/D)
        return torch.einsum("uds,dks->udk", query, self.keys)

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        distinct, place = torch.unique(words, return_inverse=True)  # the scores of a word cost K times its vector
        scores = self.scores(distinct)
        vectors = pick(self.centroids, scores.argmax(2))  # (U, E)
        if torch.is_grad_enabled():
            relaxed = torch.einsum("udk,dks->uds", scores.softmax(2), self.centroids.detach()).flatten(1)
            vectors = vectors + (relaxed - relaxed.detach())  # its gradient, not its value
        return vectors[place]

    @torch.no_grad()
    def coded(self) -> CodedTable:
        """Return the table of the learned codes, with the same vectors."""
        table = CodedTable(self.num_embeddings, self.embedding_dim, *self.centroids.shape[:2])
        blocks = torch.split(torch.arange(self.num_embeddings, device=self.keys.device), 4096)
        table.codes.copy_(torch.cat([self.scores(block).argmax(2) for block in blocks]))
        table.centroids.copy_(self.centroids)
        return table

    @property
    def deployed_bytes(self) -> int:
        """Bytes of what a prediction needs: codes and centroids."""
        return self.num_embeddings * len(self.centroids) + FLOAT_BYTES * self.centroids.numel()


class CodedTable(SmallTable):
    """Word vectors of D parts, each one of K values by a fixed code, times a norm of 256 to choose from.

    H. Jegou, M. Douze, C. Schmid: Product Quantization for Nearest Neighbor Search, PAMI 2011; A. Joulin et al.:
    FastText.zip, 2016, section 3.2 (norms quantised apart). `compress` makes it of a trained table; centroids and norms
    are then trained further, codes are not.

    Args:
        vocabulary_size: words, V.
        size: width of a vector, E.
        parts: D, a divisor of E.
        centroids: K, 1 to 256.
        norms: whether words have a code of their norm.

    Attributes:
        codes: uint8 (V, D), random until `encode`.
        norm_codes: uint8 (V,), if there are norms.

    Raises:
        ValueError: a number out of its range.
    """

    kind = "coded"
    codes: Tensor
    norm_codes: Tensor

    def __init__(self, vocabulary_size: int, size: int, parts: int, centroids: int, norms: bool = False) -> None:
        super().__init__(vocabulary_size, size)
        _check_codes(size, parts, centroids)
        drawn = torch.Generator().manual_seed(0)
        codes = torch.randint(centroids, (vocabulary_size, parts), generator=drawn, dtype=torch.uint8)
        self.register_buffer("codes", codes)
        self.centroids = nn.Parameter(INITIAL_STD * torch.randn(parts, centroids, size // parts))
        self.norms = nn.Parameter(torch.ones(MOST_CODES)) if norms else None
        if norms:
            self.register_buffer("norm_codes", torch.zeros(vocabulary_size, dtype=torch.uint8))

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose K and D as `code_sizes` does; see `SmallTable.sized`."""
        parts, centroids = code_sizes(vocabulary_size, size, times)
        return cls(vocabulary_size, size, cls._require(parts, 1, times, vocabulary_size, size), centroids)

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        vectors = pick(self.centroids, self.codes[words].long())
        return vectors if self.norms is None else self.norms[self.norm_codes[words].long(), None] * vectors

    @property
    def deployed_bytes(self) -> int:
        """Bytes of what a prediction needs: codes, centroids and norms."""
        codes = self.codes.numel() + (0 if self.norms is None else self.num_embeddings)
        return codes + FLOAT_BYTES * sum(parameter.numel() for parameter in self.parameters())


class FrequentTable(SmallTable):
    """Rows for the N most frequent words; all others share one.

    For words that are made of characters, as in Chinese: with vectors of their characters added, as `WordEmbedding`
    does, a rare word keeps a vector of its own.

    Args:
        vocabulary_size: words, V, in the order of their frequency.
        size: width of a vector, E.
        frequent: words with a row, N, including the unknown one; 1 to V.
    """

    kind = "frequent"

    def __init__(self, vocabulary_size: int, size: int, frequent: int) -> None:
        super().__init__(vocabulary_size, size)
        self.rows = nn.Embedding(min(frequent, vocabulary_size) + 1, size)  # the last row is that of the rare words
        nn.init.normal_(self.rows.weight, std=INITIAL_STD)

    @classmethod
    def sized(cls, vocabulary_size: int, size: int, times: float) -> Self:
        """Choose the largest N with N + 1 <= V / times; see `SmallTable.sized`. The characters come on top."""
        frequent = int(vocabulary_size / times) - 1
        return cls(vocabulary_size, size, cls._require(frequent, 1, times, vocabulary_size, size))

    def forward(self, words: Tensor) -> Tensor:
        """Return the vectors (W, E) of word ids (W,)."""
        vectors: Tensor = self.rows(words.clamp(max=self.rows.num_embeddings - 1))
        return vectors


def pick(centroids: Tensor, codes: Tensor) -> Tensor:
    """Put vectors (W, E) together from the centroids (D, K, E/D) that codes (W, D) name."""
    parts, count, width = centroids.shape
    first = count * torch.arange(parts, device=codes.device)  # of each part's centroids
    return nn.functional.embedding(codes + first, centroids.reshape(parts * count, width)).flatten(1)


def code_sizes(vocabulary_size: int, size: int, times: float) -> tuple[int, int]:
    """Return the number of parts D and of centroids K of a table that is `times` times smaller; D is 0 if none is.

    The bytes are V D for codes and 4 K E for centroids. K is the largest power of two, at most 256, whose centroids
    take at most half of them; D the largest divisor of E that fits into the rest.
    """
    most = FLOAT_BYTES * vocabulary_size * size / times
    share = most / 2 / (FLOAT_BYTES * size)
    if share < 2:
        return 0, 0
    centroids = min(MOST_CODES, 1 << int(math.log2(share)))
    rest = (most - FLOAT_BYTES * centroids * size) / vocabulary_size
    return max((parts for parts in range(1, size + 1) if size % parts == 0 and parts <= rest), default=0), centroids


def _check_codes(size: int, parts: int, centroids: int) -> None:
    if parts < 1 or size % parts or not 1 <= centroids <= MOST_CODES:
        raise ValueError(f"{parts} parts of {centroids} centroids: parts must divide {size}, centroids be 1 to 256")


TABLES: dict[str, type[SmallTable]] = {
    table.kind: table
    for table in (
        FactorisedTable,
        HashedTable,
        QuotientRemainderTable,
        ProductQuantisedTable,
        CodedTable,
        FrequentTable,
    )
}
