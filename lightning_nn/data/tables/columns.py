"""The columns of a table: its header, and the choice of those that are read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lightning_nn.data.tables.folders import splits_in
from lightning_nn.data.tables.rows import BadRowError, Row, Table
from lightning_nn.errors import UserError, nearest

TEXT_NAMES = (
    *("text", "review", "content", "sentence", "document", "comment", "body", "message", "description"),
    *("headline", "title", "query", "question", "tweet", "reviewtext", "utterance"),
    *("文本", "正文", "内容", "评论", "句子", "标题", "内容", "評論", "標題"),
)
LABEL_NAMES = (
    *("label", "category", "class", "target", "topic", "sentiment", "intent", "polarity", "rating", "labels"),
    *("标签", "类别", "分类", "类目", "情感", "標籤", "類別", "分類"),
)
SPLIT_NAMES = ("split", "set", "subset", "partition", "划分", "数据集")
KNOWN_NAMES = frozenset((*TEXT_NAMES, *LABEL_NAMES))
MOST_TITLES = 20  # rows above a header
_TAIL = re.compile(r" ?(?:name|text|名称|名|文本)$")  # of category_name
_MOST_WORDS, _MOST_SIGNS = 3, 10  # in the name of a column: what is longer is a text
_MOST_SHOWN = 20  # columns named in an error


class Role(NamedTuple):
    """Purpose of a column.

    Attributes:
        option: of --data, which names it.
        noun: for it, for errors.
        names: that such columns often have, in lower case, the most certain first; see `named_so`.
        several: whether the option may name several columns, with commas between.
    """

    option: str
    noun: str
    names: Sequence[str]
    several: bool = False


def choose(table: Table, role: Role, wanted: str | None, others: Collection[str] = ()) -> list[str]:
    """Choose the columns of a role: those that the user named, else those that are called so.

    Args:
        table: the table.
        role: of the column.
        wanted: its name, or its number from 1; None to go by the known names.
        others: columns of other roles, which are not guessed.

    Returns:
        The columns that were named; or those of known names, the likeliest first.

    Raises:
        UserError: no such column, or several of this name.
    """
    if wanted is None:
        return named_so([name for name in table.header if name not in others], role.names)
    chosen = columns_of(table, wanted, several=role.several)
    for name in chosen:
        if name not in table.columns:
            columns = table.header or [cell[:20] for cell in table.sample[0].cells.values()]
            raise UserError(
                f"{table.place}: --data.{role.option} is {name!r}, which is not a column{nearest(name, columns)}"
            )
    return chosen


def columns_of(table: Table, wanted: str, *, several: bool, numbers: bool = True) -> list[str]:
    """Return the columns that an option names; a name that no column has stays as it is.

    Args:
        table: the table.
        wanted: a name, or a number from 1.
        several: whether it may be several of them, with commas between.
        numbers: whether numbers are read as such.
    """
    parts = [wanted] if wanted in table.columns or not several else [part.strip() for part in wanted.split(",")]
    count = len(table.columns) if numbers else 0
    return [
        table.columns[int(part) - 1]
        if part not in table.columns and is_number(part) and 1 <= int(part) <= count
        else part
        for part in parts
    ]


def unsure(table: Table, role: Role, hint: str = "") -> UserError:
    """Return the error of a role whose column can't be told."""
    names = table.header or [str(cell) for cell in table.sample[0].cells.values()]
    shown = ", ".join(name[:40] for name in names[:_MOST_SHOWN]) + ", ..." * (len(names) > _MOST_SHOWN)
    return UserError(
        f"{table.place}: which column is the {role.noun}? There are: {shown}; use --data.{role.option} NAME{hint}"
    )


def check_unique(table: Table, names: Iterable[str]) -> None:
    """Refuse columns whose name another column has, too.

    Raises:
        UserError: names it.
    """
    for name in names:
        if (count := table.header.count(name)) > 1:
            raise UserError(f"{table.place}: {count} columns are called {name!r}; rename all but one")


def wanted_names(*options: str | None) -> list[str]:
    """Return the names of columns that the user gave, which a header holds; none if all are numbers."""
    wanted = [option for option in options if option is not None]
    parts = [part.strip() for option in wanted for part in option.split(",")]
    return [] if all(map(is_number, parts)) else [*wanted, *parts]


def is_number(name: str) -> bool:
    """Return whether a name may be the number of a column."""
    return name.isascii() and name.isdigit()


def unique_names(names: Iterable[str]) -> list[str]:
    """Return names that differ, by a number behind one that came before: name, name_2, name_3."""
    unique: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in unique:
            number += 1
            free = f"{name}_{number}"
        unique[free] = None
    return list(unique)


