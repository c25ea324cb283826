"""Validation, test and prediction, shared by all tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_nn.data.batches import Batch
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.tasks.artifacts import Artifact, Prediction

SHOWN = 4  # samples per split that artifacts show


class Evaluation(pl.LightningModule):
    """The evaluation half of a task.

    Attributes:
        shown: samples of the first batches of each evaluated split, as batches of one, for artifacts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, list[Any]] = {}
        self._processor: Processor | None = None
        self._metrics = nn.ModuleDict()  # by split, then by name

    # ------------------------------------------------------------------ processor

    @property
    def processor(self) -> Processor | None:
        """Converter of raw input to batches; set by the data module when a run starts, or by the loaded checkpoint."""
        return self._processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        if processor is not None:
            self.on_processor(processor)
        self._processor = processor

    def on_processor(self, processor: Processor) -> None:
        """Prepare for a processor before it is set; a hook for subclasses.

        Args:
            processor: processor of the run's data, or of the data the model was trained on.

        Raises:
            UserError: the model was made for other data.
        """

    def require_processor(self) -> Processor:
        """Return the processor.

        Raises:
            UserError: there is none, because the model was neither trained with a data module nor loaded.
        """
        if self.processor is None:
            raise UserError(
                f"this {type(self).__name__} can't read raw input yet: train it with a data module or load it "
                f"with {type(self).__name__}.load_from_checkpoint(FILE)"
            )
        return self.processor

    # ------------------------------------------------------------------ what a task defines

    @abstractmethod
    def check_batch(self, batch: Batch) -> None:
        """Refuse a batch that the model can't read."""

    def metrics(self) -> dict[str, Metric]:
        """Make the metrics of a split, by name; an empty dictionary if nothing is measured."""
        return {}

    def update(self, metrics: Mapping[str, Metric], batch: Any) -> None:
        """Add a batch to the metrics of its split.

        Args:
            metrics: as `metrics` made them.
            batch: of the task's `batch_type`, already checked.
        """

    def compute_metrics(self, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Compute the values to log for a split, by name: scalars, the same on every process.

        Args:
            metrics: as `metrics` made them, updated with all batches of the split.
        """
        return {name: metric.compute() for name, metric in metrics.items()}

    def guessing_loss(self) -> float | None:
        """Return the validation loss of a model that guesses without looking; None if this task has no such loss."""
        return None

    def monotony(self, split: str) -> str | None:
        """Return a clause that says so if samples with different truths all get the same prediction, or else None.

        Args:
            split: "val" or "test", already evaluated.
        """
        return None

    @abstractmethod
    def predictions(self, batch: Any) -> list[Prediction]:
        """Return a prediction for each sample of a batch, a NamedTuple of plain values.

        Args:
            batch: of the task's `batch_type`, already checked, on the model's device.
        """

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield what can be shown of an evaluation.

        Args:
            split: "val" or "test", already evaluated.
        """
        yield from ()

    # ------------------------------------------------------------------ steps

    def split_metrics(self, split: str) -> dict[str, Metric]:
        """Return the metrics of a split, making them on the first call.

        Args:
            split: "val" or "test".
        """
        if split not in self._metrics:
            self._metrics[split] = nn.ModuleDict(self.metrics()).to(self.device)
        return cast(dict[str, Metric], dict(cast(nn.ModuleDict, self._metrics[split]).items()))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add the batch to the validation metrics; see `_evaluate`."""
        self._evaluate("val", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add the batch to the test metrics; see `_evaluate`."""
        self._evaluate("test", batch, batch_idx, dataloader_idx)

    def on_validation_epoch_start(self) -> None:
        """Reset the validation metrics, which an interrupted validation may have left partly filled."""
        self._reset("val")

    def on_test_epoch_start(self) -> None:
        """Reset the test metrics, which an interrupted test may have left partly filled."""
        self._reset("test")

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics, such as val/loss, and drop those of a sanity check of a few batches."""
        self._report("val")
        if self.trainer.sanity_checking:
            self._reset("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics, such as test/loss."""
        self._report("test")

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Any:
        """Predict for the samples of a batch."""
        self.check_batch(batch)
        return self.predictions(batch)

    def _evaluate(self, split: str, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Add a batch to the metrics of a split.

        Raises:
            UserError: the batch can't be read, or comes from a second loader.
        """
        if dataloader_idx:
            raise UserError(
                f"several {split} loaders were given, and a model has one set of metrics for {split}: give one, and "
                "evaluate on each of the others by a call of its own, trainer.validate(model, LOADER) or trainer.test"
            )
        self.check_batch(batch)
        self.update(self.split_metrics(split), batch)
        if batch_idx == 0:
            count = min(SHOWN, batch.size)
            self.shown[split] = [batch.select([i * batch.size // count]) for i in range(count)]
        elif batch_idx < SHOWN:  # a sample of each batch, as far as there are as many
            self.shown[split][batch_idx : batch_idx + 1] = [batch.select([0])]

    def _reset(self, split: str) -> None:
        self.shown[split] = []
        for metric in self.split_metrics(split).values():
            metric.reset()

    def _report(self, split: str) -> None:
        trainer = self.trainer
        values = self.compute_metrics(self.split_metrics(split))
        trains = split == "val" and trainer.state.fn == "fit" and not trainer.sanity_checking
        if trains and "loss" in values and not values["loss"].isfinite():
            raise self.not_finite("validation")  # before a checkpoint is saved
        # The values are equal on every process; without sync_dist Lightning would warn.
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, prog_bar=split == "val", sync_dist=True)

    @abstractmethod
    def not_finite(self, what: str) -> UserError:
        """Return the error for a loss that is not finite, with the remedy."""

    # ------------------------------------------------------------------ prediction

    @torch.inference_mode()
    def predict(self, raw: Sequence[Any], batch_size: int = 64) -> list[Prediction]:
        """Predict for raw inputs.

        Args:
            raw: inputs of the kind the model was trained on: texts, or images (paths or PIL images).
            batch_size: maximum number of inputs in a batch; long texts come in smaller batches.

        Returns:
            One prediction per input, in the same order.

        Raises:
            UserError: the model has no processor, because it was never trained, or an input can't be read.
        """
        processor = self.require_processor()
        if isinstance(raw, str):
            raise UserError("predict takes a list of texts: model.predict([text])")
        found: dict[int, Prediction] = {}
        with self.evaluating():
            for index, encoded in processor.batches(list(raw), batch_size):
                batch = self.transfer_batch_to_device(encoded, self.device, 0)
                self.check_batch(batch)
                found.update(zip(map(int, index), self.predictions(batch), strict=True))
        return [found[i] for i in range(len(raw))]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch to evaluation mode, and back to the previous mode on leaving."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)
