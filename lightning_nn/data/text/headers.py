"""Header rows of tables: found below titles and comments, and left out where tables were joined."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice

from lightning_nn.data.text.reading_report import HEADERS, TITLES, ReadingReport
from lightning_nn.data.text.tables import Row

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
