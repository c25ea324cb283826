"""What every data set of documents shares: the corpus in the cache, the reader, the table at the start."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.cache import entry
from lightning_nn.data.fingerprints import remembered_fingerprint
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.data.text.corpus import FORMAT, SPLITS, Corpus, TextSource
from lightning_nn.data.text.corpus_building import LabeledText, build
from lightning_nn.data.text.corpus_summary import remarks, shorten, summary_table
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.errors import UserError


class Documents(DataModule):
    """What data sets of documents share. A subclass says where the documents come from.

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
    def _files(self) -> Iterable[Path]:
        """Files whose contents decide what the documents are."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What else decides it, plain data."""

    @abstractmethod
    def _records(self) -> tuple[Mapping[str, Iterable[LabeledText]], list[str], list[str]]:
        """Documents of each split, names of the classes in order (none: sorted), and notes on how they were read."""

    _fractions = (0.0, 0.0)  # for val and test, where not given
    _user_words: list[str] = []  # noqa: RUF012

    def prepare(self) -> None:
        """Opens the corpus in the cache, building it if it is not there."""
        if isinstance(self.fixed_processor, TextProcessor):
            self.segmenter, self._user_words = self.fixed_processor.segmenter.name, self.fixed_processor.user_words
            self.max_sentences, self.max_words = self.fixed_processor.max_sentences, self.fixed_processor.max_words
        segmenter = Segmenter(self.segmenter, self._user_words)
        settings = {
            "format": FORMAT,
            "segmenter": self.segmenter,
            "jieba": importlib.metadata.version("jieba") if self.segmenter == "jieba" else None,
            "user_words": self._user_words,
            "fractions": self._fractions,
            **({} if self.evaluation_split is None else {"only": self.evaluation_split}),
            **self._settings(),
        }
        key = remembered_fingerprint(list(self._files()), settings)
        folder = entry(f"text-{key}", lambda path: self._build(path, segmenter))
        self._open(Corpus(folder), json.loads((folder / "notes.json").read_text(encoding="utf-8")))

    def _build(self, folder: Path, segmenter: Segmenter) -> None:
        records, order, notes = self._records()
        val, test = self._fractions
        if self.evaluation_split is not None:  # kept as if it were train
            chosen = [records[self.evaluation_split]] if self.evaluation_split in records else records.values()
            records = {"train": itertools.chain.from_iterable(chosen)}
        whole = self.evaluation_split is not None
        build(folder, records, segmenter=segmenter, val_fraction=val, test_fraction=test, order=order, whole=whole)
        (folder / "notes.json").write_text(json.dumps(notes, ensure_ascii=False), encoding="utf-8")

    def _open(self, corpus: Corpus, notes: list[str]) -> None:
        self.processor, ids = (
            self._adopt(corpus) if isinstance(self.fixed_processor, TextProcessor) else self._read(corpus)
        )
        known = {name: label for label, name in enumerate(self.processor.categories)}
        labels = np.array([known[name] for name in corpus.categories])[corpus.labels]
        sizes = corpus.sizes(self.max_sentences, self.max_words)
        part_of = (
            {split: split for split in SPLITS} if self.evaluation_split is None else {self.evaluation_split: "train"}
        )
        indices = {split: corpus.indices(part) for split, part in part_of.items()}
        self.provided_splits = corpus.provided_splits if self.evaluation_split is None else [self.evaluation_split]
        self.sources = {
            split: TextSource(corpus, index, labels[index], sizes.kept[index], ids, self.max_sentences, self.max_words)
            for split, index in indices.items()
        }
        unknown = {split: corpus.share(part, ids == 0) for split, part in part_of.items()}
        origin = (
            "the checkpoint's"
            if self.fixed_processor
            else f"{self.segmenter}, at least {self.min_count} times in train"
        )
        self.summary = summary_table(indices, sizes, unknown)
        self.notes = [
            f"{len(self.processor.categories)} categories: {shorten(', '.join(self.processor.categories))}",
            f"vocabulary: {len(self.processor.vocabulary):,} ({origin})",
            *notes,
            *remarks(
                corpus,
                sizes,
                unknown,
                self.max_sentences,
                self.max_words,
                fixed_processor=self.fixed_processor is not None,
            ),
        ]

    def _read(self, corpus: Corpus) -> tuple[TextProcessor, Index]:
        """A reader with the vocabulary of train, and the id of each word of the corpus."""
        vocabulary = corpus.vocabulary(self.min_count, self.max_size)
        if len(vocabulary) == 1:
            raise UserError(f"no word occurs {self.min_count} times in train: lower it, --data.min_count 1")
        processor = TextProcessor(
            corpus.categories, vocabulary.words, self.segmenter, self._user_words, self.max_sentences, self.max_words
        )
        ids = np.arange(corpus.vocabulary_size)
        ids[len(vocabulary) :] = 0
        return processor, ids

    def _adopt(self, corpus: Corpus) -> tuple[TextProcessor, Index]:
        """The adopted reader, and the id in its vocabulary of each word of the corpus."""
        processor = cast(TextProcessor, self.fixed_processor)
        strange = [name for name in corpus.categories if name not in processor.categories]
        if strange:
            raise UserError(
                f"the data has the category {strange[0]!r}, which the checkpoint lacks; "
                f"it knows: {shorten(', '.join(processor.categories))}"
            )
        return processor, processor.vocabulary.ids(corpus.vocabulary(0, None).words)

    def describe(self) -> dict[str, Any]:
        """Numbers of words, of the characters they are made of (and one more for none), and of classes."""
        self.prepare_once()
        vocabulary = self.processor.vocabulary
        return {
            "vocabulary_size": len(vocabulary),
            "num_characters": len(vocabulary.characters),
            "num_classes": len(self.processor.categories),
        }
