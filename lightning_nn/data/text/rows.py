"""Opening of tables of every form: text, gzip, Parquet and Excel files, by their suffix or a stated form."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lightning_nn.data.text.binary_tables import parquet_rows, xlsx_rows
from lightning_nn.data.text.lines import read_lines
from lightning_nn.data.text.signatures import HEAD, refuse_binary
from lightning_nn.data.text.tables import Lines, Row, csv_rows, json_line_rows, json_rows, tsv_rows
from lightning_nn.data.text.unpacking import Unpacked
from lightning_nn.errors import UserError

_TEXT: dict[str, Callable[[Lines, str], Iterator[Row]]] = {
    "tsv": tsv_rows,
    "txt": tsv_rows,
    "csv": csv_rows,
    "jsonl": json_line_rows,
    "json": json_rows,
}
_BINARY = {"parquet": parquet_rows, "xlsx": xlsx_rows}
FORMS = (*_TEXT, *_BINARY)
SUFFIXES = tuple(f".{form}{gz}" for gz in ("", ".gz") for form in (FORMS if not gz else _TEXT))


def form_of(file: Path) -> str | None:
    """Return the form of a table by its suffix, "csv" for "a.csv" and "a.csv.gz"; None if it has no known suffix."""
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix.removeprefix(".")
    return suffix if suffix in (_TEXT if file.suffix.lower() == ".gz" else FORMS) else None


def read_rows(file: Path, encoding: str = "utf-8", form: str | None = None) -> Iterator[Row]:
    """Yield the rows of a table in constant memory (a .json file that is not lines is held in memory).

    Rows of a table with columns are lists, its header first; rows of JSON and Parquet files are dictionaries.

    Args:
        file: the table; text may be packed with gzip.
        encoding: of text.
        form: "csv", "tsv", "txt" (tabs), "jsonl", "json", "parquet" or "xlsx"; None to go by the suffix.

    Raises:
        UserError: an unknown form, a binary file of another form, or contents that are not in this form; names file,
            line and remedy.
    """
    form = form or form_of(file)
    if form not in FORMS:
        raise UserError(f"{file}: unknown kind of file; known are {', '.join(SUFFIXES)}")
    with file.open("rb") as packed:
        head = packed.peek(HEAD)[:HEAD]
        if form in _BINARY:
            _check_kind(head, form, file)
            yield from _BINARY[form](file)
        elif head.startswith(b"\x1f\x8b") and file.suffix.lower() == ".gz":
            with io.BufferedReader(Unpacked(packed, file), 1 << 16) as stream:
                yield from stream_rows(stream, file.name, encoding, form)
        else:
            yield from stream_rows(packed, file.name, encoding, form)


def stream_rows(stream: BinaryIO, name: str, encoding: str, form: str) -> Iterator[Row]:
    """Yield the rows of a table of text from a stream, such as standard input; see `read_rows`.

    Args:
        stream: not read yet.
        name: of the file, for errors.
        encoding: of the text.
        form: "csv", "tsv", "txt", "jsonl" or "json".
    """
    return _TEXT[form](read_lines(stream, name, encoding), name)


def _check_kind(head: bytes, form: str, file: Path) -> None:
    """Refuse a file that is not what its suffix says."""
    starts = {"parquet": b"PAR1", "xlsx": b"PK"}[form]
    if head.startswith(starts):
        return
    refuse_binary(head, file.name)
    raise UserError(f"{file} is not {'a Parquet file' if form == 'parquet' else 'an Excel workbook'}: is it damaged?")
