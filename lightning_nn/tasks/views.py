"""Views of test images: predictions are averaged over copies that are mirrored and shifted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

Views = Literal["none", "flip", "shift"]


def views(image: Tensor, kind: Views) -> Iterator[tuple[Tensor, float]]:
    """Yield the views of images and the weight of each, which sum to 1.

    Args:
        image: uint8 or float (B, C, H, W).
        kind: none: the images alone. flip: also mirrored. shift: for one half that, for the other half both shifted by
            a pixel up and left, and down and right (as in Jordan 2024, arXiv:2404.00498).
    """
    places = {0: 0.5, -1: 0.25, 1: 0.25} if kind == "shift" else {0: 1.0}
    for by, weight in places.items():
        moved = _shifted(image, by)
        if kind == "none":
            yield moved, weight
        else:
            yield moved, weight / 2
            yield moved.flip(3), weight / 2


def _shifted(image: Tensor, by: int) -> Tensor:
    """Shift images by a pixel down and right (1) or up and left (-1); the border is mirrored."""
    if not by:
        return image
    for dim in (2, 3):
        size = image.shape[dim]
        index = (torch.arange(size, device=image.device) - by).abs()
        index = torch.where(index >= size, 2 * (size - 1) - index, index).clamp(min=0)
        image = image.index_select(dim, index)
    return image
