"""Data modules of documents: the cached corpus, the processor, and the table shown at the start."""

from __future__ import annotations

import importlib.metadata
import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.cache import entry, remembered_fingerprint
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.module import BatchSize
from lightning_nn.data.normalization import unescape
from lightning_nn.data.splits import Splits
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.tables.rows import BadRows, ReadingReport
from lightning_nn.data.text.cooccurrence import WordVectors
from lightning_nn.data.text.corpus import FORMAT, Corpus, TextSource, remarks, summary_table
from lightning_nn.data.text.corpus_building import LabeledText, build
from lightning_nn.data.text.documents import TextFiles, read_words
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName, user_word, written_with_spaces
from lightning_nn.data.text.vector_files import FileVectors
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError
from lightning_nn.sanitize import shorten

_SAMPLE = 500  # documents, and characters of each, by which a segmenter is chosen
_WORDS_CHOSEN = (
    "segmenter: words, because hardly any letter is Chinese or Japanese "
    "(else: --data.vocabulary.segmenter jieba or chars)"
)

UNESCAPED = (
    "\\n, <br> and &amp; in {count} document{s} are read as what they mean (else: --data.vocabulary.unescape false)"
)
UNCERTAIN_BREAKS = "the two signs \\n in {count} document{s} are left as they are: perhaps a path or a formula"


class TextSet(NamedTuple):
    """Documents of a data set before they are read, and everything that determines the corpus made of them.

    Attributes:
        records: documents of each provided split; read only if the corpus is not in the cache.
        files: files whose contents determine the documents.
        settings: plain data that also determines them.
        order: class names in the order of their labels; sorted if empty.
        order_from: source of these names, for a note on classes without documents; "" for no such note.
        notes: remarks on how the documents are read, for the user.
        splits: what is split off from train where val or test are not provided; None if both are.
        text_column: column of the texts, see `TextProcessor`; "" for none.
        report: what the records add to while they are read.
    """

    records: Mapping[str, Iterable[LabeledText]]
    files: list[Path]
    settings: dict[str, Any]
    order: list[str]
    order_from: str = ""
    notes: Sequence[str] = ()
    splits: Splits | None = None
    text_column: str = ""
    report: ReadingReport | None = None


