"""Training images as a network sees them, after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_nn.layers.normalize import whole_levels
from lightning_nn.tasks.artifacts import Legend, Masks
from lightning_nn.visualization.image_grid import picture
from lightning_nn.visualization.segmentation import masks_picture

SHOWN = 16  # images
_LEAST = 0.05  # share of a class that a mixed image's title names


def augmented_picture(
    batch: Any, categories: Sequence[str], colours: Sequence[Sequence[int]] = ()
) -> NDArray[np.uint8]:
    """Draw the first images of a batch with their classes, or with their masks.

    Args:
        batch: ImageBatch or MaskBatch, at least one image of one or three channels.
        categories: names of the classes.
        colours: of the classes in masks; none for those of the palette.

    Returns:
        uint8 (height, width, 3).
    """
    few = batch.select(range(min(SHOWN, batch.size)))
    images = whole_levels(few.image).cpu().permute(0, 2, 3, 1)
    shown = list(images.expand(*images.shape[:3], 3).numpy())
    if getattr(few, "mask", None) is not None:
        return masks_picture(Masks(shown, [], list(few.mask.cpu().numpy()), Legend(list(categories), colours)))
    label = getattr(few, "label", None)
    return picture(shown, [] if label is None else [_title(each, categories) for each in label.cpu()])


def _title(label: Tensor, categories: Sequence[str]) -> str:
    """Name a class, or each class of a mixed image with its share."""
    if not label.is_floating_point():
        return categories[int(label)]
    shares = [(share, name) for share, name in zip(label.tolist(), categories, strict=True) if share >= _LEAST]
    return ", ".join(f"{name} {share:.0%}" for share, name in sorted(shares, reverse=True))
