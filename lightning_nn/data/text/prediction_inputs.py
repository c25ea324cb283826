"""Inputs of predict for models of text: texts, the lines of a file, or the rows of a table with all their columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lightning_nn.data.processor import InputOptions, Record
from lightning_nn.data.text.columns import TEXT_NAMES, has_header
from lightning_nn.data.text.files import plain_text
from lightning_nn.data.text.lines import check_encoding, read_lines
from lightning_nn.data.text.rows import BINARY, TEXT, form_of, read_rows
from lightning_nn.data.text.tables import Row
from lightning_nn.data.text.unpacking import opened
from lightning_nn.errors import UserError, nearest

_SAMPLE = 1000  # rows or lines of a file that decide how it is read; of standard input the first one does


def read_inputs(options: InputOptions, trained: str) -> Iterator[Record]:
    """Yield the texts that are given one by one, then those of a file, in constant memory.

    A line or row that can't be read is a record with an error, and the next one follows.

    Args:
        options: the options of predict.
        trained: text column of the table that the model was trained on; "" if it was none.

    Raises:
        UserError: here or while reading: no such file, a binary file, or no column that is the text for certain.
    """
    check_encoding(options.encoding)
    texts = options.text or []
    if options.file is None:
        for option, value in (("format", options.form), ("text_column", options.text_column)):
            if value is not None:
                raise UserError(f"--data.{option} {value} is for a table: give one with --data.file, or leave it out")
        return (Record(text, {"input": text}) for text in texts)
    return chain((Record(text, {"input": text}, "") for text in texts), _file(options, trained))


def _file(options: InputOptions, trained: str) -> Iterator[Record]:
    path = None if options.file == "-" else Path(str(options.file))
    if path is not None and not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {what}; expected a table, a file with one text per line, or - for standard input")
    name = "standard input" if path is None else str(path)
    form = options.form or (form_of(path) if path else None)
    if form in BINARY:
        if path is None:
            raise UserError(f"--data.format {form} needs a file, not standard input: --data.file FILE")
        rows = ((row, "") for row in read_rows(path, form=form))
        yield from _Table(options, trained, name).records(rows, _SAMPLE)
        return
    with nullcontext(options.stdin) if path is None else opened(path) as stream:
        lines, sample = _Lines(stream, name, options.encoding), 1 if path is None else _SAMPLE
        if form in (None, "txt"):
            form = _form_of_lines(lines.peek(sample), options, trained, name)
        if form == "text":
            for _, line in lines:
                text = line.rstrip("\r\n")
                error = lines.take_errors() or ("" if text.strip() else f"{name}:{lines.number}: no text")
                yield Record("" if error else text, {"input": text}, error)
        else:
            yield from _Table(options, trained, name).records(_rows(lines, name, form), sample)


def _form_of_lines(lines: list[str], options: InputOptions, trained: str, name: str) -> str:
    """Return "tsv" for lines that all have the same number of tabs, if the model was trained on a table."""
    tabs = {line.count("\t") for line in lines if line.strip()}
    if len(tabs) != 1 or tabs == {0}:
        return "text"
    if options.text_column or trained:
        options.say(f"{name} is read as a table, since its lines have tabs; else: --data.format text")
        return "tsv"
    options.say(f"the lines of {name} have tabs; each is read as one text. For a table: --data.format tsv")
    return "text"


class _Lines:
    """Lines of a stream with their numbers, and the errors of those taken last.

    Attributes:
        number: of the line taken last.
        ended: whether no more lines come.
    """

    def __init__(self, stream: BinaryIO, name: str, encoding: str) -> None:
        self._bad: dict[int, str] = {}
        self._rest = read_lines(stream, name, encoding, self._bad.__setitem__)
        self._ahead: deque[tuple[int, str]] = deque()
        self._errors: list[str] = []
        self.number, self.ended = 0, False

    def peek(self, count: int) -> list[str]:
        """Return up to so many lines without taking them."""
        while len(self._ahead) < count and (line := self._read()):
            self._ahead.append(line)
        return [line for _, line in self._ahead]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, str]:
        line = self._ahead.popleft() if self._ahead else self._read()
        if line is None:
            self.ended = True
            raise StopIteration
        self.number = line[0]
        if error := self._bad.pop(self.number, ""):
            self._errors.append(error)
        return line

    def _read(self) -> tuple[int, str] | None:
        try:
            return next(self._rest, None)
        except UserError:  # about the whole file
            self.ended = True
            raise

    def take_errors(self) -> str:
        """Return the errors of the lines taken since the last call."""
        errors, self._errors = "; ".join(self._errors), []
        return errors


def _rows(lines: _Lines, name: str, form: str) -> Iterator[tuple[Row, str]]:
    """Yield each row, and why it can't be read if so.

    Raises:
        UserError: a JSON list that is none, or a quotation mark that makes the rest of the file a single cell.
    """
    rows = TEXT[form](lines, name)
    while True:
        try:
            row = next(rows, None)
        except UserError as error:
            if lines.ended:
                raise
            lines.take_errors()
            yield Row("", {}), str(error)
            rows = TEXT[form](lines, name)
            continue
        if row is None:
            return
        yield row, lines.take_errors()


class _Columns(NamedTuple):
    """The columns of a table.

    Attributes:
        names: of all columns, each another one.
        text: names of those that hold the text.
        header: first row of a table with a header.
    """

    names: list[str]
    text: list[str]
    header: list[str] | None


class _Table:
    """The rows of a table as records."""

    def __init__(self, options: InputOptions, trained: str, name: str) -> None:
        if options.text:
            raise UserError(f"--data.text has other columns than {name}: predict on them one after the other")
        self._given, self._trained, self._name, self._say = options.text_column, trained, name, options.say

    def records(self, rows: Iterator[tuple[Row, str]], size: int) -> Iterator[Record]:
        """Yield a record for each row but the header.

        Args:
            rows: each with its error.
            size: number of readable rows that decide on the columns.
        """
        first: list[tuple[Row, str]] = []
        sample: list[Row] = []
        while len(sample) < size and (pair := next(rows, None)):
            first.append(pair)
            if not pair[1]:
                sample.append(pair[0])
        if not first:
            raise UserError(f"{self._name} is empty")
        columns = self._choose(sample) if sample else _Columns([], [], None)
        count = 0
        for row, error in chain(first, rows):
            if columns.header is not None and row is sample[0]:
                continue
            count += 1
            yield self._record(row, error, columns)
        if not count:
            raise UserError(f"{self._name} has a header, but no rows")

    def _record(self, row: Row, error: str, columns: _Columns) -> Record:
        place, cells = row
        if isinstance(cells, list):
            if not error and len(cells) != len(columns.names):
                error = f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, expected {len(columns.names)}"
            if not error and cells == columns.header:
                error = f"{place}: the header again"
            cells = dict(zip(columns.names, cells, strict=False))
        text = ""
        try:
            if not error:
                text = "\n".join(plain_text(cells, name, place) for name in columns.text)
        except UserError as found:
            error = str(found)
        if not error and not text.strip():
            error = f"{place}: no text in {' or '.join(columns.text)}"
        return Record("" if error else text, cells, error, columns.names)

    def _choose(self, sample: list[Row]) -> _Columns:
        """Choose the columns of the text: as told, else as in training, else by their names if that is certain."""
        place, first = sample[0]
        header: list[str] | None = None
        if isinstance(first, dict):
            names, is_named = list(dict.fromkeys(name for row in sample for name in row.cells)), True
        else:
            names = [cell.strip() for cell in first]
            wanted = [self._given or self._trained, *(self._given or self._trained).split(",")]
            is_named = has_header(sample, names) or any(name in names for name in wanted)
            header = first if is_named else None
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
        return _Columns(unique, text, header)


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
