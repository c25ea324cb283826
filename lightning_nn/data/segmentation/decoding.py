"""Images and masks as flat files of pixels, decoded once into the cache and memory-mapped from then on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_nn.data.batches import IGNORED, Index
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.images.reading import ImageForm, PixelLimit, Pixels, Scale, read_image
from lightning_nn.data.images.source import stamp
from lightning_nn.data.images.value_range import UnscaledImageError, ValueRange, choose_scale, note_on_scale
from lightning_nn.data.labeled_module import count_classes
from lightning_nn.data.segmentation.mask_reading import ClassTable, read_mask
from lightning_nn.data.segmentation.pairs import Pair
from lightning_nn.errors import UserError

KEEP = ImageForm(3, 0, 0, "keep")
_FORMAT = 2  # of the cache
_CHUNK = 1 << 24  # pixels of masks in memory at once


class DecodedPairs(NamedTuple):
    """Decoded images of any sizes with their masks.

    Attributes:
        images: uint8, the pixels of all images one after another, each (3, H, W).
        masks: uint8, likewise, each (H, W).
        sizes: int64 (N, 2), height and width of each image.
        counts: int64 (N, 256), number of pixels of each value of each mask.
        binary: whether the masks had the values 0 and 255 alone, which are 0 and 1 here.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        note: remark on the scale, for the user; "" if there is none.
    """

    images: Pixels
    masks: Pixels
    sizes: Index
    counts: Index
    binary: bool
    scale: int | None
    note: str


def decode_pairs(
    pairs: Sequence[Pair], root: Path, table: ClassTable | None, max_pixels: int, scale: int | None
) -> DecodedPairs:
    """Decode images and masks, or memory-map them if they are already in the cache.

    Args:
        pairs: at least one image with its mask.
        root: the folder that all files are below.
        table: the classes; None to accept any values.
        max_pixels: maximum number of pixels of an image.
        scale: that of a trained model for images with more than 8 bits a channel; None to choose one for all.

    Raises:
        UserError: a file can't be read, a mask has another size than its image, or no scale fits all images.
    """
    settings = {
        "format": _FORMAT,
        "files": [stamp(file, root) for pair in pairs for file in pair],
        "classes": None if table is None else [table.names, *(list(each.items()) for each in table[1:])],
        "max_pixels": max_pixels,
        "scale": scale,
    }
    build = partial(_build, pairs=pairs, table=table, limit=PixelLimit(max_pixels), scale=scale)
    folder = entry(f"masks-{fingerprint([], settings)}", build)
    images, masks = (np.memmap(folder / f"{name}.bin", np.uint8, "r") for name in ("images", "masks"))
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return DecodedPairs(images, masks, np.load(folder / "sizes.npy"), np.load(folder / "counts.npy"), **found)


def _build(
    folder: Path, *, pairs: Sequence[Pair], table: ClassTable | None, limit: PixelLimit, scale: int | None
) -> None:
    """Write all pixels; images with more than 8 bits a channel are read again once the scale is known."""
    sizes, counts = np.empty((len(pairs), 2), np.int64), np.empty((len(pairs), IGNORED + 1), np.int64)
    deep: dict[int, ValueRange] = {}
    with (folder / "images.bin").open("wb") as images, (folder / "masks.bin").open("wb") as masks:
        for i, pair in enumerate(pairs):
            mask = read_mask(pair.mask, table)
            sizes[i], counts[i] = mask.shape, count_classes(mask, IGNORED + 1)
            masks.write(mask.tobytes())
            try:
                image = _read(pair, mask.shape, limit, "unknown")
            except UnscaledImageError as error:
                deep[i], image = error.values, np.zeros((3, *mask.shape), np.uint8)
            images.write(image.tobytes())
        ranges = {pairs[i].image: values for i, values in deep.items()}
        chosen = scale or (choose_scale(ranges) if ranges else None)
        starts = 3 * np.cumsum([0, *sizes.prod(1)])
        for i in deep:
            images.seek(int(starts[i]))
            images.write(_read(pairs[i], tuple(sizes[i]), limit, chosen).tobytes())
    values = np.flatnonzero(counts.sum(0))
    binary = table is None and IGNORED in values and bool(np.isin(values, (0, IGNORED)).all())
    if binary:
        counts[:, 1], counts[:, IGNORED] = counts[:, IGNORED], 0
        whole = np.memmap(folder / "masks.bin", np.uint8, "r+")
        for start in range(0, len(whole), _CHUNK):
            np.minimum(whole[start : start + _CHUNK], 1, out=whole[start : start + _CHUNK])
    np.save(folder / "sizes.npy", sizes)
    np.save(folder / "counts.npy", counts)
    note = note_on_scale(ranges, chosen, len(pairs), trained=scale is not None) if ranges and chosen else ""
    found = {"binary": binary, "scale": chosen, "note": note}
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


def _read(pair: Pair, shape: tuple[int, ...], limit: PixelLimit, scale: Scale) -> Pixels:
    """Read an image, uint8 (3, H, W), that is as large as its mask."""
    image = read_image(pair.image, KEEP, limit, scale)
    if image.shape[1:] != shape:
        size, other = (f"{width} x {height}" for height, width in (shape, image.shape[1:]))
        raise UserError(f"{pair.mask}: {size} pixels, but its image {pair.image} has {other}")
    return image
