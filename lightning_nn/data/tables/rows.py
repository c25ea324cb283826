"""Rows of tables, and the report on those that can't be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from lightning_nn.data.tables.reading import DecodingError
from lightning_nn.errors import UserError

SAMPLE = 1000  # rows or lines that tell how a table is written
MOST_BAD = 0.2  # share of rows that may be skipped
_SHOWN = 3  # places that are named of each kind

# Kinds of a `ReadingReport`; {s} is the "s" of the plural.
SHEETS = "{count} workbook{s} with several sheets, of which the first that holds rows is read"
TITLES = "skipped: {count} row{s} above the header"
HEADERS = "skipped: the header, repeated {count} time{s}"
BAD_ROWS = "skipped: {count} row{s} that can't be read"
BAD_BYTES = "skipped: {count} document{s} with bytes that are not in the encoding"
NO_LABEL = "skipped: {count} row{s} without a label"
SPELLINGS = "labels in {count} other spelling{s} are read as one"
DOUBTFUL = "warning: {count} document{s} with a label such as None, which is read as a category"

Lines = Iterable[tuple[int, str]]
BadRows = Literal["error", "skip"]


class BadRowError(UserError):
    """A row that can't be read, though those after it can.

    Attributes:
        kind: of a `ReadingReport`.
    """

    def __init__(self, message: str, kind: str = BAD_ROWS) -> None:
        super().__init__(message)
        self.kind = kind


class Cells(NamedTuple):
    """A row of a table before its columns have names.

    Attributes:
        place: where it begins, such as "a.csv:2".
        cells: in the order of the columns.
        error: why it can't be read.
    """

    place: str
    cells: list[str]
    error: BadRowError | None = None


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: where it begins, such as "a.csv:2".
        cells: by the name of the column.
        error: why it can't be read; then its cells are what is left of them.
        rest: cells beyond the last column.
    """

    place: str
    cells: dict[str, Any]
    error: BadRowError | None = None
    rest: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table whose columns have names.

    Attributes:
        place: of its header, or of its first row.
        columns: name of each column; column_1, column_2, ... without a header, name_2 for the second of a name.
        header: names as the header, or the first objects of JSON, have them; [] if there is none.
        sample: the first rows that can be read.
        rows: all rows, the sample too.
    """

    place: str
    columns: list[str]
    header: list[str]
    sample: list[Row]
    rows: Iterator[Row]


class ReadingReport:
    """Counts of what happened while files were read, by kind, with the first places of each.

    Add to it only in what a data set's `records` yield: then it is complete when the corpus is built, and stored there.

    Args:
        counts: {kind: [count, first places]}, as `counts` of another report.
    """

    def __init__(self, counts: dict[str, tuple[int, list[str]]] | None = None) -> None:
        self.counts = {kind: (count, list(places)) for kind, (count, places) in (counts or {}).items()}

    def add(self, kind: str, place: str) -> None:
        """Count what happened.

        Args:
            kind: the sentence that reports it, with {count} and {s} for the plural.
            place: file and line, such as "train.tsv:17".
        """
        count, places = self.counts.setdefault(kind, (0, []))
        if len(places) < _SHOWN:
            places.append(place)
        self.counts[kind] = (count + 1, places)

    def count(self, kind: str) -> int:
        """Return how often a kind was counted."""
        return self.counts.get(kind, (0, []))[0]

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each kind, in the order of their first places."""
        for sentence, (count, places) in self.counts.items():
            more = ", ..." if count > len(places) else ""
            yield f"{sentence.format(count=f'{count:,}', s='s' * (count != 1))} ({', '.join(places)}{more})"


class Skipping:
    """Rows and documents that can't be read: the first ends the run, or all are counted and left out.

    Args:
        bad_rows: "error" or "skip".
        report: receives what was left out.
    """

    def __init__(self, bad_rows: BadRows, report: ReadingReport) -> None:
        self.skips, self._report = bad_rows == "skip", report

    def handle(self, error: BadRowError | DecodingError, place: str, noun: str = "rows") -> None:
        """Count a row or document, or raise its error with the option that goes on.

        Raises:
            UserError: rows are not skipped.
        """
        if not self.skips:
            raise with_remedy(error, noun) from None
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


def with_remedy(error: BadRowError | DecodingError, noun: str) -> UserError:
    """Return an error that names the option that goes on, unless all of the file is in another encoding."""
    if isinstance(error, DecodingError) and not error.damaged:
        return error
    return UserError(f"{error}; to leave such {noun} out: --data.bad_rows skip")
