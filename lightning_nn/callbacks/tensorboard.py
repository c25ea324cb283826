"""Logs beside the metrics, in TensorBoard and as files: learning rate, gradient norm, drawings, pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard.summary import hparams
from torchmetrics import Metric

from lightning_nn.callbacks.statistics import BestValidation
from lightning_nn.data.module import DataModule
from lightning_nn.runs.atomic_file import write_atomically, write_text
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Artifact, Picture
from lightning_nn.tasks.task import Task
from lightning_nn.visualization.draw import Drawing, augmented_picture, draw
from lightning_nn.visualization.images import png
from lightning_nn.visualization.pages import markdown_text

THRIFT = 20  # drawing may take at most 1/20 of the time between validations


class RunLogger(TensorBoardLogger):
    """TensorBoard's logger with the charts that show a run: those of `train/` and `val/`, which are then its first.

    Lightning would add a chart of `epoch`, and one of a single point for each metric of the test. Metrics of validation
    are there by steps and by epochs.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at a step, those of validation also at the epoch, from 1, as `val_by_epoch/...`."""
        charts = {name: value for name, value in metrics.items() if name != "epoch" and not name.startswith("test/")}
        super().log_metrics(charts, step)
        validated = {name for name in charts if name.startswith("val/")}
        if validated and "epoch" in metrics:
            by_epoch = {name.replace("val/", "val_by_epoch/", 1): charts[name] for name in validated}
            super().log_metrics(by_epoch, int(metrics["epoch"]) + 1)


class TensorBoardCallback(pl.Callback):
    """Learning rate, gradient norm, drawings of the task's artifacts, table of modules, hyperparameters.

    Every logger gets `train/lr` and `train/grad_norm` (before clipping), and the images if it has
    `log_image(key, images, step)`, as Lightning's logger of Weights & Biases does. The rest goes to the run's
    `TensorBoardLogger`: images, texts and histograms of artifacts as `val/...` and `test/...`, the metrics of the test
    as a text, `modules`, and the table of hyperparameters, whose columns `best/...` are the metrics of the best
    validation if a `BestValidation` is among the callbacks. Pages and tables, such as attention.html and
    predictions.csv, are files: of the validation split after each validation that is drawn, of the test split after a
    test.

    Args:
        folder: of the files, also without a logger; None for that of the `TensorBoardLogger`.

    Attributes:
        tested: artifacts of the last test.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.tested: list[Artifact] = []
        self._drawn_at, self._cost = -float("inf"), 0.0
        self._pending = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Pass the hyperparameters to the logger, so that its hparams.yaml has them."""
        logger = _tensorboard(trainer)
        if logger is not None and stage == "fit":
            logger.hparams.update(_hyperparameters(trainer, pl_module))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the table of modules."""
        if (logger := _tensorboard(trainer)) is not None:
            logger.experiment.add_text("modules", module_table(pl_module), trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log learning rate and gradient norm, in the steps that Lightning logs."""
        every = cast(Any, trainer).log_every_n_steps  # 0: never
        if trainer.loggers and every and (trainer.global_step + 1) % every == 0:
            pl_module.log_dict({"train/grad_norm": gradient_norm(pl_module), **_learning_rates(optimizer)})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, unless the last drawing is so recent that another would slow training down; see `THRIFT`."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        now = time.monotonic()
        self._pending = now - self._drawn_at < THRIFT * self._cost
        if not self._pending:
            self._draw(trainer, pl_module, "val")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the last validation if it is not drawn yet; log hyperparameters with the best metrics."""
        if self._pending:
            self._draw(trainer, pl_module, "val")
        if (logger := _tensorboard(trainer)) is None:
            return
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if best := next((callback.metrics for callback in callbacks if isinstance(callback, BestValidation)), {}):
            _write_hyperparameters(logger, _hyperparameters(trainer, pl_module), best)
        logger.experiment.flush()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the test split."""
        if trainer.is_global_zero:
            self._draw(trainer, pl_module, "test")
        if (logger := _tensorboard(trainer)) is not None:
            logger.experiment.add_text("test/metrics", _metric_table(trainer.callback_metrics), trainer.global_step)
            logger.experiment.flush()

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str) -> None:
        """Draw the task's artifacts of a split, if a logger accepts images or there is a folder for pages."""
        loggers: list[Any] = [logger for logger in trainer.loggers if _takes_images(logger)]
        board, folder = _tensorboard(trainer), None if cast(Any, trainer).fast_dev_run else self._folder
        folder = Path(board.log_dir) if folder is None and board is not None else folder
        if not loggers and folder is None:
            return
        start, step = time.monotonic(), trainer.global_step
        artifacts = []
        for artifact in cast(Task, pl_module).artifacts(split):
            artifacts.append(artifact)
            drawing = draw(artifact, split, type(pl_module).__name__)
            if folder is not None:
                for name, page in drawing.pages.items():
                    write_text(folder / name, page)
            for logger in loggers:
                if isinstance(logger, TensorBoardLogger):
                    _to_tensorboard(logger, drawing, split, step)
                else:
                    for name, image in drawing.images.items():
                        logger.log_image(f"{split}/{name}", [image], step=step)
        if split == "test":
            self.tested = artifacts
        self._drawn_at, self._pending = time.monotonic(), False
        self._cost = self._drawn_at - start


def tested_artifacts(trainer: pl.Trainer) -> list[Artifact]:
    """Return the artifacts of a trainer's last test, as far as they were drawn."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [artifact for c in callbacks if isinstance(c, TensorBoardCallback) for artifact in c.tested]


def _to_tensorboard(logger: TensorBoardLogger, drawing: Drawing, split: str, step: int) -> None:
    for name, image in drawing.images.items():
        logger.experiment.add_image(f"{split}/{name}", image, step, dataformats="HWC")
    for name, text in drawing.texts.items():
        logger.experiment.add_text(f"{split}/{name}", text, step)
    for name, values in drawing.histograms.items():
        logger.experiment.add_histogram(f"{split}/{name}", values, step)


def _metric_table(metrics: Mapping[str, Tensor]) -> str:
    rows = [f"| {markdown_text(name)} | {float(value):.4g} |" for name, value in sorted(metrics.items())]
    return "\n".join(["| metric | value |", "|:-|-:|", *rows])


def module_table(model: nn.Module) -> str:
    """List the layers of a model, their shapes and numbers of parameters, as a Markdown table."""
    rows = ["| name | module | parameters |", "|:-|:-|-:|"]
    for name, module in model.named_modules():
        parts = list(module.modules())
        if name and not all(isinstance(part, Metric | nn.ModuleDict) for part in parts):
            form = repr(module) if len(parts) == 1 else type(module).__name__
            rows.append(f"| {markdown_text(name)} | {markdown_text(form)} | {_parameters(module):,} |")
    return "\n".join([*rows, f"| **total** | {type(model).__name__} | **{_parameters(model):,}** |"])


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def gradient_norm(model: nn.Module) -> Tensor:
    """Compute the 2-norm of all gradients together, a scalar on their device."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    return nn.utils.get_total_norm(dense)


def _learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """Return `train/lr`, that of the first group, and `train/lr_N` of each later group N whose rate differs."""
    first, *others = [float(group["lr"]) for group in optimizer.param_groups]
    return {"train/lr": first, **{f"train/lr_{i}": lr for i, lr in enumerate(others, 1) if lr != first}}


def _hyperparameters(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
    """Return the arguments of model and data, and the settings of the training, by dotted name."""
    data = getattr(trainer, "datamodule", None)  # None if `fit` was called with loaders
    groups = {"model": pl_module.hparams, "data": {} if data is None else data.hparams}
    groups.update(cast(Task, pl_module).settings())
    flat = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {name: sanitize(value) if isinstance(value, str) else value for name, value in flat.items()}


def _write_hyperparameters(logger: TensorBoardLogger, settings: dict[str, Any], best: dict[str, float]) -> None:
    """Write the table of hyperparameters: the best validation, the settings, and the metrics of the last validation.

    The metrics of the best validation are columns, not scalars as Lightning writes them, each of which would be a chart
    of one point. TensorBoard reads those of the last from the scalars of the run.
    """
    columns: dict[str, Any] = {name.replace("val/", "best/", 1): value for name, value in best.items()}
    for name, value in settings.items():
        options = asdict(cast(Any, value)) if is_dataclass(value) else value if isinstance(value, dict) else None
        items = {name: value} if options is None else {f"{name}.{option}": inner for option, inner in options.items()}
        columns |= {
            key: item if isinstance(item, bool | int | float | str) else str(item) for key, item in items.items()
        }
    summaries_of: Any = hparams  # which torch leaves untyped
    for summary in summaries_of(columns, dict.fromkeys(best, 0.0)):
        logger.experiment.file_writer.add_summary(summary)


def _takes_images(logger: Any) -> bool:
    return isinstance(logger, TensorBoardLogger) or callable(getattr(logger, "log_image", None))


def _tensorboard(trainer: pl.Trainer) -> TensorBoardLogger | None:
    """Return the run's TensorBoard logger; None on all processes but the main one, and if there is none."""
    if not trainer.is_global_zero:
        return None
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


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
    return [artifact for artifact in cast(Task, module).artifacts("train") if isinstance(artifact, Picture)]


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
