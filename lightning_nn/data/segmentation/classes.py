"""Lists of the classes of masks, in the forms in which annotation tools and data sets write them."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_nn.data.batches import IGNORED
from lightning_nn.data.tables.folders import clean_label
from lightning_nn.data.tables.reading import suggest_encoding
from lightning_nn.errors import UserError

FORMS = "NAME, VALUE NAME, NAME RED GREEN BLUE or RED GREEN BLUE NAME"
BACKGROUND = "background"
_IGNORED_WORDS = "void ignore ignored unlabelled unlabeled unlabel ignorelabel dontcare 忽略 未标注"
_IGNORED_NAMES = frozenset(_IGNORED_WORDS.split(" "))
_NAMES = ("name", "names", "classname", "labelname", "类名", "名称", "类别", "class", "classes", "label", "category")
_VALUES = ("value", "pixelvalue", "id", "idx", "index", "classid", "labelid", "number", "class", "label", "编号", "值")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_COLOURS = ("rgb", "colorrgb", "color", "colour")
_LARGEST = 1 << 16  # bytes of a list
_LONGEST = 500  # characters of a line
_BESIDE = re.compile(r"class|label|objectinfo|codes|colou?r", re.IGNORECASE)

_HEX = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})\b", re.IGNORECASE)
_CVAT = re.compile(r"([^:]+):(\d+\s*,\s*\d+\s*,\s*\d+):[^:]*:[^:]*")  # label:color_rgb:parts:actions
_BEFORE = re.compile(r"[\s(\[]*(?:-?\d+(?:[\s,;:=|)\]]+|\.\s+|$))*")
_AFTER = re.compile(r"(?:[\s,;:=|(\[]+-?\d+)*[\s,;:)\]]*$")
_NUMBER = re.compile(r"-?\d{1,9}")

Colour = tuple[int, int, int]


class ClassTable(NamedTuple):
    """Classes of masks.

    Attributes:
        file: that names them.
        names: of the classes, 0 to K - 1.
        values: class of each value of a mask, 255 for one that counts for nothing.
        colours: likewise of each colour (red, green, blue); empty if the file names none.
        note: remark for the user; "" for none.
    """

    file: str
    names: list[str]
    values: dict[int, int]
    colours: dict[Colour, int]
    note: str = ""


class _Line(NamedTuple):
    """A class as a line names it, with its value or colour, if it has one.

    Attributes:
        place: file and line, with what stands there, for errors.
    """

    place: str
    name: str
    value: int | None = None
    colour: Sequence[int] = ()


def read_class_table(file: Path) -> ClassTable:
    """Read a list of classes.

    A line names a class, alone or with its value or its colour: `road`, `0 road`, `0: road`, `road: 0`,
    `road 128 64 128`, `128 64 128 road`, `road:128,64,128::` (CVAT). One line may name all, `sky, road, car`. A table
    has a header that tells its columns: `name,r,g,b`, `Pixel Value, Class`, `Idx Ratio Train Val Name`. Without
    values the first class has the value 0, or -1 if it is labelme's `__ignore__`. Classes called void, ignore or
    unlabelled count for nothing. Where the values begin at 1, 0 is a class "background".

    Args:
        file: UTF-8, with a byte order mark or without.

    Raises:
        UserError: there is no such file, its form can't be told, or a name, a value or a colour comes twice.
    """
    lines = _lines(file)
    valued = [line.value is not None for line in lines]
    coloured = [bool(line.colour) for line in lines]
    for kind in (valued, coloured):
        if any(kind) and not all(kind):
            raise UserError(f"{lines[kind.index(not kind[0])].place}: differs in form from the lines before it")
    first = -1 if lines and lines[0].name == "__ignore__" else 0
    values: dict[int, str] = {}
    colours: dict[Colour, str] = {}
    for position, line in enumerate(lines, first):
        value = position if line.value is None else line.value
        red, green, blue = line.colour or (0, 0, 0)
        if not line.name:
            raise UserError(f"{line.place}: no name; expected a line for each class: {FORMS}")
        if not -1 <= value <= IGNORED or min(red, green, blue) < 0 or max(red, green, blue) > 255:
            raise UserError(f"{line.place}: values and colours are numbers from 0 to 255")
        if line.name in values.values() or value in values or (line.colour and (red, green, blue) in colours):
            raise UserError(f"{line.place}: this name, value or colour came before")
        values[value] = line.name
        if line.colour:
            colours[red, green, blue] = line.name
    note = ""
    if all(valued) and not colours and values and min(values) > 0 and BACKGROUND not in values.values():
        values = {0: BACKGROUND, **values}
        note = f"{file}: the values begin at 1, so 0 is read as {BACKGROUND}; list 0 as void if it is no class"
    names = [values[value] for value in sorted(values) if not _is_ignored(values[value]) and value >= 0]
    if not 2 <= len(names) <= IGNORED:
        raise UserError(f"{file}: {len(names)} classes; expected 2 to {IGNORED}, a line for each: {FORMS}")
    label = {name: names.index(name) if name in names else IGNORED for name in values.values()}
    table = ClassTable(
        str(file),
        names,
        {value: label[name] for value, name in values.items() if value >= 0},
        {colour: label[name] for colour, name in colours.items()},
        note,
    )
    moved = next((value for value, k in table.values.items() if k not in (value, IGNORED)), None)
    if moved is not None and not colours:
        remark = f"predicted masks number the classes from 0 in the order of {file}: {names[table.values[moved]]} is "
        note += "; " * bool(note) + f"{remark}{table.values[moved]}, not {moved}"
    return table._replace(note=note)


def lists_beside(root: Path) -> list[Path]:
    """List the files in a folder, or in its folder train, whose names say that they name classes."""
    return [
        file
        for folder in (root, root / "train")
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in (".txt", ".csv") and _BESIDE.search(file.stem) and file.is_file()
    ]


def _is_ignored(name: str) -> bool:
    return re.sub(r"[\W_]", "", name.lower()) in _IGNORED_NAMES


def _lines(file: Path) -> list[_Line]:
    """Read the lines of a list in whatever form it has."""
    content = [(n, line.strip()) for n, line in enumerate(re.split("\r\n|\r|\n", _text(file)), 1) if line.strip()]
    content = [(n, line) for n, line in content if not line.startswith("#") or _HEX.match(line)]
    if content and content[0][1][0] in "{[":
        content = [(content[0][0], line) for line in _of_literal(file, "\n".join(line for _, line in content))]
    elif content and (table := _table(file, content)):
        return table
    elif len(content) == 1:  # all classes in one line
        number, line = content[0]
        pieces = [piece.strip() for piece in re.split(r"[,;，；、\t]", line) if piece.strip()]
        if not all(map(_NUMBER.fullmatch, pieces[1:])):
            content = [(number, piece) for piece in pieces]
    return _parse(file, content)


class _Parts(NamedTuple):
    """A line in parts.

    Attributes:
        place: see `_Line`.
        text: the whole line.
        before: numbers before the name.
        name: the name.
        after: numbers after the name.
    """

    place: str
    text: str
    before: list[int]
    name: str
    after: list[int]


def _parse(file: Path, content: list[tuple[int, str]]) -> list[_Line]:
    """Tell names from the numbers before and after them."""
    parts = [_parts(f"{file}:{number}: {line[:60]!r}", line) for number, line in content]
    shapes = {(len(part.before), len(part.after)) for part in parts}
    # A number after a name belongs to it in "lane 1" beside "road", and in "grade 1", "grade 2".
    spaced = shapes <= {(0, 0), (0, 1)} and not any(re.search(r"[,:;=]\s*-?\d", part.text) for part in parts)
    if spaced and ((0, 0) in shapes or len({part.name for part in parts}) < len(parts)):
        return [_Line(part.place, clean_label(part.text.strip("\"' ,:;"))) for part in parts]
    lines = []
    for place, _, before, name, after in parts:
        if len(after) in (1, 4) and (before or (0, 3) in shapes):
            name, after = f"{name} {after[0]}", after[1:]
        if (len(before), len(after)) not in ((0, 0), (1, 0), (0, 1), (0, 3), (3, 0), (1, 3)):
            raise UserError(f"{place}: name and numbers can't be told apart; expected a line for each class: {FORMS}")
        value = before[0] if len(before) == 1 else after[0] if len(after) == 1 else None
        colour = before if len(before) == 3 else after if len(after) == 3 else ()
        lines.append(_Line(place, clean_label(name), value, colour))
    return lines


def _parts(place: str, line: str) -> _Parts:
    if len(line) > _LONGEST:
        raise UserError(f"{place}: {len(line):,} characters; expected a line for each class: {FORMS}")
    text = _without_hex(line).removeprefix("- ")  # an item of YAML
    if cvat := _CVAT.fullmatch(text):
        text = f"{cvat[1]} {cvat[2]}"
    before = match.end() if (match := _BEFORE.match(text)) else 0
    after = match.start() if before < len(text) and (match := _AFTER.search(text, before)) else len(text)
    numbers = [[int(digits) for digits in _NUMBER.findall(part)] for part in (text[:before], text[after:])]
    return _Parts(place, text, numbers[0], text[before:after].strip(" \t\"',:;="), numbers[1])


def _without_hex(text: str) -> str:
    """Write colours such as #804080 as three numbers."""
    return _HEX.sub(lambda match: " ".join(str(int(part, 16)) for part in match.groups()), text)


