"""The columns of a table: its header, found below titles, and the choice of those that are read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

from lightning_nn.data.tables.folders import splits_in
from lightning_nn.data.tables.rows import HEADERS, TITLES, BadRowError, ReadingReport, Row
from lightning_nn.errors import UserError, nearest

TEXT_NAMES = (
    *("text", "review", "content", "sentence", "document", "comment", "body", "message", "description"),
    *("headline", "title", "query", "question", "tweet", "reviewtext", "utterance"),
    *("文本", "正文", "内容", "评论", "句子", "标题", "內容", "評論", "標題"),
)
LABEL_NAMES = (
    *("label", "category", "class", "target", "topic", "sentiment", "intent", "polarity", "rating", "labels"),
    *("标签", "类别", "分类", "类目", "情感", "標籤", "類別", "分類"),
)
KNOWN_NAMES = frozenset((*TEXT_NAMES, *LABEL_NAMES))
_TAIL = re.compile(r" ?(?:name|text|名称|名|文本)$")  # of category_name
_MOST_WORDS, _MOST_SIGNS = 3, 10  # in the name of a column: what is longer is a text
MOST_TITLES = 20  # rows above a header
SAMPLE = 1000  # rows or lines that tell how a table is written


def without_titles(
    rows: Iterator[Row], wanted: Collection[str], report: ReadingReport | None, size: int = SAMPLE
) -> Iterator[Row]:
    """Yield rows from the header on; drop what is above it, and its repetitions.

    Args:
        rows: of a table. Without a header, and where cells have names, all are yielded.
        wanted: names of columns that the user gave, which only a header holds.
        report: receives what was dropped.
        size: number of rows that tell the header.
    """
    sample = list(islice(rows, size))
    start = find_header(sample, wanted)
    rows = chain(sample[start or 0 :], rows)
    if start is None:
        yield from rows
        return
    for row in sample[:start]:
        _add(report, TITLES, row)
    first = next(rows)
    header = first.cells
    cells = [row.cells for row in sample[start + 1 :] if isinstance(row.cells, list)]
    if isinstance(header, list) and cells and all(len(c) == len(header) + 1 and c[0].isdecimal() for c in cells):
        first = first._replace(cells=["", *header])  # R numbers rows, but does not name their column
    yield first
    for row in rows:
        if row.cells == header:
            _add(report, HEADERS, row)
        else:
            yield row


def named_so(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return the names that are known ones, in the order of these; if none is, the only one that ends in a known one.

    So product_category and 商品类目 are a category, but category_id and 类目编号 are none.

    Args:
        names: of columns.
        known: in lower case.
    """
    names = list(dict.fromkeys(names))
    found = [name for name in names if name.strip().lower() in known]
    if not found:
        found = [name for name in names if _ends_in(name.strip(), known)]
        return found if len(found) == 1 else []
    return sorted(found, key=lambda name: known.index(name.strip().lower()))


def _ends_in(name: str, known: Sequence[str]) -> bool:
    """Return whether the last word of a name of up to three words is a known one."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name).lower()
    for each in (spaced, _TAIL.sub("", spaced)):
        words = each.split() or [""]
        if len(words) <= _MOST_WORDS and words[-1] in known:
            return True
        if len(each) <= _MOST_SIGNS and any(each.endswith(word) for word in known if not word.isascii()):
            return True
    return False


def find_header(sample: Sequence[Row], wanted: Collection[str] = ()) -> int | None:
    """Return the number of the row that holds names of columns; None if there is none.

    Args:
        sample: the first rows of a table.
        wanted: names of columns that the user gave.
    """
    width = Counter(len(row.cells) for row in sample).most_common(1)[0][0] if sample else 0
    for number, row in enumerate(sample[:MOST_TITLES]):
        if not isinstance(row.cells, list):
            return None
        if _is_header(row.cells, sample[number + 1 :], wanted):
            return number
        if not _is_title(row.cells, width):
            return None
    return None


def _is_header(cells: list[str], below: Sequence[Row], wanted: Collection[str]) -> bool:
    """Return whether a row names the columns.

    It does if it has a name that the user gave, or a common one that does not occur again in its column, or one that
    ends in a common one for the text and one for the label, or if it numbers the columns from 0, as pandas does.
    """
    names = [cell.strip() for cell in cells]
    numbered = names[1:] if names[0] == "" else names  # pandas writes an index without a name
    if any(name in wanted for name in names) or (len(numbered) > 1 and numbered == [*map(str, range(len(numbered)))]):
        return True
    rows = [row.cells for row in below if isinstance(row.cells, list) and row.cells != cells]
    once = [name for i, name in enumerate(names) if not any(row[i].strip() == name for row in rows if len(row) > i)]
    if any(name.lower() in KNOWN_NAMES for name in once):
        return True
    text, label = named_so(once, TEXT_NAMES), named_so(once, LABEL_NAMES)
    return bool(text and label) and text != label


def _is_title(cells: list[str], width: int) -> bool:
    """Return whether a row can be a title or comment: a single cell, or another number of them than in the table."""
    filled = sum(bool(cell.strip()) for cell in cells)
    return cells[0].lstrip().startswith("#") or filled < min(2, width) or len(cells) != width


def _add(report: ReadingReport | None, kind: str, row: Row) -> None:
    if report is not None:
        report.add(kind, row.place)


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


SPLIT_COLUMNS = ("split", "set", "subset", "partition", "划分")


def plain_text(cells: dict[str, Any], name: str | int, place: str) -> str:
    """Return a value of a JSON object as text, "" for null and for numbers that are not finite."""
    value = value_of(cells, name, place)
    if isinstance(value, (dict, list)):
        raise BadRowError(f"{place}: {name!r} is {str(value)[:40]}; expected a text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def split_in(cell: str, place: str) -> str | None:
    """Return the split that a cell of a table names; None for none, as "none" says.

    Raises:
        BadRowError: it names something else, or nothing.
    """
    if (name := cell.strip().lower()) == "none":
        return None
    splits = {"train"} if name == "restval" else _splits(name)  # restval: of Karpathy's COCO
    if len(splits) != 1:
        raise BadRowError(f"{place}: the split is {cell[:40]!r}{nearest(cell, ('train', 'val', 'test', 'none'))}")
    return next(iter(splits))


@lru_cache
def _splits(name: str) -> set[str]:
    return splits_in(name)


def value_of(cells: dict[str, Any], name: str | int, place: str) -> Any:
    """Return the value of a JSON object by its key.

    Raises:
        BadRowError: it has no such key.
    """
    if isinstance(name, int):
        raise UserError(f"{place}: an object, but train has columns without a header; use one format for all splits")
    if name not in cells:
        raise BadRowError(f"{place}: no {name!r} as in the first line of train; there are: {', '.join(cells)}")
    return cells[name]
