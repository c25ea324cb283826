"""Rows of tables: what every form of table is read as."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from lightning_nn.data.text.reading_report import BAD_ROWS
from lightning_nn.errors import UserError

Lines = Iterable[tuple[int, str]]


class BadRowError(UserError):
    """A row that can't be read, though those after it can.

    Attributes:
        kind: of a `ReadingReport`.
    """

    def __init__(self, message: str, kind: str = BAD_ROWS) -> None:
        super().__init__(message)
        self.kind = kind


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        place: where it begins, such as "a.csv:2".
        cells: by name, or in the order of the columns.
        error: why it can't be read; then its cells are what is left of them.
    """

    place: str
    cells: dict[str, Any] | list[str]
    error: BadRowError | None = None
