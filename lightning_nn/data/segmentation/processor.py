"""Conversion of raw images to batches for segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from lightning_nn.data.batches import Index, MaskBatch
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.reading import MAX_PIXELS, RawImage
from lightning_nn.data.processor import InputOptions


class MaskProcessor:
    """Processor of raw images to batches without masks; see `ImageProcessor`.

    Args:
        categories: name of each class, in the order of its value in a mask.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels.
        width: width in pixels.
        fit: how an image of another shape is resized, "crop" or "squash".
        max_pixels: maximum number of pixels of a raw image.
    """

    kind = "mask"

    def __init__(
        self,
        categories: list[str],
        channels: int,
        height: int,
        width: int,
        fit: Literal["crop", "squash"] = "crop",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.categories = categories
        self.images = ImageProcessor(categories, channels, height, width, fit, max_pixels=max_pixels)

    def encode(self, raw: list[RawImage]) -> MaskBatch:
        """Encode raw images as a batch without masks; see `ImageProcessor.encode`."""
        return MaskBatch(self.images.encode(raw).image)

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, MaskBatch]]:
        """Yield batches of up to `batch_size` images, in order."""
        for index, batch in self.images.batches(raw, batch_size):
            yield index, MaskBatch(batch.image)

    def inputs(self, options: InputOptions) -> Iterator[Path]:
        """Find image files; see `ImageProcessor.inputs`."""
        return self.images.inputs(options)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return self.images.row_labels()

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return self.images.state_dict()
