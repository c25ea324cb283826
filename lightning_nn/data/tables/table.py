"""Opening of tables of every form: text, gzip, Parquet and Excel files, by their suffix or a stated form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import cast

from lightning_nn.data.tables.binary import parquet_rows, xlsx_rows
from lightning_nn.data.tables.columns import find_header, unique_names
from lightning_nn.data.tables.delimited import csv_rows, last_word_rows, tsv_rows, txt_rows
from lightning_nn.data.tables.json import json_line_rows, json_rows
from lightning_nn.data.tables.reading import UNDECODED, encoding_remedy, opened, peek, read_lines, refuse_binary
from lightning_nn.data.tables.rows import (
    BAD_BYTES,
    HEADERS,
    SAMPLE,
    TITLES,
    BadRowError,
    Cells,
    Lines,
    ReadingReport,
    Row,
    Table,
)
from lightning_nn.errors import UserError

_TEXT: Mapping[str, Callable[[Lines, str, int], Iterator[Cells | Row]]] = {
    "tsv": tsv_rows,
    "txt": txt_rows,
    "csv": csv_rows,
    "jsonl": json_line_rows,
    "json": json_rows,
}
BINARY: Mapping[str, Callable[[Path, ReadingReport | None], Iterator[Cells | Row]]] = {
    "parquet": parquet_rows,
    "xlsx": xlsx_rows,
}
SUFFIXES = tuple(f".{form}{gz}" for gz in ("", ".gz") for form in ((*_TEXT, *BINARY) if not gz else _TEXT))


def suffix_of(file: Path) -> str:
    """Return the suffix of a file in lower case, ".csv.gz" for "a.CSV.gz"."""
    name = file.name.lower()
    return Path(name.removesuffix(".gz")).suffix + ".gz" if name.endswith(".gz") else file.suffix.lower()


def form_of(file: Path) -> str | None:
    """Return the form of a table by its suffix, "csv" for "a.csv" and "a.csv.gz"; None if it has no known suffix."""
    suffix = suffix_of(file)
    return suffix.removesuffix(".gz").removeprefix(".") if suffix in SUFFIXES else None


def open_table(
    file: Path,
    encoding: str = "utf-8",
    form: str | None = None,
    *,
    wanted: Collection[str] = (),
    lenient: bool = False,
    report: ReadingReport | None = None,
    is_record: Callable[[list[str]], bool] | None = None,
    size: int = SAMPLE,
) -> Table:
    """Open a table, whose rows are then read in constant memory (a .json file that is not lines is held in memory).

    Args:
        file: the table; text may be packed with gzip.
        encoding: of text.
        form: "csv", "tsv", "txt" (tabs, or as in CSV), "space" (the last word of a line is a column), "jsonl", "json",
            "parquet" or "xlsx"; None to go by the suffix.
        wanted: names of columns that the user gave, by which a header is known.
        lenient: give a row with bytes that can't be decoded as one with an error.
        report: receives what is left out: titles and comments above the header, and repetitions of it.
        is_record: tells whether the first row is one, where no name of a column is known; None if it is one then.
        size: number of rows to sample.

    Raises:
        UserError: an unknown form, a binary file of another form, contents that are not in this form, no rows, or none
            that can be read; names file, line and remedy.
    """
    form = form or form_of(file)
    if form not in (*_TEXT, *BINARY, "space"):
        raise UserError(f"{file}: unknown kind of file; known are {', '.join(SUFFIXES)}")
    if form in BINARY:
        _check_kind(form, file)
        rows = BINARY[form](file, report)
    else:
        rows = _file_rows(file, encoding, form, lenient, size)
    return _named(rows, str(file), wanted, report, is_record, size)


def table_of_lines(
    lines: Lines,
    name: str,
    encoding: str,
    form: str,
    *,
    wanted: Collection[str] = (),
    report: ReadingReport | None = None,
    size: int = SAMPLE,
) -> Table:
    """Open a table of text from its lines, such as those of standard input; see `open_table`.

    Args:
        lines: as `read_lines` yields them.
        name: of the file, for errors.
        encoding: of the text.
        form: "csv", "tsv", "txt", "jsonl" or "json".
        wanted: see `open_table`.
        report: see `open_table`.
        size: number of lines that tell the dialect and the header: 1 to answer each line of a stream at once.
    """
    return _named(_decoded(_TEXT[form](lines, name, size), encoding), name, wanted, report, None, size)


def _file_rows(file: Path, encoding: str, form: str, lenient: bool, size: int) -> Iterator[Cells | Row]:
    with opened(file) as stream:
        lines = read_lines(stream, file.name, encoding, lenient=lenient)
        rows = last_word_rows(lines, file.name) if form == "space" else _TEXT[form](lines, file.name, size)
        yield from _decoded(rows, encoding) if lenient else rows


def _decoded(rows: Iterator[Cells | Row], encoding: str) -> Iterator[Cells | Row]:
    """Put an error into a row with bytes that could not be decoded, and U+FFFD in their place."""
    for row in rows:
        values = row.cells.values() if isinstance(row, Row) else row.cells
        if bad := [cell for cell in values if isinstance(cell, str) and UNDECODED.search(cell)]:
            remedy = encoding_remedy("\n".join(bad).encode(encoding, "surrogateescape"), encoding)
            error = BadRowError(f"{row.place}: bytes that are not {encoding}; {remedy}", BAD_BYTES)
            cells = [UNDECODED.sub("\ufffd", cell) if isinstance(cell, str) else cell for cell in values]
            if isinstance(row, Row):
                yield Row(row.place, dict(zip(row.cells, cells, strict=True)), error)
            else:
                yield Cells(row.place, cells, error)
        else:
            yield row


def _named(
    rows: Iterator[Cells | Row],
    name: str,
    wanted: Collection[str],
    report: ReadingReport | None,
    is_record: Callable[[list[str]], bool] | None,
    size: int,
) -> Table:
    """Name the columns of a table: by its keys, by its header, or by their numbers."""
    first: list[Cells | Row] = []
    readable: list[Cells | Row] = []
    while len(readable) < size and (row := next(rows, None)) is not None:
        first.append(row)
        if not row.error:
            readable.append(row)
    if not first:
        raise UserError(f"{name} is empty")
    if first[0].error and (not readable or (is_record and isinstance(first[0], Cells))):  # it may be the header
        raise UserError(str(first[0].error))
    objects = [row for row in readable if isinstance(row, Row)]
    if objects:
        keys = list(dict.fromkeys(chain.from_iterable(row.cells for row in objects)))
        return Table(objects[0].place, keys, keys, objects, cast(Iterator[Row], chain(first, rows)))
    sample = [row for row in readable if isinstance(row, Cells)]
    width = Counter(len(row.cells) for row in sample).most_common(1)[0][0]
    start = find_header([row.cells for row in sample], wanted)
    if start is None and is_record and len(sample[0].cells) == width and not is_record(sample[0].cells):
        start = 0
    above, body = sample[: start or 0], sample[0 if start is None else start + 1 :]
    header = [] if start is None else [cell.strip() for cell in sample[start].cells]
    if header and body and all(len(row.cells) == len(header) + 1 and row.cells[0].isdecimal() for row in body):
        header = ["", *header]  # R numbers rows, but does not name their column
    if report is not None:
        for title in above:
            report.add(TITLES, title.place)
    columns = unique_names(header) if header else [f"column_{number}" for number in range(1, width + 1)]
    left_out = {id(row) for row in sample[: len(sample) - len(body)]}
    rest = cast(Iterator[Cells], chain((row for row in first if id(row) not in left_out), rows))
    written = [] if start is None else sample[start].cells
    named = [row for row in _rows(iter(body), columns, header, written, None) if not row.error]
    place = named[0].place if start is None else sample[start].place
    return Table(place, columns, header, named, _rows(rest, columns, header, written, report))


def _rows(
    rows: Iterator[Cells], columns: list[str], header: list[str], first: list[str], report: ReadingReport | None
) -> Iterator[Row]:
    """Name the cells of rows, and leave out repetitions of the header; `first` is its row as it stands there.

    Raises:
        UserError: a header with other columns.
    """
    names, width = [name.lower() for name in header], len(columns)
    words = {name for name in names if name and not name.isdecimal()}
    telling = next((i for i, name in enumerate(names) if name in words), 0)  # whose cell tells a header from a record
    for place, cells, error in rows:
        repeats = cells == first
        if error is None and len(cells) == width and not repeats:
            if cells[telling].strip().lower() not in words:
                yield Row(place, dict(zip(columns, cells, strict=True)))
                continue
            lower = [cell.strip().lower() for cell in cells]
            repeats = lower == names
            if not repeats and len({*lower} - {""}) > 1 and words >= {*lower} - {""}:
                raise UserError(
                    f"{place}: another header, {', '.join(cells)}: tables with other columns were joined; join them "
                    "with the columns in one order"
                )
        if repeats:
            if report is not None:
                report.add(HEADERS, place)
            continue
        if error is None and len(cells) != width:
            error = BadRowError(
                f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, expected {width}: a cell is missing, or one "
                "contains the separator"
            )
        yield Row(place, dict(zip(columns, cells, strict=False)), error, tuple(cells[width:]))


def _check_kind(form: str, file: Path) -> None:
    """Refuse a file that is not what its suffix says."""
    with file.open("rb") as stream:
        head = peek(stream)
    starts = {"parquet": b"PAR1", "xlsx": b"PK"}[form]
    if head.startswith(starts):
        return
    refuse_binary(head, file.name)
    raise UserError(f"{file} is not {'a Parquet file' if form == 'parquet' else 'an Excel workbook'}: is it damaged?")
