"""Image files as one array of pixels, decoded once into the cache and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightning_nn.data.batches import Index
from lightning_nn.data.cache import entry, fingerprint, progress
from lightning_nn.data.images.conversion import (
    MAX_PIXELS,
    Ground,
    ImageForm,
    Pixels,
    Scale,
    UnscaledImageError,
    ValueRange,
)
from lightning_nn.data.images.image_files import ImageFile, stamp
from lightning_nn.data.images.reading import PixelLimit, choose_scale, note_on_scale, read_image
from lightning_nn.data.loader import Fingerprints
from lightning_nn.errors import UserError

_FORMAT = 5  # of the cache
_CHUNK = 256  # maximum number of decoded images in memory
_CHUNK_BYTES = 1 << 26  # their maximum size
_CHUNK_UNSIZED = 4  # maximum number of images in memory that keep their sizes, which are not known beforehand
_FEW_BLANK = 0.1  # share of images of a single colour up to which nothing is said


def fingerprint_image(image: Pixels) -> int:
    """Hash the pixels of an image to 64 bits.

    Args:
        image: (C, H, W).
    """
    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")


class Decoded(NamedTuple):
    """Decoded images of files.

    Attributes:
        images: uint8 (N, C, H, W), in the order of the files; flat if they keep their sizes, one after another.
        broken: reason for each file that can't be read, by its index; it has zeros in the array, or nothing if images
            keep their sizes.
        fingerprints: uint64 (N,), hash of each image.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        notes: remarks on the scale and on images of a single colour, for the user.
        ground: what shows where an image is transparent.
        sizes: int64 (N, 2), height and width of each image.
    """

    images: Pixels
    broken: dict[int, str]
    fingerprints: Fingerprints
    scale: int | None
    notes: list[str]
    ground: Ground
    sizes: Index


def decode(
    files: Sequence[ImageFile],
    root: Path,
    form: ImageForm,
    max_pixels: int = MAX_PIXELS,
    scale: int | None = None,
    ground: Ground | None = "white",
) -> Decoded:
    """Decode images into one array in the cache, or memory-map it if it is already there.

    The cache identifies a file by its name below `root`, its size, modification time and inode change time.

    Args:
        files: at least one file, or member of a zip archive.
        root: the folder that all files are below.
        form: form to which images are converted.
        max_pixels: maximum number of pixels of an image; a larger one is not read. All threads together decode no more
            at once, so that memory is bounded.
        scale: that of a trained model; None to choose one for all files.
        ground: what shows where an image is transparent; None for white, or gray if many images are blank on white.

    Raises:
        UserError: no scale fits all files.
    """
    stamps = [stamp(file, root) for file in files]
    settings = {"format": _FORMAT, "form": list(form), "max_pixels": max_pixels, "scale": scale, "ground": ground}
    settings["files"] = stamps
    # Threads pay off if decoding takes longer than passing an image on: measured, 64 KB files gain and 2 KB lose.
    large = sum(size for _, size, *_ in stamps) > 16_384 * len(files)
    workers = (os.cpu_count() or 1) if large else 1
    limit = PixelLimit(max_pixels)
    names = [name.lstrip("\\/") for name, *_ in stamps]
    build = partial(
        _build, files=files, names=names, form=form, workers=workers, limit=limit, scale=scale, ground=ground
    )
    folder = entry(f"pictures-{fingerprint([], settings)}", build)
    broken = json.loads((folder / "broken.json").read_text(encoding="utf-8"))
    shape = (len(files), *form.shape) if form.fit != "keep" else (-1,)
    pixels = folder / "images.bin"
    images = np.memmap(pixels, np.uint8, "r") if pixels.stat().st_size else np.empty(0, np.uint8)
    reasons = {int(number): f"{files[int(number)]}{reason}" for number, reason in broken.items()}
    summary = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    fingerprints, sizes = np.load(folder / "fingerprints.npy"), np.load(folder / "sizes.npy")
    return Decoded(images.reshape(shape), reasons, fingerprints, **summary, sizes=sizes)


def _build(
    folder: Path,
    *,
    files: Sequence[ImageFile],
    names: Sequence[str],
    form: ImageForm,
    workers: int,
    limit: PixelLimit,
    scale: int | None,
    ground: Ground | None,
) -> None:
    """Write images.bin in the order of the files; a full disk raises an error, not a bus error in a memory map.

    Images with more than 8 bits a channel are decoded again once all files are read and the scale is known; all images
    are, if many of them are blank on white and show something on gray.
    """
    broken: dict[int, str] = {}
    deep: dict[int, ValueRange] = {}
    blank: dict[int, bytes] = {}  # the colour of each image that has a single one
    fingerprints = np.empty(len(files), np.uint64)
    sizes = np.full((len(files), 2), (form.height, form.width), np.int64)
    starts = np.zeros(len(files) + 1, np.int64)
    with (folder / "images.bin").open("wb") as stream, ThreadPoolExecutor(workers) as pool:

        def store(numbers: Sequence[int], scale: Scale, ground: Ground) -> None:
            read = partial(_try_read, form=form, limit=limit, scale=scale, ground=ground)
            for number, result in _in_chunks(files, numbers, form, read, pool.map if workers > 1 else map):
                image = result if isinstance(result, np.ndarray) else None
                if isinstance(result, UnscaledImageError):
                    deep[number] = result.values
                    sizes[number] = result.size if form.fit == "keep" else sizes[number]
                elif isinstance(result, str):
                    broken[number] = result
                blank.pop(number, None)
                if image is None:
                    image = np.zeros((form.channels, *sizes[number]), np.uint8)
                elif (image == image[:, :1, :1]).all():
                    blank[number] = image[:, 0, 0].tobytes()
                sizes[number], starts[number + 1] = image.shape[1:], starts[number] + image.size
                stream.seek(int(starts[number]))
                stream.write(image.tobytes())
                fingerprints[number] = fingerprint_image(image)

        store(range(len(files)), "unknown", ground or "white")
        white = [number for number, colour in blank.items() if colour == b"\xff" * form.channels]
        if ground is None and len(white) > _FEW_BLANK * len(files):
            store(white, "unknown", "gray")
            if 2 * sum(number in blank for number in white) < len(white):
                ground = "gray"
            rest = sorted({*range(len(files))} - {*white}) if ground == "gray" else white
            store(rest, "unknown", ground or "white")
        ranges = {
            Path(str(files[number])): values for number, values in deep.items() if scale is None or not values.fault()
        }
        chosen = scale or (choose_scale(ranges) if ranges else None)
        store([*deep], chosen, ground or "white")
    np.save(folder / "fingerprints.npy", fingerprints)
    np.save(folder / "sizes.npy", sizes)
    (folder / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    notes = [note_on_scale(ranges, chosen, len(files), trained=scale is not None)] if ranges and chosen else []
    notes += _notes_on_blank(names, blank, ground)
    summary = {"scale": chosen, "notes": notes, "ground": ground or "white"}
    (folder / "found.json").write_text(json.dumps(summary), encoding="utf-8")


def _notes_on_blank(names: Sequence[str], blank: dict[int, bytes], ground: Ground | None) -> list[str]:
    """Say on which ground transparent images are, if it is not white, and warn of many images that look the same.

    Args:
        names: of the images below their folder, which may move while the notes stay in the cache.
        blank: colour of each image that has a single one, by its number.
        ground: what shows where an image is transparent.
    """
    notes = []
    if ground == "gray":
        notes.append("transparent images are put on gray, since many of them are blank on white")
    colour, count = Counter(blank.values()).most_common(1)[0] if blank else (b"", 0)
    if count > max(_FEW_BLANK * len(names), 3):
        first = next(names[number] for number in sorted(blank) if blank[number] == colour)
        notes.append(
            f"warning: {count:,} of {len(names):,} images are of the single colour {tuple(colour)}, such as {first}: "
            "nothing can be learned from these"
        )
    return notes


def _in_chunks(
    files: Sequence[ImageFile],
    numbers: Sequence[int],
    form: ImageForm,
    read: Callable[..., Any],
    run: Callable[..., Any],
) -> Iterator[tuple[int, Pixels | UnscaledImageError | str]]:
    """Yield the number of each file with what `read` returns of it, a bounded number of them in memory."""
    size = math.prod(form.shape)
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // size)) if size else _CHUNK_UNSIZED
    for start in progress(range(0, len(numbers), chunk), "decoding images"):
        some = numbers[start : start + chunk]
        yield from zip(some, run(read, [files[number] for number in some]), strict=True)


def _try_read(
    file: ImageFile, form: ImageForm, limit: PixelLimit, scale: Scale, ground: Ground
) -> Pixels | UnscaledImageError | str:
    """Read an image; return its error if the scale is unknown, and the reason if it can't be read."""
    try:
        return read_image(file, form, limit, scale, ground)
    except UnscaledImageError as deep:
        return deep
    except UserError as error:
        return str(error).removeprefix(str(file))
