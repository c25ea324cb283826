"""Processors of style transfer: of raw pictures, and of the names of the pictures that a run has made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.reading import PixelLimit, Pixels, RawImage, read_image
from lightning_nn.data.processor import MOST, InputOptions, Record, check_state
from lightning_nn.errors import UserError
from lightning_nn.layers.images import with_longer_side


class PhotoProcessor:
    """Processor of the names of the pictures that a model holds; it reads no files.

    Args:
        names: name of each picture: that of its content, or of its style if there is no content.
        styles: names of the styles.
    """

    kind = "style"

    def __init__(self, names: list[str], styles: list[str]) -> None:
        check_state({"names": names, "styles": styles}, names=list, styles=list)
        self.names, self.styles = names, styles

    def encode(self, raw: list[Any]) -> StyleBatch:
        """Make a batch that asks for pictures by their names.

        Raises:
            UserError: a picture is not among those of the model.
        """
        for name in raw:
            if name not in self.names:
                there = ", ".join(self.names[:8]) + ", ..." * (len(self.names) > 8)
                raise UserError(
                    f"{name!r} is not a picture of this model, which has only those it was trained on ({there}); "
                    "--model fast_style stylises others"
                )
        return StyleBatch(None, (), torch.tensor([self.names.index(name) for name in raw]))

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, StyleBatch]]:
        """Yield batches of up to `batch_size` pictures, in order."""
        for start in range(0, len(raw), batch_size):
            some = raw[start : start + batch_size]
            yield np.arange(start, start + len(some)), self.encode(some)

    def inputs(self, options: InputOptions) -> Iterator[str]:
        """Yield the names of all pictures.

        Raises:
            UserError: an input is given.
        """
        if options.text is not None or options.files:
            raise UserError(
                "this checkpoint holds a finished picture, and predict writes it to --out FILE.png: leave --data.text "
                "and --data.file out; --model fast_style stylises other pictures"
            )
        return iter(self.names)

    def row_labels(self) -> dict[str, list[str]]:
        """Return no labels: no table of weights has any."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"names": list(self.names), "styles": list(self.styles)}


class ContentProcessor:
    """Processor of raw pictures, which keep their shape; see `ImageProcessor`.

    Args:
        styles: names of the styles that the model was trained on.
        longest: pixels to which the longer side of a larger picture is scaled.
        scale: see `ImageProcessor`.
    """

    kind = "content"

    def __init__(self, styles: list[str], longest: int = 1024, scale: int | None = None) -> None:
        check_state({"styles": styles, "longest": longest}, styles=list, longest=range(1, MOST))
        self.styles, self.longest = styles, longest
        self.images = ImageProcessor([], 3, 0, 0, "keep", scale)

    def encode(self, raw: list[RawImage]) -> StyleBatch:
        """Encode raw pictures as a batch of contents.

        Raises:
            UserError: a picture can't be read, or they differ in size.
        """
        limit = PixelLimit(self.images.max_pixels)
        pixels = (read_image(each, self.images.form, limit, self.images.scale) for each in raw)
        images = [self._fitted(each) for each in pixels]
        if len(sizes := {tuple(image.shape) for image in images}) > 1:
            raise UserError(f"images of {len(sizes)} sizes can't be one batch: encode those of each size by themselves")
        return StyleBatch(torch.stack(images))

    def _fitted(self, pixels: Pixels) -> torch.Tensor:
        if max(pixels.shape[1:]) > self.longest:
            height, width = with_longer_side((pixels.shape[1], pixels.shape[2]), self.longest)
            image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        return torch.from_numpy(np.array(pixels, order="C"))

    def batches(self, raw: list[RawImage], batch_size: int) -> Iterator[tuple[Index, StyleBatch]]:
        """Yield batches of one picture each, in order."""
        for i, each in enumerate(raw):
            yield np.array([i]), self.encode([each])

    def inputs(self, options: InputOptions) -> Iterator[Path] | Iterator[Record]:
        """Find image files; see `ImageProcessor.inputs`."""
        return self.images.inputs(options)

    def preparation(self) -> dict[str, str]:
        """Return how a picture becomes an input of an exported network, as texts by name."""
        shrink = (
            f"a picture whose longer side is above {self.longest} pixels is shrunk to that: "
            "image.resize((width, height), Image.Resampling.BILINEAR), sides rounded"
        )
        steps = self.images.preparation()
        return {
            **steps,
            "longest": str(self.longest),
            "resampling": "bilinear, antialiased",
            "preparation": steps["preparation"].replace("no resizing", shrink),
        }

    def row_labels(self) -> dict[str, list[str]]:
        """Return no labels: no table of weights has any."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        scale = {} if self.images.scale is None else {"scale": self.images.scale}
        return {"styles": list(self.styles), "longest": self.longest, **scale}
