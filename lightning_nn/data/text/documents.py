"""What every data set of documents shares: the corpus in the cache, the processor, the table at the start."""

from __future__ import annotations

import importlib.metadata
import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.cache import entry
from lightning_nn.data.fingerprints import remembered_fingerprint
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.module import SPLITS, BatchSize
from lightning_nn.data.text.corpus import FORMAT, Corpus, TextSource
from lightning_nn.data.text.corpus_building import LabeledText, build
from lightning_nn.data.text.corpus_summary import remarks, shorten, summary_table
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.errors import UserError


class TextSet(NamedTuple):
    """Documents of a data set before they are read, and all that decides what a corpus of them holds.

    Attributes:
        records: documents of each split that is given; read only where the corpus is not in the cache yet.
        files: whose contents decide what the documents are.
        settings: what else decides it, plain data.
        order: names of the classes in the order of their labels; empty: sorted.
        order_from: what names them, for a note on those without a document; empty where that needs none.
        notes: what a person should know of how the documents are read.
        fractions: of all documents, for val and test where they are not given.
        user_words: words that jieba must know.
    """

    records: Mapping[str, Iterable[LabeledText]]
    files: list[Path]
    settings: dict[str, Any]
    order: list[str]
    order_from: str = ""
    notes: Sequence[str] = ()
    fractions: tuple[float, float] = (0.0, 0.0)
    user_words: Sequence[str] = ()


