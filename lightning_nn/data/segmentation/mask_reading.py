"""Reading of masks: values, or colours, of which a table says the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.data.batches import IGNORED
from lightning_nn.errors import UserError

_IGNORED_NAMES = ("ignored", "void")
_SHORT, _LONG = ("1", "L", "P"), ("I", "F")  # modes of Pillow with one number a pixel; of 16 bits: I;16 and others
_LOSSY = ("JPEG", "MPO")


class ClassTable(NamedTuple):
    """Classes of masks.

    Attributes:
        names: of the classes, 0 to K - 1.
        values: class of each value of a mask, 255 for one that counts for nothing; empty for masks in colours.
        colours: likewise of each colour (red, green, blue); empty for masks of values.
    """

    names: list[str]
    values: dict[int, int]
    colours: dict[tuple[int, int, int], int]


TRIMAPS = ClassTable(["background", "pet"], {1: 1, 2: 0, 3: IGNORED}, {})  # of Oxford's pets; 3: not classified


def read_class_table(file: Path) -> ClassTable:
    """Read a class a line: its name, or its name and its colour as three numbers from 0 to 255.

    The first class has the value 0. A class called "ignored" or "void" counts for nothing; its value is its line's.

    Raises:
        UserError: a line can't be read, or a name or a colour comes twice.
    """
    names: list[str] = []
    values: dict[int, int] = {}
    colours: dict[tuple[int, int, int], int] = {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: can't be read ({error}); see --data.classes") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        numbers = [int(word) for word in words[-3:] if word.isdecimal() and int(word) <= 255]
        coloured = len(words) >= 4 and len(numbers) == 3
        name = " ".join(words[:-3] if coloured else words)
        if coloured != bool(colours) and (values or colours):
            raise UserError(f"{file}:{number}: {line!r}: every line names a colour (NAME RED GREEN BLUE), or none does")
        is_ignored = name.lower() in _IGNORED_NAMES
        if name in names or (coloured and tuple(numbers) in colours):
            raise UserError(f"{file}:{number}: {line!r}: this name or colour came before")
        label = IGNORED if is_ignored else len(names)
        if coloured:
            red, green, blue = numbers
            colours[red, green, blue] = label
        elif not is_ignored and IGNORED in values.values():
            raise UserError(f"{file}:{number}: {line!r} comes after an ignored class; move that to the end")
        else:
            values[len(values)] = label
        if not is_ignored:
            names.append(name)
    if not 2 <= len(names) <= IGNORED:
        raise UserError(f"{file}: {len(names)} classes; masks have 2 to {IGNORED}")
    return ClassTable(names, values, colours)


def read_mask(file: Path, table: ClassTable | None) -> NDArray[np.uint8]:
    """Read a mask, uint8 (H, W): the class of each pixel, 255 where it is ignored.

    Args:
        file: an image of values (gray or with a palette), or of colours if the table has some.
        table: the classes; None to accept any values.

    Raises:
        UserError: the file can't be read, is compressed with loss, or has a value or colour that is no class.
    """
    colours = table is not None and bool(table.colours)
    try:
        with Image.open(file) as image:
            lossy = image.format in _LOSSY
            as_it_is = image.mode.startswith(_LONG) or (image.mode in _SHORT and not colours)
            pixels = np.asarray(image if as_it_is else image.convert("RGB"))
    except Exception as error:  # on a damaged file, Pillow's decoders may raise any exception
        raise UserError(f"{file}: can't be read as a mask ({str(error) or type(error).__name__})") from error
    if lossy:
        raise UserError(f"{file}: JPEG changes the values of pixels, and so their classes; masks must be saved as PNG")
    if not colours and pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3:
        return _from_colours(file, pixels, table)
    values = _whole_numbers(file, pixels)
    if colours:
        return _from_colours(file, np.stack([values] * 3, 2), table)
    if table is None:
        return values
    classes = np.full(IGNORED + 1, -1, np.int16)
    classes[[IGNORED, *table.values]] = [IGNORED, *table.values.values()]
    found = classes[values]
    if found.min() < 0:
        row, column = np.argwhere(found < 0)[0]
        raise UserError(
            f"{file}: the value {values[row, column]} in row {row + 1}, column {column + 1} is no class; there are "
            f"{min(table.values)} to {max(table.values)}, and {IGNORED} for pixels that count for nothing"
        )
    return found.astype(np.uint8)


def _whole_numbers(file: Path, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert pixels of any type of number to uint8."""
    with np.errstate(invalid="ignore"):
        values = pixels.astype(np.uint8)
    if not np.array_equal(values, pixels):
        row, column = np.argwhere(values != pixels)[0]
        raise UserError(
            f"{file}: the value {pixels[row, column]} in row {row + 1}, column {column + 1}; a mask has whole numbers, "
            f"0 to {IGNORED - 1} for classes and {IGNORED} for pixels that count for nothing"
        )
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
