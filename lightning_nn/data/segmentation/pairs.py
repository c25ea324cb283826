"""Images and their masks in folders: which file belongs to which, and to which split."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lightning_nn.data.images.source import image_files
from lightning_nn.data.module import SPLITS
from lightning_nn.errors import UserError

_VOC, _VOC_LISTS = ("JPEGImages", "SegmentationClass"), "ImageSets/Segmentation"
_PETS, _PETS_LISTS = ("images", "annotations/trimaps"), "annotations"


class Pair(NamedTuple):
    """An image file and the file of its mask."""

    image: Path
    mask: Path


def find_pairs(root: Path) -> dict[str, list[Pair]]:
    """Find the images and masks of each split.

    Four layouts are known: that of CamVid, `train` and `trainannot`, likewise `val` and `test`; that of PASCAL VOC,
    `JPEGImages`, `SegmentationClass` and `ImageSets/Segmentation/train.txt`; that of Oxford's pets, `images`,
    `annotations/trimaps` and `annotations/trainval.txt`; and `images` and `masks`, all of it train, or `train/images`
    and `train/masks`, likewise `val` and `test`. A mask is named as its image, whatever the suffix.

    Args:
        root: the folder.

    Returns:
        Pairs by the name of the split, in the order of their names.

    Raises:
        UserError: there is no such folder or layout, or an image without a mask, or a mask without an image.
    """
    if not root.is_dir():
        raise UserError(f"{root}: {'not a folder' if root.exists() else 'there is no such folder'}; see --data.path")
    if all((root / name).is_dir() for name in _VOC):
        return _listed(root, _VOC, {split: root / _VOC_LISTS / f"{split}.txt" for split in SPLITS})
    if has_trimaps(root):
        lists = {"train": "trainval.txt", "test": "test.txt"}
        return _listed(root, _PETS, {split: root / _PETS_LISTS / name for split, name in lists.items()})
    places = {
        split: pair
        for split in SPLITS
        for pair in ((root / split, root / f"{split}annot"), (root / split / "images", root / split / "masks"))
        if pair[0].is_dir() and pair[1].is_dir()
    }
    if not places and (root / "images").is_dir() and (root / "masks").is_dir():
        places = {"train": (root / "images", root / "masks")}
    if "train" not in places:
        raise UserError(
            f"{root}: no images with masks found; expected images/ and masks/, train/images/ and train/masks/, "
            "train/ and trainannot/ (CamVid), JPEGImages/ and SegmentationClass/ (VOC), or "
            "images/ and annotations/trimaps/ (Oxford pets)"
        )
    return {split: _matched(images, masks) for split, (images, masks) in places.items()}


def has_trimaps(root: Path) -> bool:
    """Return whether a folder has the layout of Oxford's pets, whose masks are trimaps."""
    return all((root / name).is_dir() for name in _PETS)


def _matched(images: Path, masks: Path) -> list[Pair]:
    """Match the files of two folders by their names without suffix."""
    found, of_masks = _by_name(images), _by_name(masks)
    for missing, files, other in (("mask", found, of_masks), ("image", of_masks, found)):
        alone = [file for name, file in files.items() if name not in other]
        if alone:
            where = masks if missing == "mask" else images
            more = f" (and {len(alone) - 1:,} more)" if len(alone) > 1 else ""
            raise UserError(f"{alone[0]}{more}: its {missing} is not in {where}; add it, or remove the file")
    if not found:
        raise UserError(f"{images}: no images in this folder")
    return [Pair(found[name], of_masks[name]) for name in sorted(found)]


def _by_name(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in image_files(folder)[0]:
        name = str(file.relative_to(folder).with_suffix(""))
        if name in files:
            raise UserError(f"{file} and {files[name]}: two files of one name; remove one")
        files[name] = file
    return files


def _listed(root: Path, folders: tuple[str, str], lists: dict[str, Path]) -> dict[str, list[Pair]]:
    """Match the files that lists name, one a line, the first word of it."""
    images, masks = (_by_name(root / name) for name in folders)
    splits: dict[str, list[Pair]] = {}
    for split, listed in lists.items():
        if not listed.is_file():
            continue
        lines = enumerate(listed.read_text(encoding="utf-8").splitlines(), 1)
        named = {number: line.split()[0] for number, line in lines if line.strip() and not line.startswith("#")}
        for number, name in named.items():
            for files, folder in zip((images, masks), folders, strict=True):
                if name not in files:
                    raise UserError(f"{listed}:{number}: {name} is not in {root / folder}")
        splits[split] = [Pair(images[name], masks[name]) for name in named.values()]
    if not splits.get("train"):
        raise UserError(f"{lists['train']}: no such file, or no names in it")
    return splits