class Documents(LabeledDataModule):
    """A data set of documents; a subclass defines `read`, which names their source.

    Args:
        batch_size: maximum number of documents in a batch of one process; "all" is the whole set.
        vocabulary: how texts become words, and which words the model knows.
        max_sentences: number of sentences to which a document is truncated.
        max_words: number of words to which a sentence is truncated.
        max_batch_words: maximum number of words in a batch of one process; long documents come in smaller batches.
        balanced: train on each class as often as on the largest one, repeating documents.

    Attributes:
        pretrain: words on each side of a word whose co-occurrences in train give its first vector; 0 for none.
        vectors: file of word vectors that the model's begin with; None for none.
        word_vectors: vectors from these co-occurrences or this file, once prepared; None without, and for a trained
            model.
    """

    describes: ClassVar[tuple[str, ...]] = ("vocabulary_size", "num_characters", "num_classes")
    reading: ClassVar[tuple[str, ...]] = ("vocabulary", "max_sentences", "max_words")
    sources: dict[str, TextSource]  # type: ignore[assignment]
    processor: TextProcessor
    pretrain: int = 0
    vectors: str | None = None
    word_vectors: WordVectors | FileVectors | None = None

    def __init__(
        self,
        batch_size: BatchSize,
        vocabulary: TextVocabulary | dict[str, Any],
        max_sentences: int,
        max_words: int,
        max_batch_words: int,
        balanced: bool,
    ) -> None:
        super().__init__(batch_size, balanced)
        limits = {"max_sentences": max_sentences, "max_words": max_words, "max_batch_words": max_batch_words}
        for name, value in limits.items():
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        self.vocabulary = TextVocabulary.of(vocabulary)
        self.max_sentences, self.max_words, self.max_length = max_sentences, max_words, max_batch_words

    @abstractmethod
    def read(self) -> TextSet:
        """Find the documents and determine how they are read, without reading them yet.

        Raises:
            UserError: nothing is there, or not in a known form.
        """

    def prepare(self) -> None:
        """Open the corpus in the cache, building it first if it is missing."""
        texts, fixed = self.read(), self.fixed_processor
        vocabulary = self.vocabulary
        if isinstance(fixed, TextProcessor):
            vocabulary = TextVocabulary(fixed.segmenter.name, lower=fixed.segmenter.lower, unescape=fixed.unescape)
            self._user_words = fixed.user_words
            self.max_sentences, self.max_words = fixed.max_sentences, fixed.max_words
        else:
            self._user_words, notes = _read_user_words(vocabulary.user_dict)
            texts = texts._replace(notes=[*texts.notes, *notes])
        name = vocabulary.segmenter
        if name == "auto":
            name, texts = self._choose_segmenter(texts)
        lower = name == "words" if vocabulary.lower is None else vocabulary.lower
        if lower and vocabulary.lower is None:
            note = "letters are made lower-case (else: --data.vocabulary.lower false)"
            texts = texts._replace(notes=[*texts.notes, note])
        segmenter = Segmenter(name, self._user_words, lower=lower)
        settings = {
            "format": FORMAT,
            "segmenter": segmenter.name,
            "jieba": importlib.metadata.version("jieba") if segmenter.name == "jieba" else None,
            "user_words": self._user_words,
            "lower": segmenter.lower,
            "unescape": vocabulary.unescape,
            "splits": None if texts.splits is None else asdict(texts.splits),
            **({} if self.evaluation_split is None else {"only": self.evaluation_split}),
            **texts.settings,
        }
        key = remembered_fingerprint(texts.files, settings)
        corpus = Corpus(entry(f"text-{key}", lambda path: self._build(path, texts, segmenter, vocabulary.unescape)))
        self._open(corpus, texts, segmenter, vocabulary)

    def _choose_segmenter(self, texts: TextSet) -> tuple[SegmenterName, TextSet]:
        """Choose a segmenter by the first documents of train; return it and all documents, with a note."""
        split = "train" if "train" in texts.records else next(iter(texts.records))
        stream = iter(texts.records[split])
        first = list(itertools.islice(stream, _SAMPLE))
        spaced = written_with_spaces(record.text[:_SAMPLE] for record in first)
        texts = texts._replace(records={**texts.records, split: itertools.chain(first, stream)})
        if self._user_words or not spaced:
            return "jieba", texts
        return "words", texts._replace(notes=[*texts.notes, _WORDS_CHOSEN])

    def _build(self, folder: Path, texts: TextSet, segmenter: Segmenter, unescaping: bool) -> None:
        only, records = self.evaluation_split, texts.records
        report = ReadingReport() if texts.report is None else texts.report
        if unescaping:
            records = {split: _unescaped(stream, report) for split, stream in records.items()}
        if only is not None:  # stored as train
            chosen = [records[only]] if only in records else records.values()
            records = {"train": itertools.chain.from_iterable(chosen)}
        build(
            folder,
            records,
            segmenter=segmenter,
            splits=texts.splits or Splits(),
            order=texts.order,
            whole=only is not None,
            report=report,
        )

    def _open(self, corpus: Corpus, texts: TextSet, segmenter: Segmenter, vocabulary: TextVocabulary) -> None:
        fixed, only = self.fixed_processor, self.evaluation_split
        if isinstance(fixed, TextProcessor):
            self.processor, ids = self._encode(corpus, fixed)
        else:
            self.processor, ids = self._learn(corpus, segmenter, texts, vocabulary)
        known = {name: label for label, name in enumerate(self.processor.categories)}
        labels = np.array([known[name] for name in corpus.categories])[corpus.labels]
        sizes = corpus.sizes(self.max_sentences, self.max_words)
        stored_as = {split: split for split in SPLITS} if only is None else {only: "train"}
        indices = {split: corpus.indices(stored) for split, stored in stored_as.items()}
        self.provided_splits = list(texts.records)
        sources = {
            split: TextSource(corpus, index, labels[index], sizes.kept[index], ids, self.max_sentences, self.max_words)
            for split, index in indices.items()
        }
        self.sources = {**sources}
        self.processor.documents = {split: source.words for split, source in sources.items()}
        self.median_sentences = float(np.median(sizes.sentences[next(iter(indices.values()))]))
        unknown = {split: corpus.share(stored, ids == 0) for split, stored in stored_as.items()}
        origin = "the checkpoint's" if fixed else f"{segmenter.name}, at least {vocabulary.min_count} times in train"
        self.summary = summary_table(indices, sizes, unknown)
        limits = (self.max_sentences, self.max_words)
        self.notes = [
            f"vocabulary: {len(self.processor.vocabulary):,} ({origin})",
            *texts.notes,
            *_on_splits(corpus, texts, splits_off=only is None),
            *remarks(
                corpus, sizes, unknown, *limits, fixed_processor=fixed is not None, spaced=segmenter.name == "words"
            ),
            *self._find_vectors(),
        ]

    def _find_vectors(self) -> Iterator[str]:
        """Count the co-occurrences or read the vectors that a new model begins with; yield a note on those words."""
        if not (self.pretrain or self.vectors) or self.fixed_processor is not None or "train" not in self.sources:
            return
        train, words = self.sources["train"], self.processor.vocabulary.words
        if self.vectors:
            path, lower = Path(self.vectors).expanduser(), self.processor.segmenter.lower
            self.word_vectors, origin = FileVectors(path, words, lower=lower), f"those of {path.name} (vectors)"
        else:
            self.word_vectors = WordVectors(train, len(words), self.pretrain)
            origin = "their co-occurrences in train (pretrain)"
        covered = self.word_vectors.covered
        if not covered.any():
            raise UserError("--data.pretrain: in train no known word stands beside another: leave it out")
        share = train.corpus.share("train", covered[train.ids])
        of_all = f"{covered.sum():,} of {len(words) - 1:,} words ({share:.1%} of train's text)"
        yield f"vectors of {of_all} begin with {origin}"

    def _learn(
        self, corpus: Corpus, segmenter: Segmenter, texts: TextSet, options: TextVocabulary
    ) -> tuple[TextProcessor, Index]:
        """Make a processor with the vocabulary of train, and return it with the id of each word of the corpus."""
        vocabulary = corpus.vocabulary(options.min_count, options.max_size)
        if len(vocabulary) == 1:
            raise UserError(
                f"no word occurs {options.min_count} times in train: lower --data.vocabulary.min_count, "
                "for example to 1"
            )
        processor = TextProcessor(
            corpus.categories,
            vocabulary.words,
            segmenter.name,
            self._user_words,
            self.max_sentences,
            self.max_words,
            segmenter.lower,
            options.unescape,
            texts.text_column,
        )
        ids = np.arange(corpus.vocabulary_size)
        ids[len(vocabulary) :] = 0
        return processor, ids

    def _encode(self, corpus: Corpus, processor: TextProcessor) -> tuple[TextProcessor, Index]:
        """Return a trained model's processor with the id of each word of the corpus in its vocabulary."""
        unknown = [name for name in corpus.categories if name not in processor.categories]
        if unknown:
            raise UserError(
                f"the data has the category {unknown[0]!r}, which the checkpoint lacks; "
                f"it knows: {shorten(', '.join(processor.categories))}"
            )
        return processor, processor.vocabulary.ids(corpus.vocabulary(0, None).words)

    def place(self, split: str, number: int) -> str:
        """Return the file and line of a document."""
        source = self.sources[split]
        return source.corpus.place(int(source.indices[number]))

    def describe(self) -> dict[str, Any]:
        """Return the numbers of words, of their distinct characters plus one for padding, and of classes."""
        self.prepare_once()
        vocabulary = self.processor.vocabulary
        return {
            "vocabulary_size": len(vocabulary),
            "num_characters": len(vocabulary.characters),
            "num_classes": len(self.processor.categories),
        }


