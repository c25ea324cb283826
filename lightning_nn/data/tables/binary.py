"""Rows of Parquet files and Excel workbooks, in constant memory; their libraries come with the extra "tables"."""

from __future__ import annotations

import datetime
import json
import warnings
import zipfile
from collections.abc import Iterator
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lightning_nn.data.tables.reading import check_unpacked
from lightning_nn.data.tables.rows import SHEETS, Cells, ReadingReport, Row
from lightning_nn.errors import UserError

_BATCH = 256  # rows of a Parquet file that are held in memory
_SAMPLE = 100  # rows of a sheet that tell its width


def parquet_rows(file: Path, report: ReadingReport | None = None) -> Iterator[Row]:
    """Yield the rows of a Parquet file as dictionaries; numbers of Hugging Face's ClassLabel become names.

    The report gets nothing.

    Raises:
        UserError: damaged, too large once unpacked, or pyarrow is missing.
    """
    parquet = _library("pyarrow.parquet", file)
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            groups = (table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups))
            check_unpacked(file, sum(groups))
            names = _class_names(table.schema_arrow.metadata or {})
            for batch in table.iter_batches(_BATCH, use_threads=False):
                for cells in batch.to_pylist():
                    number += 1
                    for column, known in names.items():
                        cells[column] = _class_name(cells.get(column), known)
                    yield Row(f"{file.name}, row {number}", cells)
    except (OSError, _library("pyarrow", file).ArrowException) as error:
        raise UserError(f"{file} is damaged or not a Parquet file: {str(error).splitlines()[0]}") from None


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of the classes of each ClassLabel column, from what Hugging Face's datasets writes."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _class_name(number: Any, names: list[str]) -> Any:
    """Return the name of a class; None for -1, which is no label."""
    if isinstance(number, int) and -1 <= number < len(names):
        return names[number] if number >= 0 else None
    return number


def xlsx_rows(file: Path, report: ReadingReport | None = None) -> Iterator[Cells]:
    """Yield the rows of a workbook's first sheet that holds any; empty rows are skipped.

    The report gets its name if there are several.

    Raises:
        UserError: damaged, protected, too large once unpacked, or openpyxl is missing.
    """
    openpyxl = _library("openpyxl", file)
    try:
        with zipfile.ZipFile(file) as archive:
            check_unpacked(file, sum(part.file_size for part in archive.infolist()))
        with file.open("rb") as stream:  # by its name, openpyxl would refuse one that is not called .xlsx
            with warnings.catch_warnings():  # on styles and extensions, which hold no text
                warnings.simplefilter("ignore")
                book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            for sheet in book.worksheets:
                rows = _sheet_rows(sheet, file.name)
                if first := list(islice(rows, _SAMPLE)):
                    if report is not None and len(book.worksheets) > 1:
                        report.add(SHEETS, f"{sheet.title} of {file.name}")
                    width = max(len(row.cells) for row in first)
                    for place, cells, _ in chain(first, rows):
                        yield Cells(place, [*cells, *[""] * (width - len(cells))])
                    return
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{file} is damaged or not an Excel workbook: {error}") from None


def _sheet_rows(sheet: Any, name: str) -> Iterator[Cells]:
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [_cell(value) for value in values]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield Cells(f"{name}:{number}", cells)


def _cell(value: Any) -> str:
    """Return a cell as text, as it would be written in CSV."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else str(value)


def _library(name: str, file: Path) -> Any:
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise UserError(
            f'{file.name}: {package} is not installed, which reads such files: pip install -e ".[tables]", '
            f"or pip install {package}; or save the table as CSV (UTF-8)"
        ) from None