def _table(file: Path, content: list[tuple[int, str]]) -> list[_Line]:
    """Read a table with a header; an empty list if the first line is none."""
    header = content[0][1]
    sign = next((sign for sign in "\t,;" if sign in header), " ")
    (titles,) = csv.reader([header], delimiter=sign, skipinitialspace=True)
    columns = [re.sub(r"[\W_]", "", title.lower()) for title in titles]
    name = _find(columns, _NAMES)
    if name is None:
        return []
    channels = [_find(columns, titles) for titles in _CHANNELS]
    colour = [_find(columns, _COLOURS)] if None in channels else channels
    value = _find([*columns[:name], "", *columns[name + 1 :]], _VALUES)
    if value is None and None in colour:
        if len(columns) > 1 and sign != " ":
            raise UserError(
                f"{file}: a table of {', '.join(titles)}; expected a name with its value or its colour, such as "
                "name,r,g,b or value,name"
            )
        return _parse(file, content[1:]) if len(columns) == 1 and len(content) > 2 else []
    lines = []
    for number, line in content[1:]:
        (cells,) = csv.reader([line], delimiter=sign, skipinitialspace=True)
        place = f"{file}:{number}: {line[:60]!r}"
        try:
            shown = "" if None in colour else " ".join(cells[k] for k in colour if k is not None)
            numbers = [int(digits) for digits in _NUMBER.findall(_without_hex(shown))]
            if shown and len(numbers) != 3:
                raise ValueError
            lines.append(_Line(place, clean_label(cells[name]), None if value is None else int(cells[value]), numbers))
        except (ValueError, IndexError):
            raise UserError(f"{place}: does not fit the header {header[:60]!r}") from None
    return lines


