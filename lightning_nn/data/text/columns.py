"""The choice of the text and label columns of a table, by its header, its keys or its contents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lightning_nn.data.text.headers import LABEL_NAMES, TEXT_NAMES, find_header, named_so
from lightning_nn.data.text.tables import Row
from lightning_nn.errors import UserError, nearest

_MANY = 20  # rows from which on repeated values are no coincidence
_FEW = 6  # rows from which on a label that is not repeated is strange
_NUMBER = re.compile(r"\s*[+-]?[\d.]+\s*$")
_ENDS = (("1", "2"), ("_1", "_2"), ("a", "b"), ("_a", "_b"))
_SENTENCE_ENDS = tuple("。！？…!?.")  # with which no name of a column ends
_PAIRS = (
    *((f"{name}{a}", f"{name}{b}") for name in ("text", "sentence", "question", "query", "q", "s") for a, b in _ENDS),
    *(("premise", "hypothesis"), ("query", "title"), ("question", "answer"), ("context", "response")),
    *(("question", "sentence"), ("question", "passage"), ("question", "context"), ("query", "passage")),
)


class Columns(NamedTuple):
    """The columns of text and label.

    Attributes:
        text: names of the text columns, or their numbers from 0 if there is no header; several are joined.
        label: name or number of the label column, likewise.
        width: number of columns in each row, if there is no header.
        notes: remarks on the choice, for the user.
    """

    text: list[str] | list[int]
    label: str | int
    width: int
    notes: list[str]

    @property
    def text_column(self) -> str:
        """Value of `--data.text_column` that means these columns."""
        return ",".join(str(column + 1 if isinstance(column, int) else column) for column in self.text)


def find_columns(
    sample: Sequence[Row], name: str, text: str | None, label: str | None, *, classes: bool = False
) -> Columns:
    """Choose the text and label columns from the first rows of a file: by header, by keys, or by their contents.

    Args:
        sample: the first rows, at least one.
        name: of the file, for notes.
        text: name of the text column, or its number from 1; several with commas between; None to guess.
        label: name of the label column, or its number from 1; None to guess.
        classes: whether a file beside the table names the classes that its labels count.

    Raises:
        UserError: no such column, or the columns can't be told apart.
    """
    place, first = sample[0][:2]
    if isinstance(first, dict):
        return _by_name(list(first), place, f"the keys of {name}", text, label)
    names = [cell.strip() for cell in first]
    if find_header(sample, wanted_names(text, label)) == 0:
        columns = _by_name(names, place, f"the header of {name}", text, label)
        _check_quotes(sample[1:], names.index(str(columns.label)), name)
    else:
        columns = _by_number(sample, names, text, label, classes)
        _check_quotes(sample, int(columns.label), name)
    return columns


def wanted_names(text: str | None, label: str | None) -> list[str]:
    """Return the names of columns that the user gave, which a header holds; none if all are numbers."""
    wanted = [given for given in (text, label) if given is not None]
    parts = [part for given in wanted for part in _split(given)]
    return [] if all(map(_is_number, parts)) else [*wanted, *parts]


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdigit()


def _find(wanted: str | None, names: list[str], *, several: bool) -> list[str]:
    """Return the columns that the user gave by name or by number from 1; names that there are not as they are."""
    if wanted is None:
        return []
    parts = [wanted] if wanted in names or not several else _split(wanted)
    numbers = range(1, len(names) + 1)
    return [
        names[int(part) - 1] if part not in names and _is_number(part) and int(part) in numbers else part
        for part in parts
    ]


def _check_quotes(rows: Sequence[Row], label: int, name: str) -> None:
    """Refuse labels in quotation marks, which outside of .csv are part of the label."""
    labels = [str(list(row.cells)[label]).strip() for row in rows if len(row.cells) > label]
    if labels and not name.lower().endswith(".csv") and all(len(x) > 1 and x[0] == x[-1] == '"' for x in labels):
        raise UserError(
            f"{rows[0].place}: the label is {labels[0][:40]}; all labels are in quotation marks, which have no meaning "
            "between tabs: remove them, or save the table as .csv, with commas"
        )


def _by_name(names: list[str], place: str, source: str, text: str | None, label: str | None) -> Columns:
    texts, labels = _find(text, names, several=True), _find(label, names, several=False)
    for given, option in ((texts, "text_column"), (labels, "label_column")):
        for wanted in given:
            if wanted not in names:
                raise UserError(
                    f"{place}: --data.{option} is {wanted!r}, which is not a column{nearest(wanted, names)}"
                )
    several = texts if len(texts) > 1 else []
    if not texts:
        texts = named_so([name for name in names if name not in labels], TEXT_NAMES)
        _check_export(names, texts[:1], place, labelled=bool(labels))
    taken = several or texts[:1] * (text is not None)
    labels = labels or named_so([name for name in names if name not in taken], LABEL_NAMES)
    if len(names) == 2 and not (texts and labels):
        texts = texts or [name for name in names if name not in labels]
        labels = labels or [name for name in names if name not in texts]
    for found, option, what in ((texts, "text_column", "text"), (labels, "label_column", "label")):
        if not found:
            shown = ", ".join([name[:40] for name in names[:_MANY]]) + ", ..." * (len(names) > _MANY)
            raise UserError(
                f"{place}: which column is the {what}? There are: {shown}; use --data.{option} NAME"
                f"{', or NAME,NAME to join columns' * (what == 'text')}"
            )
    if labels[0] in (several or texts[:1]):
        raise UserError(f"{place}: text and label can't be the same column, {labels[0]!r}")
    for name in (*(several or texts[:1]), labels[0]):
        if names.count(name) > 1:
            raise UserError(f"{place}: {names.count(name)} columns are called {name!r}; rename all but one")
    notes = [f"columns: text = {' and '.join(several or texts[:1])}, label = {labels[0]} (by {source})"]
    for found, option in (([] if several else texts, "text_column"), (labels, "label_column")):
        if len(found) > 1:
            others = " or ".join(f"--data.{option} {name}" for name in found[1:])
            notes.append(f"{option} is {found[0]}; for another: {others}")
    return Columns(several or texts[:1], labels[0], len(names), notes)


def _check_export(names: list[str], guess: list[str], place: str, *, labelled: bool) -> None:
    """Refuse columns that are no text and its label, though they look like it."""
    if {"annotations", "data"} <= set(names):
        raise UserError(f"{place}: this is Label Studio's full JSON; export as CSV or JSON-MIN instead")
    if {"_input_hash", "answer"} <= set(names) and not labelled:
        raise UserError(
            f"{place}: this is Prodigy's export: take out what was not accepted, then name the label, "
            "--data.label_column label, or accept for choices"
        )
    for ends in _PAIRS:
        pair = [name for name in names if name.lower() in ends]
        if len(pair) == 2 and (not guess or guess[0] in pair):
            raise UserError(
                f"{place}: {pair[0]} and {pair[1]} are a pair of texts, but a document is one text: join them with "
                f"--data.text_column {','.join(pair)}, or name one of them"
            )


def _by_number(sample: Sequence[Row], names: list[str], text: str | None, label: str | None, classes: bool) -> Columns:
    place, width = sample[0].place, len(names)
    rows = [list(row.cells) for row in sample if len(row.cells) == width]
    chosen: list[list[int]] = []
    for given, option in (([] if text is None else _split(text), "text_column"), ([label or ""], "label_column")):
        for wanted in filter(None, given):
            if not (_is_number(wanted) and 1 <= int(wanted) <= width):
                shown = ", ".join(cell[:20] for cell in names)
                raise UserError(
                    f"{place}: --data.{option} is {wanted!r}, but the first line has the columns {shown}"
                    f"{'' if _is_number(wanted) else nearest(wanted, names)}"
                )
        chosen.append([int(wanted) - 1 for wanted in given if wanted])
    texts, labels = chosen
    if not (texts or labels) and classes and width > 2 and all(_is_number(row[0].strip()) for row in rows):
        texts, labels = list(range(1, width)), [0]  # as AG News, DBpedia and Yahoo! Answers come
    if not (texts and labels) and width != 2:
        raise UserError(
            f"{place}: {width} column{'s' * (width != 1)}, and no header that tells text and label: "
            f"{', '.join(repr(cell[:12]) for cell in names[:6])}. Is the separator right (.csv: commas; .tsv "
            "and .txt: tabs)? If this is a header, name the columns: --data.text_column NAME --data.label_column NAME; "
            "if not, give their numbers, from 1, with commas between texts to join, as in --data.text_column 2,3 "
            "--data.label_column 1"
        )
    if not (texts or labels):
        texts, labels = ([1], [0]) if _label_first(rows) else ([0], [1])
    texts, labels = texts or [1 - labels[0]], labels or [1 - texts[0]]
    if labels[0] in texts:
        raise UserError(f"{place}: text and label can't be the same column, {labels[0] + 1}")
    if label is None:
        _check_header([row for row in sample if len(row.cells) == width], texts[0], labels[0])
    named = " and ".join(str(number + 1) for number in texts)
    return Columns(texts, labels[0], width, [f"columns {named} (text) and {labels[0] + 1} (label), no header"])


def _label_first(rows: Sequence[list[str]]) -> bool:
    """Return whether the first of two columns holds the labels: fewer and shorter distinct values, or far fewer."""
    first, second = ([row[i] for row in rows] for i in (0, 1))
    few, many = len(set(first)), len(set(second))
    shorter = sum(map(len, first)) < sum(map(len, second))
    return few < many and (shorter or (len(rows) >= _MANY and 2 * few <= many))


def _check_header(sample: Sequence[Row], text: int, label: int) -> None:
    """Refuse a first row that may be a header, because its label does not occur again, and each other one does."""
    rows = [list(row.cells) for row in sample]
    start = next((number for number, row in enumerate(rows) if row[label].strip()), 0)
    if rows[start][text].rstrip().endswith(_SENTENCE_ENDS):
        return
    first, labels = rows[start], Counter(row[label] for row in rows if row[label].strip() and row != rows[start])
    if len(rows) < _FEW or first[label] in labels or min(labels.values(), default=1) < 2 or _NUMBER.match(first[label]):
        return
    raise UserError(
        f"{sample[start].place}: the label {first[label][:40]!r} occurs only here. If this is a header, name its "
        f"columns: --data.text_column {first[text][:40]!r} --data.label_column {first[label][:40]!r}; if not, give "
        f"their numbers: --data.text_column {text + 1} --data.label_column {label + 1}"
    )
