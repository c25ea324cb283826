"""Search for the files of captions in a folder, and for the lists that say which picture is in which split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lightning_nn.data.captions.files import holds_captions
from lightning_nn.data.class_folders import files_below
from lightning_nn.data.split_names import find_named_splits
from lightning_nn.data.text.lines import DecodingError, read_lines
from lightning_nn.data.text.rows import SUFFIXES
from lightning_nn.errors import UserError

_LISTED = re.compile(r"[^\s#,|]+\.[A-Za-z]{3,4}\s*")  # the name of a picture alone on its line
_LEMMAS = "lemma"  # Flickr8k.lemma.token.txt holds the base forms of the words


def find_caption_files(path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the file of captions and the lists of splits.

    Of several files with captions, those called so are meant, and never those of lemmas.

    Args:
        path: the file, or a folder with a single one, or one of COCO for each split.

    Returns:
        Files of captions by split, "" for one that holds all; lists by split.

    Raises:
        UserError: there is none, or it is not clear which.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; see --data.path")
    root = path if path.is_dir() else path.parent
    beside = [file for file in files_below(root, (".txt", ".lst"))[0] if file != path and _is_list(file)]
    lists = find_named_splits(root, beside)
    if path.is_file():
        return {"": path}, lists
    texts = [file for file in files_below(root, (*SUFFIXES, ".token", ".gz"))[0] if file not in beside]
    found = [file for file in texts if _LEMMAS not in file.name.lower() and holds_captions(file)]
    if len(found) > 1:
        found = [file for file in found if "caption" in file.name.lower()] or found
    if len(found) == 1:
        return {"": found[0]}, lists
    splits = find_named_splits(root, found)
    if "train" not in splits:
        names = ", ".join(file.relative_to(root).as_posix() for file in found[:5])
        what = f"several files of captions, {names}" if found else "no file of captions"
        raise UserError(f"{path}: {what}; give the file itself: --data.path FILE")
    return splits, {}


def _is_list(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(4096).decode("utf-8", "replace").splitlines()[:20]
    return len(head) > 0 and all(_LISTED.fullmatch(line) for line in head[:-1] or head)


def read_list(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each picture in a list of a split, and its place.

    Raises:
        UserError: the file is not UTF-8.
    """
    with file.open("rb") as stream:
        try:
            for number, line in read_lines(stream, file.name):
                if line.strip():
                    yield line.strip(), f"{file.name}:{number}"
        except DecodingError as error:
            raise UserError(str(error)) from None