def _find(columns: Iterable[str], titles: Sequence[str]) -> int | None:
    """Return the number of the first column that has the first of some titles that occurs; None if none does."""
    columns = list(columns)
    return next((columns.index(title) for title in titles if title in columns), None)


def _of_literal(file: Path, text: str) -> list[str]:
    """Write a dictionary or list of JSON or Python as lines."""
    try:
        literal = ast.literal_eval(text)
        items = literal.items() if isinstance(literal, dict) else ((name, "") for name in literal)
        lines = [f"{key}: {value}" if value != "" else str(key) for key, value in items]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        lines = [text]
    if any("{" in line or "\n" in line for line in lines):
        raise UserError(f"{file}: not a list of classes; expected a line for each class: {FORMS}")
    return lines


def _text(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file}: {'not a file' if file.exists() else 'no such file'}; see --data.classes")
    try:
        if (size := file.stat().st_size) > _LARGEST:
            raise UserError(f"{file}: {size:,} bytes are too many for a list of classes; expected a line for each")
        raw = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}); see --data.classes") from None
    return decode_list(raw, file)


def decode_list(raw: bytes, file: Path, *, guess: bool = False) -> str:
    """Decode a list of names.

    Args:
        raw: the bytes.
        file: named in errors.
        guess: read another encoding than UTF-8 too, if it can be told, since all names are compared with others.

    Raises:
        UserError: it is not UTF-8; names the encoding, if that can be told.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = suggest_encoding(raw)
        if guess and encoding:
            return raw.decode(encoding, "replace").removeprefix("\ufeff")
        hint = f", but probably {encoding}" if encoding else ""
        raise UserError(
            f"{file}: byte 0x{raw[error.start]:02x} at position {error.start} is not UTF-8{hint}; save it as UTF-8"
        ) from None
    if "\0" in text:
        raise UserError(f"{file}: not a text file; save the list as UTF-8")
    return text
