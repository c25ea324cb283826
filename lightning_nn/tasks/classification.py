"""What every classifier shares: the steps, the loss, the figures, the answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_nn.data.batches import Batch, ImageBatch
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.layers.divergence import symmetric_kl
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.metrics.confusion import accuracy, macro_f1
from lightning_nn.metrics.running_means import RunningMeans
from lightning_nn.runs.saved_settings import trusted
from lightning_nn.settings import Loss
from lightning_nn.tasks.base import Task


class Prediction(NamedTuple):
    """An answer.

    Attributes:
        category: name of the likeliest class.
        probability: the model's, 0 to 1.
    """

    category: str
    probability: float


class Classifier(Task):
    """A topic that sorts samples into K classes.

    A subclass calls `super().__init__(num_classes)` and gives `forward(batch) -> logits (B, K)`.

    Args:
        num_classes: K, at least 2.

    Attributes:
        loss: what the cross-entropy adds to the plain one; replace it before training.
    """

    monitor = "val/acc"
    batch_type: ClassVar[type[Batch]] = ImageBatch
    loss: Loss = Loss()

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(f"a classifier needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes
        self.loss = replace(self.loss)
        self._balanced: list[float] | None = None
        self._totals = RunningMeans()
        counted = {f"{s}_": MulticlassConfusionMatrix(num_classes, validate_args=False) for s in ("val", "test")}
        self.confusions = nn.ModuleDict(counted)
        self.losses = nn.ModuleDict({f"{s}_": MeanMetric(nan_strategy=torch.inf) for s in ("val", "test")})
        self._matrices: dict[str, Tensor] = {}

    @abstractmethod
    def forward(self, batch: Any) -> Any:
        """Logits of each sample, (B, K)."""

    def setup(self, stage: str) -> None:
        """Also turns "balanced" into weights, N / (K n_k) for each class.

        Raises:
            UserError: the loss makes no sense for this model, or there is nothing to count classes in.
        """
        super().setup(stage)
        self.loss.check(self.num_classes)
        if stage == "fit":
            self._totals.clear()
        if self.loss.class_weights == "balanced" and self._balanced is None:
            counts = getattr(getattr(self.trainer, "datamodule", None), "class_counts", None)
            if counts is None:
                raise UserError(
                    "class_weights 'balanced' counts the classes of a data module of lightning_nn; with another "
                    "loader give the weights as numbers"
                )
            self._balanced = [sum(counts) / (len(counts) * max(1, count)) for count in counts]

    @property
    def has_dropout(self) -> bool:
        """Whether there is dropout in it, so that two passes of a batch differ in training."""
        return any(isinstance(module, nn.Dropout) and module.p > 0 for module in self.modules())

    @property
    def class_weights(self) -> list[float] | None:
        """Weight of each class in the loss; balanced ones are known once the model has met its data."""
        weights = self.loss.class_weights
        return self._balanced if isinstance(weights, str) else weights

    def settings(self) -> dict[str, dict[str, Any]]:
        """Also the loss, its weights as numbers."""
        return {**super().settings(), "loss": {**asdict(self.loss), "class_weights": self.class_weights}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also the loss, so that a loaded model is validated as it was trained, and the figures of a begun epoch."""
        super().on_load_checkpoint(checkpoint)
        self.loss = Loss(**trusted([checkpoint["lightning_nn"]["settings"]], {"loss": Loss}).group("loss"))
        totals = checkpoint["lightning_nn"].get("totals")
        if totals is not None:
            self._totals.resume(checkpoint["epoch"], totals)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also the figures of the epoch that has begun, over all processes."""
        super().on_save_checkpoint(checkpoint)
        if self._totals.sums is not None:
            checkpoint["lightning_nn"]["totals"] = self._sum_over_processes(self._totals.sums).tolist()

    # ------------------------------------------------------------------ steps

    def logits(self, batch: Any) -> Tensor:
        """What loss and probabilities are made of: `forward` on a batch that was looked at, at least float32.

        Raises:
            UserError: the batch is not one that this model can read.
        """
        if not isinstance(batch, self.batch_type):
            raise UserError(
                f"a batch is a {type(batch).__name__}; {type(self).__name__} takes {self.batch_type.__name__} of "
                "lightning_nn.data.batches"
            )
        batch.check(self.hparams)
        return at_least_float32(self(batch))

    def sample_losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of each sample, (B,).

        Args:
            logits: (B, K); half precision is widened to float32.
            label: int64 (B,).
        """
        logits = at_least_float32(logits)
        return F.cross_entropy(
            logits,
            label,
            weight=None if self.class_weights is None else logits.new_tensor(self.class_weights),
            label_smoothing=self.loss.label_smoothing,
            reduction="none",
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probability of each class, (B, K), each row summing to 1."""
        return logits.softmax(1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Their logarithms, (B, K), exact where a probability is next to nothing."""
        return logits.log_softmax(1)

    def training_losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        """What is made smaller: with `loss.r_drop`, that of two passes and how far they are apart.

        Returns:
            Loss of each sample, (B,), and the logits of the first pass.
        """
        logits = self.logits(batch)
        losses = self.sample_losses(logits, batch.label)
        if self.loss.r_drop:
            again = self.logits(batch)
            apart = symmetric_kl(self.log_probabilities(logits), self.log_probabilities(again))
            losses = (losses + self.sample_losses(again, batch.label)) / 2 + self.loss.r_drop * apart
        return losses, logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Mean loss of the batch."""
        losses, logits = self.training_losses(batch)
        loss = losses.mean()
        correct = self.probabilities(logits.detach()).argmax(1) == batch.label
        trainer = self.trainer
        self._totals.add(losses.detach(), correct, trainer.current_epoch, keeps_resumed=trainer.is_global_zero)
        every = cast(Any, trainer).log_every_n_steps  # 0: never
        if every and (trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", loss, batch_size=batch.size)
        return self.world_mean(loss, batch.size)

    def on_train_epoch_end(self) -> None:
        """Logs train/loss and train/acc: means over the samples of the epoch, as each was met."""
        if self._totals.sums is None:
            return
        loss, correct, samples = self._sum_over_processes(self._totals.sums)
        # The values are the same on every process; sync_dist says so to Lightning.
        self.log_dict({"train/loss": loss / samples, "train/acc": correct / samples}, sync_dist=True)
        self._totals.clear()

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return cast(Tensor, self.trainer.strategy.reduce(values.clone(), reduce_op="sum"))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Adds the batch to the metrics."""
        self._count("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Adds the batch to the metrics."""
        self._count("test", batch)

    def on_validation_epoch_start(self) -> None:
        """Forgets what an evaluation that was broken off has counted."""
        self._reset("val")

    def on_test_epoch_start(self) -> None:
        """The same for test."""
        self._reset("test")

    def on_validation_epoch_end(self) -> None:
        """Logs val/loss, val/acc and val/f1 (macro)."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Logs test/loss, test/acc and test/f1 (macro)."""
        self._report("test")

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """Probability of each class, (B, K)."""
        return self.probabilities(self.logits(batch))

    def confusion(self, split: str) -> Tensor:
        """How often each class was taken for each: int64 (K, K), rows true, columns predicted.

        Args:
            split: "val" or "test", after such an epoch.
        """
        return self._matrices[split]

    def _count(self, split: str, batch: Any) -> None:
        logits = self.logits(batch)
        losses = self.sample_losses(logits, batch.label)
        predicted = self.probabilities(logits).argmax(1)
        update = self._update_metrics
        if torch.compiler.is_compiling():  # dynamo can't follow torchmetrics
            update = torch.compiler.disable(update)  # type: ignore[no-untyped-call]
        update(split, losses, predicted, batch.label)

    def _update_metrics(self, split: str, losses: Tensor, predicted: Tensor, label: Tensor) -> None:
        weights = torch.ones_like(losses)  # torchmetrics 1.4 expands a single one and, at a NaN, writes into it
        cast(MeanMetric, self.losses[f"{split}_"]).update(losses, weights)
        cast(MulticlassConfusionMatrix, self.confusions[f"{split}_"]).update(predicted, label)

    def _report(self, split: str) -> None:
        confusion = cast(MulticlassConfusionMatrix, self.confusions[f"{split}_"])
        mean = cast(MeanMetric, self.losses[f"{split}_"])
        matrix = confusion.compute()  # summed over processes
        self._matrices[split] = matrix.cpu()
        loss = mean.compute()
        if split == "val" and self.trainer.state.fn == "fit" and not (self.trainer.sanity_checking or loss.isfinite()):
            raise self.not_finite("validation")  # before a checkpoint is written
        values = {"loss": loss, "acc": accuracy(matrix), "f1": macro_f1(matrix)}
        # The values are the same on every process; sync_dist says so to Lightning.
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, prog_bar=split == "val", sync_dist=True)

    def _reset(self, split: str) -> None:
        for metric in (self.confusions[f"{split}_"], self.losses[f"{split}_"]):
            cast(Metric, metric).reset()

    # ------------------------------------------------------------------ prediction

    @torch.inference_mode()
    def predict(self, raw: Sequence[Any], batch_size: int = 64) -> list[Prediction]:
        """Answers for raw inputs.

        Args:
            raw: texts, or pictures (paths or PIL images).
            batch_size: how many go through the model at once, at most; fewer where texts are long.

        Returns:
            An answer for each, in their order.

        Raises:
            UserError: the model was never trained, so it knows no categories; an input can't be read.
        """
        processor = self.require_processor()
        if isinstance(raw, str):
            raise UserError("predict takes a list of texts: model.predict([text])")
        answers: dict[int, Prediction] = {}
        with self.evaluating():
            for index, encoded in processor.batches(list(raw), batch_size):
                batch = self.transfer_batch_to_device(encoded, self.device, 0)
                best = self.predict_step(batch).max(1)
                for i, p, k in zip(index, best.values.tolist(), best.indices.tolist(), strict=True):
                    answers[int(i)] = Prediction(processor.categories[k], p)
        return [answers[i] for i in range(len(raw))]

    def require_processor(self) -> Processor:
        """The reader.

        Raises:
            UserError: there is none, because the model was neither trained on a data set here nor loaded.
        """
        if self.processor is None:
            raise UserError(
                f"this {type(self).__name__} can't read raw input yet: train it with a data module or load it "
                f"with {type(self).__name__}.load_from_checkpoint(FILE)"
            )
        return self.processor
