"""The text and label columns of a table, chosen by its header, its keys or its contents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lightning_nn.data.tables.columns import (
    LABEL_NAMES,
    TEXT_NAMES,
    Role,
    check_unique,
    choose,
    is_number,
    unsure,
)
from lightning_nn.data.tables.rows import Row, Table
from lightning_nn.errors import UserError

TEXT = Role("text_column", "text", TEXT_NAMES, several=True)
LABEL = Role("label_column", "label", LABEL_NAMES)
_MANY = 20  # rows from which on repeated values are no coincidence
_FEW = 6  # rows from which on a label that is not repeated is strange
_NUMBER = re.compile(r"\s*[+-]?[\d.]+\s*$")
_SENTENCE_ENDS = tuple("。！？…!?.")  # with which no name of a column ends
_ENDS = (("1", "2"), ("_1", "_2"), ("a", "b"), ("_a", "_b"))
_PAIRS = (
    *((f"{name}{a}", f"{name}{b}") for name in ("text", "sentence", "question", "query", "q", "s") for a, b in _ENDS),
    *(("premise", "hypothesis"), ("query", "title"), ("question", "answer"), ("context", "response")),
    *(("question", "sentence"), ("question", "passage"), ("question", "context"), ("query", "passage")),
)


class Columns(NamedTuple):
    """The columns of text and label.

    Attributes:
        text: names of the text columns; several are joined.
        label: name of the label column.
        width: number of columns if they have no names, else 0.
        option: value of `--data.text_column` that means these text columns.
        notes: remarks on the choice, for the user.
    """

    text: list[str]
    label: str
    width: int
    option: str
    notes: list[str]

    def check(self, table: Table) -> None:
        """Refuse another table that lacks these columns.

        Raises:
            UserError: names the first that is missing.
        """
        if self.width and table.header:
            raise UserError(
                f"{table.place}: a header or an object, but train has columns without a header; use one format for all "
                "splits"
            )
        if self.width:
            return
        columns = table.header or [str(cell) for cell in table.sample[0].cells.values()]
        for name in (self.label, *self.text):
            if not table.header or name not in table.columns:
                raise UserError(
                    f"{table.place}: no column {name!r} as in train; there are: {', '.join(columns)}; "
                    "rename one of them"
                )
        check_unique(table, (self.label, *self.text))


def find_columns(table: Table, name: str, text: str | None, label: str | None, *, classes: bool = False) -> Columns:
    """Choose the text and label columns of a table.

    Args:
        table: the table.
        name: of its file, for notes.
        text: name of the text column, or its number from 1; several with commas between; None to guess.
        label: name of the label column, or its number from 1; None to guess.
        classes: whether a file beside the table names the classes that its labels count.

    Raises:
        UserError: no such column, or the columns can't be told apart.
    """
    columns = _by_name(table, name, text, label) if table.header else _by_contents(table, text, label, classes)
    values = [str(row.cells.get(columns.label, "")).strip() for row in table.sample]
    if values and not name.lower().endswith(".csv") and all(len(x) > 1 and x[0] == x[-1] == '"' for x in values):
        raise UserError(
            f"{table.sample[0].place}: the label is {values[0][:40]}; all labels are in quotation marks, which have no "
            "meaning between tabs: remove them, or save the table as .csv, with commas"
        )
    return columns


def _by_name(table: Table, name: str, text: str | None, label: str | None) -> Columns:
    place, names = table.place, table.header
    labels = choose(table, LABEL, label) if label is not None else []
    texts = choose(table, TEXT, text, labels)
    if text is None:
        _check_export(names, texts[:1], place, labelled=bool(labels))
    labels = labels or choose(table, LABEL, None, () if text is None else texts)
    if len(names) == 2:
        texts = texts or [column for column in names if column not in labels]
        labels = labels or [column for column in names if column not in texts]
    chosen = texts[:1] if text is None else texts
    if not chosen:
        raise unsure(table, TEXT, ", or NAME,NAME to join columns")
    if not labels:
        raise unsure(table, LABEL)
    if labels[0] in chosen:
        raise UserError(f"{place}: text and label can't be the same column, {labels[0]!r}")
    check_unique(table, (*chosen, labels[0]))
    notes = [f"columns: text = {' and '.join(chosen)}, label = {labels[0]} (by their names in {name})"]
    for candidates, role in ((texts if text is None else [], TEXT), (labels, LABEL)):
        if len(candidates) > 1:
            others = " or ".join(f"--data.{role.option} {column}" for column in candidates[1:])
            notes.append(f"{role.option} is {candidates[0]}; for another: {others}")
    return Columns(chosen, labels[0], 0, ",".join(chosen), notes)


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


def _by_contents(table: Table, text: str | None, label: str | None, classes: bool) -> Columns:
    """Choose among columns without names: by their numbers, else of two the one with fewer values is the label."""
    place, names, width = table.place, table.columns, len(table.columns)
    cells = [str(cell) for cell in table.sample[0].cells.values()]
    texts = choose(table, TEXT, text) if text is not None else []
    labels = choose(table, LABEL, label) if label is not None else []
    firsts = [row.cells[names[0]].strip() for row in table.sample]
    if not (texts or labels) and classes and width > 2 and all(map(is_number, firsts)):
        texts, labels = names[1:], names[:1]  # as AG News, DBpedia and Yahoo! Answers come
    if not (texts and labels) and width != 2:
        raise UserError(
            f"{place}: {width} column{'s' * (width != 1)}, and no header that tells text and label: "
            f"{', '.join(repr(cell[: 72 // min(width, 6)]) for cell in cells[:6])}. Is the separator right (.csv: "
            "commas, semicolons or bars; .tsv and .txt: tabs)? If this is a header, name the columns: "
            "--data.text_column NAME --data.label_column NAME; if not, give their numbers, from 1, with commas between "
            "texts to join, as in --data.text_column 2,3 --data.label_column 1"
        )
    if not (texts or labels):
        labels = names[:1] if _label_first(table.sample, names) else names[1:]
    texts = texts or [name for name in names if name not in labels]
    labels = labels or [name for name in names if name not in texts]
    numbers = [names.index(name) + 1 for name in (*texts, *labels)]
    if labels[0] in texts:
        raise UserError(f"{place}: text and label can't be the same column, {numbers[-1]}")
    if label is None:
        _check_header(table.sample, texts[0], labels[0], numbers)
    note = f"columns {' and '.join(map(str, numbers[:-1]))} (text) and {numbers[-1]} (label), no header"
    return Columns(texts, labels[0], width, ",".join(map(str, numbers[:-1])), [note])


def _label_first(sample: Sequence[Row], names: list[str]) -> bool:
    """Return whether the first of two columns holds the labels: fewer and shorter distinct values, or far fewer."""
    first, second = ([row.cells[name] for row in sample] for name in names)
    few, many = len(set(first)), len(set(second))
    shorter = sum(map(len, first)) < sum(map(len, second))
    return few < many and (shorter or (len(sample) >= _MANY and 2 * few <= many))


def _check_header(sample: Sequence[Row], text: str, label: str, numbers: list[int]) -> None:
    """Refuse a first row that may be a header, because its label does not occur again, and each other one does."""
    first = next((row for row in sample if row.cells[label].strip()), sample[0])
    if first.cells[text].rstrip().endswith(_SENTENCE_ENDS):
        return
    name = first.cells[label]
    others = (row.cells[label] for row in sample if row.cells != first.cells)
    labels = Counter(other for other in others if other.strip())
    if len(sample) < _FEW or name in labels or min(labels.values(), default=1) < 2 or _NUMBER.match(name):
        return
    raise UserError(
        f"{first.place}: the label {name[:40]!r} occurs only here. If this is a header, name its columns: "
        f"--data.text_column {first.cells[text][:40]!r} --data.label_column {name[:40]!r}; if not, give their numbers: "
        f"--data.text_column {numbers[0]} --data.label_column {numbers[-1]}"
    )
