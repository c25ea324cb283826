"""Rows of predictions as CSV and JSON lines: the input's own columns, then those of the prediction."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TextIO

from lightning_nn.data.processor import Record
from lightning_nn.sanitize import is_formula, without_controls


class Rows:
    """Rows of a table: the columns of the input by their names, then the prediction's, then `error`.

    A column of the prediction whose name the input has already is called predicted_NAME.

    Args:
        stream: where they are written.
        form: "csv" or "jsonl".
        guard: put a ' before texts of the input that a spreadsheet would read as a formula; only in CSV.
        say: prints a remark for the user.
    """

    def __init__(self, stream: TextIO, form: str, guard: bool, say: Callable[[str], None]) -> None:
        self._stream, self._guard, self._say = stream, guard, say
        self._own: list[str] | None = None  # None before the first row
        self._names: list[str] = []
        self._write = self._json if form == "jsonl" else self._csv
        self._csv_rows = csv.writer(_Lines(stream), lineterminator="\r\n")
        self._guarded = 0
        self._left_out: dict[str, None] = {}
        self._is_csv = form == "csv"

    def write(self, record: Record, prediction: Sequence[tuple[str, Any]]) -> None:
        """Write a row.

        Args:
            record: the input.
            prediction: name and value of each column of the prediction; no value is written if the record has an error.
        """
        can_fail = record.error is not None
        if self._own is None:
            self._begin(record, [*(name for name, _ in prediction), *["error"] * can_fail])
        values = [None if record.error else value for _, value in prediction] + [record.error or None] * can_fail
        self._write(record, dict(zip(self._names, values, strict=True)))

    def end(self) -> None:
        """Write the header of a table without rows, and say what is not written as it was."""
        if self._own is None and self._is_csv:
            self._csv_rows.writerow(["input"])
        if self._guarded:
            texts = "text of the input begins" if self._guarded == 1 else "texts of the input begin"
            self._say(
                f"{self._guarded:,} {texts} like a formula and got a ' "
                "before them, for spreadsheets; as they are: --guard_formulas false, or --format jsonl"
            )
        if self._left_out:
            self._say(f"not in the header, so left out: {', '.join(self._left_out)}; --format jsonl keeps them")

    def _begin(self, record: Record, predicted: list[str]) -> None:
        self._own = list(record.columns or record.cells)
        taken = set(self._own)
        for name in predicted:
            free = name
            while free in taken:
                free = f"predicted_{free}"
            if free != name:
                self._say(f"there is a column {name!r} already; the prediction's is called {free!r}")
            taken.add(free)
            self._names.append(free)
        if self._is_csv:  # with the first row, so never before an error
            self._csv_rows.writerow([*map(self._input, self._own), *map(without_controls, self._names)])

    def _csv(self, record: Record, predicted: dict[str, Any]) -> None:
        assert self._own is not None
        self._left_out |= dict.fromkeys(name for name in record.cells if name not in self._own)
        self._csv_rows.writerow(
            [*(self._input(record.cells.get(name)) for name in self._own), *map(cell, predicted.values())]
        )

    def _json(self, record: Record, predicted: dict[str, Any]) -> None:
        own = {f"input_{name}" if name in predicted else name: value for name, value in record.cells.items()}
        print(json_text({**own, **predicted}), file=self._stream)

    def _input(self, value: Any) -> str:
        """Return a value of the input as it is, as text."""
        if isinstance(value, bool | list | dict):
            return without_controls(json_text(value))
        text = "" if value is None else without_controls(str(value))
        if self._guard and isinstance(value, str | Path) and is_formula(text):
            self._guarded += 1
            return f"'{text}"
        return text


class _Lines:
    """Stream that ends lines in LF; csv quotes a lone CR only where it ends lines in CR LF."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        self._stream.write(row.removesuffix("\r\n") + "\n")


def cell(value: Any) -> str:
    """Return a value of a prediction as the text of a table cell that no terminal obeys.

    Args:
        value: fractions get four decimals, None becomes empty, and lists become JSON.
    """
    if value is None:
        return ""
    if isinstance(value, str | Path):
        return without_controls(str(value))
    if isinstance(value, Real):
        return str(value) if isinstance(value, Integral) else f"{value:.4f}"
    return json_text(value)


def json_text(value: Any) -> str:
    """Return a value as one line of JSON.

    Characters that a terminal would obey are escaped, so nothing is lost; numbers that are not finite become null.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, default=_listed)
    if text.isprintable():
        return text
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(json.dumps(c)[1:-1] if unicodedata.category(c) in unsafe else c for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _listed(value: Any) -> Any:
    """Convert arrays, tensors and their numbers to Python's, anything else to text."""
    return _finite(value.tolist()) if hasattr(value, "tolist") else str(value)
