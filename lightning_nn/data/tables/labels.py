"""Labels as they stand in cells, one spelling of each, and the names of the classes that they count."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning_nn.data.tables.folders import clean_label
from lightning_nn.data.tables.reading import decode
from lightning_nn.data.tables.rows import DOUBTFUL, NO_LABEL, SPELLINGS, BadRowError, ReadingReport
from lightning_nn.errors import UserError

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_NOT_A_NUMBER = frozenset(("nan", "<na>", "nat", r"\n"))  # the last is what MySQL writes for NULL, in lower case
_NOTHING = frozenset(("none", "null", "n/a", "na"))
_SEPARATORS = (",", ";", "|", "，", "；", "、")


class Labels:
    """Reads labels: `1.0` as `1`, `TRUE` as the `True` before it; remembers what it has read.

    Args:
        report: receives labels in other spellings.
        numbers: whether the labels are numbers, beside which `None` is no label.

    Attributes:
        known: label of each text that was read before.
    """

    def __init__(self, report: ReadingReport, *, numbers: bool = False) -> None:
        self._report, self._numbers = report, numbers
        self._truths: dict[str, str] = {}
        self.known: dict[str, str] = {}

    def read(self, value: Any, place: str) -> str:
        """Return the label in a cell.

        Args:
            value: of the cell; a list of a single label is that label.
            place: file and line, for errors.

        Raises:
            BadRowError: no label, or several.
        """
        texts = [clean_label(text) for text in _texts(value, place)]
        if len(set(texts)) > 1:
            raise BadRowError(
                f"{place}: {len(texts)} labels, {' and '.join(map(repr, texts[:5]))}: a document has one label here, "
                "multi-label data are not supported; keep the main one of each, or make a category of each combination"
            )
        label = self._spell(texts[0]) if texts else ""
        nothing = label.lower() in _NOTHING
        if not label or label.lower() in _NOT_A_NUMBER or (nothing and self._numbers):
            reason = f"the label {label!r} means none" if label else "no label"
            raise BadRowError(f"{place}: {reason}; add one or remove the row", NO_LABEL)
        if nothing:
            self._report.add(DOUBTFUL, place)
        elif isinstance(value, str):
            self.known[value] = label
        return label

    def readable(self, labels: Iterable[tuple[str, Any]]) -> list[str]:
        """Return the labels that can be read, of pairs of a place and the value of a cell."""
        readable = []
        for place, value in labels:
            try:
                readable.append(self.read(value, place))
            except BadRowError:
                continue
        return readable

    def _spell(self, label: str) -> str:
        spelling = label
        if whole := _WHOLE.fullmatch(label):
            spelling = whole[1]
        elif label.lower() in ("true", "false"):
            spelling = self._truths.setdefault(label.lower(), label)
        if spelling != label and label not in self.known:
            self._report.add(SPELLINGS, f"{label} as {spelling}")
            self.known[label] = spelling
        return spelling


def are_numbers(labels: Iterable[Any]) -> bool:
    """Return whether all labels are numbers, but for those that mean none."""
    texts = {str(label).strip().lower() for label in labels} - _NOTHING - _NOT_A_NUMBER - {""}
    return bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)


def check_single(labels: Iterable[tuple[str, str]]) -> None:
    """Refuse labels that are combinations, such as "food,price" beside "food" and "price,room".

    A part of a combination is a label by itself, or a part of another combination; in names of categories such as
    "Arts, crafts" it is not.

    Args:
        labels: (place, label) of the first rows.

    Raises:
        UserError: names a combination.
    """
    places: dict[str, str] = {}
    for place, label in labels:
        places.setdefault(label, place)
    for separator in _SEPARATORS:
        parts = {label: {clean_label(part) for part in label.split(separator)} - {""} for label in places}
        uses = Counter(part for names in parts.values() for part in names)
        several = [label for label, names in parts.items() if len(names) > 1]
        combined = [label for label in several if all(uses[part] > 1 for part in parts[label])]
        if len(combined) > 1 and 2 * len(combined) > len(several):
            raise UserError(
                f"{places[combined[0]]}: the label {combined[0][:40]!r} combines labels with {separator!r}: a document "
                "has one label here, multi-label data are not supported; keep the main one of each, or write "
                f"{separator!r} in another way if each combination is a category"
            )


def _texts(value: Any, place: str) -> list[str]:
    """Return the labels in a cell as texts; several in a list, also one written as text."""
    if isinstance(value, str):
        stripped = value.strip()
        if stripped[:1] + stripped[-1:] not in ("[]", "{}"):
            return [value]
        value = _literal(stripped)
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        value = value["choices"]
    if not isinstance(value, list):
        return [] if value is None or value != value else [_plain(value, place)]
    return [_plain(item, place) for item in value]


def _plain(value: Any, place: str) -> str:
    if isinstance(value, (dict, list)):
        raise BadRowError(f"{place}: the label is {str(value)[:40]}; expected a text or a number")
    if isinstance(value, float) and abs(value) == float("inf"):
        return ""
    return str(value)


def _literal(text: str) -> Any:
    """Return a list or object written as JSON or by Python; the text itself if it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


CLASS_NAMES = "class.txt"
NAME_FILES = (CLASS_NAMES, "classes.txt")  # the latter of AG News, DBpedia and Yahoo! Answers


class ClassNames:
    """The names in a file beside a table.

    Args:
        file: class.txt or classes.txt.
        encoding: of the file.
        labels: of the first rows.

    Attributes:
        names: of the classes, in the order of their labels; empty if some labels are not numbers.
        note: why the names are not read; "" if they are.

    Raises:
        UserError: an empty name, or one twice.
    """

    def __init__(self, file: Path, encoding: str, labels: Iterable[str]) -> None:
        labels = list(labels)
        self._file = file
        self._first = 0 if file.name == CLASS_NAMES or "0" in labels else 1
        strange = next((label for label in labels if not _is_number(label)), None)
        self.names = self._read(encoding) if strange is None else []
        self.note = (
            f"{file.name} is not read: labels such as {strange[:40]!r} are not line numbers from {self._first}"
            if strange is not None
            else ""
        )

    def name(self, label: str, place: str) -> str:
        """Return the name of a class by its number.

        Raises:
            UserError: no line has this number.
        """
        number = int(label) - self._first if _is_number(label) else -1
        if not 0 <= number < len(self.names):
            last = len(self.names) - 1 + self._first
            begin = f"; labels must begin at {self._first}" if self._first == 0 and label == str(last + 1) else ""
            raise UserError(
                f"{place}: the label {label[:40]!r} has no line in {self._file.name}, which names {self._first} to "
                f"{last}{begin}"
            )
        return self.names[number]

    def _read(self, encoding: str) -> list[str]:
        file = self._file
        lines = re.split("\r\n|\r|\n", decode(file.read_bytes(), encoding, file.name))
        names = [clean_label(line) for line in lines]
        while names and not names[-1]:
            names.pop()
        for number, name in enumerate(names, 1):
            if not name:
                label = number - 1 + self._first
                raise UserError(f"{file}:{number}: an empty name; line {number} names the label {label}")
            if name in names[: number - 1]:
                raise UserError(f"{file} names {name!r} twice")
        return names


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()
