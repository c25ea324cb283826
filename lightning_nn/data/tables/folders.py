"""Folders and files of the splits and classes of a data set, found by their names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lightning_nn.data.normalization import normalize_text
from lightning_nn.data.tables.reading import suggest_encoding
from lightning_nn.errors import UserError

SPLITS = ("train", "val", "test")

_NAMES = {
    "train": ("train", "training", "训练", "訓練"),
    "val": ("val", "dev", "valid", "validation", "验证", "驗證", "校验", "开发"),
    "test": ("test", "testing", "测试", "測試"),
}
SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}

# Words that say nothing about a class, so that `train_data` is a split, but `training_shoes` is not.
_NEUTRAL_WORDS = (
    "all clean cleaned corpora corpus csv data dataset datasets doc docs document documents example examples file "
    "files final full gz image images img imgs jpg json jsonl labeled labelled new of parquet part photo photos pic "
    "pics picture pictures processed raw sample samples seg set sets split splits subset text texts the tsv txt v "
    "xlsx 图 图像 图片 圖片 数据 數據 文件 文本 文档 样本 集 集合 語料 语料"
)
_NEUTRAL = frozenset(_NEUTRAL_WORDS.split(" "))
_CHINESE = "|".join(sorted((word for word in (*SPLIT_OF, *_NEUTRAL) if not word.isascii()), key=len, reverse=True))
_WORD = re.compile(rf"{_CHINESE}|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]")


def find_named_splits(root: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Find the folder or file that certainly holds each split, by the words of its name.

    `train` itself comes first, then a split word with neutral words or numbers (`train_data`, `TestSet`, `val2017`),
    then names that are alike but for the split word, one of them train (`cnews.train.txt`, `cnews.test.txt`).

    Args:
        root: named in errors.
        paths: folders and files of one folder.

    Raises:
        UserError: two for one split.
    """
    groups: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    for path in paths:
        words = list(split_words(path.name))
        if len(splits := splits_in(path.name)) == 1:
            rest = tuple(word for word in words if word not in SPLIT_OF and not _neutral(word))
            groups.setdefault(rest, {}).setdefault(splits.pop(), []).append(path)
    named = groups.pop((), {})
    if "train" not in named:
        for group in groups.values():
            if "train" in group and len(group) > 1:
                for split, more in group.items():
                    named.setdefault(split, []).extend(more)
    return {split: _only(root, split, some) for split, some in named.items()}


def is_exact(path: Path) -> bool:
    """Return whether a folder or file is called by a split word alone."""
    return path.name.lower() in SPLIT_OF or path.stem.lower() in SPLIT_OF


def splits_in(name: str) -> set[str]:
    """Return the splits that the words of a name speak of."""
    return {SPLIT_OF[word] for word in split_words(name) if word in SPLIT_OF}


def is_neutral(name: str) -> bool:
    """Return whether a name says nothing of a class, such as `images`, `data_2` or `test_images`."""
    return all(word in SPLIT_OF or _neutral(word) for word in split_words(name))


def distinct_name(name: str) -> tuple[str, ...]:
    """Return the words of a name that tell it from others: not those that are neutral, unless it is a number."""
    return tuple(word for word in split_words(name) if name.isdecimal() or not _neutral(word))


def _only(root: Path, split: str, paths: list[Path]) -> Path:
    first, *more = [path for path in paths if is_exact(path)] or paths
    if more:
        raise UserError(
            f"{root}: {first.name} and {more[0].name} both could be {split}; keep one of them, or join them; "
            "rename what is a class"
        )
    return first


def split_words(name: str, also: Collection[str] = ()) -> Iterator[str]:
    """Yield the words of a name in lower case, compounds such as `trainset` in two.

    Args:
        name: of a folder or file.
        also: words that may be the second half of a compound, as `annot` in `trainannot`.
    """
    name = normalize_text(name)
    if name.lower() in SPLIT_OF:
        yield name.lower()
        return
    for word in map(str.lower, _WORD.findall(name)):
        rests = {split: word[len(split) :] for split in SPLIT_OF if word.startswith(split)}
        first = next((split for split, rest in rests.items() if rest in _NEUTRAL or rest in also), None)
        yield from (word,) if first is None else (first, word[len(first) :])


def _neutral(word: str) -> bool:
    return word in _NEUTRAL or word.isdecimal()


Classes = dict[str, list[Path]]

