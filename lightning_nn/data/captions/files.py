"""Files of captions in the forms that they are published in, found in a folder and read caption by caption.

Lines of `PICTURE#NUMBER CAPTION` (Flickr8k, Flickr30k) or `PICTURE#zhc#NUMBER CAPTION` (Flickr8k-CN). Tables with a
column of pictures and one or several of captions (Hugging Face, Kaggle); a cell may hold a list of captions. JSON of
COCO; JSON with a list of images (Karpathy), of objects (BLIP) or of captions for each picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lightning_nn.data.captions.processor import Language
from lightning_nn.data.images.image_files import SUFFIXES as PICTURES
from lightning_nn.data.images.image_files import zip_members
from lightning_nn.data.tables.columns import SPLIT_NAMES, as_text, named_so, plain_text, split_in, value_of
from lightning_nn.data.tables.folders import SPLIT_OF, SPLITS, files_below, find_named_splits
from lightning_nn.data.tables.json import parse
from lightning_nn.data.tables.reading import UNDECODED, decode, encoding_remedy, opened, read_lines
from lightning_nn.data.tables.rows import BAD_BYTES, BAD_ROWS, BadRowError, Row
from lightning_nn.data.tables.table import BINARY, SUFFIXES, form_of, open_table
from lightning_nn.errors import UserError

_TOKEN = re.compile(r"([^\s,|{}][^\t,|{}]*?)#(?:[A-Za-z]\w*#)?\d+\s+(.*)", re.DOTALL)
_IMAGE = (
    *("image", "images", "file_name", "filename", "image_name", "image_path", "img_path", "image_file", "img_name"),
    *("file", "filepath", "file_path", "path", "img", "picture", "photo", "name", "image_id", "图片", "文件", "文件名"),
)
_CAPTION = (
    *("caption", "captions", "caption_text", "raw", "sentence", "sentences", "sentences_raw", "comment", "text"),
    *("texts", "description", "report", "描述", "标题", "句子", "文本"),
)
_NAMES = (_IMAGE[0], _CAPTION[0])
_WANTED = frozenset((*_IMAGE, *_CAPTION))
_NUMBER = re.compile(r"[ _-]?\d+$")  # of caption_1
_KEYS = (b'"caption', b'"raw"', b'"sentence')  # of JSON with captions
_LARGE = 1 << 25  # bytes of JSON from which it is read only if it has such keys
_STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u(?!d[89a-f])[0-9a-f]{4}|.)", re.DOTALL | re.IGNORECASE)
_LISTED = re.compile(r"[^\t#,|]+\.[A-Za-z]{3,4}\s*|\d{4,}\s*")  # a picture alone on its line, or its number
_LEMMAS = "lemma"  # Flickr8k.lemma.token.txt holds the base forms of the words
_SEVERAL = 5  # rows of which each has as many cells too many: these are columns, and no text with commas
_SHOWN = 3  # files named in an error or note
_QUOTE = "put captions with commas into quotation marks, double those inside, or put tabs between the columns"

# Kinds of a `ReadingReport`.
NO_CAPTION = "skipped: {count} picture{s} without captions"
NO_PICTURE = "skipped: {count} line{s} with a picture that is not there"
BAD_PICTURES = "skipped: {count} picture{s} that can't be read"
EMPTY_CAPTIONS = "skipped: {count} caption{s} without words"
LONG_CAPTIONS = "truncated: {count} caption{s} of more than --data.max_words words"


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


class NoCaptionsError(UserError):
    """A file that can be read, but holds no captions."""


class CaptionFiles(NamedTuple):
    """The files of captions in a folder.

    Attributes:
        captions: by split, "" for one that holds all.
        lists: files that name the pictures of each split.
        notes: remarks on what is not read, for the user.
    """

    captions: dict[str, Path]
    lists: dict[str, Path]
    notes: list[str]


def find_caption_files(
    path: Path, encoding: str = "utf-8", is_picture: Callable[[str], bool] = lambda name: False
) -> CaptionFiles:
    """Find the file of captions, or one for each split, and the lists of splits.

    Of several files with captions, those called so are meant, and never those of lemmas.

    Args:
        path: the file, or the folder that holds it, to any depth.
        encoding: of the files.
        is_picture: tells whether a name is that of a picture which is there.

    Raises:
        UserError: there is none, and what the files that were looked at lack; or it is not clear which.
    """
    root = path if path.is_dir() else path.parent
    named = {file for file in files_below(root, (".txt", ".lst"))[0] if file != path and _is_list(file, encoding)}
    lists = find_named_splits(root, sorted(named))
    if path.is_file():
        return CaptionFiles({"": path}, lists, [])
    files: list[Path] = []
    failed: dict[Path, UserError] = {}
    for file in files_below(root, (*SUFFIXES, ".token", ".gz"))[0]:
        if file not in named and _LEMMAS not in file.name.lower():
            try:
                _check_captions(file, encoding, is_picture)
                files.append(file)
            except UserError as error:
                failed[file] = error
    if not files:
        raise UserError(f"{path}: no file of captions; {_why_none(root, failed)}")
    chosen = [file for file in files if "caption" in file.name.lower()] or files
    splits = _one_per_split(root, chosen)
    if "train" in splits:
        for file, fault in failed.items():  # a split that can't be read is no split that is missing
            beside = [table for table in splits.values() if table.suffix == file.suffix]
            if not isinstance(fault, NoCaptionsError) and set(_one_per_split(root, [*beside, file])) - set(splits):
                raise fault
    if len(chosen) == 1:
        splits = {"": chosen[0]}
    elif "train" not in splits:
        names = ", ".join(file.relative_to(root).as_posix() for file in chosen[:5])
        raise UserError(f"{path}: several files of captions, {names}; give the file itself: --data.path FILE")
    splits = {split: splits[split] for split in (*SPLITS, "") if split in splits}
    return CaptionFiles(splits, {} if "train" in splits else lists, _notes(root, {*files} - {*splits.values()}, failed))


def _one_per_split(root: Path, files: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each split by its name, or by that of its folder, as in train/metadata.csv."""
    if splits := find_named_splits(root, files):
        return splits
    folders = {file.parent: file for file in files}
    return {split: folders[place] for split, place in find_named_splits(root, folders).items()}


