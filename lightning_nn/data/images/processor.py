"""Conversion of raw images to batches, as in training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.images.reading import MAX_PIXELS, Fit, Ground, ImageForm, PixelLimit, RawImage, read_image
from lightning_nn.data.images.source import named_images
from lightning_nn.data.images.value_range import SCALES
from lightning_nn.data.processor import InputOptions, Record, check_state
from lightning_nn.errors import UserError


class ImageProcessor:
    """Processor of raw images, which converts them to the form of the training images.

    Args:
        categories: name of each class, in the order of the labels.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels.
        width: width in pixels.
        fit: how an image of another shape is resized, "crop" or "squash"; see `ImageForm`.
        scale: value that becomes 255 in an image with more than 8 bits a channel, as in training; None if all training
            images had 8 bits. An image that does not fit it is refused.
        ground: what shows where an image is transparent, as in training.
        max_pixels: maximum number of pixels of a raw image; a larger one is refused before it is decoded. Not in the
            state, so that predict may raise it.

    Raises:
        UserError: a value is out of its range.
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
        sides = range(1) if fit == "keep" else range(1, 1 << 16)
        form = {"channels": channels, "height": height, "width": width, "fit": fit}
        check_state(form, fit=("crop", "squash", "keep"), channels=(1, 3), height=sides, width=sides)
        reading = {"categories": categories, "scale": scale, "ground": ground}
        check_state(reading, categories=list, scale=(None, *SCALES), ground=Ground)
        if height * width > MAX_PIXELS:
            raise UserError(f"height x width is {height} x {width}; expected at most {MAX_PIXELS:,} pixels")
        self.categories = categories
        self.form = ImageForm(channels, height, width, fit)
        self.scale, self.ground = scale, ground
        self.max_pixels = max_pixels

    def encode(self, raw: list[RawImage]) -> ImageBatch:
        """Encode raw images as a batch without labels.

        Args:
            raw: paths, PIL images, or uint8 arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). The first frame of an
                animation is used, transparent pixels show the ground, and EXIF orientation is applied.

        Returns:
            uint8 (B, C, H, W).

        Raises:
            UserError: an image can't be read.
        """
        if not self.form.height:
            raise UserError("this model's images keep their sizes (fit keep), which can't be one batch")
        limit = PixelLimit(self.max_pixels)
        images = np.empty((len(raw), *self.form.shape), np.uint8)
        for i, image in enumerate(raw):
            images[i] = read_image(image, self.form, limit, self.scale, self.ground)
        return ImageBatch(torch.from_numpy(images))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, ImageBatch]]:
        """Yield batches of up to `batch_size` images, in order.

        Raises:
            UserError: see `encode`.
        """
        for start in range(0, len(raw), batch_size):
            index = np.arange(start, min(start + batch_size, len(raw)))
            yield index, self.encode(raw[start : start + batch_size])

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
        deep = {} if self.scale is None else {"scale": f"{self.scale} becomes 255 in images of more than 8 bits"}
        return {**self.form.description(self.ground), **deep}

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        scale = {} if self.scale is None else {"scale": self.scale}
        ground = {} if self.ground == "white" else {"ground": self.ground}
        return {"categories": list(self.categories), **self.form._asdict(), **scale, **ground}
