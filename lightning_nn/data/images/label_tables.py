"""Tables that name image files and their classes: Kaggle's `train.csv`, or Tiny ImageNet's `val_annotations.txt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import dropwhile, islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lightning_nn.data.images.image_files import SUFFIXES
from lightning_nn.data.normalization import comparable
from lightning_nn.data.tables.columns import LABEL_NAMES, SPLIT_COLUMNS, plain_text, split_in
from lightning_nn.data.tables.folders import Classes, files_below, find_named_splits, sole_folder, splits_in
from lightning_nn.data.tables.labels import Labels, are_numbers, check_single
from lightning_nn.data.tables.reading import DecodingError
from lightning_nn.data.tables.rows import MOST_BAD, NO_LABEL, BadRowError, ReadingReport
from lightning_nn.data.tables.table import form_of, read_rows, suffix_of
from lightning_nn.errors import UserError, nearest

_FORMS = (".csv", ".tsv", ".txt", ".jsonl", ".xlsx")  # that are looked for in a folder
_DEPTH = 8  # folders around the tables; a link may lead in a circle
_SAMPLE = 200  # rows that tell the columns
_ENOUGH = 0.5  # share of the rows of a table found in a folder that name images
_CLASS_NAMES = (
    *LABEL_NAMES,
    "classid",
    "classname",
    "labelname",
    "labelid",
    "classes",
    "species",
    "breed",
    "diagnosis",
)


class TableOptions(NamedTuple):
    """Options for reading tables of labels.

    Attributes:
        file_column: name of the column that names the image files, or its number from 1; None to find it.
        label_column: name or number of the column of classes; None to find it.
        encoding: of text.
    """

    file_column: str | None = None
    label_column: str | None = None
    encoding: str = "utf-8"


NO_OPTIONS = TableOptions()


class ImageIndex:
    """The images below a folder, found by what a table calls them: a path, a name, or a name without its suffix.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = files_below(root, SUFFIXES)[0]
        self._splits: dict[Path, str | None] = {}
        self._by_name: dict[str, list[Path]] = {}
        for file in self.files:
            for name in {comparable(file.name), comparable(file.stem)}:
                self._by_name.setdefault(name, []).append(file)

    def find(self, name: str, split: str = "train") -> list[Path]:
        """Return the images that a name means: one, none, or several if it is not clear which.

        Args:
            name: as in the table; only the last folders of a path need to be right.
            split: the table's; images below the folder of another split are taken only if there are no others.
        """
        parts = [comparable(part) for part in PurePosixPath(name.strip().replace("\\", "/")).parts]
        found = self._by_name.get(parts[-1], []) if parts else []
        if len(found) > 1:
            common = {file: _common_end(parts, file) for file in found}
            found = [file for file in found if common[file] == max(common.values())]
        if len(found) > 1:
            found = [file for file in found if self._split(file.parent) in (None, split)] or found
        return found

    def _split(self, folder: Path) -> str | None:
        """Return the split that a folder, or one around it, is named after."""
        if folder == self.root:
            return None
        if folder not in self._splits:
            named = next(iter(find_named_splits(folder.parent, [folder])), None)
            self._splits[folder] = self._split(folder.parent) or named
        return self._splits[folder]


class LabelTable(NamedTuple):
    """A table whose rows name images.

    Attributes:
        file: the table.
        rows: place and cells of each row, without the header.
        names: names of the columns; their numbers from 1 if there is no header.
        column: number of the column that names the images, from 0.
    """

    file: Path
    rows: list[tuple[str, list[str]]]
    names: list[str]
    column: int


def open_table(
    file: Path, index: ImageIndex, options: TableOptions, split: str = "train", *, sample: bool = False
) -> LabelTable:
    """Read a table and find the column that names images, by its contents.

    Args:
        file: the table; see `rows.SUFFIXES`.
        index: the images it may name.
        options: how it is read.
        split: that it is of.
        sample: read the first rows only.

    Raises:
        UserError: it can't be read, or names no images.
    """
    if not form_of(file):
        raise UserError(f"{file}: neither a folder of images nor a table of files and labels (.csv, .tsv, .xlsx, ...)")
    read = read_rows(file, options.encoding, wanted=[name for name in options[:2] if name])
    rows = [(row.place, row.cells) for row in (islice(read, _SAMPLE) if sample else read)]
    first = rows[0][1] if rows else []
    keys = list(first) if isinstance(first, dict) else None
    cells = [(place, _texts(row, place, keys)) for place, row in rows]
    cells = [(place, row) for place, row in cells if any(map(str.strip, row))]
    if not cells:
        raise UserError(f"{file} is empty")
    if keys is None and all(len(row) == 1 for _, row in cells[:_SAMPLE]):  # `images/1.jpg 3`, as Caffe has it
        cells = [(place, row[0].rsplit(None, 1)) for place, row in cells]
    width = Counter(len(row) for _, row in cells[:_SAMPLE]).most_common(1)[0][0]
    if keys is None:  # a title above the header has other cells, and names no image
        cells = list(dropwhile(lambda row: len(row[1]) != width and not any(map(index.find, row[1])), cells))
    body = [row for _, row in cells[keys is None : _SAMPLE] if len(row) == width] or [cells[0][1]]
    shares = [sum(bool(index.find(row[i], split)) for row in body) / len(body) for i in range(width)]
    header = keys or [name.strip() for name in cells[0][1]] + [""] * (width - len(cells[0][1]))
    if options.file_column is not None:
        column = _position(options.file_column, header, f"{file}: --data.file_column")
    else:
        column = max(range(width), key=lambda i: (shares[i], len({row[i] for row in body})))
    if shares[column] < _ENOUGH * sample or not shares[column]:
        raise UserError(
            f"{file}: no image below {index.root} is called as in the column {header[column][:40]!r}, such as "
            f"{body[0][column][:60]!r}; put the images beside the table, or name the column: --data.file_column NAME"
        )
    named = keys is not None or (len(cells[0][1]) == width and not index.find(header[column], split))
    names = header if named else [str(number + 1) for number in range(width)]
    return LabelTable(file, cells[named and keys is None :], names, column)


