"""Data module of the drawn scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.augmentation import NO_AUGMENT, Augment
from lightning_nn.data.batches import Batch, CaptionBatch, Index, MaskBatch
from lightning_nn.data.cache import entry, fingerprint
from lightning_nn.data.captions.processor import Language
from lightning_nn.data.captions.source import CaptionSet, CaptionSource, view_captions
from lightning_nn.data.captions.words import Tokens
from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.labeled_images import ImageSet, view_labels
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.data.module import BatchSize, View
from lightning_nn.data.segmentation.source import MaskSource, view_masks
from lightning_nn.data.synthetic.scenes import drawing, layout
from lightning_nn.data.synthetic.scenes.captions import CAPTIONS, DRAWS, describe
from lightning_nn.data.synthetic.scenes.drawing import CLASSES, draw_scenes
from lightning_nn.data.synthetic.scenes.layout import KINDS, SceneObject, lay_out, streams, uniform
from lightning_nn.data.tables.folders import SPLITS
from lightning_nn.errors import UserError, choose

_SMALLEST = 32  # height of a picture in which all kinds can be told apart
_LARGEST = 4_096
Drawn = Mapping[str, NDArray[Any]]  # images, masks, kinds and visible pixels of all scenes

_WORDING = 40  # purpose of the random numbers that choose the words of captions


class Scenes(LabeledDataModule):
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

    Example:
        >>> data = Scenes(train_size=8, val_size=4, test_size=4, size=32)
        >>> model = FCN.for_data(data)
        >>> next(iter(data.train_dataloader())).image.shape
        torch.Size([8, 3, 32, 32])
    """

    describes = ("features", "channels", "height", "width", "num_classes", "vocabulary_size")

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
        super().__init__(batch_size)
        self.augment = Augment.of(augment)
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
        """Draw the images, or open the cache, and show what the model reads of them: labels, masks or captions."""
        key = {"format": 2, "sizes": self.sizes, "size": self.form.height, "seed": self.seed}
        modules = [Path(str(module.__file__)) for module in (drawing, layout)]
        drawn = {
            file.stem: np.load(file, mmap_mode="r")
            for file in entry(f"scenes-{fingerprint(modules, key)}", self._build).glob("*.npy")
        }
        ends = np.cumsum(list(self.sizes.values()))
        indices = {split: np.arange(end - self.sizes[split], end) for split, end in zip(SPLITS, ends, strict=True)}
        views: dict[type[Batch] | None, Callable[[Drawn, dict[str, Index]], View]] = {
            MaskBatch: self._masks,
            CaptionBatch: self._captions,
        }
        self.open(views.get(self.batch_type, self._labels)(drawn, indices))

    def _labels(self, drawn: Drawn, indices: dict[str, Index]) -> View:
        images = ImageSet(drawn["images"], np.array(drawn["kinds"]), indices, list(KINDS), [], [*SPLITS])
        return view_labels(images, self.form)

    def _masks(self, drawn: Drawn, indices: dict[str, Index]) -> View:
        parts = {split: slice(index[0], index[-1] + 1) for split, index in indices.items()}
        sources = {split: MaskSource(drawn["images"][part], drawn["masks"][part]) for split, part in parts.items()}
        return view_masks(sources, list(CLASSES), self.form)

    def _captions(self, drawn: Drawn, indices: dict[str, Index]) -> View:
        if self.augment.flip != "none":
            raise UserError(f"--data.augment.flip {self.augment.flip} would make left right, and captions false")
        captions = {split: self._sentences(split, drawn["visible"][index]) for split, index in indices.items()}
        data = CaptionSet(drawn["images"], self.form, indices, captions, self.language, "words", min_count=1)
        return view_captions(data, self.fixed_processor)

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Yield the fingerprints of the images, then labels, masks or captions."""
        yield from super().contents(split)
        if isinstance(source := self.sources[split], CaptionSource):
            yield from source.captions

    def _sentences(self, split: str, visible: NDArray[np.int64]) -> Tokens:
        """Write the captions of each picture of a split; `visible` counts the visible pixels of its objects."""
        keys = streams(self._seed(split), 0, self.sizes[split])
        draws = uniform(keys, CAPTIONS * DRAWS, _WORDING).reshape(-1, CAPTIONS, DRAWS)
        captions = []
        for objects, pixels, some in zip(self.objects(split), visible, draws, strict=True):
            order = np.argsort(-pixels[pixels > 0], kind="stable")
            captions.append([text.split() for text in describe([objects[i] for i in order], some, self.language)])
        return captions

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
        placed = lay_out(streams(self._seed(split), 0, self.sizes[split]))
        return [placed.objects(scene) for scene in range(self.sizes[split])]