def _notes(root: Path, others: set[Path], failed: Mapping[Path, UserError]) -> list[str]:
    names = [file.relative_to(root).as_posix() for file in sorted({*others, *failed})]
    more = ", ..." if len(names) > _SHOWN else ""
    return [f"not read, beside the file of captions: {', '.join(names[:_SHOWN])}{more}"] if names else []


def _why_none(root: Path, failed: Mapping[Path, UserError]) -> str:
    """Say what the files in a folder lack, those first that may be meant."""
    reasons = [str(error) for file, error in sorted(failed.items(), key=lambda failure: failure[0].suffix == ".txt")]
    for archive in files_below(root, (".zip",))[0]:
        if texts := [member.name for member in zip_members(archive, (*SUFFIXES, ".token"))]:
            named = [name for name in texts if re.search("caption|token|metadata", name)] or texts
            reasons.insert(0, f"{archive.name} holds {named[0]}: unpack it into this folder")
    if not reasons:
        return f"there is none of {', '.join(SUFFIXES[:7])} in this folder; write a table with columns image, caption"
    pictures = {file.with_suffix("") for file in files_below(root, PICTURES)[0]}
    if beside := [file for file in failed if file.with_suffix("") in pictures]:
        name = beside[0].name
        return f"texts beside the pictures, such as {name}, are not read: write them into a table, image,caption"
    more = f"; and {len(reasons) - _SHOWN} more files" if len(reasons) > _SHOWN else ""
    return f"looked at: {'; '.join(reasons[:_SHOWN])}{more}"


def _is_list(file: Path, encoding: str) -> bool:
    try:
        with file.open("rb") as stream:
            head = [line for (_, line), _ in zip(read_lines(stream, file.name, encoding), range(20), strict=False)]
    except UserError:
        return False
    return len(head) > 0 and all(map(_LISTED.fullmatch, head))


def read_list(file: Path, encoding: str = "utf-8") -> Iterator[tuple[str, str]]:
    """Yield the name of each picture in a list of a split, and its place.

    Raises:
        UserError: the file is not in this encoding.
    """
    with file.open("rb") as stream:
        for number, line in read_lines(stream, file.name, encoding):
            if line.strip():
                yield line.strip(), f"{file.name}:{number}"


