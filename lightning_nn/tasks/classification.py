"""Base of classifiers: loss, metrics, predictions, and views of test images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_nn.data.batches import Batch, ImageBatch
from lightning_nn.data.processor import LabeledProcessor
from lightning_nn.errors import UserError
from lightning_nn.layers.images import rgb
from lightning_nn.layers.inspection import StrongestPatches
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.metrics.calibration import checked_temperature, fit_temperature
from lightning_nn.metrics.confusion import ClassScore, accuracy, class_scores, macro_f1, only_predicted
from lightning_nn.metrics.samples import SampleValues
from lightning_nn.runs.saved_settings import trusted
from lightning_nn.settings import Loss
from lightning_nn.tasks.artifacts import Activations, Artifact, ConfusionMatrix, Patches
from lightning_nn.tasks.outcomes import Outcomes, confident_mistakes, outcome_table
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.training import Means

Views = Literal["none", "flip", "shift"]


class ClassPrediction(NamedTuple):
    """A predicted class.

    Attributes:
        category: name of the most probable class.
        probability: its probability by the model, 0 to 1.
    """

    category: str
    probability: float


class ClassProbabilities(NamedTuple):
    """A predicted class and the probability of each.

    Attributes:
        category: name of the most probable class.
        probability: its probability by the model, 0 to 1.
        probabilities: of each class by its name, in the order of the labels; they sum to 1.
    """

    category: str
    probability: float
    probabilities: dict[str, float]


class Classifier(Task):
    """A task that assigns each sample one of K classes.

    A subclass calls `super().__init__(num_classes)` and defines `forward(batch) -> logits (B, K)`.

    Args:
        num_classes: number of classes, K, at least 2.

    Attributes:
        loss: options of the cross-entropy; replace it before training.
        all_classes: return predictions as `ClassProbabilities`.
        strongest: searches the test images for the patches that layers respond to; None for a topic without maps.
    """

    monitor = "val/acc"
    output_meaning = "logits (batch, classes); their softmax is the probability of each class"
    predicts_classes = True
    batch_type: ClassVar[type[Batch]] = ImageBatch
    loss: Loss = Loss()
    views: Views = "none"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(f"a classifier needs at least 2 classes, got {num_classes}")
        self.num_classes = num_classes
        self.loss = replace(self.loss)
        self._balanced: list[float] | None = None
        self.all_classes, self.calibrated, self.temperature = False, True, 1.0
        self.strongest: StrongestPatches | None = None

    @abstractmethod
    def forward(self, batch: Any) -> Any:
        """Compute the logits of each sample, (B, K)."""

    def setup(self, stage: str) -> None:
        """Convert "balanced" to class weights N / (K n_k); see `Task`.

        Raises:
            UserError: the options of the loss do not fit this model, or there are no class counts.
        """
        super().setup(stage)
        self.loss.check(self.num_classes)
        counts = self.facts.class_counts
        if self.loss.class_weights == "balanced" and self._balanced is None:
            if counts is None:
                raise UserError(
                    "class_weights 'balanced' needs the class counts of a data module of lightning_nn; with another "
                    "loader, give the weights as numbers"
                )
            self._balanced = [sum(counts) / (len(counts) * max(1, count)) for count in counts]

    @property
    def has_dropout(self) -> bool:
        """True if the model has dropout, so that two passes over a batch differ in training."""
        return any(isinstance(module, nn.Dropout) and module.p > 0 for module in self.modules())

    def check_settings(self) -> None:
        """Check the options of the loss.

        Raises:
            UserError: they don't fit the classes, or compare two passes of a model without dropout.
        """
        self.loss.check(self.num_classes)
        if self.loss.r_drop and not self.has_dropout:
            remedy = "raise --model.dropout, or set " * ("dropout" in self.hparams) + "--loss.r_drop 0"
            raise UserError(
                f"--loss.r_drop {self.loss.r_drop:g} compares two passes that differ by dropout, and this "
                f"{type(self).__name__} has none: {remedy}"
            )

    @classmethod
    def view_names(cls) -> tuple[str, ...]:
        """Return the values of `views`; none if it reads no images."""
        return get_args(Views) if cls.batch_type is ImageBatch else ()

    @property
    def class_weights(self) -> list[float] | None:
        """Weight of each class in the loss; None if equal, and for "balanced" until a run has set them."""
        weights = self.loss.class_weights
        return self._balanced if isinstance(weights, str) else weights

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the groups of `Task` and the options of the loss, with class weights as numbers."""
        return {**super().settings(), "loss": {**asdict(self.loss), "class_weights": self.class_weights}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `Task` does and the temperature."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lightning_nn"]["temperature"] = self.temperature

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `Task` does, the temperature, and the options of the loss, so that validation computes it alike.

        Raises:
            ValueError: the temperature is none.
        """
        super().on_load_checkpoint(checkpoint)
        self.temperature = checked_temperature(checkpoint["lightning_nn"].get("temperature", 1.0))
        self.loss = Loss(**trusted([checkpoint["lightning_nn"]["settings"]], {"loss": Loss}).group("loss"))

    def logits(self, batch: Any) -> Tensor:
        """Compute `forward` in at least float32, for the loss and the probabilities."""
        return at_least_float32(self(batch))

    def averaged_logits(self, batch: Any) -> Tensor:
        """Compute the logits that are evaluated: those of each of the `views`, averaged."""
        if self.views == "none":
            return self.logits(batch)
        seen = views(batch.image, self.views)
        return torch.stack([weight * self.logits(batch._replace(image=image)) for image, weight in seen]).sum(0)

    def sample_losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the cross-entropy of each sample, (B,).

        Args:
            logits: (B, K); half precision is converted to float32.
            label: int64 (B,), or float (B, K), the share of each class.
        """
        logits = at_least_float32(logits)
        return F.cross_entropy(
            logits,
            label.to(logits.dtype) if label.is_floating_point() else label,
            weight=None if self.class_weights is None else logits.new_tensor(self.class_weights),
            label_smoothing=self.loss.label_smoothing,
            reduction="none",
        )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return class probabilities (B, K); each row sums to 1."""
        return logits.softmax(1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the logarithms of the class probabilities, (B, K), accurate where a probability is close to 0."""
        return logits.log_softmax(1)

    def calibrated_probabilities(self, logits: Tensor) -> Tensor:
        """Return class probabilities (B, K) as predictions have them: at the temperature if they are `calibrated`."""
        if self.temperature == 1 or not self.calibrated:
            return self.probabilities(logits)
        return (self.log_probabilities(logits) / self.temperature).softmax(1)

    def training_losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Compute the loss to minimise.

        With `loss.r_drop` it is the mean cross-entropy of two passes plus `r_drop` times their symmetric divergence.

        Returns:
            Loss of each sample, (B,), and the logits of the first pass.
        """
        logits, label = self.logits(batch), _require_label(batch)
        losses = self.sample_losses(logits, label)
        if self.loss.r_drop:
            again = self.logits(batch)
            apart = symmetric_kl(self.log_probabilities(logits), self.log_probabilities(again))
            losses = (losses + self.sample_losses(again, label)) / 2 + self.loss.r_drop * apart
        return losses, logits

    def training_means(self, batch: Any) -> Means:
        """Sum loss and correct predictions over the samples of a batch."""
        losses, logits = self.training_losses(batch)
        correct = self.probabilities(logits.detach()).argmax(1) == likeliest(batch.label)
        return Means({"loss": losses.sum(), "acc": correct.sum()}, batch.size)

    def metrics(self) -> dict[str, Metric]:
        """Make the mean loss, the confusion matrix, and the values of each sample."""
        return {
            "loss": MeanMetric(nan_strategy=cast(Any, torch.inf)),
            "confusion": MulticlassConfusionMatrix(self.num_classes, validate_args=False),
            "samples": SampleValues(["label", "loss", "log_probability"]),
        }

    def update(self, metrics: Mapping[str, Metric], batch: Any) -> None:
        """Add a batch to the metrics."""
        logits, label = self.averaged_logits(batch), _require_label(batch)
        losses = self.sample_losses(logits, label)
        add: Callable[..., None] = _add
        if torch.compiler.is_compiling():  # dynamo can't follow torchmetrics
            add = torch.compiler.disable(_add)  # type: ignore[no-untyped-call]
        add(metrics, batch.index, likeliest(label), losses, self.log_probabilities(logits))

    def compute_metrics(self, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Compute loss, accuracy and macro-F1 of a split."""
        matrix = metrics["confusion"].compute()  # summed over processes
        metrics["samples"].compute()
        return {"loss": metrics["loss"].compute(), "acc": accuracy(matrix), "f1": macro_f1(matrix)}

    def guessing_loss(self) -> float:
        """Compute the validation loss of the one answer that suits all training samples best, weighted and smoothed.

        The classes of a validation split that is given may have other shares than those of training. Without class
        counts all classes count as equally frequent.
        """
        train, val = self.weighted_shares(self.loss.label_smoothing)
        return -float(torch.xlogy(val, train / train.sum()).sum())

    def learning_remedy(self) -> str:
        """Return what to change in a run that learns nothing; also to balance classes if most samples are of one."""
        remedy, counts = super().learning_remedy(), self.facts.class_counts or [1]
        if max(counts) < 0.5 * sum(counts) or max(counts) < 2 * min(counts) or self.class_weights:
            return remedy
        return f"{remedy}, or train on all classes alike: --data.balanced true"

    def weighted_shares(self, smoothing: float) -> tuple[Tensor, Tensor]:
        """Return the shares of the classes, smoothed, times their weights, in training and in the last validation.

        Without validation both are those of training, float64 (K,).
        """
        counts = torch.tensor(self.facts.class_counts or [1] * self.num_classes)
        validated = self.split_metrics("val")["confusion"].update_called
        weights = torch.tensor(self.class_weights or [1.0] * self.num_classes, dtype=torch.float64)
        train, val = (
            weights * ((1 - smoothing) * count.double() / count.sum() + smoothing / self.num_classes)
            for count in (counts, self.confusion("val").sum(1).cpu() if validated else counts)
        )
        return train, val

    def monotony(self, split: str) -> str | None:
        """Return a clause that names the class if all samples are predicted as one; see `Task`."""
        name = only_predicted(self.confusion(split), self.categories())
        return None if name is None else f"all samples of {split} are predicted as {name!r}"

    def categories(self) -> list[str]:
        """Return the names of the classes; numbers if no data module has named them."""
        return getattr(self.processor, "categories", None) or [str(k) for k in range(self.num_classes)]

    def confusion(self, split: str) -> Tensor:
        """Return the confusion matrix of a split, int64 (K, K), rows true, columns predicted.

        Args:
            split: "val" or "test", already evaluated.
        """
        return cast(Tensor, self.split_metrics(split)["confusion"].compute()).cpu()

    def outcomes(self, split: str) -> Outcomes | None:
        """Return the predictions for all samples of a split.

        Args:
            split: "val" or "test"; None unless it is evaluated.
        """
        values = cast(SampleValues, self.split_metrics(split)["samples"]).values
        if not values:
            return None
        raw = values["log_probability"]
        scores = raw / self.temperature if self.calibrated else raw
        return Outcomes(values["index"], values["label"], values["loss"], scores.softmax(1), raw.exp())

    def class_scores(self, split: str) -> list[ClassScore]:
        """Return precision, recall, F1 and number of samples of each class; see `Task`."""
        return class_scores(self.confusion(split), self.categories())

    def look(self, batch: Any) -> Any:
        """Return what can be shown of a batch of one sample: its image, or None; a hook for subclasses."""
        has_image = isinstance(batch, ImageBatch) and batch.image.dim() == 4 and batch.image.shape[1] in (1, 3)
        return rgb(batch.image[0]) if has_image else None

    def layer_outputs(self, batch: Any) -> dict[str, Tensor]:
        """Return the output of each layer that is shown, by its name; none by default, see `strongest`."""
        return {}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics; in training fit the temperature, which the checkpoint of this validation keeps."""
        super().on_validation_epoch_end()
        values = cast(SampleValues, self.split_metrics("val")["samples"]).values
        if values and self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.temperature = fit_temperature(values["log_probability"], values["label"])

    def on_test_epoch_end(self) -> None:
        """Log the metrics, and the calibration error with the temperature and without."""
        super().on_test_epoch_end()
        if (outcomes := self.outcomes("test")) is not None:
            calibration = outcomes.calibration(self.temperature)
            errors = {"test/ece": calibration.error, "test/ece_raw": calibration.raw_error}
            self.log_dict(errors, sync_dist=True)  # equal on every process

    def on_test_epoch_start(self) -> None:
        """Reset the metrics, and forget the patches of an earlier test."""
        super().on_test_epoch_start()
        if self.strongest:
            self.strongest.reset()

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch, and search the first images for the patches that layers respond to."""
        super().test_step(batch, batch_idx, dataloader_idx)
        if self.strongest and self.trainer.loggers and not self.strongest.is_full:
            self.strongest.update(batch.image, self.layer_outputs(batch))

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the confusion matrix, after a test the predictions of all samples and the most confident mistakes.

        Of a chain of layers also their activations, and after a test their strongest patches.
        """
        if self.split_metrics(split)["confusion"].update_called:
            yield ConfusionMatrix(self.confusion(split), self.categories())
        if split == "test" and (outcomes := self.outcomes(split)) is not None:
            samples, categories = self.facts.splits.get(split), self.categories()
            yield outcome_table(outcomes, categories, split, samples)
            yield confident_mistakes(outcomes, categories, samples, self.look)
            yield outcomes.calibration(self.temperature)
        if self.strongest and split == "test":
            yield Patches(self.strongest.patches())
        if self.strongest and (shown := self.shown.get(split)):
            yield Activations(self.layer_outputs(ImageBatch(torch.cat([batch.image for batch in shown]))))

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """Return class probabilities, (B, K)."""
        self.check_batch(batch)
        return self.calibrated_probabilities(self.logits(batch))

    def require_processor(self) -> LabeledProcessor:
        """Return the processor, which knows the classes; see `Task`."""
        return cast(LabeledProcessor, super().require_processor())

    def predictions(self, batch: Any) -> list[ClassPrediction] | list[ClassProbabilities]:
        """Predict the most probable class of each sample."""
        categories = self.require_processor().categories
        probabilities = self.calibrated_probabilities(self.logits(batch))
        best = probabilities.max(1)
        pairs = [(categories[k], p) for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        if not self.all_classes:
            return [ClassPrediction(*pair) for pair in pairs]
        rows = zip(pairs, probabilities.tolist(), strict=True)
        return [ClassProbabilities(*pair, dict(zip(categories, row, strict=True))) for pair, row in rows]


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Compute the mean of both Kullback-Leibler divergences, (KL(p|q) + KL(q|p)) / 2; symmetric in p and q.

    Args:
        log_p: (B, K), log-probabilities, each row a distribution.
        log_q: (B, K), log-probabilities.

    Returns:
        (B,), in nats, 0 where both are equal.
    """
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2


