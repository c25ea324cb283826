"""The tables of the splits in a folder: called so, in numbered shards, or a single one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lightning_nn.data.tables.folders import SPLIT_OF, SPLITS, find_named_splits, is_exact, sole_folder
from lightning_nn.data.tables.labels import NAME_FILES
from lightning_nn.data.tables.table import SUFFIXES, form_of, suffix_of
from lightning_nn.errors import UserError

_SHARD = re.compile(r"(?P<split>\w+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.[\w.]+")
_DEPTH = 8  # folders around the tables; a link may lead in a circle


def find_shards(path: Path) -> dict[str, list[Path]]:
    """Find the shards of each split in a folder, its `data` folder or its only folder with shards.

    Returns:
        The shards of each split in the order of their numbers; {} if there are none.

    Raises:
        UserError: a shard is missing, or several folders hold shards.
    """
    try:
        if not path.is_dir():
            return {}
    except (OSError, ValueError):  # no path at all, which its reader reports
        return {}
    if here := _shards(path):
        return here
    sets = {folder: shards for folder in sorted(path.iterdir()) if folder.is_dir() and (shards := _shards(folder))}
    if len(sets) > 1:
        names = ", ".join(folder.name for folder in sets)
        raise UserError(f"{path}: {names} each hold a data set; give one of them: --data.path {next(iter(sets))}")
    return next(iter(sets.values()), {})


def _shards(folder: Path) -> dict[str, list[Path]]:
    shards: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        shard = _SHARD.fullmatch(file.name)
        if shard and (split := SPLIT_OF.get(shard["split"].lower())) and form_of(file):
            shards.setdefault(split, []).append(file)
    for files in shards.values():
        last = _SHARD.fullmatch(files[-1].name)
        if last and len(files) != int(last["count"]):
            raise UserError(f"{files[-1]}: {len(files)} of {int(last['count'])} shards are there; add the others")
    return {split: shards[split] for split in SPLITS if split in shards}


def wrapped(folder: Path) -> Iterator[Path]:
    """Yield a folder, and while there is no table in it, the only folder that it holds."""
    inside: Path | None = folder
    for _ in range(_DEPTH):
        if inside is None:
            return
        yield inside
        inside = None if any(map(_is_surely_table, _with_suffix(inside))) else sole_folder(inside)


def only_lists(folder: Path, tables: Iterable[Path]) -> bool:
    """Return whether tables such as train_list.txt rather list the files of the class folders beside them."""
    if any(is_exact(table) or _is_surely_table(table) for table in tables):
        return False
    folders = [path for path in folder.iterdir() if path.is_dir() and _with_suffix(path, (".txt",))]
    return len(folders) > 1


def _with_suffix(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if (file.suffix.lower() in suffixes or suffix_of(file) in suffixes) and not file.is_dir()
    )


def _is_surely_table(file: Path) -> bool:
    """Return whether a file is a table by its suffix; .txt and .json may be a readme or settings."""
    return file.suffix.lower() not in (".txt", ".json")


def tables_of_splits(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Find the train, val and test tables of a folder; but for exact names, only if train is among them."""
    files = _with_suffix(folder)
    tables = find_named_splits(folder, files) or _split_folders(folder)
    if "train" not in tables:
        tables = {split: file for split, file in tables.items() if is_exact(file)}
    for file in (*tables.values(), *filter(is_exact, _with_suffix(folder, [""]))):  # a link may be to a folder
        if not file.exists():
            raise UserError(f"{file} is a broken link; repair or remove it")
    if tables and (rest := [f.name for f in files if f not in tables.values() and f.name not in NAME_FILES]):
        names = " and ".join(tables[split].name for split in SPLITS if split in tables)
        notes.append(f"not read, because the splits are {names}: {', '.join(rest)}")
    return {split: tables[split] for split in SPLITS if split in tables}


def _split_folders(folder: Path) -> dict[str, Path]:
    """Find the only table in the folder of each split, as in train/0000.parquet; {} if one is surely no table."""
    places = find_named_splits(folder, [path for path in folder.iterdir() if path.is_dir()])
    tables = {split: file for split, place in places.items() for file in only_table(place, []).values()}
    return tables if len(tables) == len(places) and all(map(_is_surely_table, tables.values())) else {}


def only_table(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Find the only table of a folder; .txt and .json beside it don't count."""
    files = [file for file in _with_suffix(folder) if file.is_file() and file.name not in NAME_FILES]
    likely = files if len(files) == 1 else [*filter(_is_surely_table, files)]
    if len(likely) != 1:
        return {}
    if rest := [file.name for file in files if file not in likely]:
        notes.append(f"not read, because {likely[0].name} is the only table: {', '.join(rest)}")
    return {"train": likely[0]}
