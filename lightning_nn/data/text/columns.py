"""The choice of the text and label columns of a table, by its header, its keys or its contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lightning_nn.data.text.tables import Row
from lightning_nn.errors import UserError, nearest

TEXT_NAMES = (
    *("text", "review", "content", "sentence", "document", "comment", "body", "message", "description"),
    *("headline", "title", "query", "question", "文本", "正文", "内容", "评论", "句子", "标题"),
)
LABEL_NAMES = (
    *("label", "category", "class", "target", "topic", "sentiment", "intent", "polarity", "rating"),
    *("标签", "类别", "分类", "类目", "情感"),
)
_MANY = 20  # rows from which on repeated values are no coincidence


class Columns(NamedTuple):
    """The columns of text and label.

    Attributes:
        text: name of the text column, or its number from 0 if there is no header.
        label: name or number of the label column, likewise.
        width: number of columns in each row, if there is no header.
        notes: remarks on the choice, for the user.
    """

    text: str | int
    label: str | int
    width: int
    notes: list[str]


def find_columns(sample: Sequence[Row], name: str, text: str | None, label: str | None) -> Columns:
    """Choose the text and label columns from the first rows of a file: by header, by keys, or by their contents.

    Args:
        sample: the first rows, at least one.
        name: of the file, for notes.
        text: name of the text column, or its number from 1; None to guess.
        label: name of the label column, or its number from 1; None to guess.

    Raises:
        UserError: no such column, or the columns can't be told apart.
    """
    place, first = sample[0]
    if isinstance(first, dict):
        return _by_name(list(first), place, f"the keys of {name}", text, label)
    names = [cell.strip() for cell in first]
    given = [wanted for wanted in (text, label) if wanted is not None]
    by_number = given and all(map(_is_number, given))
    if has_header(sample, names) or (not by_number and any(wanted in names for wanted in given)):
        text, label = (_named(wanted, names) for wanted in (text, label))
        columns = _by_name(names, place, f"the header of {name}", text, label)
        _check_quotes(sample[1:], names.index(str(columns.label)), name)
    else:
        columns = _by_number(sample, names, text, label)
        _check_quotes(sample, int(columns.label), name)
    return columns


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdigit()


def _named(wanted: str | None, names: list[str]) -> str | None:
    """Convert a column number, from 1, to the column's name; return names unchanged."""
    if wanted is None or wanted in names or not _is_number(wanted) or not 1 <= int(wanted) <= len(names):
        return wanted
    return names[int(wanted) - 1]


def _check_quotes(rows: Sequence[Row], label: int, name: str) -> None:
    """Refuse labels in quotation marks, which outside of .csv are part of the label."""
    labels = [str(list(row.cells)[label]).strip() for row in rows if len(row.cells) > label]
    if labels and not name.lower().endswith(".csv") and all(len(x) > 1 and x[0] == x[-1] == '"' for x in labels):
        raise UserError(
            f"{rows[0].place}: the label is {labels[0][:40]}; all labels are in quotation marks, which have no meaning "
            "between tabs: remove them, or save the table as .csv, with commas"
        )


def has_header(sample: Sequence[Row], names: list[str]) -> bool:
    """Return whether the first row has a common column name that does not occur again in its column."""
    for i, name in enumerate(names):
        column = [str(list(row.cells)[i]).strip() for row in sample if len(row.cells) > i]
        if name.lower() in (*TEXT_NAMES, *LABEL_NAMES) and column.count(name) == 1:
            return True
    return False


