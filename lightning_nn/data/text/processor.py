"""Conversion of texts to batches as in training, and the inputs of predict: texts, lines, or rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightning_nn.data.batches import Index, TextBatch
from lightning_nn.data.loader import BatchSampler
from lightning_nn.data.normalization import unescape
from lightning_nn.data.processor import MOST, NO_INPUT, InputOptions, Record, check_state
from lightning_nn.data.representation import readable
from lightning_nn.data.tables.columns import check_unique, choose, columns_of, plain_text, unsure, wanted_names
from lightning_nn.data.tables.reading import UNDECODED, check_encoding, decode, opened, read_lines
from lightning_nn.data.tables.rows import SAMPLE, BadRowError, ReadingReport, Table
from lightning_nn.data.tables.table import BINARY, form_of, open_table, table_of_lines
from lightning_nn.data.text.columns import TEXT
from lightning_nn.data.text.content_words import UnknownContent
from lightning_nn.data.text.segmenter import Segmenter, SegmenterName
from lightning_nn.data.text.vocabulary import Vocabulary
from lightning_nn.errors import UserError

LONGEST = 50_000  # maximum number of characters in a batch: bounds memory when predicting on long documents


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
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {fault}; expected a table, a file with one text per line, or - for standard input")
    name, encoding = "standard input" if path is None else str(path), options.encoding
    form, report = options.form or (form_of(path) if path else None), ReadingReport()
    wanted = wanted_names(options.text_column or trained)
    if form in BINARY:
        if path is None:
            raise UserError(f"--data.format {form} needs a file, not standard input: --data.file FILE")
        yield from _records(open_table(path, form=form, wanted=wanted, report=report), options, trained, name)
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
                table = table_of_lines(lines, name, encoding, form, wanted=wanted, report=report, size=size)
                yield from _records(table, options, trained, name)
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


def _records(table: Table, options: InputOptions, trained: str, name: str) -> Iterator[Record]:
    """Yield a record for each row of a table.

    Raises:
        UserError: texts are given beside it, no column is the text for certain, or there are no rows.
    """
    if options.text:
        raise UserError(f"--data.text has other columns than {name}: predict on them one after the other")
    if table.header and table.columns != table.header:
        options.say(f"{name} has columns of the same name; they are called {', '.join(table.columns)}")
    columns = _text_columns(table, options, trained, name)
    count = 0
    for row in table.rows:
        count, text, error = count + 1, "", ""
        try:
            text = "\n".join(plain_text(row, column) for column in columns)
        except BadRowError as problem:
            error = str(problem)
        if not error and not text.strip():
            error = f"{row.place}: no text in {' or '.join(columns)}"
        yield Record("" if error else text, row.cells, error, table.columns)
    if not count:
        raise UserError(f"{name} has a header, but no rows")


def _text_columns(table: Table, options: InputOptions, trained: str, name: str) -> list[str]:
    """Choose the columns of the text: as told, else as in training, else by their names if that is certain."""
    columns, origin = choose(table, TEXT, options.text_column) if options.text_column is not None else [], ""
    if not columns and trained:
        columns, origin = columns_of(table, trained, several=True, numbers=not table.header), ", as in training"
        columns = columns if {*columns} <= {*table.columns} else []
    if not columns:
        known = [column for column in table.header if column.lower() in TEXT.names]
        columns, origin = table.header if len(table.header) == 1 else known, ", by its name"
        if len(columns) != 1:
            remembered = f" (in training: {trained})" if trained else ""
            number = "" if table.header else ", or its number, from 1, if that is no header"
            raise unsure(table, TEXT._replace(noun=f"text{remembered}"), number)
    check_unique(table, columns)
    options.say(f"text: {', '.join(columns)} of {name}{origin}")
    return columns


@readable
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
        documents: function from the index of a document to the words of its sentences, by the name of the split; set by
            the data set, and not in the state.
        unknown_words: count of the texts encoded so far, and of those whose words are not in the vocabulary.
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
        self.documents: dict[str, Callable[[int], list[list[str]]]] = {}
        self.unknown_words = UnknownContent()

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
            segmented = self.tokens(text)
            self.unknown_words.add(chain(*segmented), self.vocabulary)
            segmented = segmented or [[""]]
            documents.append(len(segmented))
            sentences.extend(map(len, segmented))
            words.extend(word for sentence in segmented for word in sentence)
        ids = self.vocabulary.ids(words)
        return TextBatch(
            torch.tensor(documents, dtype=torch.int64),
            torch.tensor(sentences, dtype=torch.int64),
            torch.from_numpy(ids),
        )

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
