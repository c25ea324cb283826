"""Base class of all models: training, evaluation and prediction over one kind of batch."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_nn.data.batches import Batch, FrozenEncoder
from lightning_nn.data.processor import Described, RunFacts, UnknownWords
from lightning_nn.errors import UserError
from lightning_nn.metrics.confusion import ClassScore
from lightning_nn.optimizers import RowWiseAdam, RowWiseAdamW
from lightning_nn.runs.saved_settings import parameters
from lightning_nn.settings import LRScheduler, Optimizer
from lightning_nn.tasks.artifacts import Artifact, Explanation, GateExplanation, GradientExplanation, Prediction
from lightning_nn.tasks.foreign_batch import foreign_batch
from lightning_nn.tasks.restorable import Restorable
from lightning_nn.tasks.training import (
    Means,
    TrainingSums,
    check_lbfgs,
    coalesce_gradients,
    finds_rate,
    keep_ratios,
    loss_not_finite,
    optimizer_steps,
    parameter_groups,
    row_wise_tables,
)

if TYPE_CHECKING:
    from typing_extensions import Self

SHOWN = 4  # samples per split that artifacts show


class Task(Restorable, ABC):
    """A model of the course: first what a topic defines, then what Lightning calls, then what a program asks.

    A subclass defines `training_means`, `metrics`, `update`, `compute_metrics`, `predictions` and, if it has something
    to show, `artifacts`. `forward` is defined by each model.

    Within one optimizer step each sample (pixel, word: the weight of `Means`) has the same weight, however the step is
    divided into accumulated batches and processes.

    Attributes:
        batch_type: type of its batches.
        exportable: True if `torch.export` accepts its forward; not if the number of steps depends on the data.
        why_not_exportable: the reason where it does not.
        output_meaning: what its forward computes, for those who use an exported network.
        monitor: metric that selects the best checkpoint; lower is better if its name ends in loss, else higher. None:
            there is no validation, and the last state is the result.
        prediction_arguments: groups of options that matter in predictions alone, which a command may change for itself.
        inputs_hint: options of predict that name an input, as a command to go on with shows them.
        short_recipe: recipe for texts of one sentence; None if the model has none.
        predicts_classes: True if its predictions are classes, whose probabilities `all_classes` adds.
        predicts_images: True if its predictions are images alone, which have to go into files.
        measures_early: True if what it measures on training samples may refuse them, before the run writes anything.
        all_classes: whether predictions include the probability of each class.
        calibrated: whether predicted probabilities of classes are those at the `temperature`.
        temperature: divides the logits in predictions, see `lightning_nn.metrics.calibration`; 1 until a validation.
        views: views of images that validation and test average over.
        optimizer: optimizer and its settings; replace it before training.
        lr_scheduler: schedule of the learning rate; replace it before training.
        first_samples: number of training samples that `measure` wants before the first step, at most; 0 for none.
        facts: what the data module has told of the data of the present run; empty with other loaders.
        shown: samples of the first batches of each evaluated split, as batches of one, for artifacts.
    """

    batch_type: ClassVar[type[Batch]]
    exportable: ClassVar[bool] = True
    why_not_exportable: ClassVar[str] = "the number of its steps depends on the input"
    output_meaning: ClassVar[str] = ""
    monitor: ClassVar[str | None] = "val/loss"
    first_samples: int = 0
    prediction_arguments: ClassVar[frozenset[str]] = frozenset()
    inputs_hint: str = "--data.file PICTURE"
    short_recipe: ClassVar[str | None] = None
    predicts_classes: ClassVar[bool] = False
    predicts_images: ClassVar[bool] = False
    measures_early: ClassVar[bool] = False
    all_classes: bool = False
    calibrated: bool = True
    temperature: float = 1.0
    views: str = "none"
    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = replace(self.optimizer)  # a copy of the class's default
        self.lr_scheduler = replace(self.lr_scheduler)
        self.facts = self._next_facts = RunFacts()
        self._sums = TrainingSums()
        self._row_wise: RowWiseAdam | RowWiseAdamW | None = None
        self._metrics = nn.ModuleDict()  # by split, then by name
        self.shown: dict[str, list[Any]] = {}

    @abstractmethod
    def training_means(self, batch: Any) -> Means:
        """Sum the loss over the samples of a batch, and whatever else is to be logged as an epoch mean.

        Args:
            batch: of the task's `batch_type`, already checked.
        """

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

    def class_scores(self, split: str) -> list[ClassScore]:
        """Return the scores of each class; an empty list for a task whose samples belong to none.

        Args:
            split: "val" or "test", already evaluated.
        """
        return []

    def summary(self) -> list[tuple[str, ...]]:
        """Return the rows of a table of the model shown when a run starts, header first; an empty list for none."""
        return []

    def measure(self, batches: Iterable[Any]) -> None:
        """Measure training samples, such as their mean, before the first step, unless the model was trained before.

        Args:
            batches: each pass over them reads them anew.
        """

    def fixed_norms(self) -> list[nn.Module]:
        """List the batch norms that use fixed statistics throughout training; a hook for subclasses."""
        return []

    def check_settings(self) -> None:
        """Check the settings that a command or a program has replaced.

        Raises:
            UserError: they don't fit the model.
        """

    def check_batch(self, batch: Any) -> None:
        """Refuse a batch that the model can't read.

        Raises:
            UserError: another type of batch, or one that does not fit the model's arguments.
        """
        if not isinstance(batch, self.batch_type):
            raise foreign_batch(batch, type(self).__name__, self.batch_type)
        batch.check(self.hparams)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Compute `forward`, of a batch that the model can read."""
        if not torch.compiler.is_compiling():
            self.check_batch(arguments[0] if arguments else named.get("batch"))
        return super().__call__(*arguments, **named)

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of optimizer, schedule and so on, by group."""
        return {"optimizer": asdict(self.optimizer), "lr_scheduler": asdict(self.lr_scheduler)}

    def begin(self, facts: RunFacts) -> None:
        """Begin a run: take the processor, and measure training samples; a data module calls this before `setup`.

        Args:
            facts: about the data.
        """
        self.processor, self._next_facts = facts.processor, facts
        if facts.samples is not None and self.first_samples:
            self.measure(facts.samples(self.first_samples))

    def setup(self, stage: str) -> None:
        """Make the metrics and begin training; Lightning calls this after `begin`."""
        self.facts, self._next_facts = self._next_facts, RunFacts()
        for split in ("val", "test"):
            self.split_metrics(split)
        if stage == "fit":
            self.begin_training()

    def begin_training(self) -> None:
        """Reset what an earlier run left.

        Raises:
            UserError: the run does what its optimizer can't.
        """
        if self.optimizer.name == "lbfgs":
            check_lbfgs(self.trainer)
        self._sums.clear()
        if not self.training:  # as load_from_checkpoint returns it; Lightning would train without dropout
            self.train()

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule, which steps with each optimizer step; Lightning calls this."""
        if self._row_wise is not None:
            self._row_wise.release()
        groups = [g for g in self.parameter_groups() if g["params"]]
        optimizer = self.optimizer.build(groups, row_wise_tables(self.tables(), self.optimizer, self.runner()))
        keep_ratios(optimizer, self.optimizer.lr, self.runner())
        self._row_wise = optimizer if isinstance(optimizer, RowWiseAdam | RowWiseAdamW) else None
        if self.lr_scheduler == LRScheduler():
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_scheduler.factor(self.optimizer_steps()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def tables(self) -> list[nn.Embedding]:
        """List the embeddings that nothing reads but by calling them; see `training.row_wise_tables`."""
        return []

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Group the trained parameters by their rate and decay; see `training.parameter_groups`."""
        return parameter_groups(self, self.optimizer, self.fixed_norms())

    def optimizer_steps(self) -> float:
        """Count the optimizer steps of the whole run; infinity if it has no end."""
        return optimizer_steps(self.trainer, self.facts.train_batches)

    @property
    def lr(self) -> float:
        """Learning rate of `optimizer`, where Lightning's Tuner looks for it."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer = self.optimizer.at(rate)

    def training_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """Compute the mean loss of a batch; in a Trainer's run, weighted by its share of the optimizer step.

        Raises:
            UserError: on all processes together, before a loss that is not finite changes the weights; on a GPU, where
                reading the loss would wait for the device, every 50 steps and before a checkpoint is saved.
        """
        self.check_batch(batch)
        means, trainer = self.training_means(batch), self.runner()
        if trainer is None or not trainer.training:
            return means.loss()
        every = trainer.log_every_n_steps  # 0: never
        if every and (trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", means.loss(), batch_size=batch.size)
        loss = self._sums.add(trainer, means, batch_idx)
        if loss.device.type == "cpu" or trainer.global_step % 50 == 0:
            self._sums.check_finite(trainer, self.optimizer)
        return loss

    def runner(self) -> Any:
        """Return the trainer; None outside of Lightning's Trainer, as in a loop of one's own or with Fabric."""
        with contextlib.suppress(RuntimeError):
            return self.trainer if isinstance(self.trainer, pl.Trainer) else None
        return None

    def on_after_backward(self) -> None:
        """Correct the gradient of accumulated batches before it is logged, clipped and used."""
        coalesce_gradients(self.parameters())
        self._sums.correct_gradients(self.parameters())

    def on_fit_end(self) -> None:
        """Bring the rows of tables up to date that the last steps did not read."""
        if self._row_wise is not None:
            self._row_wise.release()
            self._row_wise = None

    def on_train_epoch_end(self) -> None:
        """Log the epoch means over samples, such as train/loss, each measured when its batch was trained on."""
        means = self._sums.epoch_means(self.trainer)
        # The values are equal on every process; without sync_dist Lightning would warn.
        self.log_dict({f"train/{name}": mean for name, mean in means.items()}, sync_dist=True)

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
        trains = split == "val" and trainer.state.fn == "fit" and not (trainer.sanity_checking or finds_rate(trainer))
        if trains and "loss" in values and not values["loss"].isfinite():
            raise loss_not_finite("validation", trainer, self.optimizer)  # before a checkpoint is saved
        # The values are equal on every process; without sync_dist Lightning would warn.
        self.log_dict({f"{split}/{k}": v for k, v in values.items()}, prog_bar=split == "val", sync_dist=True)

    def split_metrics(self, split: str) -> dict[str, Metric]:
        """Return the metrics of a split, making them on the first call.

        Args:
            split: "val" or "test".
        """
        if split not in self._metrics:
            self._metrics[split] = nn.ModuleDict(self.metrics()).to(self.device)
        return cast(dict[str, Metric], dict(cast(nn.ModuleDict, self._metrics[split]).items()))

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Any:
        """Predict for the samples of a batch."""
        self.check_batch(batch)
        return self.predictions(batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add everything that resuming and prediction need, as plain data.

        Raises:
            UserError: an argument of the model or the data is not plain data, or the loss is not finite.
        """
        self._sums.check_finite(self.runner(), self.optimizer)
        super().on_save_checkpoint(checkpoint)
        checkpoint["lightning_nn"].update(self._sums.state_dict(self.runner()))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the processor, the sums of the unfinished epoch and the weights of the unfinished step."""
        super().on_load_checkpoint(checkpoint)
        self._sums.load_state_dict(checkpoint["lightning_nn"], checkpoint.get("epoch", -1))

    @classmethod
    def for_data(cls, data: Described, **arguments: Any) -> Self:
        """Make a model for a data set, which determines the sizes of images, the numbers of words, classes and so on.

        Args:
            data: a data module.
            arguments: of the constructor, all others.

        Raises:
            UserError: the data is not for this model or can't be used, or an argument contradicts it.
        """
        taken = parameters(cls)
        for name, value in data.describe_for(cls.batch_type).items():
            if name in taken and arguments.setdefault(name, value) != value:
                raise UserError(
                    f"{name} is {arguments[name]}, but {value} in this data, which determines it: leave it out"
                )
        needed = [name for name, parameter in taken.items() if parameter.default is parameter.empty]
        if lacking := [name for name in needed if name not in arguments]:
            raise UserError(
                f"{type(data).__name__} does not tell {' and '.join(lacking)}, which {cls.__name__} needs: give "
                f"{'it' if len(lacking) == 1 else 'them'}, or other data"
            )
        return cls(**arguments)

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
        predicted: dict[int, Prediction] = {}
        with self.evaluating():
            for index, encoded in processor.batches(list(raw), batch_size):
                batch = self.transfer_batch_to_device(encoded, self.device, 0)
                self.check_batch(batch)
                predicted.update(zip(map(int, index), self.predictions(batch), strict=True))
        return [predicted[i] for i in range(len(raw))]

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch to evaluation mode, and back to the previous mode on leaving."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    @property
    def explains(self) -> Literal["attention", "gates"] | None:
        """Kind of explanation that `explain` gives; None if it gives none."""
        return None

    def explain(self, texts: list[str]) -> list[Explanation] | list[GateExplanation]:
        """Predict on texts, with what the model attended to or kept in its state, see `explains`."""
        raise UserError(f"this {type(self).__name__} has neither attention nor gates to show")

    def explain_by_gradients(self, texts: list[str]) -> list[GradientExplanation]:
        """Predict on texts, with what each word contributes to the predicted class."""
        raise UserError(f"--explain gradients needs a classifier of texts, which {type(self).__name__} is not")

    def unknown_words(self) -> UnknownWords | None:
        """Return the count of unknown words in the inputs of predict so far; None for inputs that are no texts."""
        return None

    def frozen_encoder(self) -> FrozenEncoder | None:
        """Return an encoder of images that is not trained, so that features can be computed once; None for none."""
        return None

    @classmethod
    def view_names(cls) -> tuple[str, ...]:
        """Return the values of `views`; none if it can't average over views of images."""
        return ()

    def learning_remedy(self) -> str:
        """Return what to change in a run that learns nothing."""
        kernels = f" and --optimizer.kernel_lr (now {self.optimizer.kernel_lr:g})"
        rates = f"--optimizer.lr (now {self.optimizer.lr:g}){kernels * self.optimizer.name.startswith('muon')}"
        return f"lower {rates}, or train for more epochs"
