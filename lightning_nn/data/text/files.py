"""Reading of users' text files into records; each error names file and line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lightning_nn.data.class_folders import Classes, clean_label
from lightning_nn.data.text.columns import Columns, find_columns
from lightning_nn.data.text.corpus_building import LabeledText
from lightning_nn.data.text.lines import check_encoding, decode, read_lines
from lightning_nn.data.text.places import CLASS_NAMES, contents, documents, find_texts
from lightning_nn.data.text.rows import SUFFIXES, form_of, read_rows
from lightning_nn.data.text.segmenter import user_word
from lightning_nn.errors import UserError

_SAMPLE = 1000  # rows that the choice of columns is based on


class TextFiles:
    """Documents in the files under a path.

    Args:
        path: a file (.tsv, .txt, .csv, .jsonl, .json); a folder with a single such file, or with train, val (or dev)
            and test files; or a folder of .txt files per class, one document each, directly or below train, val and
            test.
        encoding: of all files; a byte order mark is accepted.
        text_column: name of the text column, or its number from 1 if there is no header; None to guess.
        label_column: name of the label column, likewise.
        trains: whether a train split is required.

    Attributes:
        names: of the classes, from a class.txt beside the files; numeric labels count its lines from 0.
        columns: the text and label columns of tables.
        notes: remarks on how the files are read, for the user.

    Raises:
        UserError: nothing there, or not in a known form.
    """

    def __init__(
        self,
        path: Path,
        encoding: str = "utf-8",
        text_column: str | None = None,
        label_column: str | None = None,
        *,
        trains: bool = True,
    ) -> None:
        check_encoding(encoding)
        self.encoding = encoding
        self.notes: list[str] = []
        self._tables, self._folders = find_texts(path, SUFFIXES, self.notes)
        self._root = path if path.is_dir() else path.parent
        if trains and "train" not in self.splits:
            raise UserError(f"{path} has {', '.join(t.name for t in self._tables.values())} but no train file")
        for table in self._tables.values():
            if not form_of(table):
                raise UserError(f"{table}: unknown kind of file; known are {', '.join(SUFFIXES)}")
        names = self._root / CLASS_NAMES
        self._names_file = names if self._tables and names.is_file() else None
        self.names: list[str] = []
        self.columns = Columns("", "", 0, [])
        if self._tables:
            self._choose_columns(text_column, label_column)

    @property
    def paths(self) -> list[Path]:
        """All files that determine the documents."""
        return [*self._tables.values(), *documents(self._folders), *([self._names_file] if self._names_file else [])]

    @property
    def text_column(self) -> str:
        """The text column of tables as --data.text_column names it; "" for folders."""
        text = self.columns.text
        return str(text + 1) if isinstance(text, int) else text

    @property
    def splits(self) -> list[str]:
        """The splits that are provided."""
        return [*(self._folders or self._tables)]

    def records(self) -> dict[str, Iterator[LabeledText]]:
        """Return the documents of each provided split, read lazily.

        Raises:
            UserError: here or while reading; names file, line and remedy.
        """
        if self._folders:
            return {split: self._read_documents(folders) for split, folders in self._folders.items()}
        return {split: self._read_table(table) for split, table in self._tables.items()}

    def _choose_columns(self, text: str | None, label: str | None) -> None:
        train = next(iter(self._tables.values()))  # or the first split present
        sample = list(islice(read_rows(train, self.encoding), _SAMPLE))
        if not sample:
            raise UserError(f"{train} is empty")
        self.columns = find_columns(sample, train.name, text, label)
        self.notes += self.columns.notes
        if self._names_file:
            labels = (label for _, _, label in islice(self._pairs(train), _SAMPLE))
            strange = next((label for label in labels if not _is_number(label)), None)
            if strange is None:
                self.names = self._read_names(self._names_file)
            else:
                self.notes.append(
                    f"{CLASS_NAMES} is not read: labels such as {strange[:40]!r} are not line numbers from 0"
                )

    def _pairs(self, table: Path) -> Iterator[tuple[str, str, str]]:
        """Yield (place, text, label) of each row."""
        text, label, width, _ = self.columns
        for place, cells in read_rows(table, self.encoding):
            if isinstance(cells, dict):
                yield place, plain_text(cells, text, place), clean_label(plain_text(cells, label, place))
                continue
            if isinstance(text, str):
                header = [cell.strip() for cell in cells]
                text, label, width = _position(header, text, place), _position(header, label, place), len(header)
                continue
            if len(cells) != width:
                raise UserError(
                    f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, expected {width}: a label is missing, or "
                    "the text contains the separator"
                )
            yield place, cells[int(text)], clean_label(cells[int(label)])

    def _read_table(self, table: Path) -> Iterator[LabeledText]:
        empty = True
        for place, text, label in self._pairs(table):
            empty = False
            if not label:
                raise UserError(f"{place}: no label; add one or remove the row")
            yield LabeledText(text, self._class_name(label, place) if self.names else label, place)
        if empty:
            raise UserError(f"{table} is empty: no documents")

    def _class_name(self, label: str, place: str) -> str:
        if not _is_number(label) or int(label) >= len(self.names):
            begin = "; labels must begin at 0" if label == str(len(self.names)) else ""
            names = f"which names 0 to {len(self.names) - 1}{begin}"
            raise UserError(f"{place}: the label {label[:40]!r} has no line in {CLASS_NAMES}, {names}")
        return self.names[int(label)]

    def _read_names(self, file: Path) -> list[str]:
        lines = re.split("\r\n|\r|\n", decode(file.read_bytes(), self.encoding, file.name))
        names = [clean_label(line) for line in lines]
        while names and not names[-1]:
            names.pop()
        for number, name in enumerate(names, 1):
            if not name:
                raise UserError(f"{file}:{number}: an empty name; line {number} names the label {number - 1}")
            if name in names[: number - 1]:
                raise UserError(f"{file} names {name!r} twice")
        return names

    def _read_documents(self, folders: Classes) -> Iterator[LabeledText]:
        for label, files in folders.items():
            for file in files:
                place = file.relative_to(self._root).as_posix()
                yield LabeledText(decode(file.read_bytes(), self.encoding, place), label, place)


def read_words(path: Path) -> list[str]:
    """Read the entries of a user dictionary, one per line; empty lines are skipped.

    Args:
        path: a file in UTF-8.

    Raises:
        UserError: no such file, bytes that are not UTF-8, or a line that is not an entry.
    """
    if path.is_dir():
        raise UserError(f"the user dictionary {path} is a folder; expected a file of words, one per line")
    if not path.is_file():
        raise UserError(f"there is no user dictionary {path}{contents(path.parent)}")
    words = []
    with path.open("rb") as stream:
        for number, line in read_lines(stream, str(path)):
            if line.strip():
                try:
                    user_word(line)
                except UserError as error:
                    raise UserError(f"{path}:{number}: {error}") from None
                words.append(line.strip())
    return words


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdigit()


def _position(header: list[str], name: str | int, place: str) -> int:
    if header.count(str(name)) > 1:
        raise UserError(f"{place}: {header.count(str(name))} columns are called {name!r}; rename all but one")
    if name not in header:
        raise UserError(f"{place}: no column {name!r} as in train; there are: {', '.join(header)}")
    return header.index(str(name))


def plain_text(cells: dict[str, Any], name: str | int, place: str) -> str:
    """Return a value of a JSON object as text, "" for null and for numbers that are not finite."""
    if isinstance(name, int):
        raise UserError(f"{place}: an object, but train has columns without a header; use one format for all splits")
    value = cells.get(name)
    if value is None and name not in cells:
        raise UserError(f"{place}: no {name!r} as in the first line of train; there are: {', '.join(cells)}")
    if isinstance(value, (dict, list)):
        raise UserError(f"{place}: {name!r} is {str(value)[:40]}; expected a text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
