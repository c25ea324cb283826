"""Conversion of raw images to batches for segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightning_nn.data.batches import Index, MaskBatch
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.reading import MAX_PIXELS, Fit, PixelLimit, RawImage, read_image
from lightning_nn.data.processor import InputOptions, Record
from lightning_nn.errors import UserError


class MaskProcessor:
    """Processor of raw images to batches without masks; see `ImageProcessor`.

    Args:
        categories: name of each class, in the order of its value in a mask.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels; 0 with "keep".
        width: width in pixels; 0 with "keep".
        fit: how an image of another shape is resized, "crop" or "squash"; "keep" leaves each its size.
        scale: value that becomes 255 in an image with more than 8 bits a channel; None if all training images had 8.
        colours: (red, green, blue) of each class, in the order of the categories; None for those of the palette.
        max_pixels: maximum number of pixels of a raw image.
    """

    kind = "mask"

    def __init__(
        self,
        categories: list[str],
        channels: int,
        height: int,
        width: int,
        fit: Fit = "crop",
        scale: int | None = None,
        colours: list[list[int]] | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.images = ImageProcessor(categories, channels, height, width, fit, scale, max_pixels=max_pixels)
        levels = [level for each in colours or () for level in each]
        whole = all(type(level) is int and 0 <= level <= 255 for level in levels)
        if colours is not None and not (whole and [len(each) for each in colours] == [3] * len(categories)):
            raise UserError(f"{len(categories)} classes need as many colours (red, green, blue), not {colours}")
        self.categories, self.colours = categories, colours

    def encode(self, raw: list[RawImage]) -> MaskBatch:
        """Encode raw images as a batch without masks; see `ImageProcessor.encode`.

        Raises:
            UserError: an image can't be read, or images that keep their sizes differ in them.
        """
        if self.images.form.fit != "keep":
            return MaskBatch(self.images.encode(raw).image)
        limit = PixelLimit(self.images.max_pixels)
        images = [read_image(image, self.images.form, limit, self.images.scale) for image in raw]
        if len(sizes := {image.shape[1:] for image in images}) > 1:
            raise UserError(f"images of {len(sizes)} sizes can't be one batch: encode those of each size by themselves")
        return MaskBatch(torch.from_numpy(np.stack(images)))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, MaskBatch]]:
        """Yield batches of up to `batch_size` images, in order; of one image where each keeps its size."""
        size = 1 if self.images.form.fit == "keep" else batch_size
        for start in range(0, len(raw), size):
            some = raw[start : start + size]
            yield np.arange(start, start + len(some)), self.encode(some)

    def inputs(self, options: InputOptions) -> Iterator[Path] | Iterator[Record]:
        """Find image files; see `ImageProcessor.inputs`."""
        return self.images.inputs(options)

    def preparation(self) -> dict[str, str]:
        """Return how an image becomes an input of an exported network, as texts by name."""
        return self.images.preparation()

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return self.images.row_labels()

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return self.images.state_dict() | ({} if self.colours is None else {"colours": self.colours})
