"""Text as flat arrays on disk: built once (see `corpus_building`), then read a batch at a time from a memory map.

A cache entry holds every document whole, its words as ranks by frequency in training. One entry therefore serves any
vocabulary (a smaller one is a prefix) and any truncation: a change of minimum count, maximum size, or the limits on
sentences and words needs no new build.

    words      int32 (W,)    rank of each word, 1 for the most frequent in training; words of val and test only are last
    sentences  int64 (S+1,)  start of each sentence in `words`
    documents  int64 (D+1,)  start of each document in `sentences`
    labels     int64 (D,)    class of each document
    fingerprints uint64 (D,) hash of the text of each document
    train, val, test  int64  numbers of the documents in each split
    counts     int64 (V, 3)  how often the word of each rank occurs in train, val and test
    places.txt               file and line of each document, one per line
    words.txt                the word of each rank from 1, one per line
    corpus.json              categories, what happened while reading, and which splits were provided
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import Index, TextBatch
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.processor import SampleOrigin
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.tables.rows import ReadingReport
from lightning_nn.data.text.segmenter import join_words
from lightning_nn.data.text.vocabulary import UNKNOWN, Vocabulary
from lightning_nn.sanitize import shorten

FORMAT = 6  # of the arrays, normalization and word segmentation: included in the key of every entry
BLOCK = 1 << 22  # numbers held in memory at once while a whole array is processed
_DOCUMENTS = 1024  # whose words are counted at once
_TEXT = 500  # characters of a document that show where it comes from
_PLACE = re.compile(r"(.*?)(?:(?::|, row |, element )(\d+))?", re.DOTALL)


class Sizes(NamedTuple):
    """Sizes of each document in the corpus, int64 (D,).

    Attributes:
        sentences: number of sentences.
        words: number of words.
        kept: words left after truncation.
        long: sentences that are truncated to fewer words.
    """

    sentences: Index
    words: Index
    kept: Index
    long: Index


class Corpus:
    """The arrays of a cache entry, memory-mapped.

    Args:
        folder: filled by `build`.

    Attributes:
        categories: name of each class.
        report: what happened while the documents were read.
        provided_splits: splits that were provided; the others were split off train.
        documents: int64 (D+1,), start of each document in `sentences`.
        sentences: int64 (S+1,), start of each sentence in `words`.
        words: int32 (W,), ranks.
        labels: int64 (D,).
        fingerprints: uint64 (D,).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self.categories: list[str] = meta["categories"]
        self.report = ReadingReport(meta["report"])
        self.provided_splits: list[str] = meta["given"]
        self.documents: Index = np.memmap(folder / "documents", np.int64, "r")
        self.sentences: Index = np.memmap(folder / "sentences", np.int64, "r")
        self.words: NDArray[np.int32] = np.memmap(folder / "words", np.int32, "r")
        self.labels: Index = np.memmap(folder / "labels", np.int64, "r")
        self.fingerprints: Fingerprints = np.memmap(folder / "fingerprints", np.uint64, "r")
        self._counts = np.fromfile(folder / "counts", np.int64).reshape(-1, len(SPLITS))

    def __reduce__(self) -> tuple[type[Corpus], tuple[Path]]:
        return Corpus, (self.folder,)

    def indices(self, split: str) -> Index:
        """Return the numbers of the documents of a split, int64."""
        return np.fromfile(self.folder / split, np.int64)

    def vocabulary(self, min_count: int, max_size: int | None) -> Vocabulary:
        """Return the words that occur at least `min_count` times in train, at most `max_size` with the unknown word."""
        size = 1 + int(np.searchsorted(-self._counts[1:, 0], -min_count, side="right"))
        size = min(size, max_size or size)
        with (self.folder / "words.txt").open(encoding="utf-8", newline="\n") as file:
            return Vocabulary([UNKNOWN, *(line[:-1] for line in islice(file, size - 1))])

    def spell(self, ranks: NDArray[np.int32]) -> list[str]:
        """Look up the words of some ranks, those that no vocabulary has too."""
        words = {0: UNKNOWN, **dict.fromkeys(sorted({*ranks.tolist()} - {0}), "")}
        with (self.folder / "words.txt").open(encoding="utf-8", newline="\n") as file:
            for rank, line in enumerate(islice(file, max(words)), 1):
                if rank in words:
                    words[rank] = line[:-1]
        return [words[rank] for rank in ranks.tolist()]

    def place(self, document: int) -> str:
        """Return file and line of a document.

        Args:
            document: its number.
        """
        with (self.folder / "places.txt").open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return next(islice(file, document, None))[:-1]

    def origins(self, documents: Index) -> list[SampleOrigin]:
        """Return file, line and the first words of some documents, reading each list of the cache once."""
        with (self.folder / "places.txt").open(encoding="utf-8", errors="surrogateescape", newline="\n") as listed:
            wanted = set(documents.tolist())
            places = {number: line[:-1] for number, line in enumerate(listed) if number in wanted}
        vocabulary, origins = self.vocabulary(0, None).words, []
        join = join_words if any(len(word) > 1 for word in vocabulary[1:]) else "".join  # each character is a word
        for document in documents.tolist():
            file, line = cast(re.Match[str], _PLACE.fullmatch(places[document])).groups()
            start, end = self.sentences[self.documents[document : document + 2]]
            words = (vocabulary[rank] for rank in self.words[start : min(end, start + _TEXT)].tolist())
            text = shorten(join(words), _TEXT)
            origins.append(SampleOrigin(file, None if line is None else int(line), text))
        return origins

    @property
    def vocabulary_size(self) -> int:
        """Number of words in all splits, including the unknown word at 0."""
        return len(self._counts)

    def share(self, split: str, chosen: NDArray[np.bool_]) -> float:
        """Compute the share of the words of a split that are among the chosen ones.

        Args:
            split: name of the split.
            chosen: bool, one for each rank from 0.
        """
        counts = self._counts[:, SPLITS.index(split)]
        return float(counts[chosen].sum() / counts.sum())

    def sizes(self, max_sentences: int, max_words: int) -> Sizes:
        """Count what each document has, and what truncation leaves of it."""
        size = len(self.documents) - 1
        kept, long = np.empty(size, np.int64), np.empty(size, np.int64)
        for first, last in blocks(self.documents):
            starts = self.documents[first : last + 1]
            lengths = np.diff(self.sentences[starts[0] : starts[-1] + 1])
            begin = starts - starts[0]
            end = begin[:-1] + np.minimum(np.diff(begin), max_sentences)
            sums = np.concatenate([[0], np.cumsum(np.minimum(lengths, max_words))])
            kept[first:last] = sums[end] - sums[begin[:-1]]
            over = np.concatenate([[0], np.cumsum(lengths > max_words)])
            long[first:last] = over[end] - over[begin[:-1]]
        return Sizes(np.diff(self.documents), np.diff(self.sentences[self.documents]), kept, long)


