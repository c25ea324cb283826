"""Data module of the user's own images, in one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import Index
from lightning_nn.data.class_folders import Classes, find_classes, find_splits
from lightning_nn.data.images.labeled_images import ImageSet, LabeledImages
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm
from lightning_nn.data.images.source import SUFFIXES, decode
from lightning_nn.data.module import SPLITS, BatchSize
from lightning_nn.data.splits import check_fractions, stratified_split
from lightning_nn.errors import UserError

_SHOWN = 5  # number of broken files that a note names


class Images(LabeledImages):
    """Your images: `PATH/CLASS/*.jpg`, or `PATH/train/CLASS/*.jpg` with `val` and `test` beside `train`.

    A split may also be called `dev`, `valid`, `training_set`, `seg_train`, `test2017`, `训练集`, ... A single folder
    around all is looked through. A missing split is split off from train, stratified by class and always the same for
    a seed. Folders may be nested below a class that has images of its own. Images that can't be read are skipped and
    reported. All images are decoded once and kept in the cache.

    Args:
        path: the folder.
        size: height and width in pixels to which images are resized.
        fit: "crop" scales the shorter side to `size` and crops the longer one on both sides; "squash" stretches.
        color: "rgb" or "gray".
        val_fraction: fraction of all images to split off for validation if there is no folder for it.
        test_fraction: fraction of all images to split off for testing if there is no folder for it.
        split_seed: seed of the random split.
        batch_size: images in a batch; 1 is gradient descent on single images, "all" on the whole set.
        balanced: train on each class as often as on the largest one, repeating images.
        augment: random changes of training images.
        max_pixels: maximum number of pixels of an image; a larger one is skipped before it is decoded, because a file
            of a few kilobytes may claim any number. Decoding takes up to 16 bytes a pixel; cameras make up to 61
            million pixels.
    """

    def __init__(
        self,
        path: str | None = None,
        size: int = 64,
        fit: Literal["crop", "squash"] = "crop",
        color: Literal["rgb", "gray"] = "rgb",
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        batch_size: BatchSize = 64,
        balanced: bool = False,
        augment: Augment = NO_AUGMENT,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if max_pixels < 1:
            raise UserError(f"max_pixels is {max_pixels}; it must be at least 1")
        if size < 1:
            raise UserError(f"size is {size}; it must be at least 1 pixel")
        check_fractions(val_fraction, test_fraction)
        self.path = path
        self.form = ImageForm(1 if color == "gray" else 3, size, size, fit)
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.max_pixels = max_pixels
        super().__init__(batch_size, balanced, augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """List the folders, decode what is not in the cache, and split off missing splits."""
        if self.path is None:
            raise UserError("say where your images are: --data.path FOLDER, with one folder per class in it")
        root, fractions = Path(self.path).expanduser(), (self.val_fraction, self.test_fraction)
        data = read_class_folders(
            root,
            self.form,
            *fractions,
            self.split_seed,
            max_pixels=self.max_pixels,
            scale=self.trained_scale,
            only=self.evaluation_split,
        )
        self.open(data, self.max_pixels)


def read_class_folders(
    root: Path,
    form: ImageForm,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    *,
    max_pixels: int = MAX_PIXELS,
    scale: int | None = None,
    only: str | None = None,
) -> ImageSet:
    """Read class folders, or splits of class folders, and split off missing splits from train.

    Args:
        root: the folder.
        form: form to which images are converted.
        val_fraction: fraction of the images in train, before splitting, to split off for validation.
        test_fraction: likewise for testing.
        seed: seed of the random split.
        max_pixels: maximum number of pixels of an image.
        scale: of a trained model's images with more than 8 bits a channel; see `decode`.
        only: the only split to return, all images if it has no folder; None for all splits.

    Raises:
        UserError: there is no such folder, there are fewer than two classes, no image can be read, or a split has a
            class that train lacks.
    """
    if not root.is_dir():
        raise UserError(f"{root}: {'not a folder' if root.exists() else 'there is no such folder'}; see --data.path")
    notes: list[str] = []
    try:
        places = find_splits(root, SUFFIXES, "image", notes)
        found = find_classes(root, places, SUFFIXES, "image", notes)
    except PermissionError as error:
        raise UserError(f"{error.filename}: no permission to read it; change its permissions") from error
    categories = sorted(found["train"])
    _check_classes(places, found, categories, notes)
    files, labels, provided = _number(found, categories)
    images, broken, fingerprints, found_scale, note = decode(files, root, form, max_pixels, scale)
    notes += [note] if note else []
    _report_broken(broken, files, notes)
    scale = scale or found_scale
    readable = np.setdiff1d(np.arange(len(files)), np.array(list(broken), np.int64))
    indices = {split: np.intersect1d(index, readable) for split, index in provided.items()}
    _check_readable(indices, labels, categories, places, broken)
    if only is not None:
        indices = {only: indices.get(only, np.concatenate(list(indices.values())))}
        return ImageSet(images, labels, indices, categories, notes, list(provided), fingerprints, files, scale)
    _split_off_missing(indices, labels, {"test": test_fraction, "val": val_fraction}, seed, notes)
    if not all(map(len, indices.values())) or len(np.unique(labels[indices["train"]])) < len(categories):
        raise UserError(f"{root}: too few images to split off val and test; each class needs at least three")
    indices = {split: indices[split] for split in SPLITS}
    return ImageSet(images, labels, indices, categories, notes, list(provided), fingerprints, files, scale)


def _check_classes(places: dict[str, Path], found: dict[str, Classes], categories: list[str], notes: list[str]) -> None:
    where = places["train"]
    if not categories:
        seen = f" ({notes[-1]})" if notes else ""
        raise UserError(f"{where}: no folder in it holds an image{seen}; expected CLASS/*.jpg (or .png, .webp, ...)")
    if len(categories) == 1:
        raise UserError(f"{where}: only one class, {categories[0]!r}; at least two are needed")
    for split, classes in found.items():
        for name in classes:
            if name not in categories:
                raise UserError(
                    f"{places[split] / name}: a class that {where} does not have; remove it, or train on it"
                )


def _number(found: dict[str, Classes], categories: list[str]) -> tuple[list[Path], Index, dict[str, Index]]:
    """Return all files, their labels, and the indices of the files in each provided split."""
    files: list[Path] = []
    labels: list[int] = []
    provided: dict[str, Index] = {}
    for split, classes in found.items():
        start = len(files)
        for label, name in enumerate(categories):
            files.extend(classes.get(name, []))
            labels.extend([label] * len(classes.get(name, [])))
        provided[split] = np.arange(start, len(files))
    return files, np.array(labels, np.int64), provided


def _check_readable(
    indices: dict[str, Index], labels: Index, categories: list[str], places: dict[str, Path], broken: dict[int, str]
) -> None:
    for label, name in enumerate(categories):
        if not np.any(labels[indices["train"]] == label):
            reasons = [reason for number, reason in broken.items() if labels[number] == label]
            raise UserError(f"{places['train'] / name}: none of its images can be read, the first one: {reasons[0]}")
    for split, place in places.items():
        if not len(indices[split]):
            raise UserError(f"{place}: no image in it can be read; without the folder, {split} is split off from train")


def _split_off_missing(
    indices: dict[str, Index], labels: Index, fractions: dict[str, float], seed: int, notes: list[str]
) -> None:
    """Split off the missing splits from train, each a fraction of the original train."""
    whole = len(indices["train"])
    for split, fraction in fractions.items():
        if split in indices:
            continue
        train = indices["train"]
        stay, chosen = stratified_split(labels[train], fraction * whole / len(train), seed)
        indices["train"], indices[split] = train[stay], train[chosen]
        notes.append(f"{split} is split off from train: {len(chosen):,} of {whole:,} images, stratified by class")


def _report_broken(broken: dict[int, str], files: list[Path], notes: list[str]) -> None:
    if broken:
        shown = "; ".join(list(broken.values())[:_SHOWN])
        more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
        notes.append(f"skipped, {len(broken):,} of {len(files):,} images can't be read: {shown}{more}")