def likeliest(label: Tensor) -> Tensor:
    """Return one class per label, int64 (B,).

    Args:
        label: int64 (B,), returned as it is, or float (B, K), of which the class with the largest share is returned.
    """
    return label.argmax(1) if label.is_floating_point() else label


def _require_label(batch: Any) -> Tensor:
    if batch.label is None:
        raise UserError("a batch has no labels: training and evaluating a classifier need them")
    return cast(Tensor, batch.label)


def _add(
    metrics: Mapping[str, Metric], index: Tensor | None, label: Tensor, losses: Tensor, log_probability: Tensor
) -> None:
    # torchmetrics 1.4 expands a single weight and, at a NaN, writes into it
    metrics["loss"].update(losses, torch.ones_like(losses))
    metrics["confusion"].update(log_probability.argmax(1), label)
    metrics["samples"].update(index, label=label, loss=losses, log_probability=log_probability)


def views(image: Tensor, kind: Views) -> Iterator[tuple[Tensor, float]]:
    """Yield the views of images and the weight of each, which sum to 1.

    Args:
        image: uint8 or float (B, C, H, W).
        kind: none: the images alone. flip: also mirrored. shift: for one half that, for the other half both shifted by
            a pixel up and left, and down and right (as in Jordan 2024, arXiv:2404.00498).
    """
    places = {0: 0.5, -1: 0.25, 1: 0.25} if kind == "shift" else {0: 1.0}
    for by, weight in places.items():
        moved = _shifted(image, by)
        if kind == "none":
            yield moved, weight
        else:
            yield moved, weight / 2
            yield moved.flip(3), weight / 2


def _shifted(image: Tensor, by: int) -> Tensor:
    """Shift images by a pixel down and right (1) or up and left (-1); the border is mirrored."""
    if not by:
        return image
    for dim in (2, 3):
        size = image.shape[dim]
        index = (torch.arange(size, device=image.device) - by).abs()
        index = torch.where(index >= size, 2 * (size - 1) - index, index).clamp(min=0)
        image = image.index_select(dim, index)
    return image
