"""Shared base of the models that assign a class to each pixel."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_nn.data.batches import IGNORED, MaskBatch
from lightning_nn.data.processor import LabeledProcessor
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.images import rgb
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.layers.upsampling import best_masks
from lightning_nn.metrics.confusion import accuracy, intersection_over_union, only_predicted
from lightning_nn.metrics.running import Worst
from lightning_nn.metrics.samples import SampleValues
from lightning_nn.tasks.artifacts import Artifact, Legend, Masks
from lightning_nn.tasks.outcomes import sample_table
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.training import Means

ClassWeights = Literal["median_frequency"]
SHOWN_WORST = 12  # images


class MaskPrediction(NamedTuple):
    """A predicted mask.

    Attributes:
        classes: the classes in it with their shares of the pixels, the largest first.
        mask: uint8 (H, W), the most probable class of each pixel.
        image: uint8 (H, W, 3), what the model saw; writers lay the mask over it.
        legend: names and colours of the classes.
    """

    classes: str
    mask: NDArray[np.uint8]
    image: NDArray[np.uint8]
    legend: Legend


class Segmentation(Task):
    """A task that assigns each pixel one of K classes; pixels of the value 255 are left out of loss and metrics.

    A subclass defines `forward(batch) -> logits (B, K, H, W)`.

    Args:
        num_classes: number of classes, K, 2 to 255.
        stride: pixels between the cells of the finest scores.
        class_weights: "median_frequency" or None.

    Attributes:
        class_weights: (K,), weight of each class in the loss.
    """

    batch_type = MaskBatch
    monitor = "val/miou"
    output_meaning = "logits (batch, classes, height, width); a pixel has the class of its largest"
    processor_buffers = frozenset({"class_weights"})
    class_weights: Tensor

    def __init__(self, num_classes: int, stride: int, class_weights: ClassWeights | None) -> None:
        super().__init__()
        if not 2 <= num_classes <= IGNORED:
            raise UserError(f"num_classes is {num_classes}; masks have 2 to {IGNORED} classes")
        if class_weights is not None:
            choose("class_weights", class_weights, ClassWeights)
        self.num_classes, self.stride = num_classes, stride
        self._mean_weight = 1.0  # of a training pixel in the loss
        self._weighting = class_weights
        self.register_buffer("class_weights", torch.ones(num_classes))

    @abstractmethod
    def forward(self, batch: MaskBatch) -> Tensor:
        """Compute the logits of each pixel, (B, K, H, W)."""

    def setup(self, stage: str) -> None:
        """Set the class weights of a training, whatever weights a loaded file has; see `Task`.

        Raises:
            UserError: class weights are wanted, but no data module of lightning_nn has counted the pixels.
        """
        super().setup(stage)
        if stage != "fit":
            return
        self.class_weights.fill_(1)
        if self._weighting is None:
            return
        counts = self.facts.class_counts
        if counts is None:
            raise UserError("class_weights 'median_frequency' needs the pixel counts of a data module of lightning_nn")
        pixels = torch.tensor(counts)
        self.class_weights.copy_(median_frequency_weights(pixels))
        self._mean_weight = float((self.class_weights * pixels).sum() / pixels.sum())

    def probabilities(self, batch: MaskBatch) -> Tensor:
        """Compute class probabilities of each pixel, (B, K, H, W)."""
        return at_least_float32(self(batch)).softmax(1)

    def pixel_losses(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Compute the cross-entropy of each pixel, (B, H, W); 0 where it is ignored.

        Args:
            logits: (B, K, H, W).
            mask: int64 (B, H, W).
        """
        weights = self.class_weights.to(logits.dtype)
        return F.cross_entropy(logits, mask, weights, ignore_index=IGNORED, reduction="none")

    def training_means(self, batch: MaskBatch) -> Means:
        """Sum loss and correct predictions over the pixels of a batch."""
        mask, logits = _require_mask(batch), at_least_float32(self(batch))
        counted, sure = mask != IGNORED, logits.detach()
        true = sure.gather(1, (mask * counted).unsqueeze(1)).squeeze(1)
        correct = ((true == sure.amax(1)) & counted).sum()  # argmax takes a third of a step
        return Means({"loss": self.pixel_losses(logits, mask).sum(), "acc": correct}, counted.sum())

    def metrics(self) -> dict[str, Metric]:
        """Make the mean loss, the confusion matrix, that of `best_masks`, the worst images, and values of each."""

        def confusion() -> Metric:
            return MulticlassConfusionMatrix(self.num_classes, ignore_index=IGNORED, validate_args=False)

        loss = MeanMetric(nan_strategy=cast(Any, torch.inf))
        images = SampleValues(["miou", "acc", "loss"])
        return {
            "loss": loss,
            "confusion": confusion(),
            "ceiling": confusion(),
            "worst": Worst(SHOWN_WORST),
            "images": images,
        }

    def update(self, metrics: Mapping[str, Metric], batch: MaskBatch) -> None:
        """Add a batch to the metrics, the images of each size by themselves."""
        for places, some in of_one_size(batch):
            index = None if batch.index is None else batch.index[places]
            self._update(metrics, some._replace(index=index))

    def _update(self, metrics: Mapping[str, Metric], batch: MaskBatch) -> None:
        mask, logits = _require_mask(batch), at_least_float32(self(batch))
        losses, predicted = self.pixel_losses(logits, mask), logits.argmax(1)
        metrics["loss"].update(losses, (mask != IGNORED).to(losses.dtype))
        metrics["confusion"].update(predicted, mask)
        metrics["ceiling"].update(best_masks(mask, self.num_classes, self.stride), mask)
        matrices, pixels = self._matrices(predicted, mask), (mask != IGNORED).sum((1, 2)).clamp(min=1)
        scores = intersection_over_union(matrices).nanmean(1)
        right = matrices.diagonal(dim1=1, dim2=2).sum(1) / pixels
        metrics["images"].update(batch.index, miou=scores, acc=right, loss=losses.sum((1, 2)) / pixels)

        def item(i: int) -> tuple[NDArray[np.uint8], ...]:
            return rgb(batch.image[i]), *(classes[i].to(torch.uint8).cpu().numpy() for classes in (predicted, mask))

        metrics["worst"].update(scores.nan_to_num(1.0).tolist(), item)

    def _matrices(self, predicted: Tensor, mask: Tensor) -> Tensor:
        """Count each pair of true and predicted class in each image, int64 (B, K, K)."""
        images, classes = len(mask), self.num_classes
        counted = mask != IGNORED
        pairs = (torch.arange(images, device=mask.device)[:, None, None] * classes + mask) * classes + predicted
        return torch.bincount(pairs[counted], minlength=images * classes**2).view(images, classes, classes)

    def compute_metrics(self, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Compute loss, mean IoU, pixel accuracy, the mean IoU of `best_masks` ("ceiling"), and that of each class.

        The mean is over the classes that occur in masks or predictions.

        Raises:
            UserError: no pixel counts.
        """
        matrix, best = metrics["confusion"].compute(), metrics["ceiling"].compute()
        metrics["images"].compute()
        if not matrix.any() and not ((runner := self.runner()) and runner.sanity_checking):
            raise UserError(
                f"the masks of this split show no class: all of their pixels are {IGNORED}, which is ignored. "
                "Check these masks, or leave the split out, so that it is split off from train"
            )
        iou, names = intersection_over_union(matrix), self.categories()
        values = {"loss": metrics["loss"].compute(), "miou": iou.nanmean(), "acc": accuracy(matrix)}
        values["miou_ceiling"] = intersection_over_union(best).nanmean()
        return values | {f"iou/{names[k]}": iou[k] for k in range(self.num_classes) if not iou[k].isnan()}

    def guessing_loss(self) -> float:
        """Compute the loss of equal shares for all classes; see `Task`."""
        return math.log(self.num_classes) * self._mean_weight

    def monotony(self, split: str) -> str | None:
        """Return a clause that names the class if all pixels are predicted as one; see `Task`."""
        name = only_predicted(self.split_metrics(split)["confusion"].compute(), self.categories())
        return None if name is None else f"all pixels of {split} are predicted as {name!r}"

    def categories(self) -> list[str]:
        """Return the names of the classes; numbers if no data module has named them."""
        return getattr(self.processor, "categories", None) or [str(k) for k in range(self.num_classes)]

    def legend(self) -> Legend:
        """Return names and colours of the classes."""
        return Legend(self.categories(), getattr(self.processor, "colours", None) or [])

    def require_processor(self) -> LabeledProcessor:
        """Return the processor, which knows the classes; see `Task`."""
        return cast(LabeledProcessor, super().require_processor())

    def predictions(self, batch: MaskBatch) -> list[MaskPrediction]:
        """Predict the most probable class of each pixel."""
        predicted, legend = dict[int, MaskPrediction](), self.legend()
        for index, some in of_one_size(batch):
            masks = self(some).argmax(1).to(torch.uint8).cpu().numpy()
            for i, mask, image in zip(index, masks, some.image, strict=True):
                predicted[i] = MaskPrediction(shares(mask, legend.categories), mask, rgb(image), legend)
        return [predicted[i] for i in range(batch.size)]

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the masks of a few images, of those with the lowest mean IoU, and the table of all test images."""
        metrics, legend = self.split_metrics(split), self.legend()
        if batches := self.shown.get(split):
            single = [some for batch in batches for _, some in of_one_size(batch)]
            with torch.inference_mode(), self.evaluating():
                predicted = [self.predictions(batch)[0] for batch in single]
            true = [_require_mask(batch)[0].to(torch.uint8).cpu().numpy() for batch in single]
            yield Masks([mask.image for mask in predicted], [mask.mask for mask in predicted], true, legend)
        if metrics["worst"].update_called:
            scores, items = zip(*metrics["worst"].compute(), strict=True)
            images, masks, true = map(list, zip(*items, strict=True))
            yield Masks(images, masks, true, legend, "worst", [f"mean IoU {score:.1%}" for score in scores])
        if split == "test" and (values := dict(cast(SampleValues, metrics["images"]).values)):
            index = values.pop("index")
            columns = {name: ["" if math.isnan(v) else v for v in value.tolist()] for name, value in values.items()}
            yield sample_table(split, index, self.facts.splits.get(split), columns)


def of_one_size(batch: MaskBatch) -> Iterator[tuple[list[int], MaskBatch]]:
    """Yield the images of each size with their places in a batch, without padding, which would change their masks."""
    if batch.extent is None:
        yield list(range(batch.size)), batch
        return
    places: dict[tuple[int, int], list[int]] = {}
    for i, (height, width) in enumerate(batch.extent.tolist()):
        places.setdefault((height, width), []).append(i)
    for (height, width), index in places.items():
        some = batch.select(index)
        mask = None if some.mask is None else some.mask[:, :height, :width]
        yield index, some._replace(image=some.image[:, :, :height, :width], mask=mask, extent=None)


def median_frequency_weights(counts: Tensor) -> Tensor:
    """Return the median share of the classes' pixels over the share of each class, float32 (K,); 1 for an absent one.

    Args:
        counts: int64 (K,), pixels of each class.
    """
    present = counts > 0
    return torch.where(present, counts[present].double().quantile(0.5) / counts.clamp(min=1), 1.0).float()


def shares(mask: NDArray[np.uint8], names: list[str]) -> str:
    """Name the classes in a mask with their shares of its pixels, the largest first: "sky 61%, house 39%".

    A class of less than half a percent is left out.
    """
    counts = np.bincount(mask.ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{names[k]} {counts[k] / mask.size:.0%}" for k in order if counts[k] >= 0.005 * mask.size)


def _require_mask(batch: MaskBatch) -> Tensor:
    if batch.mask is None:
        raise UserError("a batch has no masks: training and evaluating a segmentation need them")
    return batch.mask.long()
