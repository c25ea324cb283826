"""Data module of two photographs: one for the content of a picture, one for its style."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm, PixelLimit, read_image
from lightning_nn.data.images.source import image_files
from lightning_nn.data.images.value_range import UnscaledImageError, note_on_scale
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import DataModule
from lightning_nn.data.photos.processor import PhotoProcessor
from lightning_nn.errors import UserError

BUNDLED = ("china.jpg", "flower.jpg")  # of scikit-learn: content and style
SMALLEST = 16  # pixels of a side


class Photos(DataModule):
    """Two photographs: a picture gets the content of one and the style of the other.

    Without files these are scikit-learn's temple (content) and flower (style). With one of the two options the other is
    left out: content alone is reconstructed from its activations, style alone becomes a texture.

    Args:
        content: the file, or a folder of pictures, which are all cropped to the first one's shape.
        style: one or more files, with commas between them.
        steps: optimizer steps in an epoch, each on all pictures; after an epoch a picture is drawn and a checkpoint
            saved.
        max_pixels: maximum number of pixels of an image; a larger one is refused before it is decoded.

    Raises:
        UserError: no steps.
    """

    describes = ("pictures", "height", "width")

    def __init__(
        self, content: str | None = None, style: str | None = None, steps: int = 25, max_pixels: int = MAX_PIXELS
    ) -> None:
        super().__init__(1)
        if steps < 1:
            raise UserError(f"steps is {steps}; it must be at least 1")
        self.content, self.style, self.steps, self.max_pixels = content, style, steps, max_pixels
        self._moved: tuple[StyleBatch, torch.device, StyleBatch] | None = None
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Read the photographs."""
        contents, styles = content_files(self.content), style_files(self.style)
        if not (contents or styles):
            contents, styles = ([bundled(name)] for name in BUNDLED)
        limit, keep = PixelLimit(self.max_pixels), ImageForm(3, 0, 0, "keep")
        self.notes = list[str]()
        images = [read_photograph(file, keep, limit, self.notes) for file in contents[:1]]
        if len(contents) > 1:
            form = ImageForm(3, *images[0].shape[1:])
            images += [read_photograph(file, form, limit, self.notes) for file in contents[1:]]
        read = [read_photograph(file, keep, limit, self.notes) for file in styles]
        whole = StyleBatch(torch.stack(images) if images else None, tuple(read), torch.arange(max(1, len(images))))
        self.sources = {"train": RepeatedSource(whole, self.steps)}
        self.processor = PhotoProcessor(_names(contents or styles[:1]), _names(styles))
        self._size = next(image.shape[1:] for image in (*images, *read))
        self.summary = [("photograph", "for", "width x height")]
        for what, files, found in (("content", contents, images), ("style", styles, read)):
            self.summary += [
                (file.name, what, f"{image.shape[2]} x {image.shape[1]}")
                for file, image in zip(files, found, strict=True)
            ]
        if not contents:
            self.notes.append("no content: a texture is made of the style alone")
        if not styles:
            self.notes.append("no style: the content is reconstructed from its activations")

    def describe(self) -> dict[str, Any]:
        """Return the number of pictures, and the height and width of the first content, or else of the style."""
        return {"pictures": len(self.processor.state_dict()["names"]), "height": self._size[0], "width": self._size[1]}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the photographs to the device once: every batch is the same."""
        if self._moved is None or self._moved[0] is not batch or self._moved[1] != device:
            self._moved = batch, device, super().transfer_batch_to_device(batch, device, dataloader_idx)
        return self._moved[2]


class RepeatedSource:
    """One batch, repeated: each sample is the whole of it.

    Args:
        batch: the batch.
        count: number of repetitions.
    """

    lengths: Index | None = None

    def __init__(self, batch: StyleBatch, count: int) -> None:
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Index) -> StyleBatch:
        return self.batch

    def fingerprints(self) -> Fingerprints:
        """Return a hash of all photographs and the number of each repetition, uint64 (N,)."""
        whole = hashlib.blake2b(digest_size=8)
        for image in (self.batch.content, *self.batch.style):
            if image is not None:
                whole.update(str(tuple(image.shape)).encode())
                whole.update(image.numpy().tobytes())
        return np.uint64(int.from_bytes(whole.digest(), "little")) ^ np.arange(self.count, dtype=np.uint64)


def read_photograph(file: Path, form: ImageForm, limit: PixelLimit, notes: list[str]) -> Tensor:
    """Read a photograph, uint8 (3, H, W).

    Args:
        file: the photograph.
        form: form to which it is converted.
        limit: bound on decoded pixels.
        notes: gets a remark on the scale of one with more than 8 bits a channel.

    Raises:
        UserError: it can't be read, or is too small.
    """
    try:
        pixels = read_image(file, form, limit, "unknown")
    except UnscaledImageError as deep:
        pixels, scale = read_image(file, form, limit), 1 if deep.values.floats else 65_535
        notes.append(f"{file.name}: {note_on_scale({file: deep.values}, scale, 1, trained=False)}")
    image = torch.from_numpy(np.array(pixels, order="C"))
    if min(image.shape[1:]) < SMALLEST:
        raise UserError(
            f"{file}: {image.shape[2]} x {image.shape[1]} pixels; a photograph has at least {SMALLEST} on each side"
        )
    return image


def content_files(path: str | None) -> list[Path]:
    """Find the file, or the pictures below the folder, of --data.content; none if it is not given.

    Raises:
        UserError: there is nothing.
    """
    if path is None:
        return []
    found = Path(path).expanduser()
    if not found.exists():
        raise UserError(f"{path}: no such file or folder; see --data.content")
    if not found.is_dir():
        return [found]
    files = sorted(image_files(found)[0])
    if not files:
        raise UserError(f"{path}: no images in this folder; see --data.content")
    return files


def style_files(paths: str | None) -> list[Path]:
    """Find the files of --data.style, a list with commas unless the whole is the name of one; none if it is not given.

    Raises:
        UserError: one of them does not exist.
    """
    if paths is None:
        return []
    names = [paths] if Path(paths).expanduser().is_file() else [name.strip() for name in paths.split(",")]
    found = [Path(name).expanduser() for name in names]
    for file in found:
        if not file.is_file():
            lacking = "a folder or pipe, not a file" if file.exists() else "no such file"
            raise UserError(f"{file}: {lacking}; see --data.style")
    return found


def _names(files: list[Path]) -> list[str]:
    """Return the names of files, with their folders if some names are equal."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def bundled(name: str) -> Path:
    """Return the path of a photograph of scikit-learn."""
    from importlib.resources import files

    return Path(str(files("sklearn.datasets.images").joinpath(name)))
