"""Rows of TSV, CSV and JSON lines, with the place of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from lightning_nn.errors import UserError

Lines = Iterable[tuple[int, str]]

_LONGEST_FIELD = 1 << 27  # characters; an unclosed quotation mark turns the rest of the file into one field


class Row(NamedTuple):
    """A row and the place where it begins, such as "a.csv:2"."""

    place: str
    cells: dict[str, Any] | list[str]


def tsv_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Yield rows of tab-separated cells; quotation marks have no meaning and blank lines are skipped."""
    for number, line in lines:
        if line := line.rstrip("\r\n"):
            yield Row(f"{name}:{number}", line.split("\t"))


def csv_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Yield rows of comma-separated cells, quoted if they contain commas, quotation marks or line breaks (RFC 4180).

    Spaces after a comma are dropped.

    Raises:
        UserError: a quotation mark is never closed, or is followed by something other than a comma.
    """
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    reader = csv.reader((line.replace("\0", "") for _, line in lines), strict=True, skipinitialspace=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error) or "field limit" in str(error):
                raise UserError(
                    f"{name}:{start}: a quotation mark in the record that begins here is never closed"
                ) from None
            raise UserError(f"{name}:{start}: the record that begins here is not CSV: {error}") from None
        if cells:
            yield Row(f"{name}:{start}", cells)


def json_line_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Yield the JSON object on each line; blank lines are skipped.

    Raises:
        UserError: a line is not a JSON object.
    """
    for number, line in lines:
        if line.strip():
            yield _object(_json(line, f"{name}:{number}"), f"{name}:{number}", "on each line")


def json_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Yield the objects of a JSON list, which is held in memory, or of each line.

    Raises:
        UserError: neither a list of objects nor an object on each line.
    """
    rest = ((number, line) for number, line in lines if line.strip())
    first = list(islice(rest, 1))
    filled = chain(first, rest)
    if not first or not first[0][1].lstrip().startswith("["):
        yield from json_line_rows(filled, name)
        return
    for i, cells in enumerate(_json("".join(line for _, line in filled), name), 1):
        yield _object(cells, f"{name}, element {i}", "as each element")


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise UserError(f"{place}: JSON nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error}); expected an object on each line, or in .json a list") from None


def _object(cells: Any, place: str, where: str) -> Row:
    if not isinstance(cells, dict):
        raise UserError(f"{place}: expected an object {where}, got {json.dumps(cells, ensure_ascii=False)[:20]}")
    return Row(place, cells)
