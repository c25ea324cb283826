"""Validation, test and prediction as all tasks do them."""

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

SHOWN = 4  # samples of a split that its artifacts show


class Evaluation(pl.LightningModule):
    """The half of a task that measures and predicts.

    Attributes:
        shown: a few samples of each split that was evaluated, batches of one, for its artifacts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, list[Any]] = {}
        self._processor: Processor | None = None
        self._metrics = nn.ModuleDict()  # by split, then by name

    # ------------------------------------------------------------------ processor

    @property
    def processor(self) -> Processor | None:
        """Turns raw input into batches; taken from the data when a run starts, from the checkpoint when loaded."""
        return self._processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        if processor is not None:
            self.on_processor(processor)
        self._processor = processor

    def on_processor(self, processor: Processor) -> None:
        """Hook: the task is told how raw input is read.

        Args:
            processor: of its data, or of the data it was trained on.

        Raises:
            UserError: it was made for other data.
        """

    def require_processor(self) -> Processor:
        """Return the processor.

        Raises:
            UserError: there is none, because the model was neither trained on a data set here nor loaded.
        """
        if self.processor is None:
            raise UserError(
                f"this {type(self).__name__} can't read raw input yet: train it with a data module or load it "
                f"with {type(self).__name__}.load_from_checkpoint(FILE)"
            )
        return self.processor

    # ------------------------------------------------------------------ what a task says

    @abstractmethod
    def check_batch(self, batch: Batch) -> None:
        """Refuse what the model can't read."""

    def metrics(self) -> dict[str, Metric]:
        """Make the metrics of a split, by name; none where there is nothing to measure."""
        return {}

    def update(self, metrics: Mapping[str, Metric], batch: Any) -> None:
        """Add a batch to the metrics of its split.

        Args:
            metrics: as `metrics` made them.
            batch: of the task's `batch_type`, already checked.
        """

    def compute_metrics(self, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Return what is logged of a split, by name: scalars, the same on every process.

        Args:
            metrics: as `metrics` made them, with all batches of the split.
        """
        return {name: metric.compute() for name, metric in metrics.items()}

    @abstractmethod
    def predictions(self, batch: Any) -> list[Prediction]:
        """Return a prediction for each sample of a batch, a NamedTuple of plain values.

        Args:
            batch: of the task's `batch_type`, already checked, on the model's device.
        """

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield what can be shown of an evaluation.

        Args:
            split: "val" or "test", after such an epoch.
        """
        yield from ()

    # ------------------------------------------------------------------ steps

    def split_metrics(self, split: str) -> dict[str, Metric]:
        """Return the metrics of a split, made the first time.

        Args:
            split: "val" or "test".
        """
        if split not in self._metrics:
            self._metrics[split] = nn.ModuleDict(self.metrics()).to(self.device)
        return cast(dict[str, Metric], dict(cast(nn.ModuleDict, self._metrics[split]).items()))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Adds the batch to the metrics."""
        self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Adds the batch to the metrics."""
        self._evaluate("test", batch)

    def on_validation_epoch_start(self) -> None:
        """Forgets what an evaluation that was broken off has counted."""
        self._reset("val")

    def on_test_epoch_start(self) -> None:
        """The same for test."""
        self._reset("test")

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics of validation: val/loss and the like."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of the test: test/loss and the like."""
        self._report("test")

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Any:
        """Predictions for the samples of a batch."""
        self.check_batch(batch)
        return self.predictions(batch)

    def _evaluate(self, split: str, batch: Any) -> None:
        self.check_batch(batch)
        self.update(self.split_metrics(split), batch)
        shown = self.shown.setdefault(split, [])
        if len(shown) < SHOWN:
            shown.append(batch.select([0]))

    def _reset(self, split: str) -> None:
        self.shown[split] = []
        for metric in self.split_metrics(split).values():
            metric.reset()

    def _report(self, split: str) -> None:
        trainer = self.trainer
        values = self.compute_metrics(self.split_metrics(split))
        trains = split == "val" and trainer.state.fn == "fit" and not trainer.sanity_checking
        if trains and "loss" in values and not values["loss"].isfinite():
            raise self.not_finite("validation")  # before a checkpoint is written
        # The values are the same on every process; sync_dist says so to Lightning.
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, prog_bar=split == "val", sync_dist=True)

    @abstractmethod
    def not_finite(self, what: str) -> UserError:
        """The error that says that a loss is not finite, and what to change."""

    # ------------------------------------------------------------------ prediction

    @torch.inference_mode()
    def predict(self, raw: Sequence[Any], batch_size: int = 64) -> list[Prediction]:
        """Predicts for raw inputs.

        Args:
            raw: what the data was made of: texts, or pictures (paths or PIL images).
            batch_size: how many go through the model at once, at most; fewer where texts are long.

        Returns:
            A prediction for each, in their order.

        Raises:
            UserError: the model was never trained, so it has no processor; an input can't be read.
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
        """Evaluation mode, and afterwards the mode there was."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)
