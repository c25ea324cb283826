"""Opening of tables of every form: text, gzip, Parquet and Excel files, by their suffix or a stated form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lightning_nn.data.text.binary_tables import parquet_rows, xlsx_rows
from lightning_nn.data.text.lines import read_lines
from lightning_nn.data.text.signatures import peek, refuse_binary
from lightning_nn.data.text.tables import Lines, Row, csv_rows, json_line_rows, json_rows, tsv_rows
from lightning_nn.data.text.unpacking import opened
from lightning_nn.errors import UserError

TEXT: dict[str, Callable[[Lines, str], Iterator[Row]]] = {
    "tsv": tsv_rows,
    "txt": tsv_rows,
    "csv": csv_rows,
    "jsonl": json_line_rows,
    "json": json_rows,
}
BINARY = {"parquet": parquet_rows, "xlsx": xlsx_rows}
FORMS = (*TEXT, *BINARY)
SUFFIXES = tuple(f".{form}{gz}" for gz in ("", ".gz") for form in (FORMS if not gz else TEXT))


def form_of(file: Path) -> str | None:
    """Return the form of a table by its suffix, "csv" for "a.csv" and "a.csv.gz"; None if it has no known suffix."""
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix.removeprefix(".")
    return suffix if suffix in (TEXT if file.suffix.lower() == ".gz" else FORMS) else None


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
    if form in BINARY:
        _check_kind(form, file)
        yield from BINARY[form](file)
        return
    with opened(file) as stream:
        yield from TEXT[form](read_lines(stream, file.name, encoding), file.name)


def _check_kind(form: str, file: Path) -> None:
    """Refuse a file that is not what its suffix says."""
    with file.open("rb") as stream:
        head = peek(stream)
    starts = {"parquet": b"PAR1", "xlsx": b"PK"}[form]
    if head.startswith(starts):
        return
    refuse_binary(head, file.name)
    raise UserError(f"{file} is not {'a Parquet file' if form == 'parquet' else 'an Excel workbook'}: is it damaged?")
