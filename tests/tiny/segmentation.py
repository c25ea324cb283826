"""Task for tests only: semantic segmentation by two convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassJaccardIndex

from lightning_nn.data.batches import IGNORED, Index, MaskBatch
from lightning_nn.data.images.decoding import fingerprint_image
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.loader import Fingerprints, Source
from lightning_nn.data.module import BatchSize, DataModule
from lightning_nn.layers.images import normalize
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.artifacts import Artifact, Legend, Masks
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.training import Means
from tests.tiny.shapes import SIDE, draw_shapes

CATEGORIES = ["nothing", "bright", "dark"]


class MaskPrediction(NamedTuple):
    """A predicted mask.

    Attributes:
        mask: uint8 (H, W), the most probable class of each pixel.
        covered: share of the pixels outside the first class, 0 to 1.
    """

    mask: NDArray[np.uint8]
    covered: float


class Segmenter(Task):
    """A 3x3 convolution and a 1x1 classifier.

    Args:
        channels: channels of the images, C.
        num_classes: number of classes, K.
        hidden: channels between the two.
        dropout: probability of dropping a value between them in training, 0 to 1.
    """

    name = "tiny_segmenter"
    batch_type = MaskBatch
    monitor = "val/miou"
    optimizer = Optimizer(name="adam", lr=0.03)

    def __init__(self, channels: int, num_classes: int, hidden: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.num_classes = num_classes
        self.features = nn.Conv2d(channels, hidden, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv2d(hidden, num_classes, 1)

    def forward(self, batch: MaskBatch) -> Tensor:
        """Compute the logits of each pixel, (B, K, H, W)."""
        x = normalize(batch.image, self.output.weight.dtype)
        return self.output(self.dropout(self.features(x).relu()))

    def probabilities(self, batch: MaskBatch) -> Tensor:
        """Compute class probabilities of each pixel, (B, K, H, W)."""
        return at_least_float32(self(batch)).softmax(1)

    def training_means(self, batch: MaskBatch) -> Means:
        """Sum loss and correct predictions over pixels."""
        logits, mask = at_least_float32(self(batch)), batch.mask.long()
        loss = F.cross_entropy(logits, mask, ignore_index=IGNORED, reduction="sum")
        return Means({"loss": loss, "acc": (logits.argmax(1) == mask).sum()}, (mask != IGNORED).sum())

    def metrics(self) -> dict[str, Metric]:
        """Make the mean loss and the mean intersection over union."""
        return {"loss": MeanMetric(), "miou": MulticlassJaccardIndex(self.num_classes, ignore_index=IGNORED)}

    def update(self, metrics: Mapping[str, Metric], batch: MaskBatch) -> None:
        """Add a batch to the metrics."""
        logits, mask = at_least_float32(self(batch)), batch.mask.long()
        counted = mask != IGNORED
        losses = F.cross_entropy(logits, mask, ignore_index=IGNORED, reduction="none")
        metrics["loss"].update(losses, counted.to(losses.dtype))
        metrics["miou"].update(logits.argmax(1), mask)

    def predictions(self, batch: MaskBatch) -> list[MaskPrediction]:
        """Predict the most probable class of each pixel."""
        masks = self.probabilities(batch).argmax(1).to(torch.uint8).cpu().numpy()
        return [MaskPrediction(mask, float((mask > 0).mean())) for mask in masks]

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the masks of a few images."""
        if not (batches := self.shown.get(split)):
            return
        with torch.inference_mode(), self.evaluating():
            predicted = [self.predictions(batch)[0].mask for batch in batches]
        images = [batch.image[0].expand(3, -1, -1).permute(1, 2, 0).cpu().numpy() for batch in batches]
        yield Masks(images, predicted, [batch.mask[0].cpu().numpy() for batch in batches], Legend(CATEGORIES))


class MaskProcessor(ImageProcessor):
    """Processor of images of any size to batches without masks."""

    kind = "tiny_mask"

    def encode(self, raw: list[Any]) -> MaskBatch:  # type: ignore[override]
        """Make a batch of images in the form of training, without masks."""
        return MaskBatch(super().encode(raw).image)


class MaskSource:
    """Images with their masks."""

    lengths: Index | None = None

    def __init__(self, count: int, seed: int) -> None:
        shapes = draw_shapes(count, seed)
        self.images = np.stack([shape.image for shape in shapes])
        self.masks = np.stack([shape.mask for shape in shapes])
        self.masks[::2, 0] = IGNORED  # so that counting images instead of pixels shows

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> MaskBatch:
        fields = (self.images[index], self.masks[index], index)
        return MaskBatch(*(torch.from_numpy(field) for field in fields))

    def fingerprints(self) -> Fingerprints:
        """Return a hash of each image."""
        return np.array([fingerprint_image(image) for image in self.images], np.uint64)


class TinyMasks(DataModule):
    """Images of one rectangle each, with the class of each pixel.

    Args:
        batch_size: images in a batch of one process.
        samples: images in train; val and test have a quarter as many each.
        splits: names of the splits, separated by commas.
    """

    describes = ("channels", "num_classes")

    def __init__(self, batch_size: BatchSize = 8, samples: int = 40, splits: str = "train,val,test") -> None:
        super().__init__(batch_size)
        self.save_hyperparameters(logger=False)
        self.samples, self.splits = samples, splits.split(",")

    def prepare(self) -> None:
        """Draw the splits."""
        sizes = {"train": self.samples, "val": self.samples // 4, "test": self.samples // 4}
        sources = {split: MaskSource(sizes[split], seed) for seed, split in enumerate(sizes) if split in self.splits}
        self.sources, self.notes, self.provided_splits = dict[str, Source](sources), [], tuple(sources)
        self.processor = MaskProcessor(CATEGORIES, 1, SIDE, SIDE)
        self.summary = [("split", "images"), *((split, str(len(source))) for split, source in sources.items())]

    def describe(self) -> dict[str, Any]:
        """Return the numbers of channels and of classes."""
        return {"channels": 1, "num_classes": len(CATEGORIES)}

    def contents(self, split: str) -> Iterator[NDArray[Any]]:
        """Also yield the masks."""
        yield from super().contents(split)
        yield cast(MaskSource, self.sources[split]).masks
