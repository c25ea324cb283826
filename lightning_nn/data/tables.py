"""Rows of TSV, CSV and JSON lines, and which of their columns are text and label."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from lightning_nn.errors import UserError, nearest

Lines = Iterable[tuple[int, str]]

TEXT_NAMES = (
    *("text", "review", "content", "sentence", "document", "comment", "body", "message", "description"),
    *("headline", "title", "query", "question", "文本", "正文", "内容", "评论", "句子", "标题"),
)
LABEL_NAMES = (
    *("label", "category", "class", "target", "topic", "sentiment", "intent", "polarity", "rating"),
    *("标签", "类别", "分类", "类目", "情感"),
)
_LONGEST_FIELD = 1 << 27  # characters; a quotation mark that is never closed makes one field of the rest of the file


class Row(NamedTuple):
    """A row and the line it begins on."""

    line: int
    cells: dict[str, Any] | list[str]


class Columns(NamedTuple):
    """Where text and label stand.

    Attributes:
        text: name of the column, or its number from 0 where there is no header.
        label: likewise.
        width: columns of each row, where there is no header.
        notes: what a person should know of the choice.
    """

    text: str | int
    label: str | int
    width: int
    notes: list[str]


def tsv_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Rows of cells between tabs; quotation marks mean nothing. Blank lines are none."""
    for number, line in lines:
        if line := line.rstrip("\r\n"):
            yield Row(number, line.split("\t"))


def csv_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Rows of cells between commas, quoted where they hold commas, quotation marks or line breaks (RFC 4180).

    Raises:
        UserError: a quotation mark is never closed, or is followed by something else than a comma.
    """
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    reader = csv.reader((line.replace("\0", "") for _, line in lines), strict=True)
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
            yield Row(start, cells)


def json_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Objects, one a line. Blank lines are none.

    Raises:
        UserError: a line is no JSON object.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except RecursionError:
            raise UserError(f"{name}:{number}: JSON nested too deeply") from None
        except ValueError as error:
            raise UserError(f"{name}:{number}: not JSON ({error}); expected an object on each line") from None
        if not isinstance(cells, dict):
            raise UserError(f"{name}:{number}: expected an object on each line, got {line.strip()[:20]}")
        yield Row(number, cells)


def find_columns(sample: Sequence[Row], name: str, text: str | None, label: str | None) -> Columns:
    """Chooses the columns from the first rows of a file: by header, by keys, or by what is in them.

    Args:
        sample: at least one row.
        name: of the file, for errors.
        text: name of the text column, or its number from 1 where there is no header; None to guess.
        label: name of the label column, likewise.

    Raises:
        UserError: no such column, or no telling which it is.
    """
    first = sample[0].cells
    if isinstance(first, dict):
        return _by_name(list(first), f"{name}:{sample[0].line}", text, label)
    names = [cell.strip() for cell in first]
    if text in names or label in names or _has_header(sample, names):
        return _by_name(names, f"{name}:{sample[0].line}", text, label)
    return _by_number(sample, names, name, text, label)


def _has_header(sample: Sequence[Row], names: list[str]) -> bool:
    """Whether the first row has a name that columns often have and that does not come again in its column."""
    for i, name in enumerate(names):
        column = [str(list(row.cells)[i]).strip() for row in sample if len(row.cells) > i]
        if name.lower() in (*TEXT_NAMES, *LABEL_NAMES) and column.count(name) == 1:
            return True
    return False


def _by_name(names: list[str], place: str, text: str | None, label: str | None) -> Columns:
    for wanted, option in ((text, "text_column"), (label, "label_column")):
        if wanted is not None and wanted not in names:
            raise UserError(f"{place}: --data.{option} is {wanted!r}, which is no column{nearest(wanted, names)}")
    texts = [text] if text else _known(names, TEXT_NAMES, but=label)
    labels = [label] if label else _known(names, LABEL_NAMES, but=text)
    if len(names) == 2 and not (texts and labels):
        texts = texts or [name for name in names if name not in labels]
        labels = labels or [name for name in names if name not in texts]
    for found, option, what in ((texts, "text_column", "text"), (labels, "label_column", "label")):
        if not found:
            raise UserError(
                f"{place}: which column is the {what}? There are: {', '.join(names)}; say --data.{option} NAME"
            )
    if texts[0] == labels[0]:
        raise UserError(f"{place}: text and label can't be the same column, {texts[0]!r}")
    notes = []
    for found, option in ((texts, "text_column"), (labels, "label_column")):
        if len(found) > 1:
            others = " or ".join(f"--data.{option} {name}" for name in found[1:])
            notes.append(f"{option} is {found[0]}; for another: {others}")
    return Columns(texts[0], labels[0], len(names), notes)


def _known(names: list[str], known: Sequence[str], but: str | None) -> list[str]:
    found = [name for name in names if name.lower() in known and name != but]
    return sorted(found, key=lambda name: known.index(name.lower()))


def _by_number(sample: Sequence[Row], names: list[str], name: str, text: str | None, label: str | None) -> Columns:
    place, width = f"{name}:{sample[0].line}", len(names)
    chosen: list[int | None] = []
    for wanted, option in ((text, "text_column"), (label, "label_column")):
        if wanted is not None and not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= width):
            shown = ", ".join(cell[:20] for cell in names)
            raise UserError(f"{place}: --data.{option} is {wanted!r}, but the first line has the columns {shown}")
        chosen.append(int(wanted) - 1 if wanted else None)
    if None in chosen and width != 2:
        raise UserError(
            f"{place}: {width} column{'s' * (width != 1)}, of which no header tells text and label: "
            f"{', '.join(repr(cell[:12]) for cell in names[:6])}. Is the separator right (.csv: commas; .tsv "
            "and .txt: tabs)? If this is a header, give names: --data.text_column NAME --data.label_column NAME; "
            "else numbers, from 1"
        )
    if chosen == [None, None]:
        return _by_content([row for row in sample if len(row.cells) == 2], name)
    texts, labels = (n if n is not None else 1 - (m or 0) for n, m in (chosen, chosen[::-1]))
    if texts == labels:
        raise UserError(f"{place}: text and label can't be the same column, {texts + 1}")
    return Columns(texts, labels, width, [])


def _by_content(sample: Sequence[Row], name: str) -> Columns:
    """Text first, label second, unless the first column is the one that repeats a few short names."""
    first, second = ([str(list(row.cells)[i]) for row in sample] for i in (0, 1))
    swapped = len(set(first)) < len(set(second)) and sum(map(len, first)) < sum(map(len, second))
    text, label = (1, 0) if swapped else (0, 1)
    notes = ["the label stands in the first column, the text in the second"] if swapped else []
    counts = Counter(first if swapped else second)
    head = (first if swapped else second)[0]
    if len(sample) >= 20 and [value for value, count in counts.items() if count == 1] == [head]:
        notes.append(
            f"the label {head[:40]!r} occurs only at {name}:{sample[0].line}; if that is a header, name its columns by "
            "--data.text_column and --data.label_column"
        )
    return Columns(text, label, 2, notes)
