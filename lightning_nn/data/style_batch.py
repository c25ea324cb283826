"""The batch of style transfer; import it from `batches`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_nn.data.batch_checks import check_image, check_pixels, check_range, require
from lightning_nn.errors import UserError


class StyleBatch(NamedTuple):
    """Pictures for their content, and pictures for their style.

    Attributes:
        content: uint8 (B, 3, H, W), 0 to 255, or float, 0 to 1; None for style alone.
        style: uint8 or float (3, H, W) each, likewise, of any sizes; empty for content alone.
        picture: int64 (B,), number of each sample among the pictures that a model makes; None where it makes none.
    """

    content: Tensor | None
    style: tuple[Tensor, ...] = ()
    picture: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples: contents or pictures, B."""
        return next((len(each) for each in (self.picture, self.content) if each is not None), 1)

    def check(self, limits: Mapping[str, Any]) -> None:
        """Refuse a batch that the model can't read.

        Args:
            limits: the model's arguments: `height`, `width` and `pictures` if it has them.

        Raises:
            UserError: the batch is empty, has another dtype or shape, or more pictures than the model.
        """
        if self.content is not None:
            check_image(
                self.content, {"channels": 3, **{key: limits[key] for key in ("height", "width") if key in limits}}
            )
        for image in self.style or ():
            check_pixels("style", image, "(3, H, W)")
            if len(image) != 3:
                raise UserError(f"a style of {tuple(image.shape)}; it must have 3 channels")
        if self.content is None and not self.style and self.picture is None:
            raise UserError("a batch has neither content nor style")
        if self.picture is None:
            return
        require("picture", self.picture, (torch.int64,), "(B,)", "see StyleBatch")
        if self.content is not None and len(self.content) != len(self.picture):
            raise UserError(f"a batch of {len(self.content)} contents is for {len(self.picture)} pictures")
        if self.picture.device.type == "cpu":
            check_range("pictures", self.picture, limits.get("pictures", len(self.picture)), "pictures")

    def select(self, index: Iterable[int]) -> StyleBatch:
        """Return some samples by their indices in this batch, in the order given, with all styles."""
        chosen = list(index)
        content, picture = (None if each is None else each[chosen] for each in (self.content, self.picture))
        return StyleBatch(content, self.style, picture)

    def shows_the_same_as(self, other: StyleBatch) -> bool:
        """Return whether another batch has equal contents and styles."""
        if len(self.style) != len(other.style) or (self.content is None) != (other.content is None):
            return False
        pairs = [*zip(self.style, other.style, strict=True)]
        if self.content is not None and other.content is not None:
            pairs.append((self.content, other.content))
        return all(one is another or torch.equal(one, another) for one, another in pairs)
