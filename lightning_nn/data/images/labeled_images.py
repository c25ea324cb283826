"""Labelled images: a split of them, and the base class of data sets that read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import ImageBatch, Index
from lightning_nn.data.images.conversion import MAX_PIXELS, Ground, ImageForm, Pixels
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.loader import Fingerprints, LabeledSource, Source
from lightning_nn.data.module import BatchSize, View
from lightning_nn.data.processor import SampleOrigin


class ImageSource:
    """Images of one split, fetched a batch at a time.

    Args:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,).
        indices: int64, indices of the images in this split; None for all.
        fingerprints: uint64 (N,), hash of each image, if already known.
        files: file of each image; empty if there are none.
    """

    lengths: Index | None = None

    def __init__(
        self,
        images: Pixels,
        labels: Index,
        indices: Index | None = None,
        fingerprints: Fingerprints | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.images, self.files = images, files
        self._fingerprints = fingerprints
        self.indices = np.arange(len(images)) if indices is None else indices
        self.labels: Index = labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> ImageBatch:
        images = np.asarray(self.images[self.indices[index]])
        return ImageBatch(torch.from_numpy(images), torch.from_numpy(self.labels[index]))

    def origins(self, index: Index) -> list[SampleOrigin]:
        """Return the file of some images, if they have one."""
        return [SampleOrigin(str(self.files[number]) if self.files else "") for number in self.indices[index]]

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        if self._fingerprints is not None:
            return self._fingerprints[self.indices]
        return np.fromiter((fingerprint_image(self.images[i]) for i in self.indices), np.uint64, len(self.indices))


class ImageSet(NamedTuple):
    """Labelled images and their splits.

    Attributes:
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,), 0 to K - 1.
        indices: int64, indices of the images in each split, by its name.
        categories: names of the K classes.
        notes: remarks on how the images were read, for the user.
        provided_splits: splits that the data itself provides; the others were split off.
        fingerprints: uint64 (N,), hash of each image; None if they are computed on demand.
        files: file of each image; empty if there are none.
        scale: value that became 255 in images with more than 8 bits a channel; None if there are none.
        ground: what shows where an image is transparent.
    """

    images: Pixels
    labels: Index
    indices: dict[str, Index]
    categories: list[str]
    notes: list[str]
    provided_splits: list[str]
    fingerprints: Fingerprints | None = None
    files: Sequence[Path] = ()
    scale: int | None = None
    ground: Ground = "white"


class LabeledImages(LabeledDataModule):
    """A data set of labelled images; a subclass reads an `ImageSet` and passes it to `show`.

    Attributes:
        form: form of the images.
    """

    describes: ClassVar[tuple[str, ...]] = ("features", "channels", "height", "width", "num_classes")
    form: ImageForm

    def __init__(self, batch_size: BatchSize, balanced: bool, augment: Augment | dict[str, Any] = NO_AUGMENT) -> None:
        super().__init__(batch_size, balanced)
        self.augment = Augment.of(augment)

    @property
    def trained_scale(self) -> int | None:
        """Scale of the images that a trained model has seen, if it has one."""
        return getattr(self.fixed_processor, "scale", None)

    @property
    def trained_ground(self) -> Ground | None:
        """Ground of the transparent images that a trained model has seen, if there is one."""
        return getattr(self.fixed_processor, "ground", None)

    def show(self, data: ImageSet, max_pixels: int = MAX_PIXELS) -> None:
        """Open the view of labelled images.

        Args:
            data: images that were read.
            max_pixels: maximum number of pixels of a raw image for the processor.
        """
        self.augment.check_channels(self.form.channels)
        self.provided_splits = data.provided_splits
        self.open(view_labels(data, self.form, max_pixels))


def view_labels(data: ImageSet, form: ImageForm, max_pixels: int = MAX_PIXELS) -> View:
    """Show images with a class each.

    Args:
        data: images that were read.
        form: of the images.
        max_pixels: maximum number of pixels of a raw image for the processor.
    """
    sources = {
        split: ImageSource(data.images, data.labels, indices, data.fingerprints, data.files)
        for split, indices in data.indices.items()
    }
    processor = ImageProcessor(data.categories, *form, data.scale, data.ground, max_pixels=max_pixels)
    size = {"channels": form.channels, "height": form.height, "width": form.width}
    arguments = {"features": math.prod(form.shape), **size, "num_classes": len(data.categories)}
    return View(sources, processor, summarize(sources, form), arguments, data.notes)


def summarize(sources: Mapping[str, Source], form: ImageForm) -> list[tuple[str, ...]]:
    """Build the rows of the table shown at the start of a run: images and classes of each split.

    Args:
        sources: sources of the splits, by name.
        form: form of the images.
    """
    rows: list[tuple[str, ...]] = [("split", "images", "classes", "images per class", "channels x height x width")]
    for split, source in sources.items():
        counts = np.unique(cast(LabeledSource, source).labels, return_counts=True)[1]
        least, most = int(counts.min()), int(counts.max())
        spread = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        rows.append((split, f"{len(source):,}", f"{len(counts):,}", spread, " x ".join(map(str, form.shape))))
    return rows
