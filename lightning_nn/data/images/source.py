"""Images as one uint8 array, decoded once into the cache and memory-mapped from then on."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.images.archive import ZipMember
from lightning_nn.data.images.reading import (
    MAX_PIXELS,
    Ground,
    ImageFile,
    ImageForm,
    PixelLimit,
    Pixels,
    Scale,
    read_image,
)
from lightning_nn.data.images.value_range import UnscaledImageError, ValueRange, choose_scale, note_on_scale
from lightning_nn.data.loader import Fingerprints, LabeledSource, Source
from lightning_nn.data.tables.folders import files_below
from lightning_nn.errors import UserError

_TYPES = "avif bmp gif jfif jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp"
SUFFIXES = frozenset(f".{name}" for name in _TYPES.split(" "))

_FORMAT = 4  # of the cache
_CHUNK = 256  # maximum number of decoded images in memory
_CHUNK_BYTES = 1 << 26  # their maximum size
_FEW_BLANK = 0.1  # share of images of a single colour up to which nothing is said


class ImageSource:
    """Images of one split, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,).
        indices: int64, indices of the images in this split; None for all.
        fingerprints: uint64 (N,), hash of each image, if already known.
    """

    lengths: Index | None = None

    def __init__(
        self, images: Pixels, labels: Index, indices: Index | None = None, fingerprints: Fingerprints | None = None
    ) -> None:
        self.images = images
        self._fingerprints = fingerprints
        self.indices = np.arange(len(images)) if indices is None else indices
        self.labels: Index = labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> ImageBatch:
        images = np.asarray(self.images[self.indices[index]])
        return ImageBatch(torch.from_numpy(images), torch.from_numpy(self.labels[index]))

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        if self._fingerprints is not None:
            return self._fingerprints[self.indices]
        return np.fromiter((fingerprint_image(self.images[i]) for i in self.indices), np.uint64, len(self.indices))


def fingerprint_image(image: Pixels) -> int:
    """Hash the pixels of an image to 64 bits.

    Args:
        image: (C, H, W).
    """
    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """List all files below a folder, in the order of their names.

    Hidden files and what macOS adds to archives are skipped; no folder is read twice, even if links lead there.

    Args:
        folder: searched to any depth.

    Returns:
        The images, by their suffix, and the other files.
    """
    return files_below(folder, SUFFIXES)


def named_images(names: Iterable[str]) -> list[Path]:
    """List the image files that names on a command line stand for, in their order.

    Args:
        names: files, folders whose images are all taken, and patterns such as photos/*.jpg.

    Raises:
        UserError: nothing is there, or there is no image in a folder.
    """
    found: list[Path] = []
    for name in names:
        paths = [Path(name)] if os.path.lexists(name) else sorted(map(Path, glob.glob(name)))  # noqa: PTH207
        if not paths:
            raise UserError(f"{name}: no such file or folder; see --data.file")
        for path in paths:
            images = sorted(image_files(path)[0]) if path.is_dir() else [path]
            if not images:
                raise UserError(f"{path}: no images in this folder; see --data.file")
            found += images
    return list(dict.fromkeys(found))


class Decoded(NamedTuple):
    """Decoded images of files.

    Attributes:
        images: uint8 (N, C, H, W), in the order of the files.
        broken: reason for each file that can't be read, by its index; its row of the array is zero.
        fingerprints: uint64 (N,), hash of each image.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        notes: remarks on the scale and on images of a single colour, for the user.
        ground: what shows where an image is transparent.
    """

    images: Pixels
    broken: dict[int, str]
    fingerprints: Fingerprints
    scale: int | None
    notes: list[str]
    ground: Ground


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
    images = np.load(folder / "images.npy", mmap_mode="r")
    reasons = {int(number): f"{files[int(number)]}{reason}" for number, reason in broken.items()}
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return Decoded(images, reasons, np.load(folder / "fingerprints.npy"), **found)


def summarize(sources: dict[str, Source], form: ImageForm) -> list[tuple[str, ...]]:
    """Build the rows of the table shown at the start of a run: images and classes of each split.

    Args:
        sources: sources of the splits, by name.
        form: form of the images.
    """
    rows: list[tuple[str, ...]] = [("split", "images", "classes", "images per class", "channels x height x width")]
    for split, source in sources.items():
        counts = np.unique(cast(LabeledSource, source).labels, return_counts=True)[1]
        least, most = int(counts.min()), int(counts.max())
        spread = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        rows.append((split, f"{len(source):,}", f"{len(counts):,}", spread, " x ".join(map(str, form.shape))))
    return rows


def stamp(file: ImageFile, root: Path) -> tuple[str, int, int, int]:
    """Return what tells a file from another: its name below `root`, size, modification and inode change time."""
    if isinstance(file, ZipMember):
        return file.stamp
    name = str(file).removeprefix(str(root))  # `relative_to` is slow for tens of thousands of files
    try:
        stat = file.stat()
    except OSError:  # a broken link; reading reports it
        return name, 0, 0, 0
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


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
    """Write images.npy chunk by chunk, so that a full disk raises an error, not a bus error in a memory map.

    Images with more than 8 bits a channel are decoded again once all files are read and the scale is known; all images
    are, if many of them are blank on white and show something on gray.
    """
    broken: dict[int, str] = {}
    deep: dict[int, ValueRange] = {}
    blank: dict[int, bytes] = {}  # the colour of each image that has a single one
    fingerprints = np.empty(len(files), np.uint64)
    zero = np.zeros(form.shape, np.uint8)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *form.shape)}
    with (folder / "images.npy").open("wb") as stream, ThreadPoolExecutor(workers) as pool:
        np.lib.format.write_array_header_1_0(stream, header)
        begin = stream.tell()

        def store(numbers: Sequence[int], scale: Scale, ground: Ground) -> None:
            run = pool.map if workers > 1 else map
            for number, result in _read_all(
                files, numbers, form=form, limit=limit, run=run, scale=scale, ground=ground
            ):
                if isinstance(result, ValueRange):
                    deep[number] = result
                elif isinstance(result, str):
                    broken[number] = result
                image = result if isinstance(result, np.ndarray) else zero
                stream.seek(begin + number * zero.size)
                stream.write(image.tobytes())
                fingerprints[number] = fingerprint_image(image)
                blank.pop(number, None)
                if isinstance(result, np.ndarray) and (image == image[:, :1, :1]).all():
                    blank[number] = image[:, 0, 0].tobytes()

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
    (folder / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    notes = [note_on_scale(ranges, chosen, len(files), trained=scale is not None)] if ranges and chosen else []
    notes += _notes_on_blank(names, blank, ground)
    found = {"scale": chosen, "notes": notes, "ground": ground or "white"}
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


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


def _read_all(
    files: Sequence[ImageFile],
    numbers: Sequence[int],
    *,
    form: ImageForm,
    limit: PixelLimit,
    run: Callable[..., Any],
    scale: Scale,
    ground: Ground,
) -> Iterator[tuple[int, Pixels | ValueRange | str]]:
    """Yield the number of each file with its pixels, or its range if the scale is unknown, or why it can't be read."""
    read = partial(_try_read, form=form, limit=limit, scale=scale, ground=ground)
    chunk = max(1, min(_CHUNK, _CHUNK_BYTES // math.prod(form.shape)))
    for start in progress(range(0, len(numbers), chunk), "decoding images"):
        some = numbers[start : start + chunk]
        yield from zip(some, run(read, [files[number] for number in some]), strict=True)


def progress(steps: range, text: str) -> Iterator[int]:
    """Yield the steps, with a progress bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(steps, text, console=console, transient=True, disable=not console.is_terminal))


def _try_read(
    file: ImageFile, form: ImageForm, limit: PixelLimit, scale: Scale, ground: Ground
) -> Pixels | ValueRange | str:
    try:
        return read_image(file, form, limit, scale, ground)
    except UnscaledImageError as deep:
        return deep.values
    except UserError as error:
        return str(error).removeprefix(str(file))
