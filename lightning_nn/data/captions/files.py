"""Files of captions in the forms that they are published in.

Flickr8k and Flickr8k-CN: `PICTURE#NUMBER CAPTION` or `PICTURE#zhc#NUMBER CAPTION` a line. Flickr30k: so or a table.
COCO: JSON with images and annotations. Any table with a column of pictures and one of captions. Text may be packed with
gzip.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from lightning_nn.data.captions.processor import Language
from lightning_nn.data.split_names import SPLIT_OF
from lightning_nn.data.text.lines import decode, read_lines
from lightning_nn.data.text.rows import BINARY, form_of, read_rows
from lightning_nn.data.text.table_records import plain_text
from lightning_nn.data.text.tables import BadRowError, Row
from lightning_nn.data.text.unpacking import opened
from lightning_nn.errors import UserError, nearest

_TOKEN = re.compile(r"([^\s,|{}][^\t,|{}]*?)#(?:[A-Za-z]\w*#)?\d+\s+(.*)", re.DOTALL)
_PICTURE = ("image", "images", "file", "filename", "file_name", "image_name", "img", "picture", "path", "图片", "文件")
_CAPTION = ("caption", "captions", "caption_text", "text", "sentence", "comment", "raw", "description", "描述", "标题")
_COLUMNS = {
    "image": _PICTURE,
    "caption": _CAPTION,
    "split": ("split", "set", "subset", "划分"),
    "language": ("language",),
    "kind": ("kind",),
}
_KNOWN = frozenset(chain.from_iterable(_COLUMNS.values()))
_SPLIT_OF: dict[str, str | None] = {**SPLIT_OF, "restval": "train", "none": None}  # restval: of Karpathy's COCO


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


def holds_captions(file: Path) -> bool:
    """Tell whether a file holds captions: JSON by its keys, which may come late, anything else by its beginning."""
    with opened(file) as stream:
        if form_of(file) in ("json", "jsonl"):
            chunks = iter(partial(stream.read, 1 << 20), b"")
            return any(b'"caption"' in chunk or b'"raw"' in chunk for chunk in chunks)
        first = stream.readline(1 << 16).decode("utf-8", "replace")
    names = {cell.strip(" \"'\r\n\ufeff").lower() for cell in re.split(r"[\t,;|]", first)}
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
    form = form_of(file)
    if form == "json" and (whole := _whole(file, encoding)) is not None:
        yield from _json_lines(whole, file.name)
        return
    first = "" if form in BINARY else _first_line(file, encoding)
    if _TOKEN.match(first):
        yield from _token_lines(file, encoding)
    elif form is None:
        raise UserError(f"{file}: neither a table nor lines of PICTURE#NUMBER CAPTION; see --data captions --help")
    else:
        form = "csv" if form == "txt" and "\t" not in first else None
        yield from _table_lines(language, read_rows(file, encoding, form, lenient=True))


def _first_line(file: Path, encoding: str) -> str:
    with opened(file) as stream:
        first = next((line for _, line in read_lines(stream, file.name, encoding, lenient=True) if line.strip()), "")
    if not first:
        raise UserError(f"{file} is empty: no captions")
    return first


def _token_lines(file: Path, encoding: str) -> Iterator[CaptionLine | BadRowError]:
    with opened(file) as stream:
        for number, line in read_lines(stream, file.name, encoding, lenient=True):
            place = f"{file.name}:{number}"
            if match := _TOKEN.fullmatch(line.strip("\r\n")):
                yield CaptionLine(match[1], _decoded(match[2]), place)
            elif line.strip():
                yield BadRowError(f"{place}: {line.strip()[:40]!r} is not PICTURE#NUMBER CAPTION")


def _decoded(text: str) -> str:
    """Return a text without what could not be decoded; its caption counts as one without words."""
    return "" if re.search("[\udc80-\udcff]", text) else text


# ---------------------------------------------------------------------- tables


def _table_lines(language: Language, rows: Iterable[Row]) -> Iterator[CaptionLine | BadRowError]:
    first: dict[str, str] = {}  # names of the columns in the first row; each object of JSON has its own
    for place, cells, fault in _by_name(rows):
        try:
            if fault is not None:
                raise fault
            columns = _columns(cells, place)
            if columns != (first := first or columns):
                names, expected = (", ".join(each.values()) for each in (columns, first))
                raise BadRowError(f"{place}: columns {names}; the first row has {expected}")
            said = {what: plain_text(cells, name, place).strip() for what, name in columns.items()}
            if said.get("language", language) == language and said.get("kind", "human") == "human":
                split = _split(said["split"], place) if "split" in said else ""
                yield CaptionLine(said["image"], said["caption"], place, split)
        except BadRowError as error:
            yield error


def _by_name(rows: Iterable[Row]) -> Iterator[tuple[str, dict[str, Any], BadRowError | None]]:
    """Yield the cells of each row by the names of their columns, in lower case; two without names are the usual ones.

    Raises:
        UserError: the header has no such columns, or two of one name.
    """
    header: list[str] = []
    for place, cells, fault in rows:
        if fault is not None:
            yield place, {}, fault
        elif isinstance(cells, dict):
            yield place, {name.strip().lower(): value for name, value in cells.items()}, None
        elif not header:
            header = [cell.strip().lower() for cell in cells]
            if len(header) == 2 and _KNOWN.isdisjoint(header):
                header = [_PICTURE[0], _CAPTION[0]]
                yield place, dict(zip(header, cells, strict=True)), None
            elif twice := [name for name in _columns(header, place).values() if header.count(name) > 1]:
                raise UserError(f"{place}: several columns are called {twice[0]!r}; rename all but one")
        elif len(cells) != len(header):
            yield place, {}, BadRowError(f"{place}: {len(cells)} columns, expected {len(header)}")
        else:
            yield place, dict(zip(header, cells, strict=True)), None


def _columns(names: Collection[str], place: str) -> dict[str, str]:
    """Find the names of the columns, by what they hold.

    Raises:
        BadRowError: none holds pictures, or none captions.
    """
    found = {what: name for what, some in _COLUMNS.items() for name in some[::-1] if name in names}
    if missing := [what for what in ("image", "caption") if what not in found]:
        there = ", ".join(names)[:80]
        raise BadRowError(f"{place}: no column of {missing[0]}s in {there}; call them image and caption")
    return found


def _split(name: str, place: str) -> str | None:
    """Return the split of this name; None for none.

    Raises:
        BadRowError: another name, or an empty one.
    """
    key = name.lower().removesuffix("集")
    if key not in _SPLIT_OF:
        raise BadRowError(f"{place}: the split is {name[:40]!r}{nearest(name, ('train', 'val', 'test', 'none'))}")
    return _SPLIT_OF[key]


# ---------------------------------------------------------------------- JSON


def _whole(file: Path, encoding: str) -> dict[str, Any] | None:
    """Return the object with a list of images that a JSON file holds; None if it holds a table."""
    with opened(file) as stream:
        text = decode(stream.read(), encoding, file.name)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None  # perhaps an object on each line: the reader of tables says what is wrong
    return whole if isinstance(whole, dict) and isinstance(whole.get("images"), list) else None


def _json_lines(whole: dict[str, Any], name: str) -> Iterator[CaptionLine | BadRowError]:
    """Yield the captions of an object in the form of COCO, or of Karpathy's splits."""
    images = [(f"{name}: images[{number}]", image) for number, image in enumerate(whole["images"])]
    if "annotations" not in whole:
        for place, image in images:
            yield from _karpathy_lines(image, place)
        return
    named: dict[int | str, CaptionLine] = {}
    for place, image in images:
        try:
            number, line = _value(image, "id", int | str, place), _picture(image, "file_name", place)
            if named.setdefault(number, line).picture != line.picture:
                raise BadRowError(f"{place}: id {number!r} is that of {named[number].picture!r} too")
        except BadRowError as error:
            yield error
    described = set()
    for count, annotation in enumerate(_value(whole, "annotations", list, name)):
        place = f"{name}: annotations[{count}]"
        try:
            number, caption = _value(annotation, "image_id", int | str, place), _caption(annotation, "caption", place)
            if number not in named:
                raise BadRowError(f"{place}: image_id {number!r} is of no image in this file")
            described.add(number)
            yield named[number]._replace(caption=caption, place=place)
        except BadRowError as error:
            yield error
    yield from (line for number, line in named.items() if number not in described)