# Folders that operating systems and network drives add.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
_UNREAD = (".heic", ".heif", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2")
_REMEDY = "HEIC, raw and vector images are not read; convert them to JPEG or PNG"


def find_splits(
    root: Path, suffixes: Collection[str], noun: str, notes: list[str], unlabelled: dict[str, Path] | None = None
) -> dict[str, Path]:
    """Find the folder of each split; without split folders, the root itself is train.

    A folder that holds nothing but one other folder of folders is looked through, as archives are often packed.

    Args:
        root: a folder.
        suffixes: of the files to find, in lower case.
        noun: for such a file, for the notes.
        notes: receives the names of what is not read.
        unlabelled: receives the folder of each split beside train whose files are not in class folders; None to leave
            these out with a note.

    Raises:
        UserError: a split without train, two folders for one split, or folders that could be classes beside train.
    """
    root = look_through(root)
    places = find_named_splits(root, _subfolders(root))
    passed = [place for place in _subfolders(root) if place not in places.values()]
    train = places.pop("train", None)
    if train is not None and any(_subfolders(train)):
        if not places and (loose := [place for place in passed if _own_files(place, suffixes)]):
            raise UserError(
                f"{root}: {train.name} has class folders, as the training split, but {loose[0].name} beside it holds "
                f"{noun}s, as a class; move one of the two to another place"
            )
        if passed:
            notes.append(f"not read, because the classes are in {train.name}: {', '.join(p.name for p in passed)}")
        train = look_through(train)
        classes = {place.name for place in _subfolders(train)}
        split_places = {"train": train}
        for split, outer in places.items():
            place = look_through(outer, classes)
            inside = sole_folder(place)
            if inside and is_neutral(inside.name) and inside.name not in classes and not any(_subfolders(inside)):
                place = inside  # val/images, as Tiny ImageNet has it
            if any(_subfolders(place)) or not _own_files(place, suffixes):
                split_places[split] = place
            elif unlabelled is not None:
                unlabelled[split] = place
            else:
                notes.append(note_on_unlabelled(place, noun))
        return split_places
    if places:  # a `train` folder without subfolders is a class named train (locomotives), not the training split
        place = next(iter(places.values()))
        raise UserError(
            f"{place}: a split of the data, but {root} has no train folder with class folders; put the class folders "
            f"to train on into train/, or rename {place.name} if it is a class"
        )
    return {"train": root}


def note_on_unlabelled(place: Path, noun: str) -> str:
    """Say that a split is left out, because its files are not in class folders."""
    return f"left out, unlabelled: the {noun}s of {place} are not in class folders"


def has_classes(root: Path, suffixes: Collection[str]) -> bool:
    """Return whether a folder, or its train folder, certainly holds class folders.

    Folders that are alike but for their numbers and for words that say nothing of a class, such as images_part_1 and
    images_part_2, are none.
    """
    root = look_through(root)
    splits = find_named_splits(root, _subfolders(root))
    if splits and "train" not in splits:
        return False
    train = look_through(splits.get("train", root))
    return len({distinct_name(place.name) for place in _subfolders(train) if files_below(place, suffixes)[0]}) > 1


def find_classes(
    root: Path, places: dict[str, Path], suffixes: Collection[str], noun: str, notes: list[str]
) -> dict[str, Classes]:
    """Find the files of each class in each split, in the order of their names; a class without files is left out.

    Args:
        root: the folder that holds everything.
        places: the folder of each split, from `find_splits`.
        suffixes: of the files to find, in lower case.
        noun: for such a file, for the notes.
        notes: receives the names of what is not read.

    Raises:
        UserError: two folders with one class name, a folder whose name is not UTF-8 or empty once cleaned, one that
            holds several folders of files but no file of its own, or one whose files are all images of a kind that is
            not read.
    """
    folders = {split: list(_subfolders(place)) for split, place in places.items()}
    outside = {_identity(folder) for place in (root, *places.values()) for folder in (place, *place.resolve().parents)}
    outside |= {_identity(folder) for split in folders.values() for folder in split}
    classes: dict[str, Classes] = {}
    for split, place in places.items():
        others = [path for path in _visible(place) if not path.is_dir()]
        check_names(folders[split])
        classes[split] = {}
        for folder in folders[split]:
            files, rest = files_below(folder, suffixes, outside)
            others += rest
            name = clean_label(folder.name)
            if not name or name in classes[split]:
                raise UserError(f"{str(folder)!r}: two classes would be called {name!r}; rename the folder")
            if files:
                _check_class(folder, files, noun)
                classes[split][name] = files
            elif noun == "image" and (photos := [file for file in rest if file.suffix.lower() in _UNREAD]):
                raise UserError(
                    f"{folder}: {_count(photos)}, and no image of a kind that is read: {_REMEDY}, or move the folder "
                    "away"
                )
            else:
                notes.append(
                    f"not a class, because it holds no {noun}: {folder}{' (empty)' * (not any(_visible(folder)))}"
                )
        if others:
            remedy = (
                f"; {_REMEDY}" if noun == "image" and any(path.suffix.lower() in _UNREAD for path in others) else ""
            )
            notes.append(f"skipped, not {noun}s in a class by location and suffix: {_count(others)}{remedy}")
    return classes


def look_through(folder: Path, classes: Collection[str] = ()) -> Path:
    """Follow folders that hold a single folder of folders, or one of their own name; never into a class or a split."""
    seen = {_identity(folder)}
    while (inside := sole_folder(folder)) is not None:
        packed = any(_subfolders(inside)) or inside.name == folder.name
        other = set(find_named_splits(folder, [inside])) - set(find_named_splits(folder, [folder])) - {"train"}
        if not packed or other or inside.name in classes or _identity(inside) in seen:
            break
        seen.add(_identity(inside))
        folder = inside
    return folder


def sole_folder(folder: Path) -> Path | None:
    """Return the only folder in a folder, hidden ones apart; None if there are none or several."""
    inside = list(_subfolders(folder))
    return inside[0] if len(inside) == 1 else None


def check_names(paths: Collection[Path]) -> None:
    """Refuse names that are not UTF-8, as archives of another system leave them.

    Raises:
        UserError: says in which encoding they make sense, and how to rename them.
    """
    names = [os.fsencode(path.name) for path in paths if not path.name.isascii()]
    undecoded = [name for name in names if "\ufffd" in name.decode("utf-8", "replace")]
    if undecoded:
        encoding = suggest_encoding(b"".join(undecoded))
        encoding = None if encoding and encoding.startswith("utf-16") else encoding  # no name of a file is
        read = f", in {encoding} it is {undecoded[0].decode(encoding, 'replace')!r}" if encoding else ""
        folder = next(iter(paths)).parent
        raise UserError(
            f"{folder}: the name {ascii(undecoded[0])[1:]} is not UTF-8{read}; rename such folders, as by: "
            f"convmv -f {'gbk' if encoding in (None, 'gb18030') else encoding} -t utf-8 -r --notest {folder}"
        )


def is_special(path: Path) -> bool:
    """Return whether a path is a pipe, a socket or a device, whose reading may never end."""
    try:
        mode = path.stat().st_mode
    except OSError:  # a broken link; reading reports it
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


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
            (wanted if path.suffix.lower() in suffixes and not is_special(path) else others).append(path)
    return wanted, others


def _check_class(folder: Path, files: list[Path], noun: str) -> None:
    """Refuse a class whose files are in several folders, none directly in it or in the one folder that wraps them."""
    if files[0].parent == folder:  # the files of a folder come before those of its subfolders
        return
    common = Path(os.path.commonpath([file.parent for file in files]))
    if files[0].parent != common:
        inside = ", ".join(sorted({file.relative_to(common).parts[0] for file in files})[:3])
        raise UserError(
            f"{common}: no {noun} of its own, only folders of them, such as {inside}; if these are classes, give their "
            "folder as --data.path, or call the folders of the splits train, val and test; if "
            f"{folder.name} is a class, put its {noun}s directly into it"
        )


def _own_files(folder: Path, suffixes: Collection[str]) -> bool:
    return any(path.suffix.lower() in suffixes and path.is_file() for path in _visible(folder))


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _OF_SYSTEMS


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if not _hidden(path.name))


def _subfolders(folder: Path) -> Iterator[Path]:
    return (path for path in _visible(folder) if path.is_dir())


def _count(files: list[Path]) -> str:
    return f"{len(files):,} ({', '.join(sorted(set(map(_kind, files))))}), such as {files[0]}"


def _kind(file: Path) -> str:
    if file.is_dir():
        return "folder read elsewhere"
    return "pipe, socket or device" if is_special(file) else file.suffix.lower() or "no suffix"
