"""Data module of the drawn scenes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import CaptionBatch, MaskBatch
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.captions.data_module import CaptionedModule, CaptionSet
from lightning_nn.data.captions.processor import Language
from lightning_nn.data.captions.words import Tokens
from lightning_nn.data.images.labeled_images import ImageSet, LabeledImages
from lightning_nn.data.images.reading import ImageForm
from lightning_nn.data.loader import Source
from lightning_nn.data.module import BatchSize
from lightning_nn.data.segmentation.source import MaskProcessor, MaskSource, summarize_masks
from lightning_nn.data.synthetic.scenes import drawing, layout
from lightning_nn.data.synthetic.scenes.captions import CAPTIONS, DRAWS, describe
from lightning_nn.data.synthetic.scenes.drawing import CLASSES, draw_scenes
from lightning_nn.data.synthetic.scenes.layout import KINDS, SceneObject, lay_out, streams, uniform
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError, choose

_SMALLEST = 32  # height of a picture in which all kinds can be told apart
_LARGEST = 4_096
_WORDING = 40  # purpose of the random numbers that choose the words of captions


class Scenes(LabeledImages, CaptionedModule):
    """Pictures of up to four objects before a ground and a sky, generated on demand: six kinds in eight colours.

    A model of images gets the kind of the largest object, which has at least 1.25 times the visible pixels of any other
    one; a model of masks gets the class of each pixel: sky, ground, or the kind of the object there; a model of
    captions gets three sentences that name the most visible object and another one with place, size, colour and kind.
    Colours tell little: each kind, sky and ground come in all of them.

    Args:
        train_size: pictures in the training split.
        val_size: pictures in the validation split.
        test_size: pictures in the test split.
        size: height and width in pixels, at least 32.
        seed: of the pictures, which are the same on every machine; the splits are generated independently.
        batch_size: pictures in a batch of one process; "all" is the whole set.
        augment: random changes of training pictures, and of their masks with them.
        language: of the captions, "en" or "zh".
    """

    describes = (*LabeledImages.describes, "vocabulary_size")

    def __init__(
        self,
        train_size: int = 4000,
        val_size: int = 500,
        test_size: int = 500,
        size: int = 64,
        seed: int = 0,
        batch_size: BatchSize = 32,
        augment: Augment = NO_AUGMENT,
        language: Language = "en",
    ) -> None:
        super().__init__(batch_size, balanced=False, augment=augment)
        self.sizes = dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        for split, number in self.sizes.items():
            if number < 1:
                raise UserError(f"{split}_size is {number}; it must be at least 1")
        if not _SMALLEST <= size <= _LARGEST:
            raise UserError(f"size is {size}; it must be {_SMALLEST} to {_LARGEST:,} pixels")
        choose("--data.language", language, Language)
        self.form, self.seed, self.language = ImageForm(3, size, size), seed, language
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Draw the pictures, or open the cache."""
        key = {"format": 2, "sizes": self.sizes, "size": self.form.height, "seed": self.seed}
        modules = [Path(str(module.__file__)) for module in (drawing, layout)]
        folder = entry(f"scenes-{fingerprint(modules, key)}", self._build)
        load = partial(np.load, mmap_mode="r")
        images, masks, kinds = (load(folder / f"{name}.npy") for name in ("images", "masks", "kinds"))
        ends = np.cumsum(list(self.sizes.values()))
        indices = {split: np.arange(end - self.sizes[split], end) for split, end in zip(SPLITS, ends, strict=True)}
        self.open(ImageSet(images, np.array(kinds), indices, list(KINDS), [], list(SPLITS)))
        if self.batch_type is MaskBatch:
            parts = {split: slice(index[0], index[-1] + 1) for split, index in indices.items()}
            sources = {split: MaskSource(images[part], masks[part]) for split, part in parts.items()}
            self.sources, self.summary = dict[str, Source](sources), summarize_masks(sources, self.form)
            self.processor = MaskProcessor(list(CLASSES), *self.form)
        if self.batch_type is CaptionBatch:
            if self.augment.flip != "none":
                raise UserError(f"--data.augment.flip {self.augment.flip} would make left right, and captions false")
            visible = np.load(folder / "visible.npy")
            captions = {split: self._captions(split, visible[index]) for split, index in indices.items()}
            self.open_captions(CaptionSet(images, self.form, indices, captions, self.language, "words", min_count=1))

    def _captions(self, split: str, visible: NDArray[np.int64]) -> Tokens:
        """Write the captions of each picture of a split; `visible` counts the visible pixels of its objects."""
        keys = streams(self._seed(split), 0, self.sizes[split])
        draws = uniform(keys, CAPTIONS * DRAWS, _WORDING).reshape(-1, CAPTIONS, DRAWS)
        captions = []
        for objects, pixels, some in zip(self.objects(split), visible, draws, strict=True):
            order = np.argsort(-pixels[pixels > 0], kind="stable")
            captions.append([text.split() for text in describe([objects[i] for i in order], some, self.language)])
        return captions

    def describe(self) -> dict[str, Any]:
        """Return the sizes of the images, and the number of words of captions or of classes."""
        return CaptionedModule.describe(self) if self.batch_type is CaptionBatch else super().describe()

    def _build(self, folder: Path) -> None:
        drawn = [draw_scenes(count, self.form.height, self._seed(split)) for split, count in self.sizes.items()]
        kinds = [scenes.layout.kind[np.arange(len(scenes.mask)), scenes.visible.argmax(1)] for scenes in drawn]
        np.save(folder / "images.npy", np.concatenate([scenes.image for scenes in drawn]))
        np.save(folder / "masks.npy", np.concatenate([scenes.mask for scenes in drawn]))
        np.save(folder / "kinds.npy", np.concatenate(kinds))
        np.save(folder / "visible.npy", np.concatenate([scenes.visible for scenes in drawn]))

    def _seed(self, split: str) -> int:
        return len(SPLITS) * self.seed + SPLITS.index(split)

    def objects(self, split: str) -> list[list[SceneObject]]:
        """List the objects of each picture, the farthest first: a later one hides an earlier one.

        Args:
            split: "train", "val" or "test".

        Returns:
            One list per picture, in the order of `sources[split]`.
        """
        found = lay_out(streams(self._seed(split), 0, self.sizes[split]))
        return [found.objects(scene) for scene in range(self.sizes[split])]
