"""Raw images to batches, as a model was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.images.reading import ImageForm, RawImage, read_image
from lightning_nn.data.images.source import image_files
from lightning_nn.data.processor import InputOptions
from lightning_nn.errors import UserError


class ImageProcessor:
    """Raw pictures to batches, in the form the training pictures had.

    Args:
        categories: name of each class, in the order of the labels.
        channels: 1 for gray, 3 for red, green, blue.
        height: in pixels.
        width: in pixels.
        fit: how a picture of another shape is resized, "crop" or "squash"; see `Form`.
    """

    kind = "image"

    def __init__(
        self, categories: list[str], channels: int, height: int, width: int, fit: Literal["crop", "squash"] = "crop"
    ) -> None:
        self.categories = categories
        self.form = ImageForm(channels, height, width, fit)

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
        images = np.empty((len(raw), *self.form.shape), np.uint8)
        for i, picture in enumerate(raw):
            images[i] = read_image(picture, self.form)
        return ImageBatch(torch.from_numpy(images))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, ImageBatch]]:
        """Batches of at most `batch_size` pictures, in their order.

        Raises:
            UserError: see `encode`.
        """
        for start in range(0, len(raw), batch_size):
            index = np.arange(start, min(start + batch_size, len(raw)))
            yield index, self.encode(raw[start : start + batch_size])

    @classmethod
    def inputs(cls, options: InputOptions) -> Iterator[Path]:
        """Find image files: one, or all in a folder, in the order of their names.

        Raises:
            UserError: texts are given, nothing is there, or no image in the folder.
        """
        if options.text is not None or options.file is None:
            raise UserError("this model reads pictures: give --data.file PICTURE or FOLDER")
        path = Path(options.file)
        if not path.exists():
            raise UserError(f"no picture or folder at {path}")
        files = sorted(image_files(path)[0]) if path.is_dir() else [path]
        if not files:
            raise UserError(f"no pictures in {path}")
        return iter(files)

    def row_labels(self) -> dict[str, list[str]]:
        """What the rows of tables stand for: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"categories": list(self.categories), **self.form._asdict()}
