"""Features of images by an encoder that is not trained, computed once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import FrozenEncoder
from lightning_nn.data.cache import entry, fingerprint, is_cached, progress
from lightning_nn.data.loader import Fingerprints, Source

_FORMAT = 1  # of the cache
_CHUNK = 64  # images


@runtime_checkable
class FeatureSource(Protocol):
    """Samples that may be features in place of images.

    Attributes:
        images: uint8 (N, C, H, W), of all splits.
        features: float32 (N, F), given in place of the images; None for the images themselves.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32] | None

    def all_fingerprints(self) -> Fingerprints:
        """Return the hashes of all `images`, also of those in other splits."""
        ...


def give_features(sources: Iterable[Source], encoder: FrozenEncoder | None, *, compute: bool) -> None:
    """Let the sources that can give features in place of images do so.

    Args:
        sources: splits of the same images.
        encoder: computes the features; None for the images themselves.
        compute: False: give the images themselves if their features are not in the cache.
    """
    able = [source for source in sources if isinstance(source, FeatureSource)]
    features = None
    if encoder is not None and able:
        features = cached_features(able[0].images, able[0].all_fingerprints(), encoder, compute=compute)
    for source in able:
        source.features = features


def cached_features(
    images: NDArray[np.uint8], fingerprints: Fingerprints, encoder: FrozenEncoder, *, compute: bool = True
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


def _build(folder: Path, *, images: NDArray[np.uint8], encoder: FrozenEncoder) -> None:
    """Write features.npy chunk by chunk, so that a full disk raises an error, not a bus error in a memory map."""
    with (folder / "features.npy").open("wb") as stream:
        for start in progress(range(0, len(images), _CHUNK), "computing features"):
            some = torch.from_numpy(np.array(images[start : start + _CHUNK]))
            features = encoder.compute(some).detach().to("cpu", torch.float32).numpy()
            if not start:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), features.shape[1])}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(features, "<f4").tobytes())
