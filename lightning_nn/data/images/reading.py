"""Reading of one image as uint8 (C, H, W), in bounded memory whatever size its file claims."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.data.images.conversion import (
    MAX_PIXELS,
    ROUNDING,
    SCALES,
    Ground,
    ImageForm,
    Pixels,
    Scale,
    ValueRange,
    convert,
    one_line_errors,
    open_image,
    tile_size,
)
from lightning_nn.data.images.image_files import ImageFile, ZipMember
from lightning_nn.data.tables.folders import is_special
from lightning_nn.errors import UserError

RawImage = str | ImageFile | Image.Image | NDArray[Any]


class PixelLimit:
    """Bound on decoded pixels, in one image and at once in all threads that share this object.

    Args:
        pixels: the bound; without it, a file of a few kilobytes may claim any number of pixels.
    """

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        self.pixels = pixels
        self._free = pixels
        self._changed = threading.Condition()

    def check(self, width: int, height: int) -> None:
        """Check the size that a file claims before it is decoded.

        Raises:
            ValueError: the size is above the bound.
        """
        if width * height > self.pixels:
            raise ValueError(
                f"{width:,} x {height:,} pixels, above --data.max_pixels {self.pixels}; raise it if you trust the file"
            )

    @contextmanager
    def decoding(self, pixels: int) -> Iterator[None]:
        """Reserve some pixels, waiting until other threads have released enough."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


def read_image(
    picture: RawImage,
    form: ImageForm,
    limit: PixelLimit | None = None,
    scale: Scale = None,
    ground: Ground = "white",
) -> Pixels:
    """Read an image: EXIF orientation applied, opaque, the first frame of an animation.

    Args:
        picture: a path, a member of a zip archive, a PIL image, or a uint8 array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4).
        form: form to which the image is converted; resizing is bilinear with antialiasing.
        limit: bound on decoded pixels; threads that share it wait for one another.
        scale: value that becomes 255 in an image with more than 8 bits a channel; None for 65535 of integers and 1 of
            floats, "unknown" to raise `UnscaledImageError` for such an image.
        ground: what shows where an image is transparent.

    Returns:
        uint8 (C, H, W).

    Raises:
        UnscaledImageError: see `scale`.
        UserError: the image can't be read, or has more pixels than `limit` allows.
    """
    limit = limit or PixelLimit()
    name = picture if isinstance(picture, str | Path | ZipMember) else f"an image ({type(picture).__name__})"
    with one_line_errors(name):
        if isinstance(picture, str | Path | ZipMember):
            return _read_file(Path(picture) if isinstance(picture, str) else picture, form, limit, scale, ground)
        if isinstance(picture, np.ndarray):
            picture = _from_array(picture)
        if not isinstance(picture, Image.Image):
            raise UserError(f"an image is a path, a PIL image or an array, not {type(picture).__name__}")
        limit.check(*picture.size)
        with limit.decoding(picture.width * picture.height):
            return convert(picture, form, scale, ground)


def _read_file(path: ImageFile, form: ImageForm, limit: PixelLimit, scale: Scale, ground: Ground) -> Pixels:
    if isinstance(path, Path) and is_special(path):
        raise UserError(f"{path}: a pipe, socket or device; an image is read from a file")
    with path.open("rb") as file:
        image = open_image(file, str(path))
        limit.check(*image.size)
        limit.check(*tile_size(image))
        claimed = image.size
        if form.fit == "inside":  # for people; a network sees what every program decodes
            image.draft(None, (2 * form.width, 2 * form.height))
        width, height = claimed if "progressive" in image.info else image.size  # these are held at full size
        with limit.decoding(width * height):
            return convert(image, form, scale, ground)


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise UserError(f"an image as an array is uint8 (H, W), (H, W, 3) or (H, W, 4), not {array.dtype} {shape}")
    if 0 in shape:
        raise UserError(f"an image as an array has no pixels: {shape}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array)


def choose_scale(ranges: dict[Path, ValueRange]) -> int:
    """Choose the smallest scale that all images fit.

    Args:
        ranges: of each image, at least one.

    Raises:
        UserError: no scale fits an image, the largest value is a little above a scale, or floats and integers have
            different ones.
    """
    if faults := {file: fault for file, values in ranges.items() if (fault := values.fault())}:
        file, fault = next(iter(faults.items()))
        raise UserError(
            f"{file}: {fault}, as in {len(faults):,} of {len(ranges):,} images with more than 8 bits a channel; "
            "expected 0 to 1, 0 to 255 or 0 to 65535: save all images with 8 bits a channel, or remove damaged ones"
        )
    scales = {}
    for floats in (False, True):
        largest = max(
            (file for file in ranges if ranges[file].floats == floats), key=lambda f: ranges[f].high, default=None
        )
        if largest is None:
            continue
        high = ranges[largest].high
        scale = next(scale for scale in SCALES if high <= scale * ROUNDING)
        if scale > 1 and high < 2 * SCALES[SCALES.index(scale) - 1]:
            raise UserError(
                f"{largest}: the largest value of all images is {high:g}, neither 0 to "
                f"{SCALES[SCALES.index(scale) - 1]} nor 0 to {scale}; save all images with 8 bits a channel"
            )
        scales[scale] = largest
    if len(scales) > 1:
        (low, first), (high, second) = scales.items()
        raise UserError(
            f"{first} and images like it have values of 0 to {low}, {second} of 0 to {high}; "
            "save all images with 8 bits a channel"
        )
    return next(iter(scales))


def note_on_scale(ranges: dict[Path, ValueRange], scale: int, count: int, *, trained: bool) -> str:
    """Say how images with more than 8 bits are read.

    Args:
        ranges: of each such image, at least one.
        scale: the value that becomes 255.
        count: number of all images.
        trained: whether the scale is that of a trained model.
    """
    high = max(values.high for values in ranges.values())
    levels = round(255 * high / scale)
    rest = f"; the other {count - len(ranges):,} have 8 bits and stay as they are" if len(ranges) < count else ""
    dark = f"; warning: they use only the lowest {levels} of 255 levels" if levels < 32 else ""
    return (
        f"scale: {len(ranges):,} of {count:,} images have more than 8 bits a channel; their values of 0 to {scale} "
        f"(largest: {high:g}{', scale of the checkpoint' * trained}) become 0 to 255{rest}{dark}"
    )
