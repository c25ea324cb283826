"""Data modules of photographs: two, content and style of a picture, or many contents for one style."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_nn.data.batches import Index, StyleBatch
from lightning_nn.data.images.conversion import MAX_PIXELS, ImageForm, Pixels, UnscaledImageError
from lightning_nn.data.images.decoding import decode, fingerprint_image
from lightning_nn.data.images.image_files import image_files
from lightning_nn.data.images.reading import PixelLimit, note_on_scale, read_image
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.data.photos.processor import ContentProcessor, PhotoProcessor
from lightning_nn.data.synthetic.scenes.drawing import draw_scenes
from lightning_nn.errors import UserError
from lightning_nn.layers.images import cover

BUNDLED = ("china.jpg", "flower.jpg")  # of scikit-learn: content and style
SMALLEST = 16  # pixels of a side
_SCENES, _CROPS = 300, 150  # drawn scenes, and crops of each bundled photograph


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

    Example:
        >>> model = StyleTransfer.for_data(Photos())
        >>> model.hparams.height, model.hparams.width
        (427, 640)
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
        for use, files, pixels in (("content", contents, images), ("style", styles, read)):
            self.summary += [
                (file.name, use, f"{image.shape[2]} x {image.shape[1]}")
                for file, image in zip(files, pixels, strict=True)
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
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"{path}: no such file or folder; see --data.content")
    if not place.is_dir():
        return [place]
    files = sorted(image_files(place)[0])
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
    files = [Path(name).expanduser() for name in names]
    for file in files:
        if not file.is_file():
            lacking = "a folder or pipe, not a file" if file.exists() else "no such file"
            raise UserError(f"{file}: {lacking}; see --data.style")
    return files


def _names(files: list[Path]) -> list[str]:
    """Return the names of files, with their folders if some names are equal."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def bundled(name: str) -> Path:
    """Return the path of a photograph of scikit-learn."""
    from importlib.resources import files

    return Path(str(files("sklearn.datasets.images").joinpath(name)))


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

    Example:
        >>> Pictures("pictures", style="pictures/sky/0.png", size=64)  # reads them when it is prepared
        Pictures(batch_size=2)
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
        decoded = decode(files, root if root.is_dir() else root.parent, form, self.max_pixels)
        kept = [i for i in range(len(files)) if i not in decoded.broken]
        if not kept:
            raise UserError(f"{self.content}: none of {len(files):,} images can be read: {decoded.broken[0]}")
        self.notes += list(decoded.broken.values())[:3]
        if len(decoded.broken) > 3:
            self.notes.append(f"{len(decoded.broken):,} images can't be read")
        self.notes += decoded.notes
        return decoded.images if len(kept) == len(files) else np.asarray(decoded.images)[kept], decoded.scale

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
        hashes = np.fromiter((fingerprint_image(image) for image in self.images), np.uint64, len(self))
        return hashes ^ styles
