"""Documents in users' files: tables, or a folder of .txt files per class; each error names file and line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning_nn.data.tables.columns import LABEL_NAMES, plain_text, split_column, split_in, value_of, wanted_names
from lightning_nn.data.tables.folders import SPLITS, Classes, find_classes, find_splits, is_exact
from lightning_nn.data.tables.labels import NAME_FILES, ClassNames, Labels, are_numbers, check_single
from lightning_nn.data.tables.reading import DecodingError, check_encoding, decode, peek, read_lines, refuse_binary
from lightning_nn.data.tables.rows import BadRowError, BadRows, ReadingReport, Row, Skipping, Table, with_remedy
from lightning_nn.data.tables.split_tables import (
    find_shards,
    only_lists,
    only_table,
    tables_of_splits,
    wrapped,
)
from lightning_nn.data.tables.table import SUFFIXES, form_of, open_table
from lightning_nn.data.text.columns import Columns, find_columns
from lightning_nn.data.text.corpus_building import LabeledText
from lightning_nn.data.text.segmenter import user_word
from lightning_nn.errors import UserError, choose

_FOOTER = re.compile(
    r"\(?((grand |sub)?total|sum|count)\s*[:：]?\s*[\d,.]*( rows?| records?)?\)?|"
    r"\(?[\d,]+ (rows?|records?)( selected| affected| in set)?[.)]*|"
    r"(合计|总计|小计|总数)\s*[:：]?\s*[\d,.]*|[（(]?[共总]计?\s*[:：]?\s*[\d,]+\s*[行条个项](记录|数据|结果|评论)?[）)。.]*",
    re.IGNORECASE,
)
_FORMS = (
    "expected train, val and test tables (.tsv, .txt, .csv, .jsonl, .json, .xlsx, .parquet), a single such file, or a "
    "folder of .txt files per class"
)
FOOTERS = "skipped: {count} footer{s} such as a total"


class TextFiles:
    """Documents in the files under a path.

    Args:
        path: a table (see `rows.SUFFIXES`), in which a column called split may say train, val, test, or none to leave
            the row out; a folder with a single one, or with train, val (or dev) and test tables, also in numbered
            shards; or a folder of .txt files per class, one document each, directly or below train,
            val and test; where no file is called .txt, of those without a suffix.
        encoding: of all files; a byte order mark is accepted.
        text_column: name of the text column, or its number from 1 if there is no header; several with commas between
            are joined; None to guess.
        label_column: name of the label column, likewise.
        trains: whether a train split is required.
        bad_rows: "error" to stop at a row or document that can't be read, "skip" to count and leave out up to a fifth.

    Attributes:
        names: of the classes, from a class.txt or classes.txt beside the files, whose lines numeric labels count.
        columns: the text and label columns of tables.
        notes: remarks on how the files are read, for the user.
        report: what happens while the records are read.

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
        bad_rows: BadRows = "error",
    ) -> None:
        check_encoding(encoding)
        choose("bad_rows", bad_rows, BadRows)
        self.encoding = encoding
        self.notes: list[str] = []
        self.report = ReadingReport()
        self._skipping = Skipping(bad_rows, self.report)
        self._wanted = wanted_names(text_column, label_column)
        self._tables = find_shards(path)
        self._folders: dict[str, Classes] = {}
        self._part_column = ""  # which names the split of each row
        self._parts: list[str] = []
        if not self._tables:
            tables, self._folders = _find_texts(path, self.notes)
            self._tables = {split: [table] for split, table in tables.items()}
        self._root = path if path.is_dir() else path.parent
        if trains and "train" not in self.splits:
            raise UserError(f"{path} has {', '.join(t[0].name for t in self._tables.values())} but no train file")
        for table in self._all_tables():
            if not form_of(table):
                with table.open("rb") as stream:
                    refuse_binary(peek(stream), str(table))
                raise UserError(f"{table}: unknown kind of file; known are {', '.join(SUFFIXES)}")
        beside = next(iter(self._all_tables()), path).parent
        self._names_file = next(
            (beside / name for name in NAME_FILES if self._tables and (beside / name).is_file()), None
        )
        self._class_names: ClassNames | None = None
        self.columns = Columns([], "", 0, "", [])
        self._labels = Labels(self.report)
        self._trained: set[str] = set()
        if self._tables:
            self._choose_columns(text_column, label_column)
        if [*self._tables] == ["train"]:
            self._find_parts(trains)
        for split in [split for split in self._tables if split != "train" and trains]:
            self._leave_out_if_unlabelled(split)

    @property
    def names(self) -> list[str]:
        """Names of the classes that numeric labels count; empty if there are none."""
        return self._class_names.names if self._class_names else []

    @property
    def names_file(self) -> str:
        """Name of the file that names the classes; "" if there is none."""
        return self._names_file.name if self._names_file else ""

    @property
    def paths(self) -> list[Path]:
        """All files that determine the documents."""
        return [*self._all_tables(), *documents(self._folders), *([self._names_file] if self._names_file else [])]

    @property
    def splits(self) -> list[str]:
        """The splits that are provided."""
        return self._parts or [*(self._folders or self._tables)]

    @property
    def text_column(self) -> str:
        """The text columns of tables as `--data.text_column` would name them; "" for folders."""
        return self.columns.option

    def records(self) -> dict[str, Iterator[LabeledText]]:
        """Return the documents of each provided split, read lazily.

        Raises:
            UserError: here or while reading; names file, line and remedy.
        """
        if self._folders:
            return {split: self._read_documents(folders) for split, folders in self._folders.items()}
        if self._parts:
            return {part: self._read_tables(self._tables["train"], part) for part in self._parts}
        return {split: self._read_tables(tables) for split, tables in self._tables.items()}

    def _all_tables(self) -> list[Path]:
        return [table for tables in self._tables.values() for table in tables]

    def _choose_columns(self, text: str | None, label: str | None) -> None:
        train = next(iter(self._all_tables()))  # or the first split present
        table = self._open(train)
        self.columns = find_columns(table, train.name, text, label, classes=self._names_file is not None)
        self._wanted = [*self._wanted, *(() if self.columns.width else (*self.columns.text, self.columns.label))]
        self.notes += self.columns.notes
        labels = self._label_values(table)
        self._labels = Labels(self.report, numbers=are_numbers(value for _, value in labels))
        self._trained = set(Labels(ReadingReport()).readable(labels))
        check_single((place, value) for place, value in labels if isinstance(value, str))
        if self._names_file:
            known = Labels(ReadingReport(), numbers=True)
            self._class_names = ClassNames(self._names_file, self.encoding, known.readable(labels))
            self.notes += [self._class_names.note] if self._class_names.note else []

    def _find_parts(self, trains: bool) -> None:
        """Find the column of the only table that names the split of each row, and the splits in it, if it has one.

        Raises:
            UserError: no row is of train, and the documents are trained on.
        """
        table = self._open(self._tables["train"][0])
        used = (*self.columns.text, self.columns.label)
        if not table.header or (column := split_column(table.header, table.sample, used)) is None:
            return
        rows = (row for file in self._tables["train"] for row in self._open(file).rows)
        cells = Counter(str(row.cells[column]) for row in rows if not row.error and column in row.cells)
        parts: Counter[str] = Counter()
        for cell, count in cells.items():
            with suppress(BadRowError):  # said where the row is read
                parts[split_in(cell, "") or "none"] += count
        if trains and not parts["train"]:
            raise UserError(f"{table.place}: no row is of train by the column {column}, which names the split of each")
        self._part_column, self._parts = column, [split for split in SPLITS if parts[split]]
        left = f"; {parts['none']:,} rows are of none and left out" if parts["none"] else ""
        self.notes.append(f"splits by the column {column}: {', '.join(self._parts)}{left}")

    def _is_of(self, row: Row, part: str) -> bool:
        """Return whether a row of the only table is of a split; one whose split can't be told is of the first.

        Raises:
            BadRowError: it can't be told, and the split is the first.
        """
        if row.error:
            return part == self._parts[0]
        try:
            return split_in(str(row.cells.get(self._part_column, "")), row.place) == part
        except BadRowError:
            if part == self._parts[0]:
                raise
            return False

    def _leave_out_if_unlabelled(self, split: str) -> None:
        """Leave out a test split that holds texts alone, as of competitions.

        Raises:
            UserError: val does; another would be split off from train in its place.
        """
        file, columns = self._tables[split][0], self.columns
        try:
            table = self._open(file)
        except UserError:  # that it can't be read is said where its documents are read
            return
        names = [name.lower() for name in table.header]
        values = self._label_values(table)
        if not names and not columns.width:
            return
        if values and len(table.columns) >= columns.width:  # -1 stands for none if train lacks it
            unlabelled = not {*Labels(ReadingReport(), numbers=True).readable(values)} - ({"-1"} - self._trained)
        elif names:
            near = get_close_matches(columns.label.lower(), names, 1, 0.7)
            texts = columns.width or all(name.lower() in names for name in columns.text)
            unlabelled = bool(texts) and not (near or set(LABEL_NAMES) & set(names))
        else:
            unlabelled = len(table.columns) == columns.width - 1
        if unlabelled and split == "val":
            raise UserError(f"{file}: its rows have no label; add labels, or remove it to split val off from train")
        if unlabelled:
            del self._tables[split]
            self.notes.append(
                f"{file.name} is left out, since its rows have no label: use predict --data.file for their categories"
            )

    def _label_values(self, table: Table) -> list[tuple[str, Any]]:
        """Return the place of each row of a sample that has a cell for the label, and what is in it."""
        label = self.columns.label
        return [(row.place, row.cells[label]) for row in table.sample if label in row.cells]

    def _open(self, file: Path, report: ReadingReport | None = None) -> Table:
        try:
            return open_table(file, self.encoding, wanted=self._wanted, lenient=self._skipping.skips, report=report)
        except DecodingError as error:
            raise with_remedy(error, "rows") from None

    def _read_tables(self, files: list[Path], part: str = "") -> Iterator[LabeledText]:
        for file in files:
            try:
                yield from self._read_table(file, part)
            except DecodingError as error:
                raise with_remedy(error, "rows") from None

    def _read_table(self, file: Path, part: str) -> Iterator[LabeledText]:
        """Yield the documents in the rows of a table, those of one split if a column of it names the splits.

        Raises:
            UserError: no rows, other columns than in train, or a row that can't be read.
        """
        table, texts, label = self._open(file, self.report), self.columns.text, self.columns.label
        self.columns.check(table)
        only = texts[0] if len(texts) == 1 else ""
        named, known = self._class_names, self._labels.known
        total, bad, first = 0, 0, ""
        for row in table.rows:
            try:
                if part and not self._is_of(row, part):
                    continue
                text = row.cells.get(only)
                if row.error or type(text) is not str:
                    text = "\n".join([plain_text(row, column) for column in texts])
                value = value_of(row, label)
                name = known.get(value) if type(value) is str else None
                if name is None:
                    if _is_footer(row.cells):
                        self.report.add(FOOTERS, row.place)
                        continue
                    name = self._labels.read(value, row.place)
            except BadRowError as error:
                if _is_blank(row):
                    continue
                if _is_footer(row.cells):
                    self.report.add(FOOTERS, row.place)
                    continue
                self._skipping.handle(error, row.place)
                bad, total, first = bad + 1, total + 1, first or str(error)
                continue
            total += 1
            yield LabeledText(text, named.name(name, row.place) if named and named.names else name, row.place)
        if not total and not part:
            raise UserError(f"{file} is empty: no documents")
        self._skipping.check(str(file), bad, total, first)

    def _read_documents(self, folders: Classes) -> Iterator[LabeledText]:
        total, bad, first = 0, 0, ""
        for label, files in folders.items():
            for file in files:
                place = file.relative_to(self._root).as_posix()
                total += 1
                try:
                    text = decode(file.read_bytes(), self.encoding, place)
                except DecodingError as error:
                    self._skipping.handle(error, place, "documents")
                    bad, first = bad + 1, first or str(error)
                    continue
                yield LabeledText(text, label, place)
        self._skipping.check(str(self._root), bad, total, first)


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
        raise UserError(f"there is no user dictionary {path}{_contents(path.parent)}")
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


