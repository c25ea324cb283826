"""A topic written by docs/adding_a_topic.md alone: prototypes of classes, and images of stripes, with `--import`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import catalog
from lightning_nn.data.batches import ImageBatch
from lightning_nn.data.images.labeled_images import ImageSource
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.layers.images import normalize
from lightning_nn.tasks.classification import Classifier

SIDE = 6


class Prototypes(Classifier):
    """The class of the nearest prototype.

    Args:
        features: values in an image.
        num_classes: K.
    """

    name = "prototypes"

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__(num_classes)
        self.save_hyperparameters(logger=False)
        self.prototypes = nn.Parameter(torch.zeros(num_classes, features))

    def forward(self, batch: ImageBatch) -> Tensor:
        """Compute minus the squared distance to each prototype, (B, K)."""
        return -(normalize(batch.image, self.prototypes.dtype).flatten(1)[:, None] - self.prototypes).square().mean(2)


class Stripes(LabeledDataModule):
    """Horizontal and vertical stripes.

    Args:
        batch_size: images in a batch.
        balanced: see `LabeledDataModule`.
    """

    describes = ("features", "num_classes")

    def __init__(self, batch_size: int = 16, balanced: bool = False) -> None:
        super().__init__(batch_size, balanced)
        self.save_hyperparameters(logger=False)

    def prepare(self) -> None:
        """Draw the images."""
        random, self.sources = np.random.default_rng(0), {}
        for split, count in (("train", 64), ("val", 16), ("test", 16)):
            labels = np.arange(count) % 2
            images = random.integers(0, 60, (count, 1, SIDE, SIDE), np.uint8)
            images[labels == 0, :, ::2] += 180
            images[labels == 1, :, :, ::2] += 180
            self.sources[split] = ImageSource(images, labels)
        self.processor = ImageProcessor(["across", "down"], 1, SIDE, SIDE)
        self.summary = [("split", "images"), *((split, str(len(each))) for split, each in self.sources.items())]
        self.notes = []

    def describe(self) -> dict[str, Any]:
        """Return the numbers of values in an image and of classes."""
        return {"features": SIDE * SIDE, "num_classes": 2}


catalog.register("prototypes", Prototypes, "image", data="stripes")
catalog.register("stripes", Stripes, "image")
