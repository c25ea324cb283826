"""A picture of the first training images as the network sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_nn.data.module import DataModule
from lightning_nn.runs.atomic_file import write_atomically
from lightning_nn.visualization.augmented import augmented_picture


class AugmentedImages(pl.Callback):
    """Writer of augmented.png into the run's folder, and of the same picture into TensorBoard, at the first step.

    Nothing is written where the data augments nothing.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Draw the first batch of a run."""
        data = getattr(trainer, "datamodule", None)
        if trainer.global_step or batch_idx or not trainer.is_global_zero or cast(Any, trainer).fast_dev_run:
            return
        if isinstance(data, DataModule) and data.augment.is_on:
            image = write_augmented(self.folder, batch, data)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image("train/augmented", image, 0, dataformats="HWC")


def write_augmented(folder: Path, batch: Any, data: DataModule) -> Any:
    """Draw a batch of images into augmented.png.

    Args:
        folder: where to write.
        batch: as the network sees it.
        data: the data that it comes from.

    Returns:
        The picture, uint8 (height, width, 3).
    """
    categories, colours = (getattr(data.processor, name, None) or [] for name in ("categories", "colours"))
    image = augmented_picture(batch, categories, colours)
    write_atomically(folder / "augmented.png", lambda file: Image.fromarray(image).save(file, format="PNG"))
    return image
