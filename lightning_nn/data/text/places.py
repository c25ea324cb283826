"""The search for users' texts: tables of the splits, a single table, or a folder of .txt files per class."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lightning_nn.data.class_folders import SPLIT_OF, Classes, find_classes, find_splits
from lightning_nn.data.module import SPLITS
from lightning_nn.errors import UserError

CLASS_NAMES = "class.txt"
_FORMS = (
    "expected train, val and test files (.tsv, .txt, .csv, .jsonl), a single such file, or a folder of .txt files per "
    "class"
)


def find_texts(path: Path, suffixes: Collection[str], notes: list[str]) -> tuple[dict[str, Path], dict[str, Classes]]:
    """Find the table of each split, or else the class folders of each split.

    Args:
        path: a file or a folder.
        suffixes: of tables, in lower case.
        notes: receives the names of what is not read.

    Raises:
        UserError: nothing there, or not in a known form.
    """
    _check(path)
    if path.is_file():
        return {"train": path}, {}
    if tables := _tables(path, suffixes):
        return tables, {}
    of_folders: list[str] = []
    folders = _folders(path, of_folders)
    if len(folders.get("train", {})) < 2 and (tables := _only_table(path, suffixes, notes)):
        return tables, {}
    if not folders:
        raise UserError(f"{path} holds no documents: {_FORMS}{contents(path)}")
    notes += of_folders
    return {}, folders


def documents(folders: dict[str, Classes]) -> list[Path]:
    """List the files of all splits and classes."""
    return [file for classes in folders.values() for files in classes.values() for file in files]


def contents(folder: Path) -> str:
    """List the contents of a folder, as the end of an error message."""
    if not folder.is_dir():
        return ""
    names = sorted(each.name + "/" * each.is_dir() for each in folder.iterdir() if not each.name.startswith("."))
    more = ", ..." if len(names) > 8 else ""
    return f"; {folder} has: {', '.join(names[:8])}{more}" if names else f"; {folder} is empty"


def _check(path: Path) -> None:
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # the name is too long or contains a NUL
        raise UserError(f"{str(path)[:80]!r} can't be a path ({error.args[-1]}); see --data.path") from None
    if not there:
        raise UserError(f"{path} does not exist{contents(path.parent)}")
    if not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder; {_FORMS}")


def _tables(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """Find the train, val and test tables of a folder."""
    tables: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        split = SPLIT_OF.get(file.stem.lower())
        if split is None or file.suffix.lower() not in ("", *suffixes):
            continue
        if not file.exists():
            raise UserError(f"{file} is a broken link; repair or remove it")
        if not file.is_file() or file.suffix == "":
            continue
        if split in tables:
            raise UserError(f"{folder}: {tables[split].name} and {file.name} both could be {split}; keep one of them")
        tables[split] = file
    return {split: tables[split] for split in SPLITS if split in tables}


def _only_table(folder: Path, suffixes: Collection[str], notes: list[str]) -> dict[str, Path]:
    """Find the only table of a folder; .txt and .json beside it don't count: they may be a readme or settings."""
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in suffixes and file.is_file() and file.name != CLASS_NAMES
    )
    likely = files if len(files) == 1 else [file for file in files if file.suffix.lower() not in (".txt", ".json")]
    if len(likely) != 1:
        return {}
    if rest := [file.name for file in files if file not in likely]:
        notes.append(f"not read, because {likely[0].name} is the only table: {', '.join(rest)}")
    return {"train": likely[0]}


def _folders(folder: Path, notes: list[str]) -> dict[str, Classes]:
    """Find the .txt files of each class in each split."""
    places = find_splits(folder, notes)
    found = find_classes(folder, places, (".txt",), "text", notes)
    for split, place in places.items():
        if not found[split] and split != "train":
            raise UserError(f"{place} has no class folders with .txt files{contents(place)}")
    for file in documents(found):
        if not file.is_file():
            raise UserError(f"{file} is a broken link or not a file; remove it")
    return {split: found[split] for split in SPLITS if split in found} if found["train"] else {}