def named_so(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return the names that are known ones, in the order of these; if none is, the only one that ends in a known one.

    So product_category and 商品类目 are a category, but category_id and 类目编号 are none.

    Args:
        names: of columns.
        known: in lower case; those without spaces and underscores are known with them, too.
    """
    names = list(dict.fromkeys(names))
    exact = {
        name: known.index(form) for name in names for form in (plain_name(name), name.strip().lower()) if form in known
    }
    if exact:
        return sorted(exact, key=exact.__getitem__)
    ending = [name for name in names if _ends_in(name.strip(), known)]
    return ending if len(ending) == 1 else []


def plain_name(name: str) -> str:
    """Return the name of a column in lower case, without spaces and underscores."""
    return name.lower().replace(" ", "").replace("_", "")


def _ends_in(name: str, known: Sequence[str]) -> bool:
    """Return whether the last word of a name of up to three words is a known one."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name).lower()
    for form in (spaced, _TAIL.sub("", spaced)):
        words = form.split() or [""]
        if len(words) <= _MOST_WORDS and words[-1] in known:
            return True
        if len(form) <= _MOST_SIGNS and any(form.endswith(word) for word in known if not word.isascii()):
            return True
    return False


def find_header(sample: Sequence[list[str]], wanted: Collection[str] = ()) -> int | None:
    """Return the number of the row that holds names of columns; None if there is none.

    Args:
        sample: the first rows of a table.
        wanted: names of columns that the user gave.
    """
    width = Counter(map(len, sample)).most_common(1)[0][0] if sample else 0
    for number, cells in enumerate(sample[:MOST_TITLES]):
        if _is_header(cells, sample[number + 1 :], wanted):
            return number
        if not _is_title(cells, width):
            return None
    return None


def _is_header(cells: list[str], below: Sequence[list[str]], wanted: Collection[str]) -> bool:
    """Return whether a row names the columns.

    It does if it has a name that the user gave, or a common one that does not occur again in its column, or one that
    ends in a common one for the text and one for the label, or if it numbers the columns from 0, as pandas does.
    """
    names = [cell.strip() for cell in cells]
    numbered = names[1:] if names[0] == "" else names  # pandas writes an index without a name
    if any(name in wanted for name in names) or (len(numbered) > 1 and numbered == [*map(str, range(len(numbered)))]):
        return True
    once = [
        name
        for i, name in enumerate(names)
        if not any(row[i].strip() == name for row in below if len(row) > i and row != cells)
    ]
    if any(name.lower() in KNOWN_NAMES for name in once):
        return True
    text, label = named_so(once, TEXT_NAMES), named_so(once, LABEL_NAMES)
    return bool(text and label) and text != label


def _is_title(cells: list[str], width: int) -> bool:
    """Return whether a row can be a title or comment: a single cell, or another number of them than in the table."""
    filled = sum(bool(cell.strip()) for cell in cells)
    return cells[0].lstrip().startswith("#") or filled < min(2, width) or len(cells) != width


def value_of(row: Row, name: str) -> Any:
    """Return what a row has in a column.

    Raises:
        BadRowError: the row has an error, or no such column.
    """
    if row.error:
        raise row.error
    if name not in row.cells:
        raise BadRowError(f"{row.place}: no {name!r}; there are: {', '.join(row.cells)}")
    return row.cells[name]


def plain_text(row: Row, name: str) -> str:
    """Return the text in a column, "" for null and for numbers that are not finite.

    Raises:
        BadRowError: the row has an error, no such column, or a list or an object in it.
    """
    value = value_of(row, name)
    return value if type(value) is str else as_text(value, name, row.place)


def as_text(value: object, name: str, place: str) -> str:
    """Return a value as text; see `plain_text`."""
    if isinstance(value, (dict, list)):
        raise BadRowError(f"{place}: {name!r} is {str(value)[:40]}; expected a text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def split_column(columns: Iterable[str], rows: Iterable[Row], others: Collection[str]) -> str | None:
    """Return the column that names the split of each row: one of its names, with a split in some row; else None.

    Args:
        columns: of the table.
        rows: of the table, or a sample of them.
        others: columns that are something else.
    """
    rows = list(rows)
    for name in columns:
        if plain_name(name) in (*SPLIT_NAMES, "dataset") and name not in others:
            cells = {cell for row in rows if isinstance(cell := row.cells.get(name), str)}
            if any(len(splits_in(cell)) == 1 for cell in cells):
                return name
    return None


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
