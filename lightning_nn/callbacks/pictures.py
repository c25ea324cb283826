"""The pictures that a model makes, as files in the run's folder and in TensorBoard."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO, cast

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_nn.runs.atomic_file import write_atomically
from lightning_nn.tasks.artifacts import Picture
from lightning_nn.tasks.base import Task
from lightning_nn.visualization.png import png


class PictureFiles(pl.Callback):
    """Writer of NAME.png for each picture of a task: after each epoch, at the end, and when a run is interrupted.

    The file holds the newest; TensorBoard and the folder `progress` hold those of each epoch.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = -1  # step of the newest file

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the pictures, and keep them as progress."""
        self._write(trainer, pl_module, keep=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last pictures, if the run ended within an epoch, or earlier and without them."""
        if trainer.global_step != self._written:
            self._write(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write the pictures of a run that ends early, if it has begun."""
        if trainer.global_step:
            self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *, keep: bool = False) -> None:
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        step, several = trainer.global_step, 0
        for several, picture in enumerate(_pictures(pl_module), 1):
            name = picture.name if several == 1 else f"{picture.name}-{several}"
            data = png(picture.image, picture.settings)
            files = [self.folder / f"{name}.png"]
            files += [self.folder / "progress" / f"{name}-{step:06}.png"] * keep
            for file in files:
                write_atomically(file, partial(_copy, data=data))
            for logger in trainer.loggers if keep else []:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"train/{name}", picture.image, step, dataformats="HWC")
        self._written = step


def _copy(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _pictures(module: pl.LightningModule) -> list[Picture]:
    return [each for each in cast(Task, module).artifacts("train") if isinstance(each, Picture)]
