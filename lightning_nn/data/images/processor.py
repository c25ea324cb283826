"""Raw images to batches, as a model was trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm, PixelLimit, RawImage, read_image


class ImageProcessor:
    """Raw pictures to batches, in the form the training pictures had.

    Args:
        categories: name of each class, in the order of the labels.
        channels: 1 for gray, 3 for red, green, blue.
        height: in pixels.
        width: in pixels.
        fit: how a picture of another shape is resized, "crop" or "squash"; see `Form`.

    Attributes:
        max_pixels: of a picture; one with more is refused before it is decoded. A person's to raise, so it is not in
            the state.
    """

    kind = "pictures"

    def __init__(
        self, categories: list[str], channels: int, height: int, width: int, fit: Literal["crop", "squash"] = "crop"
    ) -> None:
        self.categories = categories
        self.form = ImageForm(channels, height, width, fit)
        self.max_pixels = MAX_PIXELS

    def encode(self, raw: list[RawImage]) -> ImageBatch:
        """A batch without labels.

        Args:
            raw: paths, PIL images, or uint8 arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). Of an animation the
                first frame is taken, transparent pixels become white, EXIF's orientation is obeyed.

        Returns:
            uint8 (B, C, H, W).

        Raises:
            UserError: a picture that cannot be read.
        """
        limit = PixelLimit(self.max_pixels)
        images = np.empty((len(raw), *self.form.shape), np.uint8)
        for i, picture in enumerate(raw):
            images[i] = read_image(picture, self.form, limit)
        return ImageBatch(torch.from_numpy(images))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, ImageBatch]]:
        """Batches of at most `batch_size` pictures, in their order.

        Raises:
            UserError: see `encode`.
        """
        for start in range(0, len(raw), batch_size):
            index = np.arange(start, min(start + batch_size, len(raw)))
            yield index, self.encode(raw[start : start + batch_size])

    def row_labels(self) -> dict[str, list[str]]:
        """What the rows of tables stand for: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"categories": list(self.categories), **self.form._asdict()}
