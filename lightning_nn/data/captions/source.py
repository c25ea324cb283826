"""Images, or their features, with captions, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import CaptionBatch, Index
from lightning_nn.data.captions.vocabulary import CaptionTable
from lightning_nn.data.images.reading import Pixels
from lightning_nn.data.images.source import fingerprint_image
from lightning_nn.data.loader import Fingerprints


class CaptionSource:
    """Images of one split with their captions, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        captions: of the images of this split, in their order.
        indices: int64, indices of the images in this split; None for all.
        fingerprints: uint64 (N,), hash of each image, if already known.

    Attributes:
        features: float (N, F), given in place of the images; None for the images themselves.
    """

    lengths: Index | None = None

    def __init__(
        self,
        images: Pixels,
        captions: CaptionTable,
        indices: Index | None = None,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        self.images, self.captions = images, captions
        self.features: NDArray[np.float32] | None = None
        self.indices = np.arange(len(images)) if indices is None else indices
        self._fingerprints = fingerprints
        self._first_caption = np.concatenate([[0], captions.captions.cumsum()])  # of each image
        self._first_word = np.concatenate([[0], captions.length.cumsum()])  # of each caption

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> CaptionBatch:
        inputs: NDArray[Any] = self.images if self.features is None else self.features
        images = torch.from_numpy(np.asarray(inputs[self.indices[index]]))
        captions = _ranges(self._first_caption[index], self.captions.captions[index])
        length = self.captions.length[captions]
        words = self.captions.words[_ranges(self._first_word[captions], length)]
        image_index = np.repeat(np.arange(len(index)), self.captions.captions[index])
        return CaptionBatch(images, torch.from_numpy(image_index), torch.from_numpy(length), torch.from_numpy(words))

    def picture(self, index: int) -> Pixels:
        """Return an image as it can be shown, uint8 (H, W, 3)."""
        image = np.asarray(self.images[self.indices[index]]).transpose(1, 2, 0)
        return np.repeat(image, 3, 2) if image.shape[2] == 1 else image

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        if self._fingerprints is not None:
            return self._fingerprints[self.indices]
        return _hashes(self.images[i] for i in self.indices)

    def all_fingerprints(self) -> Fingerprints:
        """Return the hashes of all `images`, also of those in other splits."""
        return _hashes(self.images) if self._fingerprints is None else self._fingerprints


def _hashes(images: Iterable[Pixels]) -> Fingerprints:
    return np.fromiter(map(fingerprint_image, images), np.uint64)


def _ranges(start: Index, count: Index) -> Index:
    """Concatenate ranges of `count` numbers from `start`."""
    ends = count.cumsum()
    return np.arange(ends[-1]) + np.repeat(start - (ends - count), count)
