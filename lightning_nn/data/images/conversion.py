"""Conversion of one image to uint8 (C, H, W), by Pillow and NumPy alone.

Images with more than 8 bits a channel have one scale for the whole data set, never one for each file: a dark image
would come out as a bright one, and the class might be that.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lightning_nn.errors import UserError

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "squash", "keep", "inside"]
Ground = Literal["white", "gray"]
MAX_PIXELS = 1 << 26  # 67 megapixels: cameras make up to 61; decoding takes up to 16 bytes a pixel, so 1 GB
SCALES = (1, 255, 65_535)  # largest values of images with more than 8 bits a channel
ROUNDING = 1.001  # a float of 0 to 1 may be 1.0000001
_BAND = 1 << 20  # pixels held in memory as 64-bit values at once
_HEAD = 32  # bytes that tell the kind of a file
_TURNS = {  # what the values of EXIF's orientation tag demand
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageForm(NamedTuple):
    """The form to which every image is converted.

    Attributes:
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels.
        width: width in pixels.
        fit: "crop" scales the image until it covers height x width and crops the rest equally on both sides; "squash"
            stretches it; "keep" leaves it at its size, and height and width are 0; "inside" shrinks an image that is
            larger until it fits into height x width, and keeps its shape.
    """

    channels: int
    height: int
    width: int
    fit: Fit = "crop"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W)."""
        return self.channels, self.height, self.width


class ValueRange(NamedTuple):
    """Least and largest value of an image of integers of 16 or 32 bits, or of floats.

    Attributes:
        low: the least value; not a number if a value is none.
        high: the largest value.
        floats: whether the values are floats.
    """

    low: float
    high: float
    floats: bool

    def fault(self) -> str:
        """Return why no scale fits these values; "" if one may."""
        if not math.isfinite(self.low) or not math.isfinite(self.high):
            return "a value is not a finite number"
        if self.low < 0:
            return f"the value {self.low:g} is negative"
        return f"the value {self.high:g} is above {SCALES[-1]}" if self.high > SCALES[-1] * ROUNDING else ""

    def factor(self, scale: int | None) -> float:
        """Return the factor that makes values of 0 to `scale` those of 0 to 255.

        Args:
            scale: of the training images; None if these had 8 bits, then integers are of 16 bits and floats 0 to 1.

        Raises:
            ValueError: the values don't fit the scale: negative, above it, or so low that the image would be black.
        """
        if fault := self.fault():
            raise ValueError(f"{fault}; expected 0 to 1, 0 to 255 or 0 to 65535")
        top = scale or (1 if self.floats else 65_535)
        if self.high > top * ROUNDING or (top > 1 and 0 < self.high <= top / 255 * ROUNDING):
            trained = f"the training images have 0 to {scale}" if scale else f"of this kind, 0 to {top} is read"
            raise ValueError(f"values to {self.high:g}, but {trained}; save it like them, or with 8 bits a channel")
        return 255 / top


class UnscaledImageError(Exception):
    """An image with more than 8 bits a channel, raised where the scale is still to be found.

    Attributes:
        values: range of its values.
        size: height and width, upright.
    """

    def __init__(self, values: ValueRange, size: tuple[int, int]) -> None:
        super().__init__("more than 8 bits a channel, and no scale")
        self.values, self.size = values, size


Scale = int | Literal["unknown"] | None


def open_image(file: BinaryIO, name: str) -> Image.Image:
    """Do what `Image.open` does, without its process-wide bound, which would be checked before that of this image."""
    prefix = file.read(_HEAD)
    for known in image_formats():
        factory, accepts = Image.OPEN[known]
        accepted = accepts is None or accepts(prefix)
        if accepted and not isinstance(accepted, str):
            file.seek(0)
            with suppress(SyntaxError, IndexError, TypeError, struct.error):  # raised by a decoder that refuses
                return factory(file, name)
    raise UnidentifiedImageError(_unread_kind(prefix))


def _unread_kind(head: bytes) -> str:
    """Say what a file is that begins with these bytes and is no image of a kind that is read."""
    if not head:
        return "the file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image itself; run: git lfs pull"
    if head[4:8] == b"ftyp":
        return "a HEIC image or a video; convert it to JPEG or PNG"
    text = head.lstrip(b"\xef\xbb\xbf\0\t\r\n ").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image; download it again"
    return "SVG; convert it to PNG" if text.startswith((b"<?xml", b"<svg")) else "unknown format"


def tile_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of the tiles of a TIFF file; a tile is decoded whole, even in a smaller image."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(322, 0)), int(tags.get(323, 0))


@cache
def image_formats() -> tuple[str, ...]:
    """List the image formats to open; Pillow would pass PostScript under any suffix to an interpreter."""
    Image.init()
    known = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
    return tuple(name for name in known if name in Image.OPEN)


@contextmanager
def one_line_errors(name: object) -> Iterator[None]:
    """Turn whatever is raised while an image is read into an error that a person understands.

    Args:
        name: of the image.

    Raises:
        UserError: in place of any other error but `UnscaledImageError`.
    """
    try:
        yield
    except (UserError, UnscaledImageError):
        raise
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except Exception as error:  # on a damaged file, Pillow's decoders may raise any exception
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{name}: can't be read as an image ({reason})") from error


def convert(image: Image.Image, form: ImageForm, scale: Scale, ground: Ground) -> Pixels:
    """Convert to upright, opaque, 8 bits a channel, and the colours and size of the form."""
    image = _opaque(_eight_bits(_upright(image), scale), ground)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")  # Pillow converts every mode to RGB, but not to L
    image = image.convert("L" if form.channels == 1 else "RGB")
    if form.fit != "keep" and image.size != (form.width, form.height):
        image = _resize(image, form)
    pixels = np.asarray(image)
    return pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image by its orientation tag alone: Pillow's own function fails where any other EXIF tag is damaged."""
    turn = turn_of(image)
    return image if turn is None else image.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that makes an image upright, by its orientation tag; None if it is upright or has no such tag."""
    with suppress(Exception):  # an EXIF block that can't be read at all
        return _TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    return None


def _resize(image: Image.Image, form: ImageForm) -> Image.Image:
    size = (form.width, form.height)
    if form.fit == "inside":
        image.thumbnail(size, Image.Resampling.BILINEAR)
        return image
    if form.fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


def _eight_bits(image: Image.Image, scale: Scale) -> Image.Image:
    """Scale integers of 16 and 32 bits and floats to 0 to 255; Pillow would clip at 255."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values = np.asarray(image)
    span = ValueRange(float(values.min()), float(values.max()), image.mode == "F")
    if scale == "unknown":
        raise UnscaledImageError(span, (image.height, image.width))
    factor = span.factor(scale)
    scaled = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND // image.width)
    for start in range(0, image.height, rows):
        scaled[start : start + rows] = np.rint(np.minimum(values[start : start + rows] * factor, 255))
    return Image.fromarray(scaled)


def _opaque(image: Image.Image, ground: Ground) -> Image.Image:
    if "A" not in image.getbands() and "a" not in image.getbands() and "transparency" not in image.info:
        return image
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