def _read_user_words(file: str | None) -> tuple[list[str], list[str]]:
    """Read a file of words for jieba, and note those that have no effect."""
    if file is None:
        return [], []
    words = read_words(Path(file).expanduser())
    spaced = [word for word, _ in map(user_word, words) if len(word.split()) > 1]
    return words, [f"no effect, because jieba splits at spaces: {shorten(', '.join(spaced))}"] if spaced else []


def _unescaped(records: Iterable[LabeledText], report: ReadingReport) -> Iterator[LabeledText]:
    """Yield documents with signs such as `&amp;` read as what they mean; the report counts them."""
    for record in records:
        text = unescape(record.text)
        if text != record.text:
            report.add(UNESCAPED, record.place)
            record = record._replace(text=text)
        if "\\n" in text:
            report.add(UNCERTAIN_BREAKS, record.place)
        yield record


def _on_splits(corpus: Corpus, texts: TextSet, *, splits_off: bool) -> Iterator[str]:
    """Yield notes on classes without documents and on splits that are not provided."""
    unused = [name for name in texts.order if name not in corpus.categories]
    if texts.order_from and unused:
        yield f"{texts.order_from} names classes without documents: {shorten(', '.join(unused))}"
    missing = [split for split in ("val", "test") if split not in texts.records]
    if splits_off and missing:
        yield f"{' and '.join(missing)} split off from train, stratified by category: no such file with labels"


