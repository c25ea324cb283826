"""The search for users' texts: tables of the splits, a single table, or a folder of .txt files per class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lightning_nn.data.class_folders import Classes, find_classes, find_splits, sole_folder
from lightning_nn.data.module import SPLITS
from lightning_nn.data.split_names import find_named_splits, is_exact
from lightning_nn.data.text.rows import suffix_of
from lightning_nn.errors import UserError

CLASS_NAMES = "class.txt"
NAME_FILES = (CLASS_NAMES, "classes.txt")  # the latter of AG News, DBpedia and Yahoo! Answers
_DEPTH = 8  # folders around the tables; a link may lead in a circle
_FORMS = (
    "expected train, val and test tables (.tsv, .txt, .csv, .jsonl, .json, .xlsx, .parquet), a single such file, or a "
    "folder of .txt files per class"
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
    wrapped = [*_wrapped(path, suffixes)]
    for folder in wrapped:
        if (tables := _tables(folder, suffixes, notes)) and not _only_lists(folder, tables.values()):
            return tables, {}
    of_folders: list[str] = []
    folders = _folders(path, of_folders)
    if len(folders.get("train", {})) < 2:
        for folder in wrapped:
            if tables := _only_table(folder, suffixes, notes):
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


def _wrapped(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Yield a folder, and while there is no table in it, the only folder that it holds."""
    inside: Path | None = folder
    for _ in range(_DEPTH):
        if inside is None:
            return
        yield inside
        inside = None if any(map(_is_surely_table, _with_suffix(inside, suffixes))) else sole_folder(inside)


def _only_lists(folder: Path, tables: Iterable[Path]) -> bool:
    """Return whether tables such as train_list.txt rather list the files of the class folders beside them."""
    if any(is_exact(table) or _is_surely_table(table) for table in tables):
        return False
    folders = [each for each in folder.iterdir() if each.is_dir() and _with_suffix(each, (".txt",))]
    return len(folders) > 1


def _with_suffix(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if (file.suffix.lower() in suffixes or suffix_of(file) in suffixes) and not file.is_dir()
    )


def _is_surely_table(file: Path) -> bool:
    """Return whether a file is a table by its suffix; .txt and .json may be a readme or settings."""
    return file.suffix.lower() not in (".txt", ".json")


def _tables(folder: Path, suffixes: Collection[str], notes: list[str]) -> dict[str, Path]:
    """Find the train, val and test tables of a folder; but for exact names, only if train is among them."""
    files = _with_suffix(folder, suffixes)
    tables = find_named_splits(folder, files) or _split_folders(folder, suffixes)
    if "train" not in tables:
        tables = {split: file for split, file in tables.items() if is_exact(file)}
    for file in (*tables.values(), *filter(is_exact, _with_suffix(folder, [""]))):  # a link may be to a folder
        if not file.exists():
            raise UserError(f"{file} is a broken link; repair or remove it")
    if tables and (rest := [f.name for f in files if f not in tables.values() and f.name not in NAME_FILES]):
        names = " and ".join(tables[split].name for split in SPLITS if split in tables)
        notes.append(f"not read, because the splits are {names}: {', '.join(rest)}")
    return {split: tables[split] for split in SPLITS if split in tables}


def _split_folders(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """Find the only table in the folder of each split, as in train/0000.parquet; {} if one is surely no table."""
    places = find_named_splits(folder, [each for each in folder.iterdir() if each.is_dir()])
    tables = {split: file for split, place in places.items() for file in _only_table(place, suffixes, []).values()}
    return tables if len(tables) == len(places) and all(map(_is_surely_table, tables.values())) else {}


def _only_table(folder: Path, suffixes: Collection[str], notes: list[str]) -> dict[str, Path]:
    """Find the only table of a folder; .txt and .json beside it don't count."""
    files = [file for file in _with_suffix(folder, suffixes) if file.is_file() and file.name not in NAME_FILES]
    likely = files if len(files) == 1 else [*filter(_is_surely_table, files)]
    if len(likely) != 1:
        return {}
    if rest := [file.name for file in files if file not in likely]:
        notes.append(f"not read, because {likely[0].name} is the only table: {', '.join(rest)}")
    return {"train": likely[0]}


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
