"""Names of classes beside a table: a line each, which numeric labels count."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lightning_nn.data.class_folders import clean_label
from lightning_nn.data.text.lines import decode
from lightning_nn.data.text.places import CLASS_NAMES
from lightning_nn.errors import UserError


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