def _find_texts(path: Path, notes: list[str]) -> tuple[dict[str, Path], dict[str, Classes]]:
    """Find the table of each split, or else the class folders of each split.

    Args:
        path: a file or a folder.
        notes: receives the names of what is not read.

    Raises:
        UserError: nothing there, or not in a known form.
    """
    check_path(path)
    if path.is_file():
        return {"train": path}, {}
    inside = [*wrapped(path)]
    for folder in inside:
        if (tables := tables_of_splits(folder, notes)) and not only_lists(folder, tables.values()):
            return tables, {}
    of_folders: list[str] = []
    folders = _folders(path, of_folders)
    if len(folders.get("train", {})) < 2:
        for folder in inside:
            if tables := only_table(folder, notes):
                return tables, {}
    if not folders:
        raise UserError(f"{path} holds no documents: {_FORMS}{_contents(path)}")
    notes += of_folders
    return {}, folders


def _contents(folder: Path) -> str:
    """List the contents of a folder, as the end of an error message."""
    if not folder.is_dir():
        return ""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    more = ", ..." if len(names) > 8 else ""
    return f"; {folder} has: {', '.join(names[:8])}{more}" if names else f"; {folder} is empty"


def check_path(path: Path, option: str = "--data.path", forms: str = _FORMS) -> None:
    """Refuse a path that does not exist, or is neither a file nor a folder.

    Args:
        path: as given.
        option: that gives it.
        forms: which forms are read, for the error.

    Raises:
        UserError: says what its folder has.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # the name is too long or contains a NUL
        raise UserError(f"{str(path)[:80]!r} can't be a path ({error.args[-1]}); see {option}") from None
    if not exists:
        raise UserError(f"{path} does not exist{_contents(path.parent)}")
    if not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder; {forms}")


def documents(folders: dict[str, Classes]) -> list[Path]:
    """List the files of all splits and classes."""
    return [file for classes in folders.values() for files in classes.values() for file in files]


def _folders(folder: Path, notes: list[str]) -> dict[str, Classes]:
    """Find the .txt files of each class in each split; if there are none, those without a suffix (20 Newsgroups)."""
    for suffix in (".txt", ""):
        remarks: list[str] = []
        places = find_splits(folder, (suffix,), "text", remarks)
        splits = find_classes(folder, places, (suffix,), "text", remarks)
        if splits["train"]:
            break
    notes += remarks
    for split, place in places.items():
        if not splits[split] and split != "train":
            raise UserError(f"{place} has no class folders with .txt files{_contents(place)}")
    for files in [files for classes in splits.values() for files in classes.values()]:
        if len(named := [file for file in files if is_exact(file)]) > 1:
            raise UserError(
                f"{named[0].parent}: {named[0].name} and {named[1].name} are the splits of a data set, not texts of a "
                f"class; give their folder: --data.path {named[0].parent}"
            )
    for file in documents(splits):
        if not file.is_file():
            raise UserError(f"{file} is a broken link or not a file; remove it")
    return {split: splits[split] for split in SPLITS if split in splits} if splits["train"] else {}


def _is_footer(cells: Mapping[str, Any]) -> bool:
    """Return whether a row is a total or a count of rows, beside empty cells and numbers."""
    filled = [cell.strip() for cell in cells.values() if isinstance(cell, str) and cell.strip()]
    rest = [cell for cell in filled if not _FOOTER.fullmatch(cell)]
    return len(rest) < len(filled) and all(cell.replace(",", "").replace(".", "").isdigit() for cell in rest)


def _is_blank(row: Row) -> bool:
    """Return whether a row has cells, but nothing in them."""
    cells = [*row.cells.values(), *row.rest]
    return bool(cells) and all(isinstance(cell, str) and not cell.strip() for cell in cells)
