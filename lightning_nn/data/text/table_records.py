"""Documents in the rows of tables: their text and label, and what is done about rows that have none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal

from lightning_nn.data.split_names import splits_in
from lightning_nn.data.text.columns import Columns
from lightning_nn.data.text.corpus_building import LabeledText
from lightning_nn.data.text.labels import Labels
from lightning_nn.data.text.lines import DecodingError
from lightning_nn.data.text.reading_report import BAD_BYTES, FOOTERS, HEADERS, ReadingReport
from lightning_nn.data.text.tables import BadRowError, Row
from lightning_nn.errors import UserError, nearest

BadRows = Literal["error", "skip"]
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "划分")
MOST_BAD = 0.2  # share of rows that may be skipped
_FOOTER = re.compile(
    r"\(?((grand |sub)?total|sum|count)\s*[:：]?\s*[\d,.]*( rows?| records?)?\)?|"
    r"\(?[\d,]+ (rows?|records?)( selected| affected| in set)?[.)]*|"
    r"(合计|总计|小计|总数)\s*[:：]?\s*[\d,.]*|[（(]?[共总]计?\s*[:：]?\s*[\d,]+\s*[行条个项](记录|数据|结果|评论)?[）)。.]*",
    re.IGNORECASE,
)


class Skipping:
    """Rows and documents that can't be read: the first ends the run, or all are counted and left out.

    Args:
        bad_rows: "error" or "skip".
        report: receives what was left out.
    """

    def __init__(self, bad_rows: BadRows, report: ReadingReport) -> None:
        self.skips, self._report = bad_rows == "skip", report

    def handle(self, error: BadRowError | DecodingError, place: str, what: str = "rows") -> None:
        """Count a row or document, or raise its error with the option that goes on.

        Raises:
            UserError: rows are not skipped.
        """
        if not self.skips:
            raise with_remedy(error, what) from None
        self._report.add(error.kind if isinstance(error, BadRowError) else BAD_BYTES, place)

    def check(self, name: str, bad: int, total: int, first: str) -> None:
        """Refuse a table or folder of which too much was left out.

        Raises:
            UserError: names the share.
        """
        if bad > MOST_BAD * total:
            raise too_many(name, bad, total, first)


def too_many(name: str, bad: int, total: int, first: str) -> UserError:
    """Return the error of a table or folder of which too much was left out.

    Args:
        name: of the table or folder.
        bad: number of rows or documents that can't be read.
        total: number of all.
        first: error of the first.
    """
    return UserError(
        f"{name}: {bad:,} of {total:,} can't be read, more than the {MOST_BAD:.0%} that --data.bad_rows skip leaves "
        f"out. The first: {first}"
    )


def with_remedy(error: BadRowError | DecodingError, what: str) -> UserError:
    """Return an error that names the option that goes on, unless all of the file is in another encoding."""
    if isinstance(error, DecodingError) and not error.damaged:
        return error
    return UserError(f"{error}; to leave such {what} out: --data.bad_rows skip")


def read_records(
    rows: Iterable[Row],
    name: str,
    columns: Columns,
    labels: Labels,
    class_name: Callable[[str, str], str] | None,
    skipping: Skipping,
    report: ReadingReport,
) -> Iterator[LabeledText]:
    """Yield the documents in the rows of a table.

    Args:
        rows: header first if there is one.
        name: of the table, for errors.
        columns: where text and label are.
        labels: reads them.
        class_name: maps a label and its place to the name of the class; None for the label itself.
        skipping: what to do about rows that can't be read.
        report: receives footers and repeated headers.

    Raises:
        UserError: no rows, other columns than in train, or a row that can't be read.
    """
    texts, label_column, known = columns.text, columns.label, labels.known
    only = texts[0] if len(texts) == 1 and isinstance(texts[0], str) else ""
    header: list[str] = []
    width, total, bad, first = columns.width, 0, 0, ""
    positions: list[int] = [] if isinstance(label_column, str) else [int(each) for each in texts]
    at = -1 if isinstance(label_column, str) else label_column
    for row in rows:
        place, cells, problem = row
        try:
            if problem:
                raise problem
            if isinstance(cells, dict):
                text = cells.get(only) if only else None
                if type(text) is not str:
                    text = "\n".join([plain_text(cells, each, place) for each in texts])
                value = _value(cells, label_column, place)
                label = known.get(value) if type(value) is str else None
            elif at < 0:
                header = [cell.strip() for cell in cells]
                width, at = len(header), _position(header, label_column, place)
                positions = [_position(header, each, place) for each in texts]
                continue
            else:
                if len(cells) != width:
                    raise _wrong_width(cells, width, place)
                value = cells[at]
                text = cells[positions[0]] if len(positions) == 1 else "\n".join([cells[i] for i in positions])
                label = known.get(value)
                if label is None and (kind := _not_a_record(cells, at, positions, header, place)):
                    report.add(kind, place)
                    continue
            if label is None:
                label = labels.read(value, place)
        except BadRowError as error:
            if isinstance(cells, list) and not any(map(str.strip, cells)):
                continue
            if isinstance(cells, list) and _is_footer(cells):
                report.add(FOOTERS, place)
                continue
            skipping.handle(error, place)
            bad, total, first = bad + 1, total + 1, first or str(error)
            continue
        total += 1
        yield LabeledText(text, class_name(label, place) if class_name else label, place)
    if not total:
        raise UserError(f"{name} is empty: no documents")
    skipping.check(name, bad, total, first)


def plain_text(cells: dict[str, Any], name: str | int, place: str) -> str:
    """Return a value of a JSON object as text, "" for null and for numbers that are not finite."""
    value = _value(cells, name, place)
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


def _value(cells: dict[str, Any], name: str | int, place: str) -> Any:
    if isinstance(name, int):
        raise UserError(f"{place}: an object, but train has columns without a header; use one format for all splits")
    if name not in cells:
        raise BadRowError(f"{place}: no {name!r} as in the first line of train; there are: {', '.join(cells)}")
    return cells[name]


def _position(header: list[str], name: str | int, place: str) -> int:
    if header.count(str(name)) > 1:
        raise UserError(f"{place}: {header.count(str(name))} columns are called {name!r}; rename all but one")
    if name not in header:
        raise UserError(f"{place}: no column {name!r} as in train; there are: {', '.join(header)}; rename one of them")
    return header.index(str(name))


def _wrong_width(cells: list[str], width: int, place: str) -> BadRowError:
    return BadRowError(
        f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, expected {width}: a label is missing, or the text "
        "contains the separator"
    )


def _not_a_record(cells: list[str], at: int, positions: list[int], header: list[str], place: str) -> str:
    """Return the kind of a row with a new label that is a header or a footer; "" for a record.

    Raises:
        UserError: a header with other columns.
    """
    if header:
        names = [name.lower() for name in header]
        found = [cell.strip().lower() for cell in cells]
        if found == names:
            return HEADERS
        if all(found[i] in names for i in (at, *positions)):
            raise UserError(
                f"{place}: another header, {', '.join(cells)}: tables with other columns were joined; join them with "
                "the columns in one order"
            )
    return FOOTERS if _is_footer(cells) else ""


def _is_footer(cells: list[str]) -> bool:
    """Return whether a row is a total or a count of rows, beside empty cells and numbers."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    rest = [cell for cell in filled if not _FOOTER.fullmatch(cell)]
    return len(rest) < len(filled) and all(cell.replace(",", "").replace(".", "").isdigit() for cell in rest)
