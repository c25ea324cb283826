"""A task of somebody's own: the class of each pixel, over a data set without labels of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric

from lightning_nn.data.batches import IGNORED, Index, MaskBatch
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.source import fingerprint_image
from lightning_nn.data.loader import Fingerprints
from lightning_nn.data.module import DataModule
from lightning_nn.data.processor import InputOptions
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.base import Means, Task


class MaskPrediction(NamedTuple):
    """The class of each pixel, rows of an image."""

    mask: list[list[int]]


class Thresholds(Task):
    """Tells dark pixels from bright ones: one weight and one bias."""

    name = "thresholds"
    batch_type = MaskBatch
    headline = ("acc",)
    optimizer = Optimizer("sgd", lr=0.5)

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.pixel = nn.Conv2d(1, num_classes, 1)

    def forward(self, batch: MaskBatch) -> Tensor:
        return self.pixel(batch.image.to(self.dtype) / 127.5 - 1)

    def training_means(self, batch: MaskBatch) -> Means:
        loss, right, pixels = self.sums(batch)
        return Means({"loss": loss, "acc": right}, pixels)

    def sums(self, batch: MaskBatch) -> tuple[Tensor, Tensor, Tensor]:
        assert batch.mask is not None
        logits, mask = self(batch), batch.mask.long()
        loss = F.cross_entropy(logits, mask, ignore_index=IGNORED, reduction="sum")
        counted = mask != IGNORED
        return loss, (counted & (logits.argmax(1) == mask)).sum(), counted.sum()

    def metrics(self) -> dict[str, Metric]:
        return {"loss": MeanMetric(), "acc": MeanMetric()}

    def update(self, metrics: Mapping[str, Metric], batch: MaskBatch) -> None:
        loss, right, pixels = self.sums(batch)
        metrics["loss"].update(loss / pixels, pixels)
        metrics["acc"].update(right / pixels, pixels)

    def predictions(self, batch: MaskBatch) -> list[MaskPrediction]:
        return [MaskPrediction(mask.tolist()) for mask in self(batch).argmax(1)]


class MaskSource:
    """Images of dark and bright pixels, and which is which."""

    lengths: Index | None = None

    def __init__(self, size: int, seed: int, ignored: float) -> None:
        random = np.random.default_rng(seed)
        self.mask = random.integers(0, 2, (size, 8, 8), dtype=np.uint8)
        self.images = np.where(self.mask == 1, 220, 30).astype(np.uint8)[:, None]
        self.mask[random.random(self.mask.shape) < ignored] = IGNORED

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, index: Index) -> MaskBatch:
        return MaskBatch(torch.from_numpy(self.images[index]), torch.from_numpy(self.mask[index]))

    def fingerprints(self) -> Fingerprints:
        pairs = zip(self.images, self.mask[:, None], strict=True)
        return np.array([fingerprint_image(np.concatenate(pair)) for pair in pairs], np.uint64)


class MaskProcessor:
    """Images to batches without masks."""

    kind = "mask"

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.images = ImageProcessor([], channels, height, width)

    def encode(self, raw: list[Any]) -> MaskBatch:
        return MaskBatch(self.images.encode(raw).image)

    def batches(self, raw: list[Any], batch_size: int) -> Iterator[tuple[Index, MaskBatch]]:
        for index, batch in self.images.batches(raw, batch_size):
            yield index, MaskBatch(batch.image)

    def row_labels(self) -> dict[str, list[str]]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        channels, height, width = self.images.form.shape
        return {"channels": channels, "height": height, "width": width}

    @classmethod
    def inputs(cls, options: InputOptions) -> Iterator[Any]:
        return ImageProcessor.inputs(options)


class Masks(DataModule):
    """Images with masks.

    Args:
        splits: samples of each split; one that is not named is not there.
        batch_size: images in a batch.
        ignored: share of the pixels that are.
    """

    def __init__(self, splits: dict[str, int], batch_size: int = 4, ignored: float = 0.0) -> None:
        super().__init__(batch_size)
        self.splits, self.ignored = splits, ignored

    def prepare(self) -> None:
        self.sources = {split: MaskSource(n, seed, self.ignored) for seed, (split, n) in enumerate(self.splits.items())}
        self.processor = MaskProcessor(1, 8, 8)
        self.summary, self.notes, self.provided_splits = [("split",)], [], list(self.splits)

    def describe(self) -> dict[str, Any]:
        return {"num_classes": 2}
