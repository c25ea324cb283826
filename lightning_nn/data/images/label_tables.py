"""Tables that name image files and their classes: Kaggle's `train.csv`, or Tiny ImageNet's `val_annotations.txt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from lightning_nn.data.images.image_files import ImageIndex
from lightning_nn.data.tables.columns import (
    LABEL_NAMES,
    Role,
    as_text,
    choose,
    split_column,
    split_in,
    unsure,
    wanted_names,
)
from lightning_nn.data.tables.folders import Classes, find_named_splits, sole_folder, splits_in
from lightning_nn.data.tables.labels import Labels, are_numbers, check_single
from lightning_nn.data.tables.reading import DecodingError
from lightning_nn.data.tables.rows import MOST_BAD, NO_LABEL, BadRowError, ReadingReport, Row, Table
from lightning_nn.data.tables.table import form_of, open_table, suffix_of
from lightning_nn.errors import UserError

_FORMS = (".csv", ".tsv", ".txt", ".jsonl", ".xlsx")  # that are looked for in a folder
_DEPTH = 8  # folders around the tables; a link may lead in a circle
_SAMPLE = 200  # rows that tell the columns
_ENOUGH = 0.5  # share of the rows of a table found in a folder that name images
_FILE = Role("file_column", "file", ())
_CLASS = Role(
    "label_column",
    "class",
    (*LABEL_NAMES, *("classid", "classname", "labelname", "labelid", "classes", "species", "breed", "diagnosis")),
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


class LabelTable(NamedTuple):
    """A table whose rows name images.

    Attributes:
        file: the table.
        table: its columns and rows.
        column: the column that names the images.
    """

    file: Path
    table: Table
    column: str


def open_labels(
    file: Path, index: ImageIndex, options: TableOptions, split: str = "train", *, sample: bool = False
) -> LabelTable:
    """Open a table and find the column that names images, by its contents.

    Args:
        file: the table; see `table.SUFFIXES`.
        index: the images it may name.
        options: how it is read.
        split: that it is of.
        sample: whether it must name many images to be one, as where it was not given, but found.

    Raises:
        UserError: it can't be read, or names no images.
    """
    if not form_of(file):
        raise UserError(f"{file}: neither a folder of images nor a table of files and labels (.csv, .tsv, .xlsx, ...)")

    def open_as(form: str | None) -> Table:
        return open_table(
            file,
            options.encoding,
            form,
            wanted=wanted_names(options.file_column, options.label_column),
            is_record=lambda cells: any(index.find(cell, split=split) for cell in cells),
            size=_SAMPLE,
        )

    table = open_as(None)
    if len(table.columns) == 1 and form_of(file) in ("csv", "tsv", "txt"):  # `images/1.jpg 3`, as Caffe has it
        table = open_as("space")
    rows = [row for row in table.sample if any(_cell(row, name).strip() for name in row.cells)]
    if not rows:
        raise UserError(f"{file} is empty")
    values = {name: [_cell(row, name) for row in rows] for name in table.columns}
    shares = {name: sum(bool(index.find(cell, split=split)) for cell in cells) for name, cells in values.items()}
    if options.file_column is not None:
        (column,) = choose(table, _FILE, options.file_column)
    else:
        column = max(table.columns, key=lambda name: (shares[name], len({*values[name]})))
    if not shares[column] or shares[column] < _ENOUGH * sample * len(rows):
        raise UserError(
            f"{file}: no image below {index.root} is called as in the column {column[:40]!r}, such as "
            f"{values[column][0][:60]!r}; put the images beside the table, or name the column: --data.file_column NAME"
        )
    return LabelTable(file, table, column)


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
    splits = find_named_splits(root, tables)
    if "train" not in splits:
        others = [table for table in tables if table not in splits.values()]
        if len(others) > 1:
            names = " and ".join(table.name for table in others[:3])
            raise UserError(f"{root}: {names} all name images; give the table to train on: --data.path {others[0]}")
        splits |= dict(zip(["train"], others, strict=False))
    rest = [table.name for table in tables if table not in splits.values()]
    if rest and "train" in splits:
        notes.append(f"not read, because the labels are in {splits['train'].name}: {', '.join(rest)}")
    return splits


def find_tables_of_splits(root: Path, options: TableOptions) -> dict[str, Path]:
    """Find the table in the folder of each split, as `train/metadata.csv` of Hugging Face's image folders."""
    places = find_named_splits(root, [place for place in sorted(root.iterdir()) if place.is_dir()])
    tables: dict[str, Path] = {}
    for split, place in places.items():
        of_split = find_tables(ImageIndex(place), options, []) if possible_tables(place) else {}
        tables |= dict(zip([split], of_split.values(), strict=False))
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
                return open_labels(file, index, options, split)
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
        open_labels(file, index, options, sample=True)
    except UserError as error:
        if isinstance(error, DecodingError) and suffix_of(file) != ".txt":
            raise
        return False
    return True


