"""Rows of JSON files: an object a line, a list of objects, and the forms that pandas writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from lightning_nn.data.tables.columns import KNOWN_NAMES
from lightning_nn.data.tables.rows import BadRowError, Lines, Row
from lightning_nn.errors import UserError


def json_line_rows(lines: Lines, name: str, size: int = 0) -> Iterator[Row]:
    """Yield the JSON object on each line; blank lines are skipped, what is not an object is a row with an error.

    The size of a sample, as other forms take it, has no meaning.
    """
    for number, line in lines:
        if line.strip():
            place = f"{name}:{number}"
            try:
                yield _object(parse(line, place), place, "on each line")
            except BadRowError as error:
                yield Row(place, {}, error)


def json_rows(lines: Lines, name: str, size: int = 0) -> Iterator[Row]:
    """Yield the objects on each line, or those of a JSON file held in memory: a list, or as pandas writes a table.

    Raises:
        UserError: neither of these.
    """
    rest = ((number, line) for number, line in lines if line.strip())
    first = list(islice(rest, 2))
    filled = chain(first, rest)
    if not first or (len(first) == 2 and _is_object(first[0][1])):
        yield from json_line_rows(filled, name)
        return
    try:
        whole = parse("".join(line for _, line in filled), name)
    except BadRowError as error:  # no row of it can be read
        raise UserError(str(error)) from None
    for number, cells in enumerate(_records(whole, name), 1):
        place = f"{name}, element {number}"
        try:
            yield _object(cells, place, "as each element")
        except BadRowError as error:
            yield Row(place, {}, error)


def _records(whole: Any, name: str) -> Any:
    """Return the rows of a table written as a whole, with any `orient` of pandas, as a list of objects."""
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, dict):
        raise UserError(f"{name}: expected an object on each line, or a list of objects, got {_shown(whole)}")
    if isinstance(whole.get("data"), list):
        names = whole.get("columns")
        return [dict(zip(map(str, names), cells, strict=False)) for cells in whole["data"]] if names else whole["data"]
    if whole and all(isinstance(column, list) for column in whole.values()):
        whole = {name: {str(i): value for i, value in enumerate(values)} for name, values in whole.items()}
    if not all(isinstance(column, dict) for column in whole.values()):
        return [whole]
    first, *others = whole.values()
    if any(column.keys() != first.keys() for column in others):
        raise UserError(f"{name}: {_shown(whole)}... is no table; expected a list of objects")
    known = [any(key.lower() in KNOWN_NAMES for key in map(str, keys)) for keys in (whole, first)]
    if known[1] > known[0] or (known[0] == known[1] and len(whole) > len(first)):  # a row for each key
        return list(whole.values())
    return [{column: values[key] for column, values in whole.items()} for key in first]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return not line.lstrip().startswith(("[", "{\n", "{\r"))


def parse(text: str, place: str) -> Any:
    """Return what a text of JSON means.

    Raises:
        BadRowError: it is no JSON; says where it is cut off, if it is.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise BadRowError(f"{place}: JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        text = text.rstrip()
        if _is_cut_off(text, error):
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n") - 1
            where = f"line {line}, column {column}" if line > 1 else f"column {column}"
            raise BadRowError(
                f"{place}: the JSON ends at {where} before it is complete: is the file cut off? (.jsonl has one object "
                "on each line)"
            ) from None
        raise BadRowError(f"{place}: not JSON ({error}); expected an object on each line, or in .json a list") from None


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether parsing failed because the text ends."""
    if error.pos >= len(text):
        return len(text) > 0
    ended = error.msg.startswith("Unterminated") or len(text) - error.pos < len("false")
    return ended and error.msg != "Extra data" and text[-1] not in "]}"


def _object(cells: Any, place: str, where: str) -> Row:
    if not isinstance(cells, dict):
        raise BadRowError(f"{place}: expected an object {where}, got {_shown(cells)}")
    return Row(place, cells)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:20]
