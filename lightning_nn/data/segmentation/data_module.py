"""Data module of the user's own images and masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import IGNORED
from lightning_nn.data.images.conversion import MAX_PIXELS
from lightning_nn.data.labeled_module import LabeledDataModule, categories_of
from lightning_nn.data.module import BatchSize, View
from lightning_nn.data.segmentation.classes import ClassTable, lists_beside, read_class_table
from lightning_nn.data.segmentation.masks import KEEP, TRIMAPS, DecodedPairs, decode_pairs
from lightning_nn.data.segmentation.pairs import Pair, find_pairs
from lightning_nn.data.segmentation.source import MaskProcessor, SizedMaskSource
from lightning_nn.data.splits import Splits, complete
from lightning_nn.errors import UserError

BINARY = ["background", "object"]  # of masks of 0 and 255 alone
_MOST_VALUES = 64  # of masks without a file of classes
_LARGE = 8_000_000  # pixels of a batch


class SegmentationData(LabeledDataModule):
    """Your images with a mask each: `PATH/images/*` and `PATH/masks/*`, or the layout of a known data set.

    Splits may be folders, `train/images` and `train/masks`, `images/train` and `masks/train`, `train` and `trainannot`
    (CamVid), likewise `val` and `test`, or lists, as those of VOC and of Oxford's pets. A missing one is split off from
    train. A mask is called like its image, or all masks have the same addition, such as `_mask`; it may lie beside its
    image. It holds the class of each pixel as its value, 255 where it counts for nothing, or as a colour that `classes`
    names; masks of 0 and 255 alone show background and object. Images keep their sizes; in training the sides of
    the images of a batch differ by half at most, and it is padded to the largest: padding counts in no loss or metric,
    but in the statistics of batch norms.

    Args:
        path: the folder.
        classes: a text file that names the classes: a class a line, as NAME (the first has the value 0), VALUE NAME or
            NAME RED GREEN BLUE, or a table with such columns and a header. One called void, ignore or unlabelled counts
            for nothing. Without a file all values are classes; those of the pets are background and pet, the border
            between them counts for nothing.
        threshold: 1 to 255; for masks of one object, with soft edges or saved as JPEG: a pixel at least as bright shows
            the object, a darker one background. Without it such masks are refused.
        splits: what is split off from train if there is no such split.
        batch_size: images in a batch of one process; "all" is the whole set.
        augment: random changes of training images, and of their masks with them.
        max_pixels: maximum number of pixels of an image; a larger one is refused before it is decoded.

    Example:
        >>> data = SegmentationData("streets")  # streets/images/*.png, streets/masks/*.png
        >>> data.describe()["num_classes"]
        2
    """

    describes = ("channels", "num_classes")
    least_steps = 120

    def __init__(
        self,
        path: str | None = None,
        classes: str | None = None,
        threshold: int | None = None,
        splits: Splits = Splits(),
        batch_size: BatchSize = 8,
        augment: Augment = NO_AUGMENT,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(batch_size, balanced=False)
        if threshold is not None and not 1 <= threshold <= 255:
            raise UserError(f"threshold is {threshold}; expected 1 to 255")
        self.path, self.classes, self.threshold = path, classes, threshold
        self.splits, self.max_pixels, self.augment = Splits.of(splits), max_pixels, Augment.of(augment)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Find the files, decode what is not in the cache, and split off missing splits."""
        if self.path is None:
            raise UserError("say where your images and masks are: --data.path FOLDER; see --data segmentation --help")
        root = Path(self.path).expanduser()
        pairs_of, self.notes, are_trimaps = find_pairs(root)
        if "train" not in pairs_of and self.evaluation_split is None:
            raise UserError(f"{root}: no images with masks to train on, only those of {' and '.join(pairs_of)}")
        pairs = [pair for split in pairs_of.values() for pair in split]
        table = TRIMAPS if are_trimaps else None
        if self.classes:
            table = read_class_table(Path(self.classes).expanduser())
            self.notes += [table.note] if table.note else []
            if self.threshold is not None and len(table.names) != 2:
                raise UserError(f"{table.file} names {len(table.names)} classes, but --data.threshold tells two apart")
        elif lists := lists_beside(root):
            self.notes.append(
                f"{lists[0]} is not read; if it names the classes of the masks: --data.classes {lists[0]}"
            )
        trained = getattr(self.fixed_processor, "scale", None)
        decoded = decode_pairs(pairs, root, table, self.max_pixels, trained, self.threshold)
        self.notes += decoded.notes
        names = self._categories(root, pairs, table, decoded)
        ends = np.cumsum([len(split) for split in pairs_of.values()])
        provided = {s: np.arange(end - len(pairs_of[s]), end) for s, end in zip(pairs_of, ends, strict=True)}
        indices, notes = complete(provided, self.splits, name=self.path, only=self.evaluation_split)
        self.notes += notes
        sizes, counts = decoded.sizes, decoded.counts
        self._pixels = counts
        sources = {
            split: SizedMaskSource(
                decoded.images,
                decoded.masks,
                sizes,
                index,
                fingerprints=decoded.fingerprints,
                files=[pairs[i].image for i in index],
            )
            for split, index in indices.items()
        }
        self.provided_splits = list(pairs_of)
        if (ignored := counts[:, IGNORED].sum()) > 0:
            remedy = "; if 255 is a class: --data.classes FILE with lines VALUE NAME" * (table is None)
            self.notes.append(f"{ignored / counts.sum():.2%} of the pixels of the masks count for nothing{remedy}")
        scale, colours = trained or decoded.scale, self._colours(table, decoded)
        processor = MaskProcessor(names, *KEEP, scale, colours, max_pixels=self.max_pixels)
        rows = [("split", "images", "classes", "smallest", "largest")]
        for split, index in indices.items():
            by_area = sizes[index][np.argsort(sizes[index].prod(1), kind="stable")]
            least, most = (f"{width} x {height}" for height, width in by_area[[0, -1]])
            present = np.count_nonzero(counts[index].sum(0)[: len(names)])
            if not present:
                raise UserError(
                    f"{root}: the masks of {split} show no class: all of their pixels are {IGNORED}, which is ignored. "
                    f"Check them, or leave {split} out, so that it is split off from train"
                )
            rows.append((split, f"{len(index):,}", f"{present}", least, most))
        arguments = {"channels": KEEP.channels, "num_classes": len(names)}
        self.open(View(sources, processor, rows, arguments, self.notes))
        self._warn_of_large_batches({split: sizes[index] for split, index in indices.items()})

    def _colours(self, table: ClassTable | None, decoded: DecodedPairs) -> list[list[int]] | None:
        """Return the colours of the classes: a trained model's, those of the table, or those of the masks' palettes."""
        if isinstance(self.fixed_processor, MaskProcessor):
            return self.fixed_processor.colours
        if table and table.colours:
            of_class = {label: list(colour) for colour, label in table.colours.items() if label != IGNORED}
            return [of_class[k] for k in range(len(of_class))]
        return decoded.palette or None

    def _categories(self, root: Path, pairs: list[Pair], table: ClassTable | None, decoded: DecodedPairs) -> list[str]:
        """Name the classes, and refuse masks that show fewer or more than they can."""
        fixed, present = categories_of(self.fixed_processor), np.flatnonzero(decoded.counts.sum(0)[:IGNORED])
        if self.evaluation_split is None and len(present) < 2:
            shown = ", ".join(table.names[k] if table else str(k) for k in present) or "nothing"
            raise UserError(
                f"{root}: the masks show {shown} alone; at least two classes are needed. {IGNORED} counts for nothing: "
                f"if it is one, {'list it in ' + table.file if table else 'write a list, --data.classes FILE'}, with "
                "a line VALUE NAME for each class"
            )
        if table:
            return table.names
        if decoded.binary:
            if fixed not in ([], BINARY):
                raise UserError(
                    f"{root}: masks of 0 and 255 alone are read as {' and '.join(BINARY)}, but the model's categories "
                    f"are {', '.join(fixed)}: name those of the masks, --data.classes FILE"
                )
            self.notes.append(f"the masks have the values 0 and 255 alone, read as {' and '.join(BINARY)}")
            return BINARY
        most = int(present.max(initial=0))
        if fixed:
            if most >= len(fixed):
                file = pairs[int(decoded.counts[:, most].argmax())].mask
                raise UserError(f"{file}: the value {most} is no class of the model, which has 0 to {len(fixed) - 1}")
            return fixed
        if len(present) > _MOST_VALUES or 4 * len(present) <= most:
            listed = ", ".join(map(str, [*present[:4], *(["..."] if len(present) > 5 else []), *present[4:][-1:]]))
            ignored = f", and {IGNORED}, which counts for nothing" if decoded.counts[:, IGNORED].any() else ""
            raise UserError(
                f"{root}: the masks have {len(present)} values, {listed}{ignored}; without --data.classes they must be "
                "0, 1, 2 and so on. If soft edges or JPEG made them and they show one object, --data.threshold 128 "
                "reads them; if each is a class, name it: --data.classes FILE with lines VALUE NAME"
            )
        return [str(k) for k in range(most + 1)]

    def _warn_of_large_batches(self, sizes: dict[str, NDArray[np.int64]]) -> None:
        """Warn of a batch that may not fit in memory, the largest of all splits."""
        batches = []
        for split, shapes in sizes.items():
            height, width = (int(side) for side in shapes.max(0))
            if split == "train" and self.augment.window:
                height, width = min(height, self.augment.window), min(width, self.augment.window)
            count = len(shapes) if self.batch_size == "all" else min(len(shapes), self.batch_size)
            batches.append((count * height * width, split, count, f"{width:,} x {height:,}"))
        pixels, split, count, size = max(batches, key=lambda batch: batch[0])
        if pixels > _LARGE:
            window = "train on squares of them, --data.augment.window; " if split == "train" else ""
            fewer = "take a smaller --data.batch_size; " if count > 1 else ""
            self.notes.append(
                f"warning: a batch of {split} has up to {pixels / 1e6:,.0f} megapixels, {count:,} of {size}, and may "
                f"not fit in memory: {window}{fewer}or make the files smaller"
            )

    def counts(self, split: str) -> list[int]:
        """Return the number of pixels of each class in a split; zeros if there is no such split."""
        self.prepare_once()
        chosen = cast(SizedMaskSource, self.sources[split]).indices if split in self.sources else np.empty(0, np.int64)
        return [int(n) for n in self._pixels[chosen].sum(0)[: len(self.categories)]]

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Yield the fingerprints of the images, then each mask."""
        yield self.fingerprints(split)
        yield from cast(SizedMaskSource, self.sources[split]).masks()