__all__ = ["TextData", "TextProcessor"]


class TextData(Documents):
    """Your own documents, by category.

    Args:
        path: a table (.tsv, .csv, .jsonl, .json, .txt of fastText or with tabs, also .gz; .xlsx and .parquet with the
            extra "tables"); a folder with train, val (or dev) and test tables; or a folder of .txt files per category,
            directly or below train, val and test. Missing splits are split off from train.
        batch_size: maximum number of documents in a batch of one process; "all" is the whole set.
        text_column: name of the text column, or its number from 1 if there is no header; several, with commas between,
            are joined; guessed if not given.
        label_column: name of the label column, or its number; guessed if not given.
        encoding: encoding of the files, such as utf-8 or gb18030.
        bad_rows: "error" to stop at the first row or document that can't be read: without a label, with another number
            of columns, with bytes that are not in the encoding; "skip" to count them and leave out up to a fifth.
        vocabulary: how texts become words, and which words the model knows.
        max_sentences: number of sentences to which a document is truncated.
        max_words: number of words to which a sentence is truncated.
        max_batch_words: maximum number of words in a batch of one process; long documents come in smaller batches.
        splits: what is split off from train, stratified by category, if there is no such split.
        balanced: train on each class as often as on the largest one, repeating documents.
        pretrain: begin the training of word vectors with those of their co-occurrences in train (positive PMI and SVD,
            Levy and Goldberg 2014), with so many words on each side, such as 5; 0 begins at random.
        vectors: begin it with the vectors of a file, of as many values as the model's: text of GloVe, word2vec or
            fastText (also .gz), .npz with an array of words and one of vectors, or a Model2Vec folder; words that it
            lacks begin at random.

    Example:
        >>> data = TextData("reviews.csv", batch_size=16)
        >>> data.describe()["num_classes"]
        2
    """

    least_steps = 450
    reading = (*Documents.reading, "pretrain", "vectors")

    def __init__(
        self,
        path: str | None = None,
        batch_size: BatchSize = 64,
        text_column: str | None = None,
        label_column: str | None = None,
        encoding: str = "utf-8",
        bad_rows: BadRows = "error",
        vocabulary: TextVocabulary = TextVocabulary(),
        max_sentences: int = 100,
        max_words: int = 100,
        max_batch_words: int = 30_000,
        splits: Splits = Splits(),
        balanced: bool = False,
        pretrain: int = 0,
        vectors: str | None = None,
    ) -> None:
        super().__init__(batch_size, vocabulary, max_sentences, max_words, max_batch_words, balanced)
        if pretrain < 0:
            raise UserError(f"--data.pretrain is {pretrain}; it must be 0 or above")
        if pretrain and vectors:
            raise UserError("--data.pretrain and --data.vectors both begin the word vectors: give one of them")
        self.pretrain, self.vectors = pretrain, vectors
        self.save_hyperparameters(logger=False)
        self.path, self.encoding, self.bad_rows = path, encoding, bad_rows
        self.text_column, self.label_column, self.splits = text_column, label_column, Splits.of(splits)

    def read(self) -> TextSet:
        """Find the files and the columns in them."""
        if not self.path:
            raise UserError("say where your documents are: --data.path FILE or FOLDER")
        place, trains = Path(self.path).expanduser(), self.evaluation_split is None
        files = TextFiles(
            place, self.encoding, self.text_column, self.label_column, trains=trains, bad_rows=self.bad_rows
        )
        return TextSet(
            records=files.records(),
            files=files.paths,
            settings={
                "columns": files.columns[:3],
                "given": files.splits,
                "encoding": self.encoding,
                "bad_rows": self.bad_rows,
            },
            order=files.names,
            order_from=files.names_file,
            notes=files.notes,
            splits=self.splits,
            report=files.report,
            text_column=files.text_column,
        )
