"""Reading of one image as uint8 (C, H, W), in bounded memory whatever size its file claims.

Images with more than 8 bits a channel have one scale for the whole data set, never one for each file: a dark image
would come out as a bright one, and the class might be that.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lightning_nn.data.images.image_files import ImageFile, ZipMember
from lightning_nn.data.tables.folders import is_special
from lightning_nn.errors import UserError

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "squash", "keep", "inside"]
Ground = Literal["white", "gray"]
RawImage = str | ImageFile | Image.Image | NDArray[Any]

MAX_PIXELS = 1 << 26  # 67 megapixels: cameras make up to 61; decoding takes up to 16 bytes a pixel, so 1 GB
SCALES = (1, 255, 65_535)  # largest values of images with more than 8 bits a channel
_ROUNDING = 1.001  # a float of 0 to 1 may be 1.0000001
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

    def description(self, ground: Ground = "white") -> dict[str, str]:
        """Return what another program has to know and to do to convert an image, as texts by name.

        Args:
            ground: what shows where an image is transparent.
        """
        luma = "gray" if self.channels == 1 else "RGB"
        height, width = ("any" if self.fit == "keep" else str(side) for side in (self.height, self.width))
        fitting = {
            "crop": f"ImageOps.fit(image, ({width}, {height}), Image.Resampling.BILINEAR)",
            "squash": f"image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
        }.get(self.fit, "no resizing")
        return {
            "axes": "batch, channels, height, width",
            "dtype": "uint8",
            "range": "0 to 255",
            "channels": luma,
            "height": height,
            "width": width,
            "fit": self.fit,
            "resampling": "none" if self.fit == "keep" else "bilinear, antialiased",
            "orientation": "upright by EXIF",
            "transparency": f"on {ground}",
            "preparation": "Decode at full size, turn upright by the orientation in EXIF, lay transparent pixels on "
            f"{ground}{' (128, 128, 128)' * (ground == 'gray')}, convert to {luma} (Pillow's mode "
            f"{'L' if self.channels == 1 else 'RGB'}), then, in Pillow, {fitting}; normalisation is part of the "
            "network.",
        }


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
        return f"the value {self.high:g} is above {SCALES[-1]}" if self.high > SCALES[-1] * _ROUNDING else ""

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
        if self.high > top * _ROUNDING or (top > 1 and 0 < self.high <= top / 255 * _ROUNDING):
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
    try:
        if isinstance(picture, str | Path | ZipMember):
            return _read_file(Path(picture) if isinstance(picture, str) else picture, form, limit, scale, ground)
        if isinstance(picture, np.ndarray):
            picture = _from_array(picture)
        if not isinstance(picture, Image.Image):
            raise UserError(f"an image is a path, a PIL image or an array, not {type(picture).__name__}")
        limit.check(*picture.size)
        with limit.decoding(picture.width * picture.height):
            return _convert(picture, form, scale, ground)
    except (UserError, UnscaledImageError):
        raise
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except Exception as error:  # on a damaged file, Pillow's decoders may raise any exception
        raise UserError(f"{name}: can't be read as an image ({_reason(error)})") from error


def _read_file(path: ImageFile, form: ImageForm, limit: PixelLimit, scale: Scale, ground: Ground) -> Pixels:
    if isinstance(path, Path) and is_special(path):
        raise UserError(f"{path}: a pipe, socket or device; an image is read from a file")
    with path.open("rb") as file:
        image = _open(file, str(path))
        limit.check(*image.size)
        limit.check(*_tile_size(image))
        claimed = image.size
        if form.fit == "inside":  # for people; a network sees what every program decodes
            image.draft(None, (2 * form.width, 2 * form.height))
        width, height = claimed if "progressive" in image.info else image.size  # these are held at full size
        with limit.decoding(width * height):
            return _convert(image, form, scale, ground)


def _open(file: BinaryIO, name: str) -> Image.Image:
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


def _tile_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of the tiles of a TIFF file; a tile is decoded whole, even in a smaller image."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(322, 0)), int(tags.get(323, 0))


@cache
def image_formats() -> tuple[str, ...]:
    """List the image formats to open; Pillow would pass PostScript under any suffix to an interpreter."""
    Image.init()
    known = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
    return tuple(name for name in known if name in Image.OPEN)


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise UserError(f"an image as an array is uint8 (H, W), (H, W, 3) or (H, W, 4), not {array.dtype} {shape}")
    if 0 in shape:
        raise UserError(f"an image as an array has no pixels: {shape}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array)


def _convert(image: Image.Image, form: ImageForm, scale: Scale, ground: Ground) -> Pixels:
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
        scale = next(scale for scale in SCALES if high <= scale * _ROUNDING)
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