def wrapped(folder: Path) -> Iterator[Path]:
    """Yield a folder, the only folder in it, and so on, as archives are often packed."""
    inside: Path | None = folder
    for _ in range(_DEPTH):
        if inside is not None:
            yield inside
            inside = sole_folder(inside)


def find_tables(index: ImageIndex, options: TableOptions, notes: list[str]) -> dict[str, Path]:
    """Find the tables of a folder that name the images below it, by their split.

    Args:
        index: the folder and the images below it.
        options: how tables are read.
        notes: receives the names of those that are not read.

    Raises:
        UserError: several that could be train.
    """
    root = index.root
    tables = [file for file in possible_tables(root) if _names_images(file, index, options)]
    found = find_named_splits(root, tables)
    if "train" not in found:
        others = [table for table in tables if table not in found.values()]
        if len(others) > 1:
            names = " and ".join(table.name for table in others[:3])
            raise UserError(f"{root}: {names} all name images; give the table to train on: --data.path {others[0]}")
        found |= dict(zip(["train"], others, strict=False))
    rest = [table.name for table in tables if table not in found.values()]
    if rest and "train" in found:
        notes.append(f"not read, because the labels are in {found['train'].name}: {', '.join(rest)}")
    return found


def find_tables_of_splits(root: Path, options: TableOptions) -> dict[str, Path]:
    """Find the table in the folder of each split, as `train/metadata.csv` of Hugging Face's image folders."""
    places = find_named_splits(root, [place for place in sorted(root.iterdir()) if place.is_dir()])
    tables: dict[str, Path] = {}
    for split, place in places.items():
        found = find_tables(ImageIndex(place), options, []) if possible_tables(place) else {}
        tables |= dict(zip([split], found.values(), strict=False))
    return tables


def find_table_beside(split: str, place: Path, root: Path, options: TableOptions) -> LabelTable | None:
    """Find the table that labels the images of a split, beside them or named after the split in the root.

    Args:
        split: "val" or "test".
        place: folder of its images.
        root: the folder of all splits.
        options: how tables are read.
    """
    index = ImageIndex(place)
    for folder in dict.fromkeys((place, place.parent, root)):
        for file in possible_tables(folder):
            fits = splits_in(file.stem) == {split} or (not splits_in(file.stem) and folder != root)
            if fits and _names_images(file, index, options):
                return open_table(file, index, options, split)
    return None


def possible_tables(folder: Path) -> list[Path]:
    """List the files of a folder that may be tables of labels; Kaggle's examples of a submission are none."""
    return [
        file
        for file in sorted(folder.iterdir())
        if suffix_of(file) in _FORMS and file.is_file() and "submission" not in file.stem.lower()
    ]


def _names_images(file: Path, index: ImageIndex, options: TableOptions) -> bool:
    try:
        open_table(file, index, options, sample=True)
    except UserError as error:
        if isinstance(error, DecodingError) and suffix_of(file) != ".txt":
            raise
        return False
    return True


