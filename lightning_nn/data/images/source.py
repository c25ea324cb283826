"""Images of any kind as one uint8 array: decoded once into the cache, memory-mapped from then on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.class_folders import files_below
from lightning_nn.data.images.reading import ImageForm, Pixels, read_image
from lightning_nn.data.loader import Source
from lightning_nn.errors import UserError

_TYPES = "avif bmp gif jfif jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp"
SUFFIXES = frozenset(f".{name}" for name in _TYPES.split(" "))

_FORMAT = 1  # of the cache
_CHUNK = 256  # images in memory at a time while a folder is decoded


class ImageSource:
    """Images of one split, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,).
        indices: numbers of the images in this split, 0 to N - 1; None for all.
    """

    lengths: Index | None = None

    def __init__(self, images: Pixels, labels: Index, indices: Index | None = None) -> None:
        self.images = images
        self.indices = np.arange(len(images)) if indices is None else indices
        self.labels: Index = labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def join(self, other: ImageSource) -> ImageSource:
        """Concatenate the images of both splits."""
        labels = np.empty(len(self.images), np.int64)
        labels[self.indices], labels[other.indices] = self.labels, other.labels
        return ImageSource(self.images, labels, np.concatenate([self.indices, other.indices]))

    def __getitem__(self, index: Index) -> ImageBatch:
        images = np.asarray(self.images[self.indices[index]])
        return ImageBatch(torch.from_numpy(images), torch.from_numpy(self.labels[index]))


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """List all files below a folder, in the order of their names.

    Hidden files and what macOS adds to archives are skipped; no folder is read twice, even if links lead there.

    Args:
        folder: searched to any depth.

    Returns:
        The images, by their suffix, and the other files.
    """
    return files_below(folder, SUFFIXES)


def decode(files: list[Path], root: Path, form: ImageForm) -> tuple[Pixels, dict[int, str]]:
    """Decode images into one array: once, memory-mapped from then on.

    The cache identifies a file by its name below `root`, its size and the times of its last change.

    Args:
        files: the images, at least one.
        root: the folder that holds all of them.
        form: the form to which each is converted.

    Returns:
        uint8 (N, C, H, W), in the order of the files, and the reason for each file that could not be read, by its
        number; its row of the array is zero.
    """
    stamps = [_stamp(file, root) for file in files]
    settings = {"format": _FORMAT, "form": list(form), "files": stamps}
    # Threads pay if decoding an image takes longer than handing it over: measured, 64 KB gain and 2 KB lose.
    large = sum(size for _, size, *_ in stamps) > 16_384 * len(files)
    build = partial(_build, files=files, form=form, workers=(os.cpu_count() or 1) if large else 1)
    folder = entry(f"pictures-{fingerprint([], settings)}", build)
    broken = json.loads((folder / "broken.json").read_text(encoding="utf-8"))
    images = np.load(folder / "images.npy", mmap_mode="r")
    return images, {int(number): f"{files[int(number)]}{reason}" for number, reason in broken.items()}


def summarize(sources: dict[str, Source], form: ImageForm) -> list[tuple[str, ...]]:
    """Build the rows of the table shown at the start of a run: images and classes of each split.

    Args:
        sources: the splits.
        form: of their images.
    """
    rows: list[tuple[str, ...]] = [("split", "images", "classes", "images a class", "channels x height x width")]
    for split, source in sources.items():
        counts = np.unique(source.labels, return_counts=True)[1]
        least, most = int(counts.min()), int(counts.max())
        spread = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        rows.append((split, f"{len(source):,}", f"{len(counts):,}", spread, " x ".join(map(str, form.shape))))
    return rows


def _stamp(file: Path, root: Path) -> tuple[str, int, int, int]:
    name = str(file)[len(str(root)) :]  # `relative_to` is slow for tens of thousands of files
    try:
        stat = file.stat()
    except OSError:  # a broken link, which reading will report
        return name, 0, 0, 0
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _build(folder: Path, *, files: list[Path], form: ImageForm, workers: int) -> None:
    """Write images.npy a chunk at a time, so that a full disk is an error and not a fault in a memory map."""
    broken: dict[int, str] = {}
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *form.shape)}
    with (folder / "images.npy").open("wb") as stream, ThreadPoolExecutor(workers) as pool:
        np.lib.format.write_array_header_1_0(stream, header)
        for start in _progress(range(0, len(files), _CHUNK)):
            chunk = files[start : start + _CHUNK]
            read = partial(_try_read, form=form)
            for number, result in enumerate(pool.map(read, chunk) if workers > 1 else map(read, chunk), start):
                if isinstance(result, str):
                    broken[number] = result.removeprefix(str(files[number]))
                    result = np.zeros(form.shape, np.uint8)
                stream.write(result.tobytes())
    (folder / "broken.json").write_text(json.dumps(broken), encoding="utf-8")


def _progress(steps: range) -> Iterator[int]:
    """Show a progress bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(steps, "decoding images", console=console, transient=True, disable=not console.is_terminal))


def _try_read(file: Path, form: ImageForm) -> Pixels | str:
    try:
        return read_image(file, form)
    except UserError as error:
        return str(error)
