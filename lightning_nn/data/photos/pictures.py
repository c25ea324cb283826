"""Data module of many contents for one style, to train a network that stylises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm, PixelLimit, Pixels
from lightning_nn.data.images.source import decode, fingerprint_image
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.data.photos.content_processor import ContentProcessor
from lightning_nn.data.photos.data_module import (
    BUNDLED,
    SMALLEST,
    bundled,
    content_files,
    read_photograph,
    style_files,
)
from lightning_nn.data.scenes.drawing import draw_scenes
from lightning_nn.errors import UserError
from lightning_nn.layers.resizing import cover

_SCENES, _CROPS = 300, 150  # drawn scenes, and crops of each bundled photograph


class Pictures(DataModule):
    """Many contents and one style, or several styles that are mixed.

    Without a folder the contents are drawn scenes and crops of scikit-learn's two photographs, and the style is its
    flower.

    Args:
        content: a folder of pictures, which are cropped to squares.
        style: one or more files, with commas between them.
        size: height and width of the contents while training.
        longest: longer side of predicted pictures; larger ones are scaled to it.
        batch_size: contents in a batch of one process; "all" is the whole set.
        max_pixels: maximum number of pixels of an image; a larger one is refused before it is decoded.

    Raises:
        UserError: contents that are too small.
    """

    def __init__(
        self,
        content: str | None = None,
        style: str | None = None,
        size: int = 96,
        longest: int = 1024,
        batch_size: BatchSize = 2,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(batch_size)
        if min(size, longest) < SMALLEST:
            raise UserError(f"size is {size} and longest {longest}; both must be at least {SMALLEST} pixels")
        self.content, self.style, self.size, self.longest = content, style, size, longest
        self.max_pixels = max_pixels
        self._moved: tuple[tuple[Tensor, ...], torch.device, tuple[Tensor, ...]] | None = None
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Read the pictures."""
        limit, keep = PixelLimit(self.max_pixels), ImageForm(3, 0, 0, "keep")
        styles = style_files(self.style) or [bundled(BUNDLED[1])]
        self.notes, scale = list[str](), None
        if self.content is None:
            contents = np.concatenate([draw_scenes(_SCENES, self.size, 0).image, *map(self._crops, BUNDLED)])
        else:
            contents, scale = self._decoded(content_files(self.content))
        read = tuple(read_photograph(file, keep, limit, self.notes) for file in styles)
        self.sources = {"train": ContentSource(contents, read)}
        self.processor = ContentProcessor([file.name for file in styles], self.longest, scale)
        names = ", ".join(file.name for file in styles)
        self.summary = [("split", "contents", "styles"), ("train", f"{len(contents):,}", names)]

    def _crops(self, name: str) -> Pixels:
        """Cut squares of many sizes out of a bundled photograph, always the same."""
        image = read_photograph(bundled(name), ImageForm(3, 0, 0, "keep"), PixelLimit(), self.notes).float()
        random, crops = np.random.default_rng(0), []
        for _ in range(_CROPS):
            side = int(random.integers(self.size, max(self.size + 1, min(image.shape[1:]))))
            side = min(side, *image.shape[1:])
            top, left = (int(random.integers(0, whole - side + 1)) for whole in image.shape[1:])
            crop = cover(image[None, :, top : top + side, left : left + side], (self.size, self.size))
            crops.append(crop[0].round().to(torch.uint8).numpy())
        return np.stack(crops)

    def _decoded(self, files: list[Path]) -> tuple[Pixels, int | None]:
        """Return the contents, and the scale of those with more than 8 bits a channel."""
        root = Path(str(self.content)).expanduser()
        form = ImageForm(3, self.size, self.size)
        found = decode(files, root if root.is_dir() else root.parent, form, self.max_pixels)
        kept = [i for i in range(len(files)) if i not in found.broken]
        if not kept:
            raise UserError(f"{self.content}: none of {len(files):,} images can be read: {found.broken[0]}")
        self.notes += list(found.broken.values())[:3]
        if len(found.broken) > 3:
            self.notes.append(f"{len(found.broken):,} images can't be read")
        self.notes += found.notes
        return found.images if len(kept) == len(files) else np.asarray(found.images)[kept], found.scale

    def describe(self) -> dict[str, Any]:
        """Return nothing: the network takes pictures of any size."""
        return {}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the contents to the device, and the styles once: those of every batch are the same."""
        contents = super().transfer_batch_to_device(batch._replace(style=()), device, dataloader_idx)
        if self._moved is None or self._moved[0] is not batch.style or self._moved[1] != device:
            self._moved = batch.style, device, tuple(style.to(device) for style in batch.style)
        return contents._replace(style=self._moved[2])


class ContentSource:
    """Contents, fetched a batch at a time, with all styles.

    Args:
        images: uint8 (N, 3, H, W).
        styles: uint8 (3, h, w) each.
    """

    lengths: Index | None = None

    def __init__(self, images: Pixels, styles: tuple[Tensor, ...]) -> None:
        self.images, self.styles = images, styles

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> StyleBatch:
        return StyleBatch(torch.from_numpy(np.asarray(self.images[index])), self.styles)

    def fingerprints(self) -> Fingerprints:
        """Return a hash of each content and of all styles, uint64 (N,)."""
        styles = np.bitwise_xor.reduce([fingerprint_image(style.numpy()) for style in self.styles], dtype=np.uint64)
        each = np.fromiter((fingerprint_image(image) for image in self.images), np.uint64, len(self))
        return each ^ styles
