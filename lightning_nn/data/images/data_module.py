"""Data module of the user's own images, in one folder per class or named by a table of files and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import Index
from lightning_nn.data.images.conversion import MAX_PIXELS, Ground, ImageForm
from lightning_nn.data.images.decoding import decode
from lightning_nn.data.images.image_files import SUFFIXES, ImageIndex
from lightning_nn.data.images.label_tables import (
    NO_OPTIONS,
    TableOptions,
    find_table_beside,
    find_tables,
    find_tables_of_splits,
    open_labels,
    read_labels,
    wrapped,
)
from lightning_nn.data.images.labeled_images import ImageSet, LabeledImages
from lightning_nn.data.module import BatchSize
from lightning_nn.data.splits import Splits, complete
from lightning_nn.data.tables.folders import (
    SPLITS,
    Classes,
    find_classes,
    find_splits,
    has_classes,
    is_neutral,
    look_through,
    note_on_unlabelled,
)
from lightning_nn.data.tables.reading import check_encoding
from lightning_nn.data.tables.table import form_of
from lightning_nn.errors import UserError

_ARCHIVES = (".zip", ".tgz", ".gz", ".tar", ".7z", ".rar", ".bz2", ".xz")
_MOST_PIXELS = 10_000  # height and width; a picture then takes 300 MB
_SHOWN = 5  # number of broken files that a note names


class Images(LabeledImages):
    """Your images: `PATH/CLASS/*.jpg`, or `PATH/train/CLASS/*.jpg` with `val` and `test` beside `train`, or a table.

    A table has a row for each image: its file, below the folder of the table and with or without its suffix, and its
    class. It is PATH itself, or lies in PATH, as `train.csv` or `labels.csv` of Kaggle do. A column called split may
    say train, val, test, or none to leave the row out.

    A split may also be called `dev`, `valid`, `training_set`, `seg_train`, `test2017`, `训练集`, ... A single folder
    around all is looked through. A missing split is split off from train, stratified by class and always the same for
    a seed. Folders may be nested below a class that has images of its own. Images that can't be read are skipped and
    reported. All images are decoded once and kept in the cache.

    Args:
        path: the folder, or a table of files and labels (.csv, .tsv, .txt, .jsonl, .xlsx, ...).
        size: height and width in pixels to which images are resized.
        fit: "crop" scales the shorter side to `size` and crops the longer one on both sides; "squash" stretches.
        color: "rgb" or "gray".
        splits: what is split off from train if there is no folder for it.
        batch_size: images in a batch; 1 is gradient descent on single images, "all" on the whole set.
        balanced: train on each class as often as on the largest one, repeating images.
        augment: random changes of training images.
        max_pixels: maximum number of pixels of an image; a larger one is skipped before it is decoded, because a file
            of a few kilobytes may claim any number. Decoding takes up to 16 bytes a pixel; cameras make up to 61
            million pixels.
        file_column: name of the table's column of files, or its number from 1; null finds it by its contents.
        label_column: name of the table's column of classes, or its number from 1; null finds it.
        encoding: encoding of the table.

    Example:
        >>> data = Images("pictures", size=32)  # pictures/CLASS/*.png
        >>> data.describe()["num_classes"]
        2
    """

    least_steps = 120

    def __init__(
        self,
        path: str | None = None,
        size: int = 64,
        fit: Literal["crop", "squash"] = "crop",
        color: Literal["rgb", "gray"] = "rgb",
        splits: Splits = Splits(),
        batch_size: BatchSize = 64,
        balanced: bool = False,
        augment: Augment = NO_AUGMENT,
        max_pixels: int = MAX_PIXELS,
        file_column: str | None = None,
        label_column: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        if max_pixels < 1:
            raise UserError(f"max_pixels is {max_pixels}; it must be at least 1")
        if not 1 <= size <= _MOST_PIXELS:
            raise UserError(f"size is {size}; it must be 1 to {_MOST_PIXELS:,} pixels")
        check_encoding(encoding)
        self.path, self.table_options = path, TableOptions(file_column, label_column, encoding)
        self.form = ImageForm(1 if color == "gray" else 3, size, size, fit)
        self.splits, self.max_pixels = Splits.of(splits), max_pixels
        super().__init__(batch_size, balanced, augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """List the folders or read the tables, decode what is not in the cache, and split off missing splits."""
        if self.path is None:
            raise UserError(
                "say where your images are: --data.path FOLDER, with a folder per class in it, or --data.path TABLE"
            )
        data = read_class_folders(
            Path(self.path).expanduser(),
            self.form,
            self.splits,
            max_pixels=self.max_pixels,
            scale=self.trained_scale,
            ground=self.trained_ground,
            only=self.evaluation_split,
            options=self.table_options,
        )
        self.show(data, self.max_pixels)


def read_class_folders(
    root: Path,
    form: ImageForm,
    splits: Splits,
    *,
    max_pixels: int = MAX_PIXELS,
    scale: int | None = None,
    ground: Ground | None = None,
    only: str | None = None,
    options: TableOptions = NO_OPTIONS,
) -> ImageSet:
    """Read class folders or tables of labels, of all images or of each split, and split off missing splits from train.

    Args:
        root: the folder, or a table.
        form: form to which images are converted.
        splits: shares of the images in train, before splitting, that are split off.
        max_pixels: maximum number of pixels of an image.
        scale: of a trained model's images with more than 8 bits a channel; see `decode`.
        ground: of a trained model's transparent images; see `decode`.
        only: the only split to return, all images if it has no folder; None for all splits.
        options: how tables are read.

    Raises:
        UserError: there is no such folder or table, there are fewer than two classes, no image can be read, or a split
            has a class that train lacks.
    """
    if not root.is_dir() and not root.is_file():
        raise UserError(f"{root}: {'not a folder' if root.exists() else 'there is no such folder'}; see --data.path")
    notes: list[str] = []
    try:
        places, named = _find_images(root, options, notes)
    except PermissionError as error:
        raise UserError(f"{error.filename}: no permission to read it; change its permissions") from error
    root = root if root.is_dir() else root.parent
    categories = sorted(named["train"])
    _check_classes(places, named, categories, notes)
    files, labels, provided = _number(named, categories)
    images, broken, fingerprints, found_scale, remarks, ground, _ = decode(files, root, form, max_pixels, scale, ground)
    notes += remarks
    _report_broken(broken, files, notes)
    scale = scale or found_scale
    readable = np.setdiff1d(np.arange(len(files)), np.array(list(broken), np.int64))
    indices = {split: np.intersect1d(index, readable) for split, index in provided.items()}
    _check_readable(indices, labels, categories, places, broken)
    indices, notes_on_splits = complete(indices, splits, labels, name=str(root), only=only)
    notes += notes_on_splits
    return ImageSet(images, labels, indices, categories, notes, [*provided], fingerprints, files, scale, ground)


def _find_images(root: Path, options: TableOptions, notes: list[str]) -> tuple[dict[str, Path], dict[str, Classes]]:
    """Return the folder or table of each split, and the images of its classes."""
    if root.is_file():
        if root.suffix.lower() in _ARCHIVES and not form_of(root):
            cifar = root.name.startswith("cifar-10-")
            raise UserError(
                f"{root}: an archive; {'use --data cifar10' if cifar else 'unpack it, and give its folder'}"
            )
        return _read_tables({"train": root}, ImageIndex(root.parent), options, notes)
    asked = options.file_column is not None or options.label_column is not None
    if asked or not has_classes(root, SUFFIXES):
        for folder in wrapped(root):
            index = ImageIndex(folder)
            tables = find_tables(index, options, notes) or find_tables_of_splits(folder, options)
            if "train" in tables:
                return _read_tables(tables, index, options, notes)
    unlabelled: dict[str, Path] = {}
    places = find_splits(root, SUFFIXES, "image", notes, unlabelled)
    splits = find_classes(root, places, SUFFIXES, "image", notes)
    for split, place in unlabelled.items():
        table = find_table_beside(split, place, look_through(root), options)
        classes = read_labels(table, ImageIndex(place), options, notes, split, splits["train"]) if table else {}
        if table and classes:
            places[split], splits[split] = table.file, classes[split]
        elif split == "val":
            raise UserError(
                f"{place}: its images are not in class folders, and no table labels them; add one, or move the folder "
                "away to split val off from train"
            )
        else:
            notes.append(note_on_unlabelled(place, "image"))
    return places, splits


def _read_tables(
    tables: dict[str, Path], index: ImageIndex, options: TableOptions, notes: list[str]
) -> tuple[dict[str, Path], dict[str, Classes]]:
    """Read the table of each split, train first; a column of the first may name the splits."""
    splits: dict[str, Classes] = {}
    for split in sorted(tables, key=SPLITS.index):
        table = open_labels(tables[split], index, options, split)
        known = {} if split == "train" else splits["train"]
        for part, classes in read_labels(table, index, options, notes, split, known).items():
            if part in splits:
                raise UserError(f"{tables[split]}: a second {part} split; keep one table of it")
            splits[part] = classes
    if "train" not in splits:
        raise UserError(f"{tables['train']}: no row of it has a label and is of train")
    listed = {image for classes in splits.values() for images in classes.values() for image in images}
    if rest := [file for file in index.files if file not in listed]:
        notes.append(f"left out, {len(rest):,} images below {index.root} are not in the tables, such as {rest[0]}")
    return {split: tables.get(split, tables["train"]) for split in splits}, splits


def _check_classes(
    places: dict[str, Path], splits: dict[str, Classes], categories: list[str], notes: list[str]
) -> None:
    where = places["train"]
    if not categories:
        seen = f" ({notes[-1]})" if notes else ""
        remedy = _archive_remedy(where) or (
            "expected CLASS/*.jpg (or .png, .webp, ...), a folder for each class; or name a table of files and classes"
        )
        raise UserError(f"{where}: no folder in it holds an image{seen}; {remedy}")
    if len(categories) == 1 and is_neutral(categories[0]):
        raise UserError(
            f"{where}: its images stand in {categories[0]} alone, which is no class; expected a folder for each class, "
            "or name a table of files and classes"
        )
    if len(categories) == 1:
        raise UserError(f"{where}: only one class, {categories[0]!r}; at least two are needed")
    alike: dict[str, str] = {}
    for name in categories:
        if (other := alike.setdefault(name.casefold(), name)) != name:
            notes.append(
                f"warning: the classes {other!r} and {name!r} differ in upper and lower case alone; are they one?"
            )
    for split, classes in splits.items():
        if unknown := [name for name in classes if name not in categories]:
            raise UserError(_unknown_class(unknown, places[split], where, {*classes}, categories))


def _archive_remedy(folder: Path) -> str:
    """Say what to do with an archive in place of images, or with CIFAR-10's own files; "" if there is none."""
    for file in (file for place in (folder, *folder.iterdir()) if place.is_dir() for file in sorted(place.iterdir())):
        if file.name.startswith(("cifar-10-", "data_batch_1")):
            return f"{file.name} is of CIFAR-10: use --data cifar10 --data.path {folder}"
        if file.suffix.lower() in _ARCHIVES:
            return f"unpack {file.name} first"
    return ""


