"""Processors of style transfer: of raw pictures, and of the names of the pictures that a run has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.images.conversion import MAX_PIXELS, Pixels
from lightning_nn.data.images.processor import RawImages
from lightning_nn.data.images.reading import PixelLimit, RawImage
from lightning_nn.data.processor import MOST, InputOptions, check_state
from lightning_nn.data.representation import readable
from lightning_nn.errors import UserError
from lightning_nn.layers.images import with_longer_side


@readable
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
                known = ", ".join(self.names[:8]) + ", ..." * (len(self.names) > 8)
                raise UserError(
                    f"{name!r} is not a picture of this model, which has only those it was trained on ({known}); "
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


class ContentProcessor(RawImages[StyleBatch]):
    """Processor of raw pictures, which keep their shape.

    Args:
        styles: names of the styles that the model was trained on.
        longest: pixels to which the longer side of a larger picture is scaled.
        scale: value that becomes 255 in a picture with more than 8 bits a channel; see `RawImages`.
    """

    kind = "content"

    def __init__(self, styles: list[str], longest: int = 1024, scale: int | None = None) -> None:
        super().__init__(3, 0, 0, "keep", scale, "white", MAX_PIXELS)
        check_state({"styles": styles, "longest": longest}, styles=list, longest=range(1, MOST))
        self.styles, self.longest = styles, longest

    def batch(self, image: Tensor) -> StyleBatch:
        """Make a batch of contents."""
        return StyleBatch(image)

    def read(self, image: RawImage, limit: PixelLimit) -> Pixels:
        """Read a raw picture, uint8 (3, H, W), whose longer side is at most `longest`; `limit` bounds its pixels."""
        pixels = super().read(image, limit)
        if max(pixels.shape[1:]) <= self.longest:
            return pixels
        height, width = with_longer_side((pixels.shape[1], pixels.shape[2]), self.longest)
        large = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        return np.asarray(large.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)

    def preparation(self) -> dict[str, str]:
        """Return how a picture becomes an input of an exported network, as texts by name."""
        shrink = (
            f"a picture whose longer side is above {self.longest} pixels is shrunk to that: "
            "image.resize((width, height), Image.Resampling.BILINEAR), sides rounded"
        )
        steps = super().preparation()
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
        scale = {} if self.scale is None else {"scale": self.scale}
        return {"styles": list(self.styles), "longest": self.longest, **scale}
