"""Opening of tables of every form: text, gzip, Parquet and Excel files, by their suffix or a stated form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from lightning_nn.data.tables.binary import parquet_rows, xlsx_rows
from lightning_nn.data.tables.columns import SAMPLE, without_titles
from lightning_nn.data.tables.delimited import csv_rows, tsv_rows, txt_rows
from lightning_nn.data.tables.json import json_line_rows, json_rows
from lightning_nn.data.tables.reading import UNDECODED, encoding_remedy, opened, peek, read_lines, refuse_binary
from lightning_nn.data.tables.rows import BAD_BYTES, BadRowError, Lines, ReadingReport, Row
from lightning_nn.errors import UserError

TEXT: dict[str, Callable[[Lines, str, int], Iterator[Row]]] = {
    "tsv": tsv_rows,
    "txt": txt_rows,
    "csv": csv_rows,
    "jsonl": json_line_rows,
    "json": json_rows,
}
BINARY = {"parquet": parquet_rows, "xlsx": xlsx_rows}
FORMS = (*TEXT, *BINARY)
SUFFIXES = tuple(f".{form}{gz}" for gz in ("", ".gz") for form in (FORMS if not gz else TEXT))


def suffix_of(file: Path) -> str:
    """Return the suffix of a file in lower case, ".csv.gz" for "a.CSV.gz"."""
    name = file.name.lower()
    return Path(name.removesuffix(".gz")).suffix + ".gz" if name.endswith(".gz") else file.suffix.lower()


def form_of(file: Path) -> str | None:
    """Return the form of a table by its suffix, "csv" for "a.csv" and "a.csv.gz"; None if it has no known suffix."""
    suffix = suffix_of(file)
    return suffix.removesuffix(".gz").removeprefix(".") if suffix in SUFFIXES else None


def read_rows(
    file: Path,
    encoding: str = "utf-8",
    form: str | None = None,
    *,
    wanted: Collection[str] = (),
    lenient: bool = False,
    report: ReadingReport | None = None,
) -> Iterator[Row]:
    """Yield the rows of a table in constant memory (a .json file that is not lines is held in memory).

    Rows of a table with columns are lists, its header first: titles and comments above it and repetitions of it are
    left out. Rows of JSON, Parquet and fastText files are dictionaries.

    Args:
        file: the table; text may be packed with gzip.
        encoding: of text.
        form: "csv", "tsv", "txt" (tabs, or as in CSV), "jsonl", "json", "parquet" or "xlsx"; None to go by the suffix.
        wanted: names of columns that the user gave, by which a header is known.
        lenient: yield a row that can't be read, with its error, and go on.
        report: receives what was left out.

    Raises:
        UserError: an unknown form, a binary file of another form, or contents that are not in this form; names file,
            line and remedy.
    """
    form = form or form_of(file)
    if form not in FORMS:
        raise UserError(f"{file}: unknown kind of file; known are {', '.join(SUFFIXES)}")
    if form in BINARY:
        _check_kind(form, file)
        yield from without_titles(BINARY[form](file, report), wanted, report)
        return
    with opened(file) as stream:
        lines = read_lines(stream, file.name, encoding, lenient=lenient)
        yield from line_rows(lines, file.name, encoding, form, wanted=wanted, lenient=lenient, report=report)


def line_rows(
    lines: Lines,
    name: str,
    encoding: str,
    form: str,
    *,
    wanted: Collection[str] = (),
    lenient: bool = False,
    report: ReadingReport | None = None,
    sample: int = SAMPLE,
) -> Iterator[Row]:
    """Yield the rows of a table of text from its lines, such as those of standard input; see `read_rows`.

    Args:
        lines: as `read_lines` yields them.
        name: of the file, for errors.
        encoding: of the text.
        form: "csv", "tsv", "txt", "jsonl" or "json".
        wanted: see `read_rows`.
        lenient: see `read_rows`.
        report: see `read_rows`.
        sample: number of lines that tell the dialect and the header: 1 to answer each line of a stream at once.
    """
    rows = TEXT[form](lines, name, sample)
    checked = _with_bad_bytes(rows, encoding) if lenient else _without_errors(rows)
    return without_titles(checked, wanted, report, sample)


def _without_errors(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if row.error:
            raise row.error
        yield row


def _with_bad_bytes(rows: Iterator[Row], encoding: str) -> Iterator[Row]:
    """Put an error in place of a row with bytes that could not be decoded."""
    for row in rows:
        if bad := [cell for cell in _cells(row) if isinstance(cell, str) and UNDECODED.search(cell)]:
            remedy = encoding_remedy("\n".join(bad).encode(encoding, "surrogateescape"), encoding)
            error = BadRowError(f"{row.place}: bytes that are not {encoding}; {remedy}", BAD_BYTES)
            yield Row(row.place, _without_undecoded(row.cells), error)
        else:
            yield row


def _without_undecoded(cells: dict[str, Any] | list[str]) -> dict[str, Any] | list[str]:
    """Put U+FFFD in place of bytes that could not be decoded."""
    if isinstance(cells, list):
        return [UNDECODED.sub("\ufffd", cell) for cell in cells]
    return {name: UNDECODED.sub("\ufffd", cell) if isinstance(cell, str) else cell for name, cell in cells.items()}


def _cells(row: Row) -> Iterable[Any]:
    return row.cells.values() if isinstance(row.cells, dict) else row.cells


def _check_kind(form: str, file: Path) -> None:
    """Refuse a file that is not what its suffix says."""
    with file.open("rb") as stream:
        head = peek(stream)
    starts = {"parquet": b"PAR1", "xlsx": b"PK"}[form]
    if head.startswith(starts):
        return
    refuse_binary(head, file.name)
    raise UserError(f"{file} is not {'a Parquet file' if form == 'parquet' else 'an Excel workbook'}: is it damaged?")
