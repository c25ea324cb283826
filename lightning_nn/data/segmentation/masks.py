"""Masks of images as a flat file of classes, decoded once into the cache and memory-mapped from then on.

A mask is read as an index for each pixel with, if it has colours, the colour of each index. What the indices mean is
decided once all masks are read, for all of them alike: the values of classes, or colours of a table.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.data.batches import IGNORED, Index
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.images.conversion import ImageForm, Pixels, image_formats, turn_of
from lightning_nn.data.images.decoding import decode
from lightning_nn.data.images.image_files import stamp
from lightning_nn.data.images.reading import PixelLimit
from lightning_nn.data.labeled_module import count_classes
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.segmentation.classes import ClassTable, Colour, lists_beside
from lightning_nn.data.segmentation.pairs import Pair
from lightning_nn.data.tables.folders import is_special
from lightning_nn.errors import UserError

KEEP = ImageForm(3, 0, 0, "keep")
TRIMAPS = ClassTable("", ["background", "pet"], {1: 1, 2: 0, 3: IGNORED}, {})  # of Oxford's pets; 3: not classified
_FORMAT = 4  # of the cache
_BOTH = {(0, 0, 0), (255, 255, 255)}
_LOSSY = ("JPEG", "MPO")
_THRESHOLD = "if they show one object on a background, --data.threshold 128 reads them"


class DecodedPairs(NamedTuple):
    """Decoded images of any sizes with their masks.

    Attributes:
        images: uint8, the pixels of all images one after another, each (3, H, W).
        masks: uint8, likewise, each (H, W).
        sizes: int64 (N, 2), height and width of each image.
        counts: int64 (N, 256), number of pixels of each class of each mask.
        binary: whether the masks had the values 0 and 255 alone, which are 0 and 1 here.
        palette: (red, green, blue) of each class, where masks with palettes agree on them; else empty.
        notes: remarks for the user.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        fingerprints: uint64 (N,), hash of each image.
    """

    images: Pixels
    masks: Pixels
    sizes: Index
    counts: Index
    binary: bool
    palette: list[list[int]]
    notes: list[str]
    scale: int | None
    fingerprints: Fingerprints


class MaskError(Exception):
    """A fault of a mask. All masks with the same remedy are counted as one kind.

    Args:
        fault: of this mask.
        remedy: what to do.
    """

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}; {remedy}")
        self.fault, self.remedy = fault, remedy


class IndexedMask(NamedTuple):
    """A mask before its indices have a meaning.

    Attributes:
        pixels: uint8 (H, W), the index of each pixel.
        colours: uint8 (N, 3), colour of each index; None if the index itself is a gray.
        is_value: whether the index may be the value of a class; False if colours alone were stored.
    """

    pixels: Pixels
    colours: NDArray[np.uint8] | None = None
    is_value: bool = True

    def colour(self, index: int) -> Colour:
        """Return the colour of an index."""
        if self.colours is None:
            return index, index, index
        red, green, blue = (int(part) for part in self.colours[index])
        return red, green, blue


def read_mask(file: Path, threshold: int | None = None, limit: PixelLimit | None = None) -> IndexedMask:
    """Read a mask.

    Args:
        file: an image of values (gray or with a palette), or of colours.
        threshold: pixels at least as bright become 255, the others 0; None to take the values as they are.
        limit: bound on pixels.

    Raises:
        MaskError: the file can't be read, is compressed with loss, or has values that no class can have.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `limit` bounds the pixels
            if is_special(file):
                raise ValueError("a pipe, socket or device")
            image = Image.open(file, formats=image_formats())
        with image:
            (limit or PixelLimit()).check(*image.size)
            lossy = image.format in _LOSSY or image.info.get("compression") == "jpeg"
            image.load()
    except Exception as error:  # on a damaged file, Pillow's decoders may raise any exception
        reason = str(error).split("\n")[0] or type(error).__name__
        raise MaskError(f"can't be read as a mask ({reason})", "save it anew, or remove it with its image") from error
    if threshold is not None:
        return IndexedMask(np.where(_brightness(image) >= threshold, 255, 0).astype(np.uint8))
    if lossy:
        raise MaskError("JPEG changes the values of pixels, and so their classes", f"save masks as PNG; {_THRESHOLD}")
    if image.mode == "P":
        palette = np.array(image.convert("P").getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return IndexedMask(np.asarray(image), np.vstack([palette, np.zeros((256 - len(palette), 3), np.uint8)]))
    if image.mode in ("1", "L") or image.mode.startswith(("I", "F")):
        return IndexedMask(_whole_numbers(np.asarray(image)))
    pixels = np.asarray(image.convert("RGB"))
    if (pixels == pixels[:1, :1]).all() and _is_transparent(image):
        raise MaskError(
            "of one colour, with the object in its transparency",
            "save the transparency as a gray mask, as Pillow's image.getchannel('A') gives it",
        )
    if (pixels == pixels[:, :, :1]).all():
        return IndexedMask(pixels[:, :, 0])
    codes, indices = np.unique(pixels.astype(np.int64) @ (65_536, 256, 1), return_inverse=True)
    if len(codes) > IGNORED:
        raise MaskError(
            f"{len(codes):,} colours, as a photograph or soft edges have",
            f"a mask has a colour for each class: save it without smoothing; {_THRESHOLD}",
        )
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).astype(np.uint8)
    return IndexedMask(indices.reshape(pixels.shape[:2]).astype(np.uint8), colours, is_value=False)


