"""Images, or features of them that are computed once and kept in the cache, with captions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import CaptionBatch, FrozenEncoder, Index
from lightning_nn.data.cache import entry, fingerprint, is_cached
from lightning_nn.data.captions.words import CaptionTable
from lightning_nn.data.images.decoding import fingerprint_image, progress
from lightning_nn.data.images.reading import Pixels
from lightning_nn.data.loader import Fingerprints

_FORMAT = 1  # of the cache
_CHUNK = 64  # images


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


def cached_features(
    images: Pixels, fingerprints: Fingerprints, encoder: FrozenEncoder, *, compute: bool = True
) -> NDArray[np.float32] | None:
    """Return the features of images, memory-mapped; computed if they are not in the cache.

    Args:
        images: uint8 (N, C, H, W), at least one.
        fingerprints: uint64 (N,), hash of each image.
        encoder: computes features from images.
        compute: False: only look into the cache.

    Returns:
        float32 (N, F); None if they are not in the cache and are not to be computed.
    """
    contents = hashlib.blake2b(fingerprints.astype("<u8").tobytes(), digest_size=16).hexdigest()
    settings = {"format": _FORMAT, "encoder": encoder.key, "images": contents, "shape": list(images.shape)}
    key = f"features-{fingerprint([], settings)}"
    if not compute and not is_cached(key):
        return None
    folder = entry(key, partial(_build, images=images, encoder=encoder))
    features: NDArray[np.float32] = np.load(folder / "features.npy", mmap_mode="r")
    return features


def _build(folder: Path, *, images: Pixels, encoder: FrozenEncoder) -> None:
    """Write features.npy chunk by chunk, so that a full disk raises an error, not a bus error in a memory map."""
    with (folder / "features.npy").open("wb") as stream:
        for start in progress(range(0, len(images), _CHUNK), "computing features"):
            some = torch.from_numpy(np.array(images[start : start + _CHUNK]))
            features = encoder.compute(some).detach().to("cpu", torch.float32).numpy()
            if not start:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), features.shape[1])}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(features, "<f4").tobytes())