def _check_captions(file: Path, encoding: str, is_picture: Callable[[str], bool]) -> None:
    """Refuse a file without captions: JSON by its keys, which may come late, anything else by its beginning.

    Raises:
        NoCaptionsError: names what is missing.
        UserError: it can't be read.
    """
    if form_of(file) == "json":
        with opened(file) as stream:
            chunks = iter(partial(stream.read, 1 << 20), b"")
            if any(key in chunk for chunk in chunks for key in _KEYS):
                return
        if file.stat().st_size > _LARGE:
            raise NoCaptionsError(f'{file.name}: no "caption" in it')
    next(read_captions(file, "en", encoding, is_picture), None)


def read_captions(
    file: Path,
    language: Language,
    encoding: str,
    is_picture: Callable[[str], bool] = lambda name: False,
    notes: list[str] | None = None,
) -> Iterator[CaptionLine | BadRowError]:
    """Yield the captions of a file, and an error for each line that can't be read.

    Args:
        file: in one of the forms above.
        language: rows of another language are left out where a table names it, and those that a column `kind` calls
            anything but human.
        encoding: of text.
        is_picture: tells whether a name is that of a picture which is there. Then what follows in a line of CSV is its
            caption, commas included.
        notes: receives which columns are read.

    Raises:
        UserError: the file is in none of these forms.
    """
    notes = [] if notes is None else notes
    form, name = form_of(file), Path(file.parent.name, file.name).as_posix()
    if form == "json":
        yield from _row_captions(_json_rows(file, encoding, is_picture), name, language, is_picture, notes)
        return
    first = "" if form in BINARY else _first_line(file, encoding)
    if _TOKEN.match(first):
        notes.append(f"captions: {name}, lines of PICTURE#NUMBER CAPTION")
        yield from _token_lines(file, encoding)
        return
    if form is None:
        raise NoCaptionsError(f"{file.name}: neither a table nor lines of PICTURE#NUMBER CAPTION")
    form = "csv" if form == "txt" and "\t" not in first else form

    def is_record(cells: list[str]) -> bool:
        return len(cells) == 2 and (is_picture(cells[0]) or Path(cells[0].strip().lower()).suffix in PICTURES)

    table = open_table(file, encoding, form, wanted=_WANTED, lenient=True, is_record=is_record)
    rows, commas, width = table.rows, form == "csv", len(table.columns)
    first_cells = [*table.sample[0].cells.values()] if table.sample else []
    if not table.header and is_record(first_cells):
        rows = (row._replace(cells=dict(zip(_NAMES, row.cells.values(), strict=False))) for row in rows)
    elif form not in ("jsonl", "parquet"):
        names = [name.lower() for name in table.header or first_cells]
        columns = _find_columns(names, table.place)
        for column in (columns.image, *columns.captions, columns.split):
            if column and (count := names.count(column)) > 1:
                raise UserError(f"{table.place}: {count} columns are called {column!r}; rename all but one")
    yield from _row_captions(rows, name, language, is_picture, notes, commas=commas, width=width)


def _first_line(file: Path, encoding: str) -> str:
    with opened(file) as stream:
        first = next((line for _, line in read_lines(stream, file.name, encoding, lenient=True) if line.strip()), "")
    if not first:
        raise UserError(f"{file.name} is empty")
    return first


def _token_lines(file: Path, encoding: str) -> Iterator[CaptionLine | BadRowError]:
    with opened(file) as stream:
        for number, line in read_lines(stream, file.name, encoding, lenient=True):
            place = f"{file.name}:{number}"
            if UNDECODED.search(line):
                remedy = encoding_remedy(line.encode(encoding, "surrogateescape"), encoding)
                yield BadRowError(f"{place}: bytes that are not {encoding}; {remedy}", BAD_BYTES)
            elif match := _TOKEN.fullmatch(line.strip("\r\n")):
                yield CaptionLine(match[1], match[2], place)
            elif line.strip():
                yield BadRowError(f"{place}: {line.strip()[:40]!r} is not PICTURE#NUMBER CAPTION")


class _Columns(NamedTuple):
    """Names of the columns: one of pictures, one or several of captions, and others if they are there."""

    image: str
    captions: tuple[str, ...]
    split: str | None
    language: str | None
    kind: str | None

    def __str__(self) -> str:
        several = f" to {self.captions[-1]}" if len(self.captions) > 1 else ""
        split = f", split = {self.split}" if self.split else ""
        return f"image = {self.image}, caption = {self.captions[0]}{several}{split}"


