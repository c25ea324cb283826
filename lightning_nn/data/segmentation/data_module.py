"""Data module of the user's own images and masks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import IGNORED
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.images.reading import MAX_PIXELS, ImageForm, PixelLimit, read_image
from lightning_nn.data.images.source import stamp
from lightning_nn.data.labeled_module import LabeledDataModule, count_classes
from lightning_nn.data.module import SPLITS, BatchSize
from lightning_nn.data.segmentation.mask_reading import ClassTable, read_class_table, read_mask
from lightning_nn.data.segmentation.pairs import Pair, find_pairs
from lightning_nn.data.segmentation.processor import MaskProcessor
from lightning_nn.data.segmentation.source import SizedMaskSource
from lightning_nn.data.splits import check_fractions, split_off
from lightning_nn.errors import UserError

_FORMAT = 1  # of the cache


class SegmentationData(LabeledDataModule):
    """Your images with a mask each: `PATH/images/*` and `PATH/masks/*`, or the layout of CamVid or PASCAL VOC.

    Splits may be given as `train/images` and `train/masks`, likewise `val` and `test`; CamVid's are `train` and
    `trainannot`; VOC's are its lists. A missing one is split off from train. A mask holds the class of each pixel as
    its value, 255 where it counts for nothing, or as a colour that `classes` names. Images keep their sizes; a batch is
    padded to its largest image, and what is padded counts for nothing.

    Args:
        path: the folder.
        classes: a text file with a class a line: NAME, the first for the value 0, or NAME RED GREEN BLUE for masks in
            colours. One called "ignored" or "void" counts for nothing. Without a file all values are classes.
        val_fraction: fraction of all images to split off for validation if there is no such split.
        test_fraction: fraction of all images to split off for testing if there is no such split.
        split_seed: seed of the random split.
        batch_size: images in a batch of one process; "all" is the whole set.
        augment: random changes of training images, and of their masks with them.
        max_pixels: maximum number of pixels of an image; a larger one is refused before it is decoded.
    """

    describes = ("channels", "num_classes")

    def __init__(
        self,
        path: str | None = None,
        classes: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        batch_size: BatchSize = 8,
        augment: Augment = NO_AUGMENT,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        check_fractions(val_fraction, test_fraction)
        super().__init__(batch_size, balanced=False)
        self.path, self.classes = path, classes
        self.fractions, self.split_seed = {"test": test_fraction, "val": val_fraction}, split_seed
        self.max_pixels, self.augment = max_pixels, Augment.of(augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Find the files, decode what is not in the cache, and split off missing splits."""
        if self.path is None:
            raise UserError("say where your images and masks are: --data.path FOLDER; see --data segmentation --help")
        root, form = Path(self.path).expanduser(), ImageForm(3, 0, 0, "keep")
        table = read_class_table(Path(self.classes).expanduser()) if self.classes else None
        found, self.notes = find_pairs(root), list[str]()
        pairs = [pair for split in found.values() for pair in split]
        settings = {
            "format": _FORMAT,
            "files": [stamp(file, root) for pair in pairs for file in pair],
            "classes": None if table is None else [table.names, list(table.colours.items()), sorted(table.ignored)],
            "max_pixels": self.max_pixels,
        }
        build = partial(_build, pairs=pairs, table=table, form=form, limit=PixelLimit(self.max_pixels))
        folder = entry(f"masks-{fingerprint([], settings)}", build)
        images, masks = (np.memmap(folder / f"{name}.bin", np.uint8, "r") for name in ("images", "masks"))
        sizes, counts = np.load(folder / "sizes.npy"), np.load(folder / "counts.npy")
        names = table.names if table else [str(k) for k in range(1 + int(np.flatnonzero(counts.sum(0)).max(initial=0)))]
        if len(names) < 2:
            raise UserError(f"{root}: the masks show one class, {names[0]}; at least two are needed")
        indices = self._splits(found)
        self._pairs, self._pixels = {s: [pairs[i] for i in index] for s, index in indices.items()}, counts
        self.sources = {split: SizedMaskSource(images, masks, sizes, index) for split, index in indices.items()}
        self.provided_splits = list(found)
        self.processor = MaskProcessor(names, *form, max_pixels=self.max_pixels)
        self.summary = [("split", "images", "classes", "smallest", "largest")]
        for split, index in indices.items():
            by_area = sizes[index][np.argsort(sizes[index].prod(1), kind="stable")]
            least, most = (f"{width} x {height}" for height, width in by_area[[0, -1]])
            present = np.count_nonzero(counts[index].sum(0)[: len(names)])
            self.summary.append((split, f"{len(index):,}", f"{present}", least, most))

    def _splits(self, found: dict[str, list[Pair]]) -> dict[str, NDArray[np.int64]]:
        """Return the indices of each split into all pairs; missing ones are split off from train."""
        ends = np.cumsum([len(pairs) for pairs in found.values()])
        indices = {s: np.arange(end - len(found[s]), end) for s, end in zip(found, ends, strict=True)}
        if (only := self.evaluation_split) is not None:
            return {only: indices.get(only, np.arange(ends[-1]))}
        missing = {split: fraction for split, fraction in self.fractions.items() if split not in indices}
        indices |= split_off(indices["train"], missing, self.split_seed)
        whole = len(found["train"])
        self.notes += [f"{s} is split off from train: {len(indices[s]):,} of {whole:,} images" for s in missing]
        return {split: indices[split] for split in SPLITS}

    def describe(self) -> dict[str, Any]:
        """Return the numbers of channels and of classes."""
        return {"channels": 3, "num_classes": len(self.categories)}

    def place(self, split: str, number: int) -> str:
        """Return the file of an image."""
        return str(self._pairs[split][number].image)

    def counts(self, split: str) -> list[int]:
        """Return the number of pixels of each class in a split; zeros if there is no such split."""
        self.prepare_once()
        chosen = cast(SizedMaskSource, self.sources[split]).indices if split in self.sources else np.empty(0, np.int64)
        return [int(n) for n in self._pixels[chosen].sum(0)[: len(self.categories)]]

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Yield the fingerprints of the images, then each mask."""
        yield self.fingerprints(split)
        yield from cast(SizedMaskSource, self.sources[split]).masks()


def _build(folder: Path, *, pairs: list[Pair], table: ClassTable | None, form: ImageForm, limit: PixelLimit) -> None:
    """Decode all pairs into flat files of pixels, with the size and the counts of the classes of each."""
    sizes, counts = np.empty((len(pairs), 2), np.int64), np.empty((len(pairs), IGNORED), np.int64)
    with (folder / "images.bin").open("wb") as images, (folder / "masks.bin").open("wb") as masks:
        for i, pair in enumerate(pairs):
            image, mask = read_image(pair.image, form, limit), read_mask(pair.mask, table)
            sizes[i] = image.shape[1:]
            if image.shape[1:] != mask.shape:
                size, other = (f"{width} x {height}" for height, width in (mask.shape, image.shape[1:]))
                raise UserError(f"{pair.mask}: {size} pixels, but its image {pair.image} has {other}")
            counts[i] = count_classes(mask, IGNORED)
            images.write(image.tobytes())
            masks.write(mask.tobytes())
    np.save(folder / "sizes.npy", sizes)
    np.save(folder / "counts.npy", counts)