def _by_name(names: list[str], place: str, source: str, text: str | None, label: str | None) -> Columns:
    for wanted, option in ((text, "text_column"), (label, "label_column")):
        if wanted is not None and wanted not in names:
            raise UserError(f"{place}: --data.{option} is {wanted!r}, which is not a column{nearest(wanted, names)}")
    texts = [text] if text else _known(names, TEXT_NAMES, but=label)
    labels = [label] if label else _known(names, LABEL_NAMES, but=text)
    if len(names) == 2 and not (texts and labels):
        texts = texts or [name for name in names if name not in labels]
        labels = labels or [name for name in names if name not in texts]
    for found, option, what in ((texts, "text_column", "text"), (labels, "label_column", "label")):
        if not found:
            raise UserError(
                f"{place}: which column is the {what}? There are: {', '.join(names)}; use --data.{option} NAME"
            )
    if texts[0] == labels[0]:
        raise UserError(f"{place}: text and label can't be the same column, {texts[0]!r}")
    notes = [f"columns: text = {texts[0]}, label = {labels[0]} (by {source})"]
    for found, option in ((texts, "text_column"), (labels, "label_column")):
        if names.count(found[0]) > 1:
            raise UserError(f"{place}: {names.count(found[0])} columns are called {found[0]!r}; rename all but one")
        if len(found) > 1:
            others = " or ".join(f"--data.{option} {name}" for name in found[1:])
            notes.append(f"{option} is {found[0]}; for another: {others}")
    return Columns(texts[0], labels[0], len(names), notes)


def _known(names: list[str], known: Sequence[str], but: str | None) -> list[str]:
    found = [name for name in names if name.lower() in known and name != but]
    return sorted(found, key=lambda name: known.index(name.lower()))


def _by_number(sample: Sequence[Row], names: list[str], text: str | None, label: str | None) -> Columns:
    place, width = sample[0].place, len(names)
    chosen: list[int | None] = []
    for wanted, option in ((text, "text_column"), (label, "label_column")):
        if wanted is not None and not (_is_number(wanted) and 1 <= int(wanted) <= width):
            shown = ", ".join(cell[:20] for cell in names)
            raise UserError(
                f"{place}: --data.{option} is {wanted!r}, but the first line has the columns {shown}"
                f"{'' if _is_number(wanted) else nearest(wanted, names)}"
            )
        chosen.append(int(wanted) - 1 if wanted else None)
    if None in chosen and width != 2:
        raise UserError(
            f"{place}: {width} column{'s' * (width != 1)}, and no header that tells text and label: "
            f"{', '.join(repr(cell[:12]) for cell in names[:6])}. Is the separator right (.csv: commas; .tsv "
            "and .txt: tabs)? If this is a header, name the columns: --data.text_column NAME --data.label_column NAME; "
            "if not, give their numbers, from 1"
        )
    rows = [row for row in sample if len(row.cells) == width]
    if chosen == [None, None]:
        chosen = [1, 0] if _label_first(rows) else [0, 1]
    texts, labels = (n if n is not None else 1 - (m or 0) for n, m in (chosen, chosen[::-1]))
    if texts == labels:
        raise UserError(f"{place}: text and label can't be the same column, {texts + 1}")
    notes = [f"columns {texts + 1} (text) and {labels + 1} (label), no header"]
    return Columns(texts, labels, width, notes + _perhaps_header(rows, labels))


def _label_first(rows: Sequence[Row]) -> bool:
    """Return whether the first of two columns holds the labels: fewer and shorter distinct values, or far fewer."""
    first, second = ([str(list(row.cells)[i]) for row in rows] for i in (0, 1))
    few, many = len(set(first)), len(set(second))
    shorter = sum(map(len, first)) < sum(map(len, second))
    return few < many and (shorter or (len(rows) >= _MANY and 2 * few <= many))


def _perhaps_header(rows: Sequence[Row], label: int) -> list[str]:
    labels = [str(list(row.cells)[label]) for row in rows]
    if len(rows) < _MANY or [value for value, count in Counter(labels).items() if count == 1] != labels[:1]:
        return []
    return [
        f"the label {labels[0][:40]!r} occurs only at {rows[0].place}; if that is a header, name its columns with "
        "--data.text_column and --data.label_column"
    ]