def _row_captions(
    rows: Iterator[Row],
    file: str,
    language: Language,
    is_picture: Callable[[str], bool],
    notes: list[str],
    *,
    commas: bool = False,
    width: int = 0,
) -> Iterator[CaptionLine | BadRowError]:
    """Yield the captions in rows; `commas`: a caption in the last of `width` columns may have some outside of quotes.

    Raises:
        NoCaptionsError: the first row has no such columns.
    """
    expected: _Columns | None = None  # those of the first row; each object of JSON has its own
    names: list[str] = []
    widths, count = set[int](), 0
    for row in rows:
        count += 1
        widths.add(len(row.cells) + len(row.rest))
        cells = {name.strip().lower(): value for name, value in row.cells.items()}
        try:
            if row.error and not (commas and row.error.kind == BAD_ROWS):
                raise row.error
            if row.error and not row.rest:
                raise BadRowError(f"{row.error}; {_QUOTE}")
            if [*cells] != names:
                columns, names = _find_columns(cells, row.place), [*cells]
            if row.rest:
                if columns.captions != (names[-1],) or not is_picture(cells[columns.image]):
                    raise BadRowError(f"{row.error}; {_QUOTE}")
                cells[names[-1]] = ", ".join([cells[names[-1]], *row.rest])
            if expected is None:
                expected = columns
                notes.append(f"captions: {file}, {columns}")
            elif columns != expected:
                raise BadRowError(f"{row.place}: columns {columns}; the first row has {expected}")
            yield from _captions_of(Row(row.place, cells), columns, language)
        except NoCaptionsError as error:
            if expected is None:
                raise
            yield BadRowError(str(error))
        except BadRowError as error:
            yield error
    if count >= _SEVERAL and width and len(widths) == 1 and min(widths) > width + 1:
        raise UserError(
            f"{file}: {width} columns have a name, but each row has {min(widths)}; name the others, too, such as "
            "caption_1, caption_2"
        )
    if not count:
        raise UserError(f"{file.rpartition('/')[2]}: no captions in it")


def _find_columns(names: Sequence[str] | Mapping[str, Any], place: str) -> _Columns:
    """Find the names of the columns by what they hold.

    Raises:
        NoCaptionsError: none holds pictures, or none captions.
    """
    base = {name: _NUMBER.sub("", name) for name in names}
    kinds = named_so([*base.values()], _CAPTION)
    captions = tuple(name for name in names if kinds and kinds[0] in (name, base[name]))
    image = named_so([name for name in names if name not in captions], _IMAGE)
    for columns, noun, known in ((image, "pictures", _IMAGE), (captions, "captions", _CAPTION)):
        if not columns:
            listed = ", ".join(names)[:80]
            raise NoCaptionsError(
                f"{place}: no column of {noun} in {listed}; call it {known[0]} ({', '.join(known[1:6])})"
            )
    others = (SPLIT_NAMES, ("language",), ("kind",))
    return _Columns(image[0], captions, *(next((name for name in some if name in names), None) for some in others))


def _captions_of(row: Row, columns: _Columns, language: str) -> Iterator[CaptionLine]:
    """Yield the captions of a row, none if it is in another language or not by people."""
    for column, wanted in ((columns.language, language), (columns.kind, "human")):
        if column is not None and plain_text(row, column).strip() != wanted:
            return
    if isinstance(row.cells[columns.image], bytes | dict):
        raise UserError(
            f"{row.place}: {columns.image!r} holds the picture itself; save pictures as files and name them here"
        )
    picture = plain_text(row, columns.image).strip()
    split = "" if columns.split is None else split_in(plain_text(row, columns.split), row.place)
    captions = [text for name in columns.captions for text in _captions(row.cells[name], name, row.place)]
    if len(columns.captions) > 1:
        captions = [text for text in captions if text] or captions[:1]
    yield from (CaptionLine(picture, caption, row.place, split) for caption in captions)
    if not captions:
        yield CaptionLine(picture, None, row.place, split)


def _captions(value: Any, name: str, place: str) -> list[str]:
    """Return the captions in a cell: a text, or a list of them, of JSON or as JSON, Python or NumPy writes it."""
    if isinstance(value, str) and value.lstrip().startswith(("['", '["')):
        value = _listed(value.strip(), place)
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list):  # Karpathy's are objects
        texts = [
            text.get(next((key for key in _CAPTION if key in text), ""), text) if isinstance(text, dict) else text
            for text in value
        ]
    return [as_text(text, name, place).strip() for text in texts]


