"""Reading of single images of any kind to uint8 (C, H, W)."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lightning_nn.errors import UserError

Pixels = NDArray[np.uint8]
RawImage = str | Path | Image.Image | NDArray[Any]


class ImageForm(NamedTuple):
    """The form to which every image is converted.

    Attributes:
        channels: 1 for gray, 3 for red, green, blue.
        height: in pixels.
        width: in pixels.
        fit: "crop" scales the image until it covers height x width and crops the rest equally on both sides; "squash"
            stretches it.
    """

    channels: int
    height: int
    width: int
    fit: Literal["crop", "squash"] = "crop"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W)."""
        return self.channels, self.height, self.width


def read_image(picture: RawImage, form: ImageForm) -> Pixels:
    """Read an image, turned upright by its EXIF data, transparency on white, the first frame of an animation.

    Args:
        picture: a path, a PIL image, or a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        form: the form of the result; bilinear resizing covers the whole area that makes a pixel.

    Returns:
        uint8 (C, H, W).

    Raises:
        UserError: the image can't be read.
    """
    name = picture if isinstance(picture, str | Path) else f"an image ({type(picture).__name__})"
    try:
        if isinstance(picture, str | Path):
            return _open(picture, form)
        if isinstance(picture, np.ndarray):
            picture = _from_array(picture)
        if not isinstance(picture, Image.Image):
            raise UserError(f"an image is a path, a PIL image or an array, not {type(picture).__name__}")
        return _bring_to(picture, form)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except Exception as error:  # a damaged file can make Pillow's decoders raise any exception
        raise UserError(f"{name}: can't be read as an image ({_reason(error)})") from error


def _open(path: str | Path, form: ImageForm) -> Pixels:
    with Image.open(path, formats=_formats()) as image:
        # Only JPEG can be decoded at a half, a quarter or an eighth; twice the target size keeps it sharp.
        side = 2 * max(form.height, form.width)
        image.draft(None, (side, side))
        return _bring_to(image, form)


@cache
def _formats() -> tuple[str, ...]:
    """List the image formats to open: Pillow would pass PostScript under any suffix to an interpreter."""
    Image.init()
    known = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
    return tuple(name for name in known if name in Image.OPEN)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return str(error).split("\n")[0] or type(error).__name__


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise UserError(f"an image as an array is uint8 (H, W), (H, W, 3) or (H, W, 4), not {array.dtype} {shape}")
    if 0 in shape:
        raise UserError(f"an image as an array has no pixels: {shape}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and shape[2] == 1 else array)


def _bring_to(image: Image.Image, form: ImageForm) -> Pixels:
    """Make an image upright and opaque, with 8 bits a channel, in the colors and size of the form."""
    with suppress(Exception):  # a damaged EXIF block; damaged pixels raise when they are loaded
        image = ImageOps.exif_transpose(image)
    image = _opaque(_eight_bits(image))
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")  # Pillow converts every mode to RGB, but not every one to L
    image = image.convert("L" if form.channels == 1 else "RGB")
    if image.size != (form.width, form.height):
        image = _resize(image, form)
    pixels = np.asarray(image)
    return pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)


def _resize(image: Image.Image, form: ImageForm) -> Image.Image:
    size = (form.width, form.height)
    if form.fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit integers and floats of 0 to 1 to 0 to 255; Pillow would clip them at 255."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(np.rint(255 * np.clip(np.nan_to_num(np.asarray(image)), 0, 1)).astype(np.uint8))
    return image


def _opaque(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "a" not in image.getbands() and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
