"""From images with masks to batches: the samples of a split, and the processor of raw images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_nn.data.batches import IGNORED, Index, MaskBatch
from lightning_nn.data.images.conversion import MAX_PIXELS, Fit, ImageForm, Pixels
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.images.processor import RawImages
from lightning_nn.data.labeled_module import count_classes
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import View
from lightning_nn.data.processor import SampleOrigin, check_state
from lightning_nn.errors import UserError

_PADDING = 127  # gray, the middle of the values that a network sees


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

    def origins(self, index: Index) -> list[SampleOrigin]:
        """Return that these images come from no file."""
        return [SampleOrigin()] * len(index)

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        return np.fromiter(map(fingerprint_image, self.images), np.uint64, len(self))


def view_masks(sources: Mapping[str, MaskSource], categories: list[str], form: ImageForm) -> View:
    """Show images of one size with a class for each pixel.

    Args:
        sources: sources of the splits, by name.
        categories: names of the classes.
        form: form of the images.
    """
    rows: list[tuple[str, ...]] = [("split", "images", "classes", "channels x height x width")]
    for split, source in sources.items():
        present = np.count_nonzero(count_classes(source.labels, IGNORED))
        rows.append((split, f"{len(source):,}", f"{present}", " x ".join(map(str, form.shape))))
    size = {"channels": form.channels, "height": form.height, "width": form.width}
    return View(sources, MaskProcessor(categories, *form), rows, {**size, "num_classes": len(categories)})


class SizedMaskSource:
    """Images of any sizes with their masks, in flat arrays; a batch is padded to its largest image and says so.

    Args:
        images: uint8, the pixels of all images one after another, each (C, H, W).
        masks: uint8, likewise, each (H, W).
        sizes: int64 (N, 2), height and width of each image.
        indices: int64, images of this split.
        channels: channels of the images, C.
        fingerprints: uint64 (N,), hash of each image; None to compute them on demand.
        files: file of each image of this split; empty if there are none.

    Attributes:
        lengths: int64 (N, 2), height and width of each image of this split; None if all are of one size.
    """

    def __init__(
        self,
        images: Pixels,
        masks: Pixels,
        sizes: Index,
        indices: Index,
        channels: int = 3,
        fingerprints: Fingerprints | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.indices, self.sizes, self.channels, self.files = indices, sizes, channels, files
        of_split = sizes[indices]
        self.lengths: Index | None = None if (of_split == of_split[:1]).all() else of_split
        self._images, self._masks, self._fingerprints = images, masks, fingerprints
        self._starts = np.concatenate([[0], sizes.prod(1).cumsum()])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> MaskBatch:
        sizes = self.sizes[self.indices[index]]
        height, width = sizes.max(0)
        images = np.full((len(index), self.channels, height, width), _PADDING, np.uint8)
        masks = np.full((len(index), height, width), IGNORED, np.uint8)
        for i, number in enumerate(self.indices[index]):
            high, wide = self.sizes[number]
            images[i, :, :high, :wide], masks[i, :high, :wide] = self._image(number), self._mask(number)
        extent = None if (sizes == sizes[0]).all() else torch.from_numpy(sizes)
        numbers = torch.from_numpy(np.asarray(index, np.int64))
        return MaskBatch(torch.from_numpy(images), torch.from_numpy(masks), numbers, extent=extent)

    def _image(self, number: int) -> Pixels:
        start, end = self.channels * self._starts[number : number + 2]
        return self._images[start:end].reshape(self.channels, *self.sizes[number])

    def _mask(self, number: int) -> Pixels:
        return self._masks[slice(*self._starts[number : number + 2])].reshape(self.sizes[number])

    def origins(self, index: Index) -> list[SampleOrigin]:
        """Return the file of some images, if they have one."""
        return [SampleOrigin(str(self.files[i]) if self.files else "") for i in index]

    def masks(self) -> Iterator[Pixels]:
        """Yield the mask of each image, uint8 (H, W)."""
        yield from map(self._mask, self.indices)

    def fingerprints(self) -> Fingerprints:
        """Return a hash of the pixels of each image, uint64 (N,)."""
        if self._fingerprints is not None:
            return self._fingerprints[self.indices]
        return np.fromiter((fingerprint_image(self._image(i)) for i in self.indices), np.uint64, len(self))


class MaskProcessor(RawImages[MaskBatch]):
    """Processor of raw images for a model of masks; see `RawImages` for the other arguments.

    Args:
        categories: name of each class, in the order of its value in a mask.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels; 0 with "keep".
        width: width in pixels; 0 with "keep".
        fit: how an image of another shape is resized.
        scale: value that becomes 255 in an image with more than 8 bits a channel.
        colours: (red, green, blue) of each class, in the order of the categories; None for those of the palette.
        max_pixels: maximum number of pixels of a raw image.
    """

    kind = "mask"

    def __init__(
        self,
        categories: list[str],
        channels: int,
        height: int,
        width: int,
        fit: Fit = "crop",
        scale: int | None = None,
        colours: list[list[int]] | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(channels, height, width, fit, scale, "white", max_pixels)
        check_state({"categories": categories}, categories=list)
        levels = [level for colour in colours or () for level in colour]
        whole = all(type(level) is int and 0 <= level <= 255 for level in levels)
        if colours is not None and not (whole and [len(colour) for colour in colours] == [3] * len(categories)):
            raise UserError(f"{len(categories)} classes need as many colours (red, green, blue), not {colours}")
        self.categories, self.colours = categories, colours

    def batch(self, image: Tensor) -> MaskBatch:
        """Make a batch of images without masks."""
        return MaskBatch(image)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: categories."""
        return {"categories": self.categories}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        colours = {} if self.colours is None else {"colours": self.colours}
        return {"categories": list(self.categories), **super().state_dict(), **colours}
