"""Features of images by an encoder that is not trained, computed once and kept in the cache."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_nn.data.batches import FrozenEncoder
from lightning_nn.data.cache import entry, fingerprint, is_cached
from lightning_nn.data.images.reading import Pixels
from lightning_nn.data.images.source import progress
from lightning_nn.data.loader import Fingerprints

_FORMAT = 1  # of the cache
_CHUNK = 64  # images


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
