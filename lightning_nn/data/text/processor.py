"""Conversion of texts to batches as in training, and the inputs of predict: texts, lines, or rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lightning_nn.data.batches import Index, TextBatch
from lightning_nn.data.loader import BatchSampler
from lightning_nn.data.normalization import unescape
from lightning_nn.data.processor import MOST, NO_INPUT, InputOptions, Record, check_state
from lightning_nn.data.tables.columns import SAMPLE, TEXT_NAMES, find_header, plain_text, wanted_names
from lightning_nn.data.tables.reading import UNDECODED, check_encoding, decode, opened, read_lines
from lightning_nn.data.tables.rows import BadRowError, ReadingReport, Row
from lightning_nn.data.tables.table import BINARY, form_of, line_rows, read_rows
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.errors import UserError, nearest


def read_inputs(options: InputOptions, trained: str) -> Iterator[Record]:
    """Yield the texts that are given one by one, then those of a file, in constant memory.

    A line or row that can't be read is a record with an error, and the next one follows.

    Args:
        options: the options of predict.
        trained: text column of the table that the model was trained on; "" if it was none.

    Raises:
        UserError: here or while reading: no input, no such file, a binary file, or no column that is the text for
            certain.
    """
    if options.text is None and not options.files:
        raise UserError(NO_INPUT)
    if len(options.files) > 1:
        raise UserError(
            f"--data.file has {len(options.files)} files, {options.files[0]} and others; a model of texts reads one: "
            "predict on them one after the other"
        )
    check_encoding(options.encoding)
    texts = options.text or []
    if not options.files:
        for option, value in (("format", options.form), ("text_column", options.text_column)):
            if value is not None:
                raise UserError(f"--data.{option} {value} is for a table: give one with --data.file, or leave it out")
        return (Record(text, {"input": text}) for text in texts)
    return chain((Record(text, {"input": text}, "") for text in texts), _file(options, trained))


def _file(options: InputOptions, trained: str) -> Iterator[Record]:
    path = None if options.files == ["-"] else Path(options.files[0])
    if path is not None and not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {what}; expected a table, a file with one text per line, or - for standard input")
    name, encoding = "standard input" if path is None else str(path), options.encoding
    form, report = options.form or (form_of(path) if path else None), ReadingReport()
    wanted = wanted_names(options.text_column or trained, None)
    if form in BINARY:
        if path is None:
            raise UserError(f"--data.format {form} needs a file, not standard input: --data.file FILE")
        rows = read_rows(path, form=form, wanted=wanted, lenient=True, report=report)
        yield from _Table(options, trained, name).records(rows, SAMPLE)
    else:
        with nullcontext(options.stdin) if path is None else opened(path) as stream:
            lines, size = read_lines(stream, name, encoding, lenient=True), 1 if path is None else SAMPLE
            if form in (None, "txt"):
                first = list(islice(lines, size))
                form, lines = _form_of_lines([line for _, line in first], options, trained, name), chain(first, lines)
            if form == "text":
                for number, line in lines:
                    yield _line(line.rstrip("\r\n"), name, number, encoding)
            else:
                rows = line_rows(lines, name, encoding, form, wanted=wanted, lenient=True, report=report, sample=size)
                yield from _Table(options, trained, name).records(rows, size)
    for note in report.notes():
        options.say(note)


def _form_of_lines(lines: list[str], options: InputOptions, trained: str, name: str) -> str:
    """Return "tsv" for lines that all have the same number of tabs, if the model was trained on a table."""
    filled = [line for line in lines if line.strip()]
    tabs = {line.count("\t") for line in filled}
    labels = bool(filled) and all(line.startswith("__label__") for line in filled)
    if not labels and (len(tabs) != 1 or tabs == {0}):
        return "text"
    if labels or options.text_column or trained:
        options.say(
            f"{name} is read as a table, since its lines have {'labels' if labels else 'tabs'}; "
            "else: --data.format text"
        )
        return "tsv"
    options.say(f"the lines of {name} have tabs; each is read as one text. For a table: --data.format tsv")
    return "text"


def _line(text: str, name: str, number: int, encoding: str) -> Record:
    error = "" if text.strip() else f"{name}:{number}: no text"
    if UNDECODED.search(text):
        try:
            decode(text.encode(encoding, "surrogateescape"), encoding, name, number)
        except UserError as found:
            error, text = str(found), UNDECODED.sub("\ufffd", text)
    return Record("" if error else text, {"input": text}, error)


class _Columns(NamedTuple):
    """The columns of a table.

    Attributes:
        names: of all columns, each another one.
        text: names of those that hold the text.
        has_header: whether the first row names them.
    """

    names: list[str]
    text: list[str]
    has_header: bool


class _Table:
    """The rows of a table as records."""

    def __init__(self, options: InputOptions, trained: str, name: str) -> None:
        if options.text:
            raise UserError(f"--data.text has other columns than {name}: predict on them one after the other")
        self._given, self._trained, self._name, self._say = options.text_column, trained, name, options.say

    def records(self, rows: Iterator[Row], size: int) -> Iterator[Record]:
        """Yield a record for each row but the header.

        Args:
            rows: of the table, from its header on.
            size: number of readable rows that decide on the columns.
        """
        first: list[Row] = []
        sample: list[Row] = []
        while len(sample) < size and (row := next(rows, None)):
            first.append(row)
            if not row.error:
                sample.append(row)
        if not first:
            raise UserError(f"{self._name} is empty")
        columns = self._choose(sample) if sample else _Columns([], [], has_header=False)
        count = 0
        for row in chain(first, rows):
            if not (columns.has_header and row is sample[0]):
                count += 1
                yield _record(row, columns)
        if not count:
            raise UserError(f"{self._name} has a header, but no rows")

    def _choose(self, sample: list[Row]) -> _Columns:
        """Choose the columns of the text: as told, else as in training, else by their names if that is certain."""
        place, first = sample[0][:2]
        if isinstance(first, dict):
            names, is_named = list(dict.fromkeys(name for row in sample for name in row.cells)), True
        else:
            names = [cell.strip() for cell in first]
            is_named = find_header(sample, wanted_names(self._given or self._trained, None)) == 0
        unique = _unique(names) if is_named else [f"column_{number}" for number in range(1, len(names) + 1)]
        if is_named and unique != names:
            self._say(f"{self._name} has columns of the same name; they are called {', '.join(unique)}")
        for column, origin in ((self._given, ""), (self._trained, ", as in training")):
            text = _find(column, names, unique, by_number=not is_named or not origin) if column else []
            if text:
                break
            if column and not origin:
                raise UserError(
                    f"{place}: --data.text_column is {column!r}, which is not a column{nearest(column, names)}"
                )
        else:
            known = [name for name in unique if name.lower() in TEXT_NAMES] if is_named else []
            text, origin = (unique if isinstance(first, dict) and len(unique) == 1 else known), ", by its name"
        shown = ", ".join(name[:30] for name in names)
        if len(text) != 1 and ", by" in origin:
            number = "" if is_named else ", or its number, from 1, if that is no header"
            trained = f" (in training: {self._trained})" if self._trained else ""
            raise UserError(
                f"{place}: which column is the text{trained}? There are: {shown}; use --data.text_column NAME{number}"
            )
        if any(names.count(name) > 1 for name in text):
            raise UserError(f"{place}: several columns are called {text[0]!r}; rename all but one")
        self._say(f"text: {', '.join(text)} of {self._name}{origin}")
        return _Columns(unique, text, is_named and isinstance(first, list))


def _record(row: Row, columns: _Columns) -> Record:
    place, cells, problem = row
    error = str(problem or "")
    if isinstance(cells, list):
        if not error and len(cells) != len(columns.names):
            error = f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, expected {len(columns.names)}"
        cells = dict(zip(columns.names, cells, strict=False))
    if not error and (missing := [name for name in columns.text if name not in cells]):
        error = f"{place}: no {missing[0]!r}; there are: {', '.join(cells)}"
    text = ""
    try:
        if not error:
            text = "\n".join(plain_text(cells, name, place) for name in columns.text)
    except BadRowError as found:
        error = str(found)
    if not error and not text.strip():
        error = f"{place}: no text in {' or '.join(columns.text)}"
    return Record("" if error else text, cells, error, columns.names)


def _find(wanted: str, names: list[str], unique: list[str], *, by_number: bool) -> list[str]:
    """Return the names of the columns that are wanted, several joined by commas; [] if one is missing."""
    found = []
    for part in [wanted] if wanted in names else wanted.split(","):
        is_number = by_number and part.isascii() and part.isdigit() and 1 <= int(part) <= len(unique)
        if part not in names and not is_number:
            return []
        found.append(part if part in names else unique[int(part) - 1])
    return found


def _unique(names: list[str]) -> list[str]:
    unique: dict[str, Any] = {}
    for name in names:
        number, free = 1, name
        while free in unique:
            number += 1
            free = f"{name}_{number}"
        unique[free] = None
    return list(unique)


LONGEST = 50_000  # maximum number of characters in a batch: bounds memory when predicting on long documents


class TextProcessor:
    """Processor of texts, with the vocabulary, segmenter and limits of training.

    Args:
        categories: name of each class, in the order of the labels.
        words: the vocabulary, the unknown word at 0.
        segmenter: "jieba", "chars" or "words".
        user_words: words added to jieba's dictionary.
        max_sentences: sentences to which a text is truncated.
        max_words: words to which a sentence is truncated.
        lower: make letters lower-case.
        unescape: read entities and the like, see `lightning_nn.data.normalization.unescape`.
        text_column: column of the texts in the table of training, as --data.text_column names it, several joined by
            commas; "" if it was no table.

    Attributes:
        read: words of all texts encoded so far.
        unknown: those of them that are not in the vocabulary.
    """

    kind = "text"

    def __init__(
        self,
        categories: list[str],
        words: list[str],
        segmenter: SegmenterName,
        user_words: list[str],
        max_sentences: int,
        max_words: int,
        lower: bool = False,
        unescape: bool = False,
        text_column: str = "",
    ) -> None:
        names = {"categories": categories, "words": words, "user_words": user_words}
        check_state(names, categories=list, words=list, user_words=list)
        limits = {"max_sentences": max_sentences, "max_words": max_words}
        check_state(limits, max_sentences=range(1, MOST), max_words=range(1, MOST))
        reading = {"segmenter": segmenter, "lower": lower, "unescape": unescape, "text_column": text_column}
        check_state(reading, segmenter=SegmenterName, lower=bool, unescape=bool, text_column=str)
        self.categories = categories
        self.vocabulary = Vocabulary(words)
        self.segmenter = Segmenter(segmenter, user_words, lower=lower)
        self.user_words, self.max_sentences, self.max_words = user_words, max_sentences, max_words
        self.unescape, self.text_column = unescape, text_column
        self.read = self.unknown = 0

    def tokens(self, text: str) -> list[list[str]]:
        """Segment a text into truncated sentences of words, as `encode` reads it; [] for a text without words."""
        sentences = self.segmenter.sentences(unescape(text) if self.unescape else text, self.max_sentences)
        return [sentence[: self.max_words] for sentence in sentences]

    def encode(self, raw: list[Any]) -> TextBatch:
        """Encode texts as a batch without labels. A text without words becomes one unknown word.

        Raises:
            UserError: an input is not a string.
        """
        documents: list[int] = []
        sentences: list[int] = []
        words: list[str] = []
        for text in raw:
            if not isinstance(text, str):
                raise UserError(f"expected a text (str), got {type(text).__name__}: {str(text)[:40]!r}")
            segmented = self.tokens(text) or [[""]]
            documents.append(len(segmented))
            sentences.extend(map(len, segmented))
            words.extend(word for sentence in segmented for word in sentence)
        ids = self.vocabulary.ids(words)
        wordless = words.count("")
        self.read += len(ids) - wordless
        self.unknown += int((ids == 0).sum()) - wordless
        return TextBatch(
            torch.tensor(documents, dtype=torch.int64),
            torch.tensor(sentences, dtype=torch.int64),
            torch.from_numpy(ids),
        )

    def unknown_share(self) -> float:
        """Return the share of unknown words in all texts encoded so far, 0 before the first."""
        return self.unknown / self.read if self.read else 0.0

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, TextBatch]]:
        """Yield batches of texts of similar length: up to `batch_size` texts and `LONGEST` characters, or one text.

        Raises:
            UserError: see `encode`.
        """
        if not raw:
            return
        most = self.max_sentences * self.max_words  # words read of a text
        lengths = np.array([min(len(text), most) if isinstance(text, str) else 1 for text in raw])
        for index in BatchSampler(len(raw), batch_size, lengths=lengths, max_length=LONGEST):
            yield index, self.encode([raw[i] for i in index])

    def inputs(self, options: InputOptions) -> Iterator[Record]:
        """Read texts: those given one by one, then the lines or the rows of a file.

        Raises:
            UserError: see `read_inputs`.
        """
        return read_inputs(options, self.text_column)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories, words, and the characters of the words."""
        return {
            "categories": self.categories,
            "words": self.vocabulary.words,
            "characters": self.vocabulary.characters,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return {
            "categories": self.categories,
            "words": self.vocabulary.words,
            "segmenter": self.segmenter.name,
            "user_words": self.user_words,
            "max_sentences": self.max_sentences,
            "max_words": self.max_words,
            "lower": self.segmenter.lower,
            "unescape": self.unescape,
            "text_column": self.text_column,
        }
