"""Reading of masks: class ids, or colours that a table names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.data.batches import IGNORED
from lightning_nn.errors import UserError

_IGNORED_NAMES = ("ignored", "void")


class ClassTable(NamedTuple):
    """Classes of masks.

    Attributes:
        names: of the classes, in the order of their values.
        colours: value of each colour (red, green, blue); empty for masks of values.
        ignored: values of masks that count for nothing.
    """

    names: list[str]
    colours: dict[tuple[int, int, int], int]
    ignored: frozenset[int]


def read_class_table(file: Path) -> ClassTable:
    """Read a class a line: its name, or its name and its colour as three numbers from 0 to 255.

    The first class has the value 0. A class called "ignored" or "void" counts for nothing; its value is its line's.

    Raises:
        UserError: a line can't be read, or a name or a colour comes twice.
    """
    names: list[str] = []
    colours: dict[tuple[int, int, int], int] = {}
    ignored = set()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: can't be read ({error}); see --data.classes") from None
    value = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        numbers = [int(word) for word in words[-3:] if word.isdecimal() and int(word) <= 255]
        coloured = len(words) >= 4 and len(numbers) == 3
        name = " ".join(words[:-3] if coloured else words)
        if coloured != bool(colours) and value:
            raise UserError(f"{file}:{number}: {line!r}: every line names a colour (NAME RED GREEN BLUE), or none does")
        is_ignored = name.lower() in _IGNORED_NAMES
        if name in names or (coloured and tuple(numbers) in colours):
            raise UserError(f"{file}:{number}: {line!r}: this name or colour came before")
        if coloured:
            red, green, blue = numbers
            colours[red, green, blue] = IGNORED if is_ignored else len(names)
        elif is_ignored:
            ignored.add(value)
        elif ignored:
            raise UserError(f"{file}:{number}: {line!r} comes after an ignored class; move that to the end")
        if not is_ignored:
            names.append(name)
        value += 1
    if not 2 <= len(names) <= IGNORED:
        raise UserError(f"{file}: {len(names)} classes; masks have 2 to {IGNORED}")
    return ClassTable(names, colours, frozenset(ignored))


def read_mask(file: Path, table: ClassTable | None) -> NDArray[np.uint8]:
    """Read a mask, uint8 (H, W): the class of each pixel, 255 where it is ignored.

    Args:
        file: an image of values (gray or with a palette), or of colours if the table has some.
        table: the classes; None to accept any values.

    Raises:
        UserError: the file can't be read, or has a value or colour that is no class.
    """
    colours = table is not None and bool(table.colours)
    try:
        with Image.open(file) as image:
            colours = colours or image.mode not in ("1", "L", "P")
            values = np.asarray(image.convert("RGB") if colours else image).astype(np.uint8)
    except Exception as error:  # on a damaged file, Pillow's decoders may raise any exception
        raise UserError(f"{file}: can't be read as a mask ({str(error) or type(error).__name__})") from error
    if colours:
        return _from_colours(file, values, table)
    if table is None:
        return values
    known = np.isin(np.arange(256), [*range(len(table.names)), *table.ignored, IGNORED])
    if not known[values].all():
        row, column = np.argwhere(~known[values])[0]
        raise UserError(
            f"{file}: the value {values[row, column]} in row {row + 1}, column {column + 1} is no class; there are 0 "
            f"to {len(table.names) - 1}, and {IGNORED} for pixels that count for nothing"
        )
    values[np.isin(values, list(table.ignored))] = IGNORED
    return values


def _from_colours(file: Path, pixels: NDArray[np.uint8], table: ClassTable | None) -> NDArray[np.uint8]:
    if table is None or not table.colours:
        raise UserError(
            f"{file}: a mask in colours; say which class each is: --data.classes FILE, with lines NAME RED GREEN BLUE"
        )
    red, green, blue = np.moveaxis(pixels.astype(np.int64), 2, 0)
    codes = (red * 256 + green) * 256 + blue
    found, inverse = np.unique(codes, return_inverse=True)
    values = np.zeros(len(found), np.uint8)
    for i, code in enumerate(found.tolist()):
        colour = (code >> 16, code >> 8 & 255, code & 255)
        if colour not in table.colours:
            row, column = np.argwhere(codes == code)[0]
            raise UserError(
                f"{file}: the colour {colour} in row {row + 1}, column {column + 1} is no class of the table; see "
                "--data.classes"
            )
        values[i] = table.colours[colour]
    return values[inverse.reshape(codes.shape)]