def _brightness(image: Image.Image) -> NDArray[Any]:
    """Return the brightness of each pixel, 0 to 255; its opacity where the image is of one colour."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        return values * (255 / 65_535 if values.max(initial=0) > 255 else 1)
    gray = np.asarray(image.convert("L"))
    return np.asarray(image.getchannel("A")) if _is_transparent(image) and (gray == gray[:1, :1]).all() else gray


def _is_transparent(image: Image.Image) -> bool:
    if "A" not in image.getbands():
        return False
    low, high = image.getchannel("A").getextrema()
    return low != high


def _whole_numbers(pixels: NDArray[Any]) -> Pixels:
    """Convert pixels of any type of number to uint8; 65535 beside 0 alone becomes 255."""
    if pixels.max(initial=0) == 65_535 and np.isin(pixels, (0, 65_535)).all():
        pixels = pixels // 257
    with np.errstate(invalid="ignore"):
        values = pixels.astype(np.uint8)
    if not np.array_equal(values, pixels):
        row, column = np.argwhere(values != pixels)[0]
        raise MaskError(
            f"the value {pixels[row, column]} in row {row + 1}, column {column + 1}",
            f"a mask has whole numbers, 0 to {IGNORED - 1} for classes and {IGNORED} for pixels that count for "
            f"nothing; {_THRESHOLD}",
        )
    return values


def decode_pairs(
    pairs: Sequence[Pair],
    root: Path,
    table: ClassTable | None,
    max_pixels: int,
    scale: int | None,
    threshold: int | None = None,
) -> DecodedPairs:
    """Decode images and masks, or memory-map them if they are already in the cache.

    Args:
        pairs: at least one image with its mask.
        root: the folder that all files are below.
        table: the classes; None to accept any values.
        max_pixels: maximum number of pixels of an image.
        scale: that of a trained model for images with more than 8 bits a channel; None to choose one for all.
        threshold: see `read_mask`.

    Raises:
        UserError: a file can't be read, a mask has another size than its image, masks have values or colours that are
            no classes, or no scale fits all images.
    """
    settings = {
        "format": _FORMAT,
        "files": [stamp(file, root) for pair in pairs for file in pair],
        "classes": None if table is None else [table.names, *(list(group.items()) for group in table[2:4])],
        "max_pixels": max_pixels,
        "threshold": threshold,
    }
    images = decode([pair.image for pair in pairs], root, KEEP, max_pixels, scale)
    if images.broken:
        raise UserError(images.broken[min(images.broken)])
    limit = PixelLimit(max_pixels)
    build = partial(_build, pairs=pairs, sizes=images.sizes, root=root, table=table, limit=limit, threshold=threshold)
    folder = entry(f"masks-{fingerprint([], settings)}", build)
    masks = np.memmap(folder / "masks.bin", np.uint8, "r")
    summary = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    summary["notes"] = [*images.notes, *summary["notes"]]
    counts = np.load(folder / "counts.npy")
    return DecodedPairs(
        images.images, masks, images.sizes, counts, **summary, scale=images.scale, fingerprints=images.fingerprints
    )


def _build(
    folder: Path,
    *,
    pairs: Sequence[Pair],
    sizes: Index,
    root: Path,
    table: ClassTable | None,
    limit: PixelLimit,
    threshold: int | None,
) -> None:
    """Write the class of each pixel of all masks."""
    counts = np.empty((len(pairs), IGNORED + 1), np.int64)
    starts = np.cumsum([0, *sizes.prod(1)])
    read: list[IndexedMask] = []
    faults: list[tuple[Path, MaskError]] = []
    turned = 0
    with (folder / "masks.bin").open("wb") as masks:
        for i, pair in enumerate(pairs):
            try:
                mask = read_mask(pair.mask, threshold, limit)
                pixels, is_turned = _as_large(mask.pixels, tuple(sizes[i].tolist()), pair)
            except MaskError as fault:
                faults.append((pair.mask, fault))
                continue
            turned += is_turned
            counts[i] = count_classes(pixels, IGNORED + 1)
            read.append(mask._replace(pixels=np.empty((0, 0), np.uint8)))  # a view would keep all pixels in memory
            masks.write(pixels.tobytes())
        _refuse(faults, len(pairs))
    notes = []
    if turned:
        notes.append(f"{turned:,} masks have the size of the stored pixels and are turned by the EXIF of their images")
    whole = np.memmap(folder / "masks.bin", np.uint8, "r+")

    def locate(number: int, index: int) -> str:
        start, end = starts[number : number + 2]
        row, column = np.argwhere(whole[start:end].reshape(sizes[number]) == index)[0]
        return f"in row {row + 1}, column {column + 1}"

    meaning = _Meaning([pair.mask for pair in pairs], read, counts > 0, table, locate, lists_beside(root))
    for i, classes in enumerate(meaning.classes()):
        if (classes != np.arange(IGNORED + 1)).any():
            start, end = starts[i : i + 2]
            whole[start:end] = classes[whole[start:end]]
            counts[i] = np.bincount(classes, counts[i], IGNORED + 1)
    np.save(folder / "counts.npy", counts)
    summary = {
        "binary": meaning.binary and table is None,
        "palette": meaning.palette(),
        "notes": [*notes, *meaning.notes],
    }
    (folder / "found.json").write_text(json.dumps(summary), encoding="utf-8")


def _refuse(faults: Sequence[tuple[Path, MaskError]], count: int) -> None:
    """Raise the first fault, with the number of masks of its kind, if there is one."""
    if faults:
        file, first = faults[0]
        alike = sum(fault.remedy == first.remedy for _, fault in faults)
        like = f" (and {alike - 1:,} more of {count:,} masks like it)" if alike > 1 else ""
        raise UserError(f"{file}: {first.fault}{like}; {first.remedy}")


def _as_large(mask: Pixels, shape: tuple[int, ...], pair: Pair) -> tuple[Pixels, bool]:
    """Return a mask as large as its image, turned as EXIF says if it has the size of the stored pixels."""
    if mask.shape == shape:
        return mask, False
    height, width = shape
    if mask.shape == (width, height):
        with Image.open(pair.image, formats=image_formats()) as image:
            turn = turn_of(image)
        if turn is not None:
            return np.asarray(Image.fromarray(mask).transpose(turn)), True
    size = f"{mask.shape[1]} x {mask.shape[0]} pixels, but its image {pair.image} has {width} x {height}"
    raise MaskError(size, "a mask is as large as its image: resize it without interpolation (nearest neighbour)")


class _Meaning:
    """Meaning of the indices of masks, for all masks alike.

    Args:
        files: of the masks.
        masks: their colours, without pixels.
        used: bool (N, 256), whether an index occurs in a mask.
        table: the classes; None to accept any values.
        locate: function from the number of a mask and an index to the place of its first pixel.
        lists: files that seem to name classes.
    """

    def __init__(
        self,
        files: Sequence[Path],
        masks: Sequence[IndexedMask],
        used: NDArray[np.bool_],
        table: ClassTable | None,
        locate: Callable[[int, int], str],
        lists: Sequence[Path],
    ) -> None:
        self.files, self.masks, self.table, self.locate, self.lists = files, masks, table, locate, lists
        self.used = [[int(k) for k in np.flatnonzero(row)] for row in used]
        self.binary = self._black_and_white()
        self.notes: list[str] = []

    def classes(self) -> list[NDArray[np.uint8]]:
        """Return the class of each index of each mask, uint8 (256,).

        Raises:
            UserError: a mask has a value or a colour that is no class.
        """
        table = self.table
        if table is not None and table.colours:
            if not (strange := self._strangers(table.colours)):
                return [self._lookup(table.colours, number) for number in range(len(self.masks))]
            coloured = self._colours_alone() or self._in_part(table.colours)
            if not self.binary and (coloured or self._outside(table.values)):
                self._refuse_colours(table, strange)
            if not self.binary:
                self.notes.append("the masks hold the numbers of the classes, not the colours in the list")
        elif coloured := self._colours_alone():
            beside = f"; {self.lists[0]} may name them" if self.lists else ""
            remedy = (
                f"{table.file} names no colours: write NAME RED GREEN BLUE in each line"
                if table is not None and table.file
                else f"say which class each colour is: --data.classes FILE, with lines NAME RED GREEN BLUE{beside}"
            )
            fault = MaskError("a mask in colours", remedy)
            _refuse([(self.files[number], fault) for number in coloured], len(self.files))
        if self.binary:
            if table is not None:
                self.notes.append(f"the masks are black and white alone, read as {' and '.join(table.names)}")
            return [self._lookup({(0, 0, 0): 0, (255, 255, 255): 1}, number) for number in range(len(self.masks))]
        self._refuse_other_palettes()
        if table is None:
            return [np.arange(IGNORED + 1).astype(np.uint8)] * len(self.masks)
        if outside := self._outside(table.values):
            self._refuse_values(table, outside)
        classes = np.full(IGNORED + 1, IGNORED, np.uint8)
        classes[list(table.values)] = list(table.values.values())
        return [classes] * len(self.masks)

    def palette(self) -> list[list[int]]:
        """Return the colours of the classes that palettes agree on; an empty list if there are none."""
        stored = [mask.colours for mask in self.masks if mask.is_value and mask.colours is not None]
        if self.binary or len(stored) < len(self.masks):
            return []
        first = stored[0]
        most = max((k for used in self.used for k in used if k < IGNORED), default=-1)
        values = self.table.values if self.table else {k: k for k in range(most + 1)}
        by_class = {label: first[value].tolist() for value, label in values.items() if label != IGNORED}
        colours = [by_class[label] for label in sorted(by_class)]
        distinct = len({tuple(colour) for colour in colours}) == len(colours)
        return colours if distinct and any(len(set(colour)) > 1 for colour in colours) else []

    def _lookup(self, colours: Mapping[Colour, int], number: int) -> NDArray[np.uint8]:
        classes = np.zeros(IGNORED + 1, np.uint8)
        for index in self.used[number]:
            classes[index] = colours[self.masks[number].colour(index)]
        return classes

    def _strangers(self, colours: Mapping[Colour, int]) -> list[tuple[int, int]]:
        """List number of mask and index of each colour that is no class."""
        return [
            (number, index)
            for number, mask in enumerate(self.masks)
            for index in self.used[number]
            if mask.colour(index) not in colours
        ]

    def _in_part(self, colours: Mapping[Colour, int]) -> bool:
        """Return whether palettes have some colour of a table, apart from grays."""
        return any(
            len(set(colour := mask.colour(index))) > 1 and colour in colours
            for mask, used in zip(self.masks, self.used, strict=True)
            for index in used
        )

    def _colours_alone(self) -> list[int]:
        return [number for number, mask in enumerate(self.masks) if not mask.is_value]

    def _outside(self, values: Mapping[int, int]) -> list[tuple[int, int]]:
        return [(n, k) for n, used in enumerate(self.used) for k in used if k not in values and k != IGNORED]

    def _black_and_white(self) -> bool:
        """Return whether all masks are black and white, and no table has other classes than two without values."""
        two = self.table is None or {k: v for k, v in self.table.values.items() if v != IGNORED} == {0: 0, 1: 1}
        shown = {mask.colour(index) for mask, used in zip(self.masks, self.used, strict=True) for index in used}
        return two and (255, 255, 255) in shown and shown <= _BOTH

    def _refuse_colours(self, table: ClassTable, strange: Sequence[tuple[int, int]]) -> None:
        number, index = strange[0]
        colour = self.masks[number].colour(index)
        fault = MaskError(
            f"the colour {colour} {self.locate(number, index)} is no class of {table.file}",
            f"add the line 'NAME {' '.join(map(str, colour))}' to it, or 'void {' '.join(map(str, colour))}' if such "
            "pixels count for nothing",
        )
        numbers = dict.fromkeys(number for number, _ in strange)
        _refuse([(self.files[number], fault) for number in numbers], len(self.files))

    def _refuse_values(self, table: ClassTable, outside: Sequence[tuple[int, int]]) -> None:
        number, index = outside[0]
        soft = f"; {_THRESHOLD}" if len(table.names) == 2 else ""
        fault = MaskError(
            f"the value {index} {self.locate(number, index)} is no class",
            f"{table.file or 'a trimap'} has {min(table.values)} to {max(table.values)}, and {IGNORED} is for pixels "
            f"that count for nothing{soft}",
        )
        numbers = dict.fromkeys(number for number, _ in outside)
        _refuse([(self.files[number], fault) for number in numbers], len(self.files))

    def _refuse_other_palettes(self) -> None:
        """Refuse masks in whose palettes a value has several colours: their values are no classes."""
        seen: dict[int, tuple[Colour, Path]] = {}
        for file, mask, used in zip(self.files, self.masks, self.used, strict=True):
            for index in used if mask.colours is not None else ():
                colour, first = seen.setdefault(index, (mask.colour(index), file))
                if colour != mask.colour(index):
                    raise UserError(
                        f"{file}: the value {index} has the colour {mask.colour(index)}, but {colour} in {first}: "
                        "save all masks with one palette, or name the colours in "
                        f"{self.table.file if self.table else '--data.classes FILE'}, with lines NAME RED GREEN BLUE"
                    )