class TextSource:
    """Documents of a split, fetched a batch at a time; only the memory pages that hold the batch are read.

    Args:
        corpus: the corpus that holds the documents.
        indices: int64 (N,), numbers of the documents in the corpus.
        labels: int64 (N,), the class of each document.
        lengths: int64 (N,), words of each document after truncation.
        ids: int64, the word id of each rank from 0.
        max_sentences: sentences to which a document is truncated.
        max_words: words to which a sentence is truncated.
    """

    def __init__(
        self,
        corpus: Corpus,
        indices: Index,
        labels: Index,
        lengths: Index,
        ids: Index,
        max_sentences: int,
        max_words: int,
    ) -> None:
        self.corpus, self.indices, self.ids = corpus, indices, ids
        self.labels: Index = labels
        self.lengths: Index | None = lengths  # the type that Source declares
        self.max_sentences, self.max_words = max_sentences, max_words

    def __len__(self) -> int:
        return len(self.indices)

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the text of each document, uint64 (N,)."""
        return self.corpus.fingerprints[self.indices]

    def __getitem__(self, index: Index) -> TextBatch:
        documents, sentences, ranks = self._truncated(index)
        arrays = (documents, sentences, self.ids[ranks], self.labels[index], index)
        return TextBatch(*(torch.from_numpy(np.asarray(numbers)) for numbers in arrays))

    def normalized_fingerprints(self) -> Fingerprints:
        """Return a hash of the words of each document, uint64 (N,), whatever their case, punctuation and sentences."""
        corpus = self.corpus
        words = [word.casefold() for word in corpus.vocabulary(0, None).words]
        is_word = np.array([any(map(str.isalnum, word)) for word in words])
        _, number = np.unique(words, return_inverse=True)
        hashes = np.empty(len(self), np.uint64)
        for i, document in enumerate(self.indices.tolist()):
            start, end = corpus.sentences[corpus.documents[document : document + 2]]
            ranks = corpus.words[start:end]
            kept = ranks[is_word[ranks]] if is_word[ranks].any() else ranks
            digest = hashlib.blake2b(number[kept].tobytes(), digest_size=8).digest()
            hashes[i] = int.from_bytes(digest, "little")
        return hashes

    def unknown_shares(self) -> NDArray[np.float64]:
        """Return the share of words of each document, truncated as for a model, that the vocabulary lacks, (N,)."""
        shares = np.empty(len(self))
        for start in range(0, len(self), _DOCUMENTS):
            index = np.arange(start, min(start + _DOCUMENTS, len(self)))
            documents, sentences, ranks = self._truncated(index)
            words = np.add.reduceat(sentences, np.cumsum(documents) - documents)
            unknown = np.add.reduceat(self.ids[ranks] == 0, np.cumsum(words) - words, dtype=np.int64)
            shares[index] = unknown / words
        return shares

    def origins(self, index: Index) -> list[SampleOrigin]:
        """Return file, line and the first words of some documents."""
        return self.corpus.origins(self.indices[index])

    def words(self, document: int) -> list[list[str]]:
        """Return the words of each sentence of a document, as its batch has them, unknown ones too.

        Args:
            document: its index in the split.
        """
        _, sentences, ranks = self._truncated(np.array([document]))
        words = iter(self.corpus.spell(ranks))
        return [list(islice(words, count)) for count in sentences.tolist()]

    def _truncated(self, index: Index) -> tuple[Index, Index, NDArray[np.int32]]:
        """Return the sentences of each document (D,), the words of each sentence (S,), and the ranks of all (W,)."""
        corpus, indices = self.corpus, self.indices[index]
        starts = corpus.documents[indices]
        documents = np.minimum(corpus.documents[indices + 1] - starts, self.max_sentences)
        chosen = ranges(starts, documents)
        starts = corpus.sentences[chosen]
        sentences = np.minimum(corpus.sentences[chosen + 1] - starts, self.max_words)
        return documents, sentences, corpus.words[ranges(starts, sentences)]


def ranges(starts: Index, counts: Index) -> Index:
    """Concatenate the ranges start, start + 1, ..., start + count - 1 of all pairs."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def blocks(starts: Index) -> Iterator[tuple[int, int]]:
    """Yield ranges (first, last) of items that have about `BLOCK` elements together.

    Args:
        starts: int64, where the elements of each item begin, and where those of the last item end.
    """
    edges = np.searchsorted(starts, np.arange(0, int(starts[-1]), BLOCK)[1:])
    edges = np.unique([0, *edges, len(starts) - 1])
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