def read_labels(
    labeled: LabelTable,
    index: ImageIndex,
    options: TableOptions,
    notes: list[str],
    split: str = "train",
    known: Collection[str] = (),
) -> dict[str, Classes]:
    """Read the images of each class, by split: that of the table, or those that a column of it names.

    Args:
        labeled: from `open_labels`.
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
    file, table, column = labeled
    label = _label_column(labeled, options, known)
    if label is None and split == "val":
        raise UserError(f"{file}: no column of labels; add one, or remove the table to split val off from train")
    if label is None:
        notes.append(f"left out, unlabelled: {file} has no column of labels")
        return {}
    rows = [row for row in table.rows if row.error or any(_cell(row, name).strip() for name in row.cells)]
    labels = Labels(ReadingReport(), numbers=are_numbers(_cell(row, label) for row in table.sample))
    check_single((row.place, _cell(row, label)) for row in table.sample)
    part_column = split_column(table.columns, rows, (label, column))
    unread = Counter[str]()
    seen: dict[Path, tuple[str, str, str]] = {}
    splits: dict[str, Classes] = {}
    missing, first = 0, ""
    for row in rows:
        if row.error:
            raise UserError(f"{row.error}; remove it if it is a title")
        place, named = row.place, _cell(row, column)
        part = split if part_column is None else split_in(_cell(row, part_column), place)
        if part is None:
            unread["are of no split"] += 1
            continue
        image = _only_image(index, named, split, place)
        if image is None:
            missing, first = missing + 1, first or f"{place}, {named[:60]!r}"
            continue
        name = _class_of(labels, _cell(row, label), place)
        if name is None:
            unread["have no label"] += 1
            continue
        known_name, known_part, where = seen.setdefault(image, (name, part, place))
        if (known_name, known_part) != (name, part):
            one, other = (repr(name), repr(known_name)) if name != known_name else (f"of {part}", f"of {known_part}")
            raise UserError(
                f"{place}: {named!r} is {one}, but {other} at {where}; an image has one label and one split here"
            )
        if where == place:
            splits.setdefault(part, {}).setdefault(name, []).append(image)
    total = missing + unread.total() + len(seen)
    if missing > MOST_BAD * total:
        raise UserError(
            f"{file}: {missing:,} of {total:,} rows name no image below {index.root}, the first: {first}; put the "
            "images beside the table, or correct the names"
        )
    notes.append(f"labels by {file.name}: the column {column} names the image, {label} its class")
    if missing:
        notes.append(f"left out, {missing:,} of {total:,} rows of {file.name} name no image, the first: {first}")
    notes += [f"left out, {count:,} of {total:,} rows of {file.name} {why}" for why, count in unread.items()]
    for classes in splits.values():
        for images in classes.values():
            images.sort()
    return splits


def _only_image(index: ImageIndex, name: str, split: str, place: str) -> Path | None:
    """Return the image that a cell names; None if there is none.

    Raises:
        UserError: it may be one of several.
    """
    images = cast("list[Path]", index.find(name, split=split))  # no archives are looked into
    if len(images) > 1:
        raise UserError(f"{place}: {name!r} may be {images[0]} or {images[1]}; write the path into the table")
    return images[0] if images else None


def _class_of(labels: Labels, cell: str, place: str) -> str | None:
    """Return the class that a cell names; None if it is empty."""
    try:
        return labels.read(cell, place)
    except BadRowError as error:
        if error.kind != NO_LABEL:
            raise
        return None


def _cell(row: Row, name: str) -> str:
    """Return a cell as text; "" if the row has none, or a list."""
    value = row.cells.get(name)
    return "" if isinstance(value, (dict, list)) else as_text(value, name, row.place)


def _label_column(labeled: LabelTable, options: TableOptions, known: Collection[str]) -> str | None:
    """Return the column of labels; None if another split than train has none."""
    table, column, wanted = labeled.table, labeled.column, options.label_column
    if wanted is not None and known and wanted not in table.columns and not wanted.isdecimal():
        return None
    if columns := choose(table, _CLASS, wanted, [column]):
        return columns[0]
    others = [name for name in table.columns if name != column]
    if known:
        by_value = [name for name in others if all(_cell(row, name).strip() in known for row in table.sample)]
        return by_value[0] if len(by_value) == 1 else None
    if not others:
        raise UserError(f"{labeled.file}: a single column, {column!r}; expected the file and the class of each image")
    if len(others) > 1:
        raise unsure(table, _CLASS)
    return others[0]
