"""Rows of tables whose cells are separated by tabs, commas or semicolons, in the dialects that programs write.

CSV: RFC 4180; Excel's `sep=` line and its semicolons; backslashes before quotation marks (Spark, Hive). TSV: cells as
they are; cells in quotation marks (pandas, Excel); fastText's labels. The dialect is told by the first rows, that of
quotation marks in TSV by the first rows that have any.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from lightning_nn.data.tables.columns import KNOWN_NAMES, MOST_TITLES
from lightning_nn.data.tables.rows import SAMPLE, BadRowError, Cells, Lines, Row
from lightning_nn.errors import UserError

_LONGEST_FIELD = 1 << 27  # characters; an unclosed quotation mark turns the rest of the file into one field
_SAMPLE_SIZE = 1 << 20  # characters of them, at most
_CONSISTENT = 0.9  # share of rows with the same number of columns
_SEP = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
_LABEL = re.compile(r"(?:^|(?<=\s))__label__(\S+)")
_QUOTE = re.compile(r'(\\+)"')


class _Dialect(NamedTuple):
    """A way to separate and quote cells; `escapes`: a backslash before a quotation mark means it is text."""

    separator: str
    escapes: bool = False


def csv_rows(lines: Lines, name: str, size: int = SAMPLE) -> Iterator[Cells]:
    """Yield rows of cells separated by commas, or by semicolons, tabs or bars if the first rows are.

    Cells are quoted if they contain separators, quotation marks or line breaks. Spaces after a separator are dropped.

    Raises:
        UserError: a quotation mark is never closed, or is followed by something other than a separator.
    """
    first, lines = _sample(iter(lines), size)
    if first and (sep := _SEP.match(first[0][1])):
        lines = chain(islice(first, 1, None), lines)
        return _quoted_rows(lines, name, _Dialect(sep[1]), first[0][0] + 1)
    dialects = [_Dialect(separator, escapes) for separator in ",;\t|" for escapes in (False, True)]
    return _quoted_rows(chain(first, lines), name, max(dialects, key=lambda dialect: _fit(first, dialect, size)))


def txt_rows(lines: Lines, name: str, size: int = SAMPLE) -> Iterator[Cells | Row]:
    """Yield rows of cells between tabs, or where no line has one, between semicolons, bars, or commas below a header.

    Without a header commas don't separate, since sentences have some.

    Raises:
        UserError: see `csv_rows`.
    """
    first, lines = _sample(iter(lines), size)
    lines = chain(first, lines)
    if first and not any("\t" in line or _LABEL.match(line) for _, line in first):
        header = {cell.strip(' "\r\n').lower() for cell in first[0][1].split(",")}
        for separator in ";|," if header & KNOWN_NAMES else ";|":
            if _fit(first, _Dialect(separator), size)[:2] == (True, True):
                return _quoted_rows(lines, name, _Dialect(separator))
    return tsv_rows(lines, name, size)


def tsv_rows(lines: Lines, name: str, size: int = SAMPLE) -> Iterator[Cells | Row]:
    """Yield rows of tab-separated cells, or of fastText's labels and texts; blank lines are skipped.

    Quotation marks have no meaning, unless the first rows that begin a cell with one are quoted as in CSV.

    Raises:
        UserError: see `csv_rows`, for quoted cells.
    """
    first, lines = _sample(iter(lines), size)
    filled = [line for _, line in first if line.strip()]
    lines = chain(first, lines)
    if filled and all(_LABEL.match(line) or _LABEL.search(line.rpartition("\t")[2]) for line in filled):
        return _fasttext_rows(lines, name)
    return _tab_rows(lines, name, size)


def last_word_rows(lines: Lines, name: str) -> Iterator[Cells]:
    """Yield the last word of each line and what is before it, as in `images/1.jpg 3`, in the form of Caffe."""
    for number, line in lines:
        if line.strip():
            yield Cells(f"{name}:{number}", line.strip().rsplit(None, 1))


def _tab_rows(lines: Iterator[tuple[int, str]], name: str, size: int) -> Iterator[Cells]:
    width = 0
    for number, line in lines:
        if '"' in line and (line[0] == '"' or '\t"' in line):
            first, rest = _sample(lines, size - 1)
            first.insert(0, (number, line))
            rest = chain(first, rest)
            quoted = _is_quoted(first, width, size)
            yield from _quoted_rows(rest, name, _Dialect("\t"), number) if quoted else _tab_cells(rest, name)
            return
        if line := line.rstrip("\r\n"):
            cells = line.split("\t")
            width = width or len(cells)
            yield Cells(f"{name}:{number}", cells)


def _tab_cells(lines: Lines, name: str) -> Iterator[Cells]:
    for number, line in lines:
        if line := line.rstrip("\r\n"):
            yield Cells(f"{name}:{number}", line.split("\t"))


def _fasttext_rows(lines: Lines, name: str) -> Iterator[Row]:
    for number, line in lines:
        if line.strip():
            yield Row(f"{name}:{number}", {"text": _LABEL.sub("", line).strip(), "label": _LABEL.findall(line)})


def _quoted_rows(lines: Lines, name: str, dialect: _Dialect, line_number: int = 1) -> Iterator[Cells]:
    reader = _reader((line for _, line in lines), dialect)
    before = line_number - 1
    while True:
        start = reader.line_num + 1 + before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error) or "field limit" in str(error):
                raise UserError(
                    f"{name}:{start}: a quotation mark in the record that begins here is never closed"
                ) from None
            place = f"{name}:{start}"
            yield Cells(place, [], BadRowError(f"{place}: the record that begins here is not CSV: {error}"))
            continue
        if cells:
            yield Cells(f"{name}:{start}", cells)


def _reader(lines: Iterator[str], dialect: _Dialect) -> Any:
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    if dialect.escapes:
        lines = (_QUOTE.sub(_double, line) for line in lines)
    lines = (line.replace("\0", "") if "\0" in line else line for line in lines)
    return csv.reader(lines, delimiter=dialect.separator, strict=True, skipinitialspace=dialect.separator != "\t")


def _double(match: re.Match[str]) -> str:
    """Write an escaped quotation mark as RFC 4180 does; backslashes elsewhere are text."""
    count = len(match[1])
    return "\\" * (count // 2) + '"' * (1 + count % 2)


def _sample(lines: Iterator[tuple[int, str]], most: int) -> tuple[list[tuple[int, str]], Iterator[tuple[int, str]]]:
    """Take the first lines; return them and the rest."""
    first, size = [], 0
    for number, line in islice(lines, most):
        first.append((number, line))
        size += len(line)
        if size > _SAMPLE_SIZE:
            break
    return first, lines


def _fit(first: list[tuple[int, str]], dialect: _Dialect, size: int) -> tuple[bool, bool, bool, bool]:
    """Judge how well a dialect fits the first lines; of equal ones, the first is taken."""
    rows, valid = _parse(first, dialect, size)
    widths = Counter(map(len, rows))
    width, count = widths.most_common(1)[0] if rows else (0, 0)
    names = any(cell.strip().lower() in KNOWN_NAMES for row in rows[:MOST_TITLES] for cell in row)
    consistent = width > 1 and count >= _CONSISTENT * len(rows)
    return valid and width > 1, consistent, width > 1 and names, width > 1 and len(rows[0]) == width


def _parse(first: list[tuple[int, str]], dialect: _Dialect, size: int) -> tuple[list[list[str]], bool]:
    """Return the rows of the first lines, up to an error, and whether there is none."""
    rows: list[list[str]] = []
    try:
        for cells in _reader((line for _, line in first), dialect):
            if cells:
                rows.append(cells)
    except csv.Error as error:
        more = len(first) >= size or sum(len(line) for _, line in first) > _SAMPLE_SIZE
        return rows, bool(rows) and more and "end of data" in str(error)
    return rows, bool(rows)


def _is_quoted(first: list[tuple[int, str]], width: int, size: int) -> bool:
    """Return whether a program quoted tab-separated cells: they parse, and some would make no sense otherwise."""
    rows, valid = _parse(first, _Dialect("\t"), size)
    if not valid:
        return False
    widths = {*map(len, rows[1:])}  # R leaves the names of rows without a name in the header
    if {width or len(rows[0])} | widths != {len(rows[0])} and (width or widths != {len(rows[0]) + 1}):
        return False
    raw = [line.rstrip("\r\n").split("\t") for _, line in first if line.strip("\r\n")]
    if len({len(rows[0]), *map(len, raw)}) > 1:
        return True
    cells = [cell for row in rows for cell in row]
    if any("\t" in cell or "\n" in cell for cell in cells):
        return False
    always = (all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in column) for column in zip(*raw, strict=True))
    return any('"' in cell for cell in cells) or (len(raw) > 1 and any(always))