_MANY_UNKNOWN = 0.05


def summary_table(indices: Mapping[str, Index], sizes: Sizes, unknown: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Build a header and a row for each split; sizes of documents are median / 95th percentile, before truncation.

    Args:
        indices: numbers of the documents of each split.
        sizes: of all documents.
        unknown: share of unknown words in each split.
    """
    header = ("split", "documents", "sentences (median / 95%)", "words (median / 95%)", "unknown words")
    rows = [
        (
            split,
            f"{len(index):,}",
            _spread(sizes.sentences[index]),
            _spread(sizes.words[index]),
            f"{unknown[split]:.1%}",
        )
        for split, index in indices.items()
    ]
    return [header, *rows]


def _spread(counts: Index) -> str:
    median, high = np.percentile(counts, (50, 95))
    return f"{median:,.0f} / {high:,.0f}"


def remarks(
    corpus: Corpus,
    sizes: Sizes,
    unknown: Mapping[str, float],
    max_sentences: int,
    max_words: int,
    *,
    fixed_processor: bool = False,
    spaced: bool = False,
) -> Iterator[str]:
    """Yield remarks on what happened while reading and what is truncated, and a warning if many words are unknown.

    Args:
        corpus: the opened corpus.
        sizes: of all documents under these limits.
        unknown: share of unknown words in each split.
        max_sentences: sentences to which a document is truncated.
        max_words: words to which a sentence is truncated.
        fixed_processor: whether the vocabulary is that of a trained model.
        spaced: whether the words stand between spaces.
    """
    yield from corpus.report.notes()
    for names in _alike(corpus.categories):
        yield f"labels that differ only in case, width, spaces or zeros in front: {', '.join(names)}"
    if single := _single(corpus):
        yield f"categories with a single document: {shorten(', '.join(single))}"
    many, long = int((sizes.sentences > max_sentences).sum()), int(sizes.long.sum())
    if many or long:
        lost = 1 - sizes.kept.sum() / sizes.words.sum()
        truncated = []
        if many:
            truncated.append(f"{_number(many, 'document')} to {_number(max_sentences, 'sentence')} (max_sentences)")
        if long:
            truncated.append(f"{_number(long, 'sentence')} to {_number(max_words, 'word')} (max_words)")
        yield f"truncated: {' and '.join(truncated)}; {_share(lost)} of all words are not read"
    remedy = "lower --data.vocabulary.min_count or raise --data.vocabulary.max_size"
    if not spaced:
        remedy = remedy.replace(" or", ",") + ", or use --data.vocabulary.segmenter chars"
    yield from many_unknown(unknown, "the model was not trained on them" if fixed_processor else remedy)


def many_unknown(unknown: Mapping[str, float], remedy: str) -> Iterator[str]:
    """Yield a warning if many words are unknown.

    Args:
        unknown: share of unknown words in each split.
        remedy: what to do about it.
    """
    if many := [f"{share:.1%} in {split}" for split, share in unknown.items() if share > _MANY_UNKNOWN]:
        yield f"warning: many words are unknown, {', '.join(many)}; {remedy}"


def _alike(names: list[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        key = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(key.lstrip("0") if key.isdigit() else key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _single(corpus: Corpus) -> list[str]:
    """Return each category with a single document, and the place of that."""
    counts = np.bincount(corpus.labels, minlength=len(corpus.categories))
    documents = np.flatnonzero((counts == 1)[corpus.labels])
    return [f"{corpus.categories[corpus.labels[number]]} ({corpus.place(int(number))})" for number in documents]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _share(share: float) -> str:
    """Format a share strictly between 0 and 1 without rounding it to 0% or 100%."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{share:.1%}" if share < 0.999 else "more than 99.9%"
