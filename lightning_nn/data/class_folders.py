"""Folders of class folders, of texts or of pictures: which split lies where, and what lies in a class."""

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
    """The folder of each split; of train alone, the root itself, where there are no splits.

    Args:
        root: a folder.
        notes: gets what is not read.

    Raises:
        UserError: a part without train, two folders for one part, or a link to nothing.
    """
    places: dict[str, Path] = {}
    passed = []
    for place in _subfolders(root):
        split = SPLIT_OF.get(place.name.lower())
        if split is None:
            passed.append(place.name)
        elif split in places:
            raise UserError(f"{root}: {places[split].name} and {place.name} both could be {split}; leave one of them")
        else:
            places[split] = place
    train = places.pop("train", None)
    if train is not None and any(_subfolders(train)):
        if passed:
            notes.append(f"not read, since {train.name} and other splits stand beside: {', '.join(passed)}")
        return {"train": train, **places}
    if places:  # a folder called train that holds no classes is one itself, of locomotives
        raise UserError(
            f"{next(iter(places.values()))}: a part of the data, but {root} has no train folder with the classes in "
            "it; put the folders to train on into train/"
        )
    return {"train": root}


def find_classes(
    root: Path, places: dict[str, Path], suffixes: Collection[str], what: str, notes: list[str]
) -> dict[str, Classes]:
    """The files of each class of each split, in the order of their names; a class that has none is left out.

    Args:
        root: the folder all of them are in.
        places: from `find_splits`.
        suffixes: of the files that are wanted, in lower case.
        what: such a file is, for the notes.
        notes: gets what is not read.
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
                notes.append(f"no class, since it holds no {what}: {folder}")
        if others:
            notes.append(f"skipped, no {what}s in a class by place and suffix: {_count(others)}")
    return found


def clean_label(label: str) -> str:
    """A label without control characters, which a terminal would obey, and with single spaces."""
    return " ".join(normalize_text(label).split())


def files_below(
    folder: Path, suffixes: Collection[str], outside: Collection[tuple[int, int]] = ()
) -> tuple[list[Path], list[Path]]:
    """All files below a folder, in the order of their names, hidden ones and what macOS puts into archives apart.

    Links to folders are followed, but no folder is read twice: a link to one above would never end.

    Args:
        folder: searched to any depth.
        suffixes: of the files that are wanted, in lower case.
        outside: folders that are not read though a link leads there.

    Returns:
        The files that are wanted, and everything else, folders that were not read among them.
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
