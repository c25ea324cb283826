"""Files of captions in the forms that they are published in, and the lists that say which picture is in which split.

Flickr8k and Flickr8k-CN: `PICTURE#NUMBER CAPTION` or `PICTURE#zhc#NUMBER CAPTION` a line. Flickr30k: so or a table.
COCO: JSON with images and annotations. Any table with a column of pictures and one of captions. Lists name a picture a
line, as Flickr_8k.trainImages.txt does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.data.captions.processor import Language
from lightning_nn.data.class_folders import files_below
from lightning_nn.data.split_names import SPLIT_OF, find_named_splits
from lightning_nn.data.text.lines import DecodingError, read_lines
from lightning_nn.data.text.rows import SUFFIXES, form_of, read_rows
from lightning_nn.data.text.tables import BadRowError, Row
from lightning_nn.errors import UserError

_TOKEN = re.compile(r"(\S.*?)#(?:[A-Za-z]\w*#)?\d+\s+(.*)", re.DOTALL)
_PICTURE = ("image", "images", "file", "filename", "file_name", "image_name", "img", "picture", "path", "图片", "文件")
_CAPTION = ("caption", "captions", "caption_text", "text", "sentence", "comment", "raw", "description", "描述", "标题")
_SPLIT = ("split", "set", "subset", "划分")
_LISTED = re.compile(r"[^\s#,|]+\.[A-Za-z]{3,4}\s*")  # the name of a picture alone on its line
_OTHER_SPLITS = {"restval": "train"}  # of Karpathy's split of COCO


class CaptionLine(NamedTuple):
    """A caption as a file has it.

    Attributes:
        picture: name of the picture.
        caption: text; None for a picture that is listed without one.
        place: such as "captions.tsv:17".
        split: of the picture; "" if the file does not say, None if it is in no split.
    """

    picture: str
    caption: str | None
    place: str
    split: str | None = ""


def find_caption_files(path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the file of captions and the lists of splits.

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
    suffixes = (*SUFFIXES, ".token")
    texts = [path] if path.is_file() else files_below(root, suffixes)[0]
    beside = [file for file in files_below(root, (".txt", ".lst"))[0] if file != path and _is_list(file)]
    lists = find_named_splits(root, beside)
    if path.is_file():
        return {"": path}, lists
    found = [file for file in texts if file not in beside and _has_captions(file)]
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


def _has_captions(file: Path) -> bool:
    """Tell by its beginning whether a file holds captions."""
    with file.open("rb") as stream:
        head = stream.read(1 << 16).decode("utf-8", "replace")
    if file.suffix.lower() == ".json":
        return '"annotations"' in head or '"images"' in head or '"caption"' in head
    first = head.partition("\n")[0]
    names = {cell.strip(" \"'\r\ufeff").lower() for cell in re.split(r"[\t,;|]", first)}
    return bool(_TOKEN.match(first)) or (not names.isdisjoint(_PICTURE) and not names.isdisjoint(_CAPTION))


def read_captions(file: Path, language: Language, encoding: str) -> Iterator[CaptionLine | BadRowError]:
    """Yield the captions of a file, and an error for each line that can't be read.

    Args:
        file: in one of the forms above.
        language: rows of another language are left out where a table names it, and those that a column `kind` calls
            anything but human.
        encoding: of text.

    Raises:
        UserError: the file is in none of these forms.
    """
    if file.suffix.lower() == ".json":
        yield from _json_lines(file)
        return
    with file.open("rb") as stream:
        first = next((line for _, line in read_lines(stream, file.name, encoding, lenient=True) if line.strip()), "")
    if not first:
        raise UserError(f"{file} is empty: no captions")
    if _TOKEN.match(first) and "\t" not in first.partition("#")[0]:
        yield from _token_lines(file, encoding)
    elif form_of(file) is None:
        raise UserError(f"{file}: neither a table nor lines of PICTURE#NUMBER CAPTION; see --data captions --help")
    else:
        form = "csv" if file.suffix.lower() == ".txt" and "\t" not in first else None
        yield from _table_lines(language, read_rows(file, encoding, form, lenient=True))


def _token_lines(file: Path, encoding: str) -> Iterator[CaptionLine | BadRowError]:
    with file.open("rb") as stream:
        for number, line in read_lines(stream, file.name, encoding, lenient=True):
            place = f"{file.name}:{number}"
            if match := _TOKEN.fullmatch(line.strip("\r\n")):
                yield CaptionLine(match[1], _decoded(match[2]), place)
            elif line.strip():
                yield BadRowError(f"{place}: {line.strip()[:40]!r} is not PICTURE#NUMBER CAPTION")


def _decoded(text: str) -> str:
    """Return a text without what could not be decoded; its caption counts as one without words."""
    return "" if re.search("[\udc80-\udcff]", text) else text


def _table_lines(language: Language, rows: Iterable[Row]) -> Iterator[CaptionLine | BadRowError]:
    header: list[str] = []
    columns: dict[str, Any] = {}
    for row in rows:
        if row.error is not None:
            yield row.error
            continue
        if isinstance(row.cells, dict):
            header = [*row.cells]
        elif not header:
            header = [cell.strip().lower() for cell in row.cells]
            if (columns := _columns(header, row)) or len(header) != 2:
                continue
            columns = {"picture": 0, "caption": 1}  # two columns without names
        elif len(row.cells) != len(header):
            yield BadRowError(f"{row.place}: {len(row.cells)} columns, expected {len(header)}")
            continue
        columns = columns or _columns([name.lower() for name in header], row)
        cells = [*row.cells.values()] if isinstance(row.cells, dict) else row.cells
        said = {name: str(cells[column] or "").strip() for name, column in columns.items() if column < len(cells)}
        if said.get("language", language) == language and said.get("kind", "human") == "human":
            yield CaptionLine(said.get("picture", ""), said.get("caption", ""), row.place, _split(said.get("split")))


def _columns(header: list[str], row: Row) -> dict[str, int]:
    """Find the columns by their names; {} for a table of two columns without names."""
    wanted = {"picture": _PICTURE, "caption": _CAPTION, "split": _SPLIT, "language": ("language",), "kind": ("kind",)}
    found = {what: header.index(name) for what, names in wanted.items() for name in names[::-1] if name in header}
    if "picture" in found and "caption" in found:
        return found
    if len(header) == 2 and not found:
        return {}
    missing = "captions" if "picture" in found else "images"
    raise UserError(f"{row.place}: no column of {missing} in {', '.join(header)[:80]}; call them image and caption")


def _split(name: str | None) -> str | None:
    if name is None:
        return ""
    return SPLIT_OF.get(name.lower(), _OTHER_SPLITS.get(name.lower()))


def _json_lines(file: Path) -> Iterator[CaptionLine | BadRowError]:
    """Yield the captions of a JSON file of COCO, or of Karpathy's splits."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8-sig"))
        images = whole["images"]
        if "annotations" not in whole:
            for number, image in enumerate(images):
                place, split = f"{file.name}: images[{number}]", _split(image.get("split"))
                for sentence in image["sentences"] or [{"raw": None}]:
                    yield CaptionLine(image["filename"], sentence["raw"], place, split)
            return
        names = {image["id"]: image["file_name"] for image in images}
        described = {annotation["image_id"] for annotation in whole["annotations"]}
        for number, image in enumerate(images):
            if image["id"] not in described:
                yield CaptionLine(image["file_name"], None, f"{file.name}: images[{number}]")
        for number, annotation in enumerate(whole["annotations"]):
            place = f"{file.name}: annotations[{number}]"
            if annotation["image_id"] not in names:
                yield BadRowError(f"{place}: image_id {annotation['image_id']!r} is of no image in this file")
            else:
                yield CaptionLine(names[annotation["image_id"]], str(annotation["caption"]), place)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{file}: not captions in the form of COCO ({reason})") from None


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