def _unknown_class(unknown: list[str], place: Path, train: Path, classes: set[str], categories: list[str]) -> str:
    """Say why a split has a class that train lacks."""
    name = unknown[0]
    here = f"{place / name}" if place.is_dir() else f"{place}: {name!r}"
    if same := [known for known in categories if known.casefold() == name.casefold()]:
        return f"{here}: train writes this class {same[0]!r}; write it alike in both"
    if train.is_dir() and (train / name).is_dir():
        return f"{here}: a class that {train} does not have, as {train / name} holds no image; add some, or remove it"
    if classes.isdisjoint(categories):
        return (
            f"{here}: no class of {place} is one of {train} ({', '.join(categories[:3])}, ...); if its images are "
            "unlabelled, move the folder away, or add a table of their files and labels"
        )
    return f"{here}: a class that {train} does not have; remove it, or train on it"


def _number(splits: dict[str, Classes], categories: list[str]) -> tuple[list[Path], Index, dict[str, Index]]:
    """Return all files, their labels, and the indices of the files in each provided split."""
    files: list[Path] = []
    labels: list[int] = []
    provided: dict[str, Index] = {}
    for split, classes in splits.items():
        start = len(files)
        for label, name in enumerate(categories):
            files.extend(classes.get(name, []))
            labels.extend([label] * len(classes.get(name, [])))
        provided[split] = np.arange(start, len(files))
    return files, np.array(labels, np.int64), provided


def _check_readable(
    indices: dict[str, Index], labels: Index, categories: list[str], places: dict[str, Path], broken: dict[int, str]
) -> None:
    for label, name in enumerate(categories):
        if not np.any(labels[indices["train"]] == label):
            reasons = [reason for number, reason in broken.items() if labels[number] == label]
            where = places["train"] / name if places["train"].is_dir() else f"{places['train']}: {name!r}"
            raise UserError(f"{where}: none of its {len(reasons):,} images can be read, the first one: {reasons[0]}")
    for split, place in places.items():
        if not len(indices[split]):
            raise UserError(f"{place}: no image in it can be read; without the folder, {split} is split off from train")


def _report_broken(broken: dict[int, str], files: list[Path], notes: list[str]) -> None:
    if broken:
        shown = "; ".join(list(broken.values())[:_SHOWN])
        more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
        notes.append(f"skipped, {len(broken):,} of {len(files):,} images can't be read: {shown}{more}")