def read_labels(
    table: LabelTable,
    index: ImageIndex,
    options: TableOptions,
    notes: list[str],
    split: str = "train",
    known: Collection[str] = (),
) -> dict[str, Classes]:
    """Read the images of each class, by split: that of the table, or those that a column of it names.

    Args:
        table: from `open_table`.
        index: the images it names.
        options: how it is read.
        notes: receives remarks for the user.
        split: that the table is of.
        known: classes of train, if this is another split.

    Returns:
        The images of each class of each split; {} if test has no labels.

    Raises:
        UserError: no column of labels, an image with two labels, or rows that name no image; names file and line.
    """
    file, rows, names, column = table
    label = _label_column(table, options, known)
    if label is None and split == "val":
        raise UserError(f"{file}: no column of labels; add one, or remove the table to split val off from train")
    if label is None:
        notes.append(f"left out, unlabelled: {file} has no column of labels")
        return {}
    cells = [row[label] for _, row in rows if len(row) > label]
    labels, report = Labels(ReadingReport(), numbers=are_numbers(cells[:_SAMPLE])), Counter[str]()
    parts = _split_column(table, label)
    check_single((place, row[label]) for place, row in rows[:_SAMPLE] if len(row) > label)
    seen: dict[Path, tuple[str, str, str]] = {}
    found: dict[str, Classes] = {}
    missing, first = 0, ""
    for place, row in rows:
        if len(row) != len(names):
            raise UserError(f"{place}: {len(row)} cells, expected {len(names)}: is there a separator in a name?")
        part = split if parts is None else split_in(row[parts], place)
        if part is None:
            report["are of no split"] += 1
            continue
        images = index.find(row[column], split)
        if not images:
            missing, first = missing + 1, first or f"{place}, {row[column][:60]!r}"
            continue
        if len(images) > 1:
            raise UserError(
                f"{place}: {row[column]!r} may be {images[0]} or {images[1]}; write the path into the table"
            )
        try:
            name = labels.read(row[label], place)
        except BadRowError as error:
            if error.kind != NO_LABEL:
                raise
            report["have no label"] += 1
            continue
        known_name, known_part, where = seen.setdefault(images[0], (name, part, place))
        if (known_name, known_part) != (name, part):
            one, other = (repr(name), repr(known_name)) if name != known_name else (f"of {part}", f"of {known_part}")
            raise UserError(
                f"{place}: {row[column]!r} is {one}, but {other} at {where}; an image has one label and one split here"
            )
        if where == place:
            found.setdefault(part, {}).setdefault(name, []).append(images[0])
    total = missing + report.total() + len(seen)
    if missing > MOST_BAD * total:
        raise UserError(
            f"{file}: {missing:,} of {total:,} rows name no image below {index.root}, the first: {first}; put the "
            "images beside the table, or correct the names"
        )
    notes.append(f"labels by {file.name}: the column {names[column]} names the image, {names[label]} its class")
    if missing:
        notes.append(f"left out, {missing:,} of {total:,} rows of {file.name} name no image, the first: {first}")
    notes += [f"left out, {count:,} of {total:,} rows of {file.name} {why}" for why, count in report.items()]
    for classes in found.values():
        for images in classes.values():
            images.sort()
    return found


def _texts(row: dict[str, Any] | list[str], place: str, keys: list[str] | None) -> list[str]:
    """Return the cells of a row as texts, in the order of the keys of the first row."""
    if isinstance(row, list):
        return row
    return [plain_text(row, key, place) if key in row else "" for key in keys or row]


def _label_column(table: LabelTable, options: TableOptions, known: Collection[str]) -> int | None:
    """Return the number of the column of labels; None if another split than train has none."""
    names, column = table.names, table.column
    others = [i for i in range(len(names)) if i != column]
    if options.label_column is not None:
        if known and options.label_column not in names and not options.label_column.isdecimal():
            return None
        return _position(options.label_column, names, f"{table.file}: --data.label_column")
    by_name = [i for name in _CLASS_NAMES for i in others if _plain(names[i]) == name]
    if by_name:
        return by_name[0]
    if known:
        sample = [row for _, row in table.rows[:_SAMPLE] if len(row) == len(names)]
        by_value = [i for i in others if all(row[i].strip() in known for row in sample)]
        return by_value[0] if len(by_value) == 1 else None
    if len(others) == 1:
        return others[0]
    if not others:
        raise UserError(f"{table.file}: a single column, {names[0]!r}; expected the file and the class of each image")
    shown = ", ".join(names[i][:40] for i in others[:20])
    raise UserError(f"{table.file}: which column is the class? There are: {shown}; use --data.label_column NAME")


def _split_column(table: LabelTable, label: int) -> int | None:
    """Return the number of the column of splits: one of its names, with a split in some row."""
    for i, name in enumerate(table.names):
        if _plain(name) in (*SPLIT_COLUMNS, "dataset") and i not in (label, table.column):
            cells = {row[i] for _, row in table.rows if len(row) > i}
            if any(len(splits_in(cell)) == 1 for cell in cells):
                return i
    return None


def _position(wanted: str, names: Sequence[str], what: str) -> int:
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise UserError(f"{what} is {wanted!r}, which is not a column{nearest(wanted, names)}")


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace("_", "")


def _common_end(parts: list[str], file: Path) -> int:
    """Count the folders before the name that a path of a table and that of a file have in common."""
    count = 0
    for one, other in zip(reversed(parts[:-1]), reversed(file.parts[:-1]), strict=False):
        if one != comparable(other):
            break
        count += 1
    return count
