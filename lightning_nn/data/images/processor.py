"""Conversion of raw images to batches, as in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_nn.data.batches import Batch, ImageBatch, Index
from lightning_nn.data.images.conversion import MAX_PIXELS, SCALES, Fit, Ground, ImageForm, Pixels
from lightning_nn.data.images.image_files import named_images
from lightning_nn.data.images.reading import PixelLimit, RawImage, read_image
from lightning_nn.data.processor import InputOptions, Record, check_state
from lightning_nn.data.representation import readable
from lightning_nn.errors import UserError

BatchT = TypeVar("BatchT", bound=Batch)


@readable
class RawImages(ABC, Generic[BatchT]):
    """Base of processors of raw images, which converts them to the form of the training images.

    Args:
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels; 0 with "keep".
        width: width in pixels; 0 with "keep".
        fit: how an image of another shape is resized, "crop" or "squash", see `ImageForm`; "keep" leaves each its size.
        scale: value that becomes 255 in an image with more than 8 bits a channel, as in training; None if all training
            images had 8 bits. An image that does not fit it is refused.
        ground: what shows where an image is transparent, as in training.
        max_pixels: maximum number of pixels of a raw image; a larger one is refused before it is decoded. Not in the
            state, so that predict may raise it.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(
        self, channels: int, height: int, width: int, fit: Fit, scale: int | None, ground: Ground, max_pixels: int
    ) -> None:
        sides = range(1) if fit == "keep" else range(1, 1 << 16)
        form = {"channels": channels, "height": height, "width": width, "fit": fit}
        check_state(form, fit=("crop", "squash", "keep"), channels=(1, 3), height=sides, width=sides)
        check_state({"scale": scale, "ground": ground}, scale=(None, *SCALES), ground=Ground)
        if height * width > MAX_PIXELS:
            raise UserError(f"height x width is {height} x {width}; expected at most {MAX_PIXELS:,} pixels")
        self.form = ImageForm(channels, height, width, fit)
        self.scale, self.ground, self.max_pixels = scale, ground, max_pixels

    @abstractmethod
    def batch(self, image: Tensor) -> BatchT:
        """Make a batch of images, uint8 (B, C, H, W), without labels."""

    def read(self, image: RawImage, limit: PixelLimit) -> Pixels:
        """Read a raw image, uint8 (C, H, W); `limit` bounds its pixels."""
        return read_image(image, self.form, limit, self.scale, self.ground)

    def encode(self, raw: list[RawImage]) -> BatchT:
        """Encode raw images as a batch without labels.

        Args:
            raw: paths, PIL images, or uint8 arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). The first frame of an
                animation is used, transparent pixels show the ground, and EXIF orientation is applied.

        Raises:
            UserError: an image can't be read, or images that keep their sizes differ in them.
        """
        limit = PixelLimit(self.max_pixels)
        images = [self.read(image, limit) for image in raw]
        if len(sizes := {image.shape for image in images}) > 1:
            raise UserError(f"images of {len(sizes)} sizes can't be one batch: encode those of each size by themselves")
        return self.batch(torch.from_numpy(np.stack(images) if images else np.empty((0, *self.form.shape), np.uint8)))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, BatchT]]:
        """Yield batches of up to `batch_size` images, in order; of one image where each keeps its size.

        Raises:
            UserError: see `encode`.
        """
        size = 1 if self.form.fit == "keep" else batch_size
        for start in range(0, len(raw), size):
            index = np.arange(start, min(start + size, len(raw)))
            yield index, self.encode(raw[start : start + size])

    def inputs(self, options: InputOptions) -> Iterator[Path] | Iterator[Record]:
        """Find image files, and set `max_pixels`.

        A single file must be readable; of several some may turn out not to be.

        Raises:
            UserError: texts are given, nothing is there, or there is no image in a folder.
        """
        if options.text is not None or not options.files:
            raise UserError("this model reads images: give --data.file IMAGE or FOLDER")
        self.max_pixels = options.max_pixels
        files = named_images(options.files)
        if files == [Path(name) for name in options.files[:1]]:
            return iter(files)
        empty = Image.new("L", (1, 1))
        return (Record(file, {"input": file}, "", empty=empty) for file in files)

    def preparation(self) -> dict[str, str]:
        """Return how an image becomes an input of an exported network, as texts by name."""
        form, ground = self.form, self.ground
        colours, mode = ("gray", "L") if form.channels == 1 else ("RGB", "RGB")
        height, width = ("any" if form.fit == "keep" else str(side) for side in (form.height, form.width))
        fitting = {
            "crop": f"ImageOps.fit(image, ({width}, {height}), Image.Resampling.BILINEAR)",
            "squash": f"image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
        }.get(form.fit, "no resizing")
        about = {
            "axes": "batch, channels, height, width",
            "dtype": "uint8",
            "range": "0 to 255",
            "channels": colours,
            "height": height,
            "width": width,
            "fit": form.fit,
            "resampling": "none" if form.fit == "keep" else "bilinear, antialiased",
            "orientation": "upright by EXIF",
            "transparency": f"on {ground}",
            "preparation": "Decode at full size, turn upright by the orientation in EXIF, lay transparent pixels on "
            f"{ground}{' (128, 128, 128)' * (ground == 'gray')}, convert to {colours} (Pillow's mode {mode}), then, in "
            f"Pillow, {fitting}; normalisation is part of the network.",
        }
        deep = {} if self.scale is None else {"scale": f"{self.scale} becomes 255 in images of more than 8 bits"}
        return {**about, **deep}

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments above as plain data, those that differ from the defaults of scale and ground."""
        scale = {} if self.scale is None else {"scale": self.scale}
        ground = {} if self.ground == "white" else {"ground": self.ground}
        return {**self.form._asdict(), **scale, **ground}


class ImageProcessor(RawImages[ImageBatch]):
    """Processor of raw images for a classifier; see `RawImages` for the other arguments.

    Args:
        categories: name of each class, in the order of the labels.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels.
        width: width in pixels.
        fit: how an image of another shape is resized.
        scale: value that becomes 255 in an image with more than 8 bits a channel.
        ground: what shows where an image is transparent.
        max_pixels: maximum number of pixels of a raw image.
    """

    kind = "image"

    def __init__(
        self,
        categories: list[str],
        channels: int,
        height: int,
        width: int,
        fit: Fit = "crop",
        scale: int | None = None,
        ground: Ground = "white",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(channels, height, width, fit, scale, ground, max_pixels)
        check_state({"categories": categories}, categories=list)
        self.categories = categories

    def batch(self, image: Tensor) -> ImageBatch:
        """Make a batch of images without labels."""
        return ImageBatch(image)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return {"categories": list(self.categories), **super().state_dict()}