def _listed(text: str, place: str) -> list[str]:
    """Return the texts of a list that is written as text, with commas or, by NumPy, spaces between them.

    Raises:
        BadRowError: it is no such list.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        rest = _STRING.sub("", text)
        if rest[:1] != "[" or rest[-1:] != "]" or rest[1:-1].strip(", \r\n\t"):
            raise BadRowError(f"{place}: {text[:40]!r} begins like a list of captions, but is none")
        value = [_ESCAPE.sub(_unescaped, literal[1:-1]) for literal in _STRING.findall(text)]
    return value


def _unescaped(escape: re.Match[str]) -> str:
    """Return the character that an escape sequence of Python stands for, a space for a new line or tab."""
    code = escape[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else " " if code in "nrt" else code


def _json_rows(file: Path, encoding: str, is_picture: Callable[[str], bool]) -> Iterator[Row]:
    """Yield the rows of a JSON file: a picture with one or several captions each."""
    with opened(file) as stream:
        text = decode(stream.read(), encoding, file.name)
    try:
        whole = parse(text, file.name)
    except BadRowError as error:  # an object on each line is a table, too
        if len(text.splitlines()) < 2 or not text.lstrip().startswith("{"):
            raise UserError(str(error)) from None
        whole = None
    lists = {key: value for key, value in whole.items() if isinstance(value, list)} if isinstance(whole, dict) else {}
    if "images" in lists and "annotations" in lists:
        yield from _coco_rows(lists["images"], lists["annotations"], file.name)
    elif lists and SPLIT_OF.keys() >= {key.lower() for key in lists}:
        for split, entries in lists.items():
            yield from _objects(entries, f"{file.name}: {split}", {"split": split})
    elif isinstance(whole, dict) and all(is_picture(key) or Path(key).suffix.lower() in PICTURES for key in whole):
        for name, captions in whole.items():
            yield Row(f"{file.name}: {name[:40]!r}", dict(zip(_NAMES, (name, captions), strict=True)))
    elif "images" in lists or len(lists) == 1:
        key = "images" if "images" in lists else next(iter(lists))
        yield from _objects(lists[key], f"{file.name}: {key}")
    elif lists and isinstance(whole, dict):
        raise NoCaptionsError(f"{file.name}: no list of pictures with captions; it has: {', '.join(whole)[:80]}")
    else:
        yield from open_table(file, encoding, lenient=True).rows


def _objects(entries: list[Any], name: str, more: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Row]:
    """Yield the objects of a list as rows, each with more cells."""
    for number, cells in enumerate(entries):
        place = f"{name}[{number}]"
        if isinstance(cells, dict):
            yield Row(place, {**cells, **more})
        else:
            yield Row(place, {}, BadRowError(f"{place}: expected an object, got {cells!r:.40}"))


def _coco_rows(images: list[Any], annotations: list[Any], name: str) -> Iterator[Row]:
    """Yield a row for each annotation, and for each image without any."""
    by_id: dict[str, Row] = {}
    for row in _objects(images, f"{name}: images"):
        try:
            key, cells = plain_text(row, "id"), {"image": plain_text(row, "file_name")}
            if not cells["image"]:
                raise BadRowError(f"{row.place}: 'file_name' is {row.cells['file_name']!r}; expected a text")
            cells |= {"split": row.cells["split"]} if "split" in row.cells else {}
            if (known := by_id.setdefault(key, Row(row.place, cells))).cells != cells:
                raise BadRowError(f"{row.place}: id {key} is that of {known.cells['image']!r} too")
        except BadRowError as error:
            yield Row(row.place, {}, error)
    described = set()
    for row in _objects(annotations, f"{name}: annotations"):
        try:
            key, caption = plain_text(row, "image_id"), value_of(row, "caption")
            if key not in by_id:
                raise BadRowError(f"{row.place}: image_id {key} is of no image in this file")
            described.add(key)
            yield Row(row.place, {**by_id[key].cells, "caption": caption})
        except BadRowError as error:
            yield Row(row.place, {}, error)
    for key, row in by_id.items():
        if key not in described:
            yield Row(row.place, {**row.cells, "caption": []})
