"""Class folders of texts or images: the search for splits, classes and their files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lightning_nn.data.normalization import normalize_text
from lightning_nn.errors import UserError

Classes = dict[str, list[Path]]

_NAMES = {"train": ("train", "training"), "val": ("val", "dev", "valid", "validation"), "test": ("test", "testing")}
SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}


def find_splits(root: Path, notes: list[str]) -> dict[str, Path]:
    """Find the folder of each split; without split folders, the root itself is train.

    Args:
        root: a folder.
        notes: receives the names of what is not read.

    Raises:
        UserError: a split without train, or two folders for one split.
    """
    places: dict[str, Path] = {}
    passed = []
    for place in _subfolders(root):
        split = SPLIT_OF.get(place.name.lower())
        if split is None:
            passed.append(place.name)
        elif split in places:
            raise UserError(f"{root}: {places[split].name} and {place.name} both could be {split}; keep one of them")
        else:
            places[split] = place
    train = places.pop("train", None)
    if train is not None and any(_subfolders(train)):
        if passed:
            notes.append(f"not read, because the classes are in {train.name}: {', '.join(passed)}")
        return {"train": train, **places}
    if places:  # a `train` folder without subfolders is a class named train (locomotives), not the training split
        raise UserError(
            f"{next(iter(places.values()))}: a split of the data, but {root} has no train folder with class "
            "folders; put the class folders to train on into train/"
        )
    return {"train": root}


def find_classes(
    root: Path, places: dict[str, Path], suffixes: Collection[str], what: str, notes: list[str]
) -> dict[str, Classes]:
    """Find the files of each class in each split, in the order of their names; a class without files is left out.

    Args:
        root: the folder that holds everything.
        places: the folder of each split, from `find_splits`.
        suffixes: of the files to find, in lower case.
        what: noun for such a file, for the notes.
        notes: receives the names of what is not read.

    Raises:
        UserError: two folders with one class name, or a folder whose name is empty once cleaned.
    """
    folders = {split: list(_subfolders(place)) for split, place in places.items()}
    outside = {_identity(place) for place in (*root.resolve().parents, root, *places.values())}
    outside |= {_identity(folder) for split in folders.values() for folder in split}
    found: dict[str, Classes] = {}
    for split, place in places.items():
        others = [each for each in _visible(place) if not each.is_dir()]
        found[split] = {}
        for folder in folders[split]:
            files, rest = files_below(folder, suffixes, outside)
            others += rest
            name = clean_label(folder.name)
            if not name or name in found[split]:
                raise UserError(f"{str(folder)!r}: two classes would be called {name!r}; rename the folder")
            if files:
                found[split][name] = files
            else:
                notes.append(f"not a class, because it holds no {what}: {folder}")
        if others:
            notes.append(f"skipped, not {what}s in a class by location and suffix: {_count(others)}")
    return found


def clean_label(label: str) -> str:
    """Remove control characters, which a terminal would obey, and repeated spaces from a label."""
    return " ".join(normalize_text(label).split())


def files_below(
    folder: Path, suffixes: Collection[str], outside: Collection[tuple[int, int]] = ()
) -> tuple[list[Path], list[Path]]:
    """List all files below a folder, in the order of their names; hidden ones and what macOS adds to archives apart.

    Links to folders are followed, but no folder is read twice: a link to a parent folder would never end.

    Args:
        folder: searched to any depth.
        suffixes: of the files to find, in lower case.
        outside: folders that are not read even if a link leads there.

    Returns:
        The files found, and everything else, including folders that were not read.
    """
    wanted: list[Path] = []
    others: list[Path] = []
    seen = {_identity(folder), *outside}
    for place, folders, names in os.walk(folder, followlinks=True):
        inside = []
        for name in sorted(name for name in folders if not _hidden(name)):
            path = Path(place, name)
            if (identity := _identity(path)) in seen:
                others.append(path)
            else:
                seen.add(identity)
                inside.append(name)
        folders[:] = inside
        for name in sorted(name for name in names if not _hidden(name)):
            path = Path(place, name)
            (wanted if path.suffix.lower() in suffixes else others).append(path)
    return wanted, others


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _visible(folder: Path) -> Iterator[Path]:
    return (each for each in sorted(folder.iterdir()) if not _hidden(each.name))


def _subfolders(folder: Path) -> Iterator[Path]:
    return (each for each in _visible(folder) if each.is_dir())


def _count(files: list[Path]) -> str:
    kinds = {"folder read elsewhere" if file.is_dir() else file.suffix.lower() or "no suffix" for file in files}
    return f"{len(files):,} ({', '.join(sorted(kinds))}), such as {files[0]}"