class Documents(LabeledDataModule):
    """What data sets of documents share. A subclass says where they come from, in `read`.

    Args:
        batch_size: documents in a batch of one process, at most; "all" is the whole set.
        segmenter: "jieba", Chinese words, or "chars", each character a word.
        min_count: words that occur less often in train are unknown.
        max_size: words in the vocabulary, at most.
        max_sentences: of a document; those beyond are cut.
        max_words: of a sentence; those beyond are cut.
        max_batch_words: words in a batch of one process, at most; long documents come in smaller batches.
        balanced: show each class as often as the largest one in training, repeating documents.
    """

    describes: ClassVar[tuple[str, ...]] = ("vocabulary_size", "num_characters", "num_classes")
    reading: ClassVar[tuple[str, ...]] = (
        "segmenter",
        "min_count",
        "max_size",
        "max_sentences",
        "max_words",
        "user_dict",
    )
    sources: dict[str, TextSource]  # type: ignore[assignment]
    processor: TextProcessor

    def __init__(
        self,
        batch_size: BatchSize,
        segmenter: SegmenterName,
        min_count: int,
        max_size: int,
        max_sentences: int,
        max_words: int,
        max_batch_words: int,
        balanced: bool,
    ) -> None:
        super().__init__(batch_size, balanced)
        limits = {
            "min_count": (min_count, 1),
            "max_size": (max_size, 2),
            "max_sentences": (max_sentences, 1),
            "max_words": (max_words, 1),
            "max_batch_words": (max_batch_words, 1),
        }
        for name, (value, least) in limits.items():
            if value < least:
                raise UserError(f"{name} is {value}; it must be at least {least}")
        self.segmenter, self.min_count, self.max_size = segmenter, min_count, max_size
        self.max_sentences, self.max_words, self.max_length = max_sentences, max_words, max_batch_words

    @abstractmethod
    def read(self) -> TextSet:
        """Say where the documents are and how they are read; nothing of it is read yet.

        Raises:
            UserError: nothing there, or not in a form that is known.
        """

    def prepare(self) -> None:
        """Opens the corpus in the cache, building it if it is not there."""
        texts, fixed = self.read(), self.fixed_processor
        self._user_words = list(texts.user_words)
        if isinstance(fixed, TextProcessor):
            self.segmenter, self._user_words = fixed.segmenter.name, fixed.user_words
            self.max_sentences, self.max_words = fixed.max_sentences, fixed.max_words
        segmenter = Segmenter(self.segmenter, self._user_words)
        settings = {
            "format": FORMAT,
            "segmenter": self.segmenter,
            "jieba": importlib.metadata.version("jieba") if self.segmenter == "jieba" else None,
            "user_words": self._user_words,
            "fractions": texts.fractions,
            **({} if self.evaluation_split is None else {"only": self.evaluation_split}),
            **texts.settings,
        }
        key = remembered_fingerprint(texts.files, settings)
        corpus = Corpus(entry(f"text-{key}", lambda path: self._build(path, texts, segmenter)))
        self._open(corpus, texts)

    def _build(self, folder: Path, texts: TextSet, segmenter: Segmenter) -> None:
        only, records, (val, test) = self.evaluation_split, texts.records, texts.fractions
        if only is not None:  # kept as if it were train
            chosen = [records[only]] if only in records else records.values()
            records = {"train": itertools.chain.from_iterable(chosen)}
        whole = only is not None
        build(
            folder, records, segmenter=segmenter, val_fraction=val, test_fraction=test, order=texts.order, whole=whole
        )

    def _open(self, corpus: Corpus, texts: TextSet) -> None:
        fixed, only = self.fixed_processor, self.evaluation_split
        self.processor, ids = self._encode(corpus, fixed) if isinstance(fixed, TextProcessor) else self._learn(corpus)
        known = {name: label for label, name in enumerate(self.processor.categories)}
        labels = np.array([known[name] for name in corpus.categories])[corpus.labels]
        sizes = corpus.sizes(self.max_sentences, self.max_words)
        part_of = {split: split for split in SPLITS} if only is None else {only: "train"}
        indices = {split: corpus.indices(part) for split, part in part_of.items()}
        self.provided_splits = list(texts.records)
        self.sources = {
            split: TextSource(corpus, index, labels[index], sizes.kept[index], ids, self.max_sentences, self.max_words)
            for split, index in indices.items()
        }
        unknown = {split: corpus.share(part, ids == 0) for split, part in part_of.items()}
        origin = "the checkpoint's" if fixed else f"{self.segmenter}, at least {self.min_count} times in train"
        self.summary = summary_table(indices, sizes, unknown)
        limits = (self.max_sentences, self.max_words)
        self.notes = [
            f"{len(self.processor.categories)} categories: {shorten(', '.join(self.processor.categories))}",
            f"vocabulary: {len(self.processor.vocabulary):,} ({origin})",
            *texts.notes,
            *_on_splits(corpus, texts, cut=only is None),
            *remarks(corpus, sizes, unknown, *limits, fixed_processor=fixed is not None),
        ]

    def _learn(self, corpus: Corpus) -> tuple[TextProcessor, Index]:
        """A processor with the vocabulary of train, and the id of each word of the corpus."""
        vocabulary = corpus.vocabulary(self.min_count, self.max_size)
        if len(vocabulary) == 1:
            raise UserError(f"no word occurs {self.min_count} times in train: lower it, --data.min_count 1")
        processor = TextProcessor(
            corpus.categories, vocabulary.words, self.segmenter, self._user_words, self.max_sentences, self.max_words
        )
        ids = np.arange(corpus.vocabulary_size)
        ids[len(vocabulary) :] = 0
        return processor, ids

    def _encode(self, corpus: Corpus, processor: TextProcessor) -> tuple[TextProcessor, Index]:
        """A trained model's processor, and the id in its vocabulary of each word of the corpus."""
        strange = [name for name in corpus.categories if name not in processor.categories]
        if strange:
            raise UserError(
                f"the data has the category {strange[0]!r}, which the checkpoint lacks; "
                f"it knows: {shorten(', '.join(processor.categories))}"
            )
        return processor, processor.vocabulary.ids(corpus.vocabulary(0, None).words)

    def place(self, split: str, number: int) -> str:
        """Return file and line of a document."""
        source = self.sources[split]
        return source.corpus.place(int(source.indices[number]))

    def describe(self) -> dict[str, Any]:
        """Numbers of words, of the characters they are made of (and one more for none), and of classes."""
        self.prepare_once()
        vocabulary = self.processor.vocabulary
        return {
            "vocabulary_size": len(vocabulary),
            "num_characters": len(vocabulary.characters),
            "num_classes": len(self.processor.categories),
        }


def _on_splits(corpus: Corpus, texts: TextSet, *, cut: bool) -> Iterator[str]:
    """What is to be said of classes without a document and of splits that are not given."""
    unused = [name for name in texts.order if name not in corpus.categories]
    if texts.order_from and unused:
        yield f"{texts.order_from} names what no document has: {shorten(', '.join(unused))}"
    missing = [split for split in ("val", "test") if split not in texts.records]
    if cut and missing:
        yield f"{' and '.join(missing)} cut from train, by category: no such file is given"
