"""Documents in users' files: tables, or a folder of .txt files per class; each error names file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from lightning_nn.data.tables.columns import (
    LABEL_NAMES,
    SAMPLE,
    Columns,
    find_columns,
    find_header,
    plain_text,
    value_of,
    wanted_names,
)
from lightning_nn.data.tables.folders import SPLITS, Classes, find_classes, find_splits, is_exact
from lightning_nn.data.tables.labels import NAME_FILES, ClassNames, Labels, are_numbers, check_single
from lightning_nn.data.tables.reading import DecodingError, check_encoding, decode, peek, read_lines, refuse_binary
from lightning_nn.data.tables.rows import (
    FOOTERS,
    HEADERS,
    BadRowError,
    BadRows,
    ReadingReport,
    Row,
    Skipping,
    with_remedy,
)
from lightning_nn.data.tables.split_tables import (
    FORMS,
    check_path,
    contents,
    find_shards,
    only_lists,
    only_table,
    tables_of_splits,
    wrapped,
)
from lightning_nn.data.tables.table import SUFFIXES, form_of, read_rows
from lightning_nn.data.text.corpus_building import LabeledText
from lightning_nn.data.text.segmenter import user_word
from lightning_nn.errors import UserError, choose


class TextFiles:
    """Documents in the files under a path.

    Args:
        path: a table (see `rows.SUFFIXES`); a folder with a single one, or with train, val (or dev) and test tables,
            also in numbered shards; or a folder of .txt files per class, one document each, directly or below train,
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
        if not self._tables:
            tables, self._folders = find_texts(path, SUFFIXES, self.notes)
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
        self.columns = Columns([], "", 0, [])
        self._labels, self._by_key = Labels(self.report), False
        self._trained: set[str] = set()
        if self._tables:
            self._choose_columns(text_column, label_column)
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
        return [*(self._folders or self._tables)]

    @property
    def text_column(self) -> str:
        """The text columns of tables as `--data.text_column` would name them; "" for folders."""
        return self.columns.text_column

    def records(self) -> dict[str, Iterator[LabeledText]]:
        """Return the documents of each provided split, read lazily.

        Raises:
            UserError: here or while reading; names file, line and remedy.
        """
        if self._folders:
            return {split: self._read_documents(folders) for split, folders in self._folders.items()}
        return {split: self._read_tables(tables) for split, tables in self._tables.items()}

    def _all_tables(self) -> list[Path]:
        return [table for tables in self._tables.values() for table in tables]

    def _choose_columns(self, text: str | None, label: str | None) -> None:
        train = next(iter(self._all_tables()))  # or the first split present
        sample = self._sample(train)
        if not sample:
            raise UserError(f"{train} is empty")
        self._by_key = isinstance(sample[0].cells, dict)
        self.columns = find_columns(sample, train.name, text, label, classes=self._names_file is not None)
        self.notes += self.columns.notes
        labels = [(row.place, value) for row, value in self._label_values(sample)]
        self._labels = Labels(self.report, numbers=are_numbers(value for _, value in labels))
        self._trained = set(Labels(ReadingReport()).readable(labels))
        check_single((place, value) for place, value in labels if isinstance(value, str))
        if self._names_file:
            known = Labels(ReadingReport(), numbers=True)
            self._class_names = ClassNames(self._names_file, self.encoding, known.readable(labels))
            self.notes += [self._class_names.note] if self._class_names.note else []

    def _leave_out_if_unlabelled(self, split: str) -> None:
        """Leave out a test split that holds texts alone, as of competitions.

        Raises:
            UserError: val does; another would be split off from train in its place.
        """
        table, label = self._tables[split][0], self.columns.label
        sample = self._sample(table)
        if not sample or isinstance(sample[0].cells, dict) != self._by_key:
            return
        is_named = isinstance(label, str) or find_header(sample) == 0
        names = [name.strip().lower() for name in sample[0].cells] if is_named else []
        values = [("", value) for _, value in self._label_values(sample)]
        if values:  # -1 stands for none if train lacks it
            unlabelled = not {*Labels(ReadingReport(), numbers=True).readable(values)} - ({"-1"} - self._trained)
        elif names:
            near = get_close_matches(str(label).lower(), names, 1, 0.7)
            unlabelled = not (near or set(LABEL_NAMES) & set(names)) and all(
                str(text).lower() in names for text in self.columns.text if isinstance(text, str)
            )
        else:
            unlabelled = all(len(row.cells) == self.columns.width - 1 for row in sample)
        if unlabelled and split == "val":
            raise UserError(f"{table}: its rows have no label; add labels, or remove it to split val off from train")
        if unlabelled:
            del self._tables[split]
            self.notes.append(
                f"{table.name} is left out, since its rows have no label: use predict --data.file for their categories"
            )

    def _sample(self, table: Path) -> list[Row]:
        return [row for row in islice(self._rows(table), SAMPLE) if not row.error]

    def _label_values(self, sample: list[Row]) -> Iterator[tuple[Row, Any]]:
        """Yield the rows that may hold a label, with the cell that holds it."""
        label, width = self.columns.label, self.columns.width
        if isinstance(label, str) and sample and isinstance(sample[0].cells, list):
            header = [cell.strip() for cell in sample[0].cells]
            sample, width = sample[1:], len(header)
            label = header.index(label) if label in header else width
        for row in sample:
            if isinstance(row.cells, dict):
                if label in row.cells:
                    yield row, row.cells[str(label)]
            elif len(row.cells) == width and isinstance(label, int) and label < width:
                yield row, row.cells[label]

    def _rows(self, table: Path, report: ReadingReport | None = None) -> Iterator[Row]:
        try:
            yield from read_rows(table, self.encoding, wanted=self._wanted, lenient=self._skipping.skips, report=report)
        except (BadRowError, DecodingError) as error:
            raise with_remedy(error, "rows") from None

    def _read_tables(self, tables: list[Path]) -> Iterator[LabeledText]:
        class_name = self._class_names.name if self._class_names and self._class_names.names else None
        for table in tables:
            rows = self._rows(table, self.report)
            yield from read_records(
                rows, str(table), self.columns, self._labels, class_name, self._skipping, self.report
            )

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


