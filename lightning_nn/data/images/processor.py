"""Conversion of raw images to batches, as in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.images.reading import ImageForm, RawImage, read_image


class ImageProcessor:
    """Processor of raw images, to the form of the training images.

    Args:
        categories: name of each class, in the order of the labels.
        channels: 1 for gray, 3 for red, green, blue.
        height: in pixels.
        width: in pixels.
        fit: how an image of another shape is resized, "crop" or "squash"; see `ImageForm`.
    """

    kind = "pictures"

    def __init__(
        self, categories: list[str], channels: int, height: int, width: int, fit: Literal["crop", "squash"] = "crop"
    ) -> None:
        self.categories = categories
        self.form = ImageForm(channels, height, width, fit)

    def encode(self, raw: list[RawImage]) -> ImageBatch:
        """Encode raw images as a batch without labels.

        Args:
            raw: paths, PIL images, or uint8 arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). The first frame of an
                animation is used, transparent pixels become white, and EXIF orientation is applied.

        Returns:
            uint8 (B, C, H, W).

        Raises:
            UserError: an image can't be read.
        """
        images = np.empty((len(raw), *self.form.shape), np.uint8)
        for i, picture in enumerate(raw):
            images[i] = read_image(picture, self.form)
        return ImageBatch(torch.from_numpy(images))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, ImageBatch]]:
        """Yield batches of at most `batch_size` images, in their order.

        Raises:
            UserError: see `encode`.
        """
        for start in range(0, len(raw), batch_size):
            index = np.arange(start, min(start + batch_size, len(raw)))
            yield index, self.encode(raw[start : start + batch_size])

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return {"categories": list(self.categories), **self.form._asdict()}