def _karpathy_lines(image: Any, place: str) -> Iterator[CaptionLine | BadRowError]:
    try:
        line, sentences = _picture(image, "filename", place), _value(image, "sentences", list, place)
    except BadRowError as error:
        yield error
        return
    if not sentences:
        yield line
    for sentence in sentences:
        try:
            yield line._replace(caption=_caption(sentence, "raw", place))
        except BadRowError as error:
            yield error


def _picture(image: Any, key: str, place: str) -> CaptionLine:
    """Return the line of a picture without a caption."""
    picture = _value(image, key, str, place)
    split = _split(_value(image, "split", str, place), place) if "split" in image else ""
    return CaptionLine(picture, None, place, split)


def _caption(entry: Any, key: str, place: str) -> str:
    return _value(entry, key, str | None, place) or ""


def _value(entry: Any, key: str, kind: Any, place: str) -> Any:
    """Return a value of an object of JSON.

    Raises:
        BadRowError: it is no object, has no such value, or one of another type.
    """
    if not isinstance(entry, dict):
        raise BadRowError(f"{place}: expected an object with {key!r}, got {entry!r:.40}")
    if key not in entry:
        raise BadRowError(f"{place}: no {key!r}; there are: {', '.join(entry)[:80]}")
    if not isinstance(entry[key], kind):
        raise BadRowError(f"{place}: {key!r} is {entry[key]!r:.40}; expected {_EXPECTED[kind]}")
    return entry[key]


_EXPECTED: dict[Any, str] = {str: "a text", str | None: "a text", int | str: "a number or a text", list: "a list"}