def find_texts(path: Path, suffixes: Collection[str], notes: list[str]) -> tuple[dict[str, Path], dict[str, Classes]]:
    """Find the table of each split, or else the class folders of each split.

    Args:
        path: a file or a folder.
        suffixes: of tables, in lower case.
        notes: receives the names of what is not read.

    Raises:
        UserError: nothing there, or not in a known form.
    """
    check_path(path)
    if path.is_file():
        return {"train": path}, {}
    folders_around = [*wrapped(path, suffixes)]
    for folder in folders_around:
        if (tables := tables_of_splits(folder, suffixes, notes)) and not only_lists(folder, tables.values()):
            return tables, {}
    of_folders: list[str] = []
    folders = _folders(path, of_folders)
    if len(folders.get("train", {})) < 2:
        for folder in folders_around:
            if tables := only_table(folder, suffixes, notes):
                return tables, {}
    if not folders:
        raise UserError(f"{path} holds no documents: {FORMS}{contents(path)}")
    notes += of_folders
    return {}, folders


def documents(folders: dict[str, Classes]) -> list[Path]:
    """List the files of all splits and classes."""
    return [file for classes in folders.values() for files in classes.values() for file in files]


def _folders(folder: Path, notes: list[str]) -> dict[str, Classes]:
    """Find the .txt files of each class in each split; if there are none, those without a suffix (20 Newsgroups)."""
    for suffix in (".txt", ""):
        remarks: list[str] = []
        places = find_splits(folder, (suffix,), "text", remarks)
        found = find_classes(folder, places, (suffix,), "text", remarks)
        if found["train"]:
            break
    notes += remarks
    for split, place in places.items():
        if not found[split] and split != "train":
            raise UserError(f"{place} has no class folders with .txt files{contents(place)}")
    for files in [files for classes in found.values() for files in classes.values()]:
        if len(named := [file for file in files if is_exact(file)]) > 1:
            raise UserError(
                f"{named[0].parent}: {named[0].name} and {named[1].name} are the splits of a data set, not texts of a "
                f"class; give their folder: --data.path {named[0].parent}"
            )
    for file in documents(found):
        if not file.is_file():
            raise UserError(f"{file} is a broken link or not a file; remove it")
    return {split: found[split] for split in SPLITS if split in found} if found["train"] else {}


_FOOTER = re.compile(
    r"\(?((grand |sub)?total|sum|count)\s*[:：]?\s*[\d,.]*( rows?| records?)?\)?|"
    r"\(?[\d,]+ (rows?|records?)( selected| affected| in set)?[.)]*|"
    r"(合计|总计|小计|总数)\s*[:：]?\s*[\d,.]*|[（(]?[共总]计?\s*[:：]?\s*[\d,]+\s*[行条个项](记录|数据|结果|评论)?[）)。.]*",
    re.IGNORECASE,
)


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
                value = value_of(cells, label_column, place)
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
