"""Images and their masks, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lightning_nn.data.batches import IGNORED, Index, MaskBatch
from lightning_nn.data.images.reading import ImageForm, Pixels
from lightning_nn.data.images.source import fingerprint_image
from lightning_nn.data.labeled_module import count_classes
from lightning_nn.data.loader import Fingerprints


class MaskSource:
    """Images of one split with a class for each pixel, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W).
        masks: uint8 (N, H, W), the class of each pixel; 255 where it is ignored.

    Attributes:
        labels: the masks.
    """

    lengths: Index | None = None

    def __init__(self, images: Pixels, masks: Pixels) -> None:
        self.images, self.labels = images, masks

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> MaskBatch:
        fields = (np.asarray(self.images[index]), np.asarray(self.labels[index]), np.asarray(index, np.int64))
        image, mask, number = map(torch.from_numpy, fields)
        return MaskBatch(image, mask, number)

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        return np.fromiter(map(fingerprint_image, self.images), np.uint64, len(self))


def summarize_masks(sources: Mapping[str, MaskSource], form: ImageForm) -> list[tuple[str, ...]]:
    """Build the rows of the table shown at the start of a run: images and classes of each split.

    Args:
        sources: sources of the splits, by name.
        form: form of the images.
    """
    rows: list[tuple[str, ...]] = [("split", "images", "classes", "channels x height x width")]
    for split, source in sources.items():
        present = np.count_nonzero(count_classes(source.labels, IGNORED))
        rows.append((split, f"{len(source):,}", f"{present}", " x ".join(map(str, form.shape))))
    return rows
