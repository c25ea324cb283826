"""Building a corpus from documents in one pass; memory is bounded by the vocabulary, not by the text."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.batches import Index
from lightning_nn.data.splits import Splits, stratified_split
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.data.tables.rows import ReadingReport
from lightning_nn.data.text.corpus import BLOCK, blocks
from lightning_nn.data.text.segmented import segment_stream
from lightning_nn.data.text.segmenter import Segmenter
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.errors import UserError
from lightning_nn.sanitize import shorten

NO_WORDS = "skipped: {count} document{s} without words"
EMPTY_CLASSES = "not a category, because no document of it has words: {count} label{s}"


class LabeledText(NamedTuple):
    """A document as read from a file.

    Attributes:
        text: the text, unchanged.
        label: name of its class.
        place: file and line, for errors, such as "train.tsv:17".
    """

    text: str
    label: str
    place: str


def build(
    folder: Path,
    records: Mapping[str, Iterable[LabeledText]],
    *,
    segmenter: Segmenter,
    splits: Splits = Splits(),
    order: Sequence[str] = (),
    whole: bool = False,
    processes: int | None = None,
    report: ReadingReport | None = None,
) -> None:
    """Segment documents and write them as arrays. Memory is bounded by the vocabulary, not by the text.

    Args:
        folder: an empty folder for the files.
        records: documents of "train" and, if provided, of "val" and "test"; missing splits are split off train,
            stratified by class, the same on every machine.
        segmenter: does the word segmentation.
        splits: shares of all documents for the splits that are not provided.
        order: names of classes in the order of their labels; others follow by number, if all names are numbers, else
            by name.
        whole: split nothing off and accept any number of classes, to evaluate only.
        processes: number of processes for word segmentation; None means one per core, at most 16.
        report: what the records add to while they are read; stored with the corpus.

    Raises:
        UserError: no documents, a single class, a class that is not in train, a label for nearly every document, too
            few documents to split off a split.
    """
    report = ReadingReport() if report is None else report
    processes = processes or min(16, joblib.cpu_count())
    reading = _Reading(folder, segmenter, processes, classes=1 if whole else 2, report=report)
    reading.read({split: records[split] for split in SPLITS if split in records})
    categories, labels = reading.categories(order)
    provided = set(SPLITS) if whole else set(records)
    split_of = _split_off(np.frombuffer(reading.splits, np.int8), labels, provided, splits)
    _check_classes(split_of, labels, categories)
    sentences = _offsets(folder / "sentences", reading.size_sentences)
    documents = _offsets(folder / "documents", reading.size_documents)
    _rank(folder, list(reading.words), sentences, documents, split_of)
    labels.tofile(folder / "labels")
    np.frombuffer(reading.fingerprints, np.uint64).tofile(folder / "fingerprints")
    for number, split in enumerate(SPLITS):
        np.flatnonzero(split_of == number).tofile(folder / split)
    for name in reading.names:
        if name not in categories:
            report.add(EMPTY_CLASSES, name)
    meta = {
        "categories": categories,
        "report": report.counts,
        "given": [s for s in SPLITS if s in records],
    }
    (folder / "corpus.json").write_text(json.dumps(meta), encoding="utf-8")


class _Label:
    """A class: its number in order of appearance, the place where it first occurs, and its documents in train."""

    def __init__(self, number: int, place: str) -> None:
        self.number, self.place, self.count = number, place, 0


class _Pending(NamedTuple):
    """A document that is being segmented."""

    split: int
    label: _Label
    place: str
    fingerprint: int


class _Reading:
    """The pass over the text, which appends numbers to files and keeps words, labels and counts in memory."""

    def __init__(self, folder: Path, segmenter: Segmenter, processes: int, classes: int, report: ReadingReport) -> None:
        self.folder, self.segmenter, self.processes, self.classes = folder, segmenter, processes, classes
        self.report = report
        self.words: dict[str, int] = {}
        self.names: dict[str, _Label] = {}
        self.labels, self.splits, self.fingerprints = array("q"), array("b"), array("Q")
        self.size_sentences = self.size_documents = 0

    def read(self, records: Mapping[str, Iterable[LabeledText]]) -> None:
        pending: deque[_Pending] = deque()
        with (
            (self.folder / "words").open("wb") as words,
            (self.folder / "sentences").open("wb") as sentences,
            (self.folder / "documents").open("wb") as documents,
            (self.folder / "places.txt").open("wb") as places,
        ):
            for chunk in segment_stream(self._texts(records, pending), self.segmenter, self.processes):
                numbers = [self.words.setdefault(word, len(self.words)) for word in chunk.vocabulary]
                _append(words, np.array(numbers, np.int32)[chunk.words])
                _append(sentences, chunk.sentences)
                _append(documents, chunk.documents[chunk.documents > 0])
                self.size_sentences += len(chunk.sentences)
                for size in chunk.documents:
                    document = pending.popleft()
                    self._document(document, empty=size == 0)
                    if size:
                        places.write(" ".join(document.place.splitlines()).encode("utf-8", "surrogateescape") + b"\n")
        self.size_documents = len(self.labels)
        self._check(records)

    def _texts(self, records: Mapping[str, Iterable[LabeledText]], pending: deque[_Pending]) -> Iterator[str]:
        for split, stream in records.items():
            for record in stream:
                label = self.names.get(record.label)
                if label is None:
                    if split != "train":
                        raise UserError(
                            f"{record.place}: the label {record.label!r} is not in train, so no model can learn it; "
                            f"train has: {_listed(self.names)}; move such rows to train or remove them"
                        )
                    label = self.names[record.label] = _Label(len(self.names), record.place)
                pending.append(_Pending(SPLITS.index(split), label, record.place, fingerprint_text(record.text)))
                yield record.text

    def _document(self, document: _Pending, *, empty: bool) -> None:
        if empty:
            self.report.add(NO_WORDS, document.place)
            return
        document.label.count += document.split == 0
        self.labels.append(document.label.number)
        self.splits.append(document.split)
        self.fingerprints.append(document.fingerprint)

    def _check(self, records: Mapping[str, Iterable[LabeledText]]) -> None:
        sizes = np.bincount(np.frombuffer(self.splits, np.int8), minlength=len(SPLITS)) if self.splits else [0, 0, 0]
        for split in records:
            if sizes[SPLITS.index(split)] == 0:
                skipped = self.report.count(NO_WORDS)
                empty = f"; {skipped} without words were skipped" if skipped else ""
                raise UserError(f"there are no documents in {split}{empty}")
        used = [name for name, label in self.names.items() if label.count]
        if len(used) < self.classes:
            raise UserError(
                f"all documents have the label {_listed(used)}: at least two categories are needed; "
                "is --data.label_column the right one?"
            )
        if len(self.names) > max(100, len(self.labels) // 2):
            raise UserError(
                f"{len(self.names):,} different labels in {len(self.labels):,} documents ({_listed(self.names)}): "
                "is --data.label_column the right one?"
            )

    def categories(self, order: Sequence[str]) -> tuple[list[str], Index]:
        """Return the names in the order of the labels, and the label of each document."""
        places = {name: place for place, name in enumerate(order)}
        numbers = all(_is_number(name) for name in self.names)
        names = sorted(
            (name for name, label in self.names.items() if label.count),
            key=lambda name: (places.get(name, len(places)), int(name) if numbers else 0, name),
        )
        table = np.full(len(self.names), -1)
        table[[self.names[name].number for name in names]] = np.arange(len(names))
        labels = table[np.frombuffer(self.labels, np.int64)]
        if (labels < 0).any():
            lost = next(name for name, label in self.names.items() if not label.count)
            raise UserError(f"{self.names[lost].place}: in train the label {lost!r} has no document with words")
        return names, labels


def fingerprint_text(text: str) -> int:
    """Hash a text to 64 bits, whatever its line breaks and runs of space."""
    content = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _is_number(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdigit()


def _listed(names: Iterable[str]) -> str:
    return shorten(", ".join(repr(shorten(name, 40)) for name in islice(names, 20)))


def _append(file: BinaryIO, numbers: NDArray[np.int32]) -> None:
    file.write(np.ascontiguousarray(numbers, np.int32).data)


def _split_off(split_of: NDArray[np.int8], labels: Index, provided: set[str], splits: Splits) -> NDArray[np.int8]:
    """Return the number of the split of each document; missing splits are split off train."""
    split_of = split_of.copy()
    total, left = int((split_of == 0).sum()), 1.0
    for split, share in splits.shares.items():
        if split in provided:
            continue
        train, seed = np.flatnonzero(split_of == 0), len(SPLITS) * splits.seed + SPLITS.index(split)
        _, chosen = stratified_split(labels[train], share / left, seed)
        if len(chosen) == 0:
            raise UserError(
                f"{total} documents are too few to split off a {split} split: no class has two left; add documents, or "
                "provide the splits as separate files; is --data.label_column the right one?"
            )
        split_of[train[chosen]] = SPLITS.index(split)
        left -= share
    return split_of


def _check_classes(splits: NDArray[np.int8], labels: Index, categories: list[str]) -> None:
    left = np.bincount(labels[splits == 0], minlength=len(categories))
    if not left.all():
        lost = categories[int(left.argmin())]
        raise UserError(
            f"no document of the category {lost!r} is left in train; all went to val and test: lower "
            "--data.splits.val and --data.splits.test, or add documents of this category"
        )


def _offsets(path: Path, size: int) -> Index:
    """Convert the int32 counts in a file to int64 offsets, one more than counts, a block at a time."""
    counts = np.memmap(path, np.int32, "r", shape=(size,))
    partial = path.with_suffix(".offsets")
    with partial.open("wb") as file:
        total = 0
        file.write(np.zeros(1, np.int64).data)
        for start in range(0, size, BLOCK):
            block = total + np.cumsum(counts[start : start + BLOCK], dtype=np.int64)
            file.write(block.data)
            total = int(block[-1])
    del counts
    partial.replace(path)
    return np.memmap(path, np.int64, "r")


def _rank(folder: Path, names: list[str], sentences: Index, documents: Index, splits: NDArray[np.int8]) -> None:
    """Replace word numbers, which are in order of appearance, by ranks; write counts and words.txt."""
    words = np.memmap(folder / "words", np.int32, "r+")
    counts = np.zeros((len(names), len(SPLITS)), np.int64)
    starts = sentences[documents]
    for first, last in blocks(starts):
        owner = np.repeat(splits[first:last], np.diff(starts[first : last + 1]))
        block = words[starts[first] : starts[last]]
        for number in range(len(SPLITS)):
            counts[:, number] += np.bincount(block[owner == number], minlength=len(names))
    train = dict(zip(names, counts[:, 0].tolist(), strict=True))
    vocabulary = Vocabulary.from_counts(train, min_count=0)
    ranks = vocabulary.ids(names)
    for start in range(0, len(words), BLOCK):
        words[start : start + BLOCK] = ranks[words[start : start + BLOCK]]
    words.flush()
    ranked = np.zeros((len(vocabulary), len(SPLITS)), np.int64)
    np.add.at(ranked, ranks, counts)
    ranked.tofile(folder / "counts")
    with (folder / "words.txt").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\n" for word in vocabulary.words[1:])
