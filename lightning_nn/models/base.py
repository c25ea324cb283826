"""What every topic shares: optimisation, checkpoint contents, prediction; and what every classifier shares."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from lightning_nn import catalog
from lightning_nn.checkpoint import FORMAT, read_checkpoint
from lightning_nn.data.batches import Batch, ImageBatch, Reader
from lightning_nn.errors import UserError
from lightning_nn.metrics.confusion import accuracy, macro_f1
from lightning_nn.models.optimization import Loss, LRScheduler, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Self


class Prediction(NamedTuple):
    """An answer.

    Attributes:
        category: name of the likeliest class.
        probability: the model's, 0 to 1.
    """

    category: str
    probability: float


class Topic(pl.LightningModule):
    """A model of the course.

    Attributes:
        name: in the catalog.
        exportable: whether `torch.export` takes its forward; not where the number of steps depends on the data.
        monitor: the metric by which the best checkpoint is chosen, and whether it is to fall or to rise.
        optimizer: what moves the weights; replace it before training.
        lr_scheduler: how the learning rate moves; replace it before training.
        reader: turns raw input into batches; taken from the data when a run starts, from the checkpoint when loaded.
    """

    name: ClassVar[str]
    exportable: ClassVar[bool] = True
    monitor: ClassVar[tuple[str, Literal["min", "max"]]] = ("val/loss", "min")  # what the best checkpoint is best at
    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = replace(self.optimizer)  # the topic's default, its own copy
        self.lr_scheduler = replace(self.lr_scheduler)
        self.reader: Reader | None = None
        self.data_name: str | None = None
        self._all_finite: Tensor | None = None

    def setup(self, stage: str) -> None:
        """Takes the reader of the data that the run is about."""
        reader = getattr(getattr(self.trainer, "datamodule", None), "reader", None)
        if reader is not None:
            self.reader = reader

    # ------------------------------------------------------------------ optimisation

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices are decayed; biases, norms and other vectors are not."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": self.optimizer.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]

    def configure_optimizers(self) -> Any:
        """Lightning's hook: from `optimizer` and `lr_scheduler`, stepped with each batch."""
        optimizer = self.optimizer.build([g for g in self.parameter_groups() if g["params"]])
        if self.lr_scheduler == LRScheduler():
            return optimizer
        factor = self.lr_scheduler.factor(self.trainer.estimated_stepping_batches)
        # Counting the steps made Lightning set up the loader before it knows whether the run resumes; without this it
        # would not be set up again, and the place in the epoch would be lost.
        self.trainer.fit_loop._combined_loader = None
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def share(self, samples: int) -> Tensor | float:
        """Weight of this process's mean loss, so that averaged gradients are those of one process over all samples."""
        if self.trainer.world_size == 1:
            return 1.0
        count = torch.tensor(float(samples), device=self.device)
        total = self.trainer.strategy.reduce(count.clone(), reduce_op="sum")
        return count * self.trainer.world_size / total

    def require_finite(self, loss: Tensor) -> None:
        """Stops the run before a loss that is not finite moves the weights.

        On a GPU, where looking would wait for the device, every 50 steps and before a checkpoint is written.

        Raises:
            UserError: with what to change.
        """
        finite = loss.detach().isfinite()
        self._all_finite = finite if self._all_finite is None else self._all_finite & finite
        if loss.device.type == "cpu" or self.trainer.global_step % 50 == 0:
            self._raise_unless_finite()

    def _raise_unless_finite(self) -> None:
        if self._all_finite is None or bool(self._all_finite):
            return
        raise UserError(
            f"the training loss is no longer a finite number (epoch {self.trainer.current_epoch}, step "
            f"{self.trainer.global_step}): stopped before it reached a checkpoint.\n"
            f"Lower --optimizer.lr (it is {self.optimizer.lr:g}), or clip: --trainer.gradient_clip_val 1.0"
        )

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds all that a later run or a prediction needs, as plain data."""
        self._raise_unless_finite()
        reader = None if self.reader is None else {"kind": self.reader.kind, "state": self.reader.state_dict()}
        checkpoint["lightning_nn"] = {
            "version": FORMAT,
            "model": self.name,
            "data": self.data_name,
            "reader": reader,
            "settings": self.settings(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up reader and settings again."""
        mine = checkpoint["lightning_nn"]
        self.data_name = mine["data"]
        if mine["reader"] is not None and self.reader is None:
            self.reader = catalog.reader(mine["reader"]["kind"], mine["reader"]["state"])

    def settings(self) -> dict[str, dict[str, Any]]:
        """Optimizer, schedule and the like, by group."""
        return {"optimizer": asdict(self.optimizer), "lr_scheduler": asdict(self.lr_scheduler)}

    def load_weights(self, checkpoint: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """Takes the weights that fit from a checkpoint, for fine-tuning.

        Args:
            checkpoint: from `lightning_nn.checkpoint.read_checkpoint`.

        Returns:
            Names of the tensors that were loaded, and for each that was not, why.
        """
        own, given = dict(self.named_parameters()), checkpoint["state_dict"]
        kept = {}
        for name, tensor in own.items():
            if name not in given:
                kept[name] = "not in the checkpoint"
            elif given[name].shape != tensor.shape:
                kept[name] = f"shape {list(tensor.shape)} here, {list(given[name].shape)} in the checkpoint"
        loaded = [name for name in own if name not in kept]
        self.load_state_dict({name: given[name] for name in loaded}, strict=False)
        return loaded, kept

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = None, **arguments: Any
    ) -> Self:
        """The trained model, in evaluation mode, from a checkpoint alone; nothing in the file is executed.

        Args:
            checkpoint_path: the file.
            map_location: where its tensors go, as in `torch.load`; the CPU by default.
            arguments: constructor arguments other than the saved ones.

        Raises:
            UserError: see `lightning_nn.checkpoint.read_checkpoint`; also if it holds another model.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location or "cpu")
        saved = checkpoint["lightning_nn"]["model"]
        if saved != cls.name:
            raise UserError(f"{checkpoint_path} holds the model {saved!r}, not {cls.name!r}")
        model = cls(**{**checkpoint["hyper_parameters"], **arguments})
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        return model.eval()


class Classifier(Topic):
    """A topic that sorts samples into K classes.

    A subclass calls `super().__init__(classes)` and gives `forward(batch) -> logits (B, K)`.

    Args:
        classes: K, at least 2.

    Attributes:
        loss: what the cross-entropy adds to the plain one; replace it before training.
    """

    monitor = ("val/acc", "max")
    loss: Loss = Loss()

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(f"a classifier needs at least 2 classes, got {classes}")
        self.loss = replace(self.loss)
        self.class_weights: list[float] | None = None
        self.train_acc = MulticlassAccuracy(classes, average="micro", validate_args=False)
        self.confusions = nn.ModuleDict({f"{s}_": _confusion(classes) for s in ("val", "test")})
        self.losses = nn.ModuleDict({f"{s}_": MeanMetric() for s in ("val", "test")})
        self._matrices: dict[str, Tensor] = {}

    @abstractmethod
    def forward(self, batch: Any) -> Any:
        """Logits of each sample, (B, K)."""

    def setup(self, stage: str) -> None:
        """Also turns "balanced" into weights: N / (K n_k), as many as there are classes."""
        super().setup(stage)
        weights = self.loss.class_weights
        if weights == "balanced":
            if self.class_weights is None:
                counts = torch.tensor(cast(Any, self.trainer).datamodule.class_counts, dtype=torch.float64)
                self.class_weights = [float(w) for w in counts.sum() / (len(counts) * counts.clamp(min=1))]
        else:
            self.class_weights = weights

    def settings(self) -> dict[str, dict[str, Any]]:
        """Also the loss, its weights as numbers."""
        loss = {"label_smoothing": self.loss.label_smoothing, "class_weights": self.class_weights}
        return {**super().settings(), "loss": loss}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also the loss, so that a loaded model is validated as it was trained."""
        super().on_load_checkpoint(checkpoint)
        loss = checkpoint["lightning_nn"]["settings"]["loss"]
        self.loss, self.class_weights = Loss(**loss), loss["class_weights"]

    # ------------------------------------------------------------------ steps

    def logits(self, batch: Any) -> Tensor:
        """What the loss reads: `forward` without the maps that some models return beside it.

        Raises:
            UserError: the batch is not one that this model can read.
        """
        if not isinstance(batch, Batch):
            raise UserError(f"a batch is an ImageBatch or a TextBatch of lightning_nn, not a {type(batch).__name__}")
        batch.check(self.hparams)
        return cast(Tensor, self(batch))

    def sample_losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of each sample, (B,)."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
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

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Mean loss of the batch."""
        logits = self.logits(batch)
        loss = self.sample_losses(logits, batch.label).mean()
        self.require_finite(loss)
        self.train_acc.update(self.probabilities(logits.detach()).argmax(1), batch.label)
        self.log("train/loss", loss, batch_size=batch.size, prog_bar=True)
        self.log("train/acc", self.train_acc, batch_size=batch.size, on_step=False, on_epoch=True)
        return loss * self.share(batch.size)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Counts the batch in."""
        self._count("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Counts the batch in."""
        self._count("test", batch)

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
        cast(MeanMetric, self.losses[f"{split}_"]).update(losses)
        predicted = self.probabilities(logits).argmax(1)
        cast(MulticlassConfusionMatrix, self.confusions[f"{split}_"]).update(predicted, batch.label)

    def _report(self, split: str) -> None:
        confusion = cast(MulticlassConfusionMatrix, self.confusions[f"{split}_"])
        mean = cast(MeanMetric, self.losses[f"{split}_"])
        matrix = confusion.compute()  # summed over processes
        self._matrices[split] = matrix.cpu()
        values = {"loss": mean.compute(), "acc": accuracy(matrix), "f1": macro_f1(matrix)}
        # The values are the same on every process; sync_dist says so to Lightning.
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, prog_bar=split == "val", sync_dist=True)
        confusion.reset()
        mean.reset()

    # ------------------------------------------------------------------ prediction

    @torch.inference_mode()
    def predict(self, raw: list[Any], batch_size: int = 64) -> list[Prediction]:
        """Answers for raw inputs.

        Args:
            raw: texts, or pictures (paths or PIL images).
            batch_size: how many go through the model at once.

        Returns:
            An answer for each, in their order.

        Raises:
            UserError: the model was never trained, so it knows no categories; an input can't be read.
        """
        reader = self.trained_reader()
        was_training = self.training
        self.eval()
        answers = []
        for start in range(0, len(raw), batch_size):
            batch = self.transfer_batch_to_device(reader.encode(raw[start : start + batch_size]), self.device, 0)
            best = self.predict_step(batch).max(1)
            answers += [
                Prediction(reader.categories[k], p)
                for p, k in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
        self.train(was_training)
        return answers

    def trained_reader(self) -> Reader:
        """The reader.

        Raises:
            UserError: there is none, because the model was neither trained on a data set here nor loaded.
        """
        if self.reader is None:
            raise UserError(
                f"this {type(self).__name__} can't read raw input yet: train it with a data module or load it "
                f"with {type(self).__name__}.load_from_checkpoint(FILE)"
            )
        return self.reader


def _confusion(classes: int) -> MulticlassConfusionMatrix:
    return MulticlassConfusionMatrix(classes, validate_args=False)


def pixels(batch: ImageBatch, dtype: torch.dtype) -> Tensor:
    """Pictures as numbers from -1 to 1, (B, C, H, W)."""
    return batch.image.to(dtype) / 127.5 - 1
