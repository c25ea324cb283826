"""Base class of all models: training, evaluation and prediction over one kind of batch, and their checkpoints."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_nn import catalog
from lightning_nn.data.batches import Batch, FrozenEncoder
from lightning_nn.data.processor import Processor, RunFacts
from lightning_nn.errors import UserError
from lightning_nn.metrics.running import RunningMeans, Totals
from lightning_nn.runs.checkpoint import FORMAT, Checkpoint, further_arguments, to_plain_data
from lightning_nn.runs.saved_settings import names, parameters, shown, trusted
from lightning_nn.runs.weights_file import WeightsFile, common_prefix
from lightning_nn.sanitize import sanitize
from lightning_nn.settings import Group, LRScheduler, Optimizer
from lightning_nn.tasks.artifacts import Artifact, Explanation, Prediction
from lightning_nn.tasks.training import (
    Means,
    Window,
    at_least_one,
    check_lbfgs,
    correct_gradients,
    optimizer_steps,
    parameter_groups,
    sum_over_processes,
    weighted,
)
from lightning_nn.tasks.weights import RowLabels, misfit, transfer

if TYPE_CHECKING:
    from typing_extensions import Self

SHOWN = 4  # samples per split that artifacts show
_SIZES = {"categories": "num_classes", "words": "vocabulary_size", "characters": "num_characters"}  # of row labels
_LONGEST = 500  # characters of torch's own reason, which names every tensor


class Described(Protocol):
    """A data set, as a data module describes it to models."""

    def describe_for(self, batch_type: type[Batch]) -> dict[str, Any]:
        """Prepare the data for a type of batch, and return the model arguments that it determines."""
        ...


class Task(pl.LightningModule, ABC):
    """A model of the course.

    A subclass defines `training_means`, `metrics`, `update`, `compute_metrics`, `predictions` and, if it has something
    to show, `artifacts`. `forward` is defined by each model.

    Within one optimizer step each sample (pixel, word: the weight of `Means`) has the same weight, however the step is
    divided into accumulated batches and processes.

    Attributes:
        name: its name in the catalog.
        batch_type: type of its batches.
        attends: True if it can show its attention (`explain`).
        exportable: True if `torch.export` accepts its forward; not if the number of steps depends on the data.
        why_not_exportable: the reason where it does not.
        output_meaning: what its forward computes, for those who use an exported network.
        monitor: metric that selects the best checkpoint; lower is better if its name ends in loss, else higher. None:
            there is no validation, and the last state is the result.
        row_labels: kind of row label ("words", "categories", ...; a key of the processor's `row_labels`) by the name of
            each parameter whose rows are labelled.
        embedded_model: name of the model whose weights are part of the package and fit this one; None: its own.
        embedded_option: option without which they don't fit; empty if they do by default.
        data_to_tune: which weights need other data than the default, and the options for it; empty if none do.
        network_option: option that chooses a classic network, which public weights are for.
        processor_buffers: buffers that the data of a run fills; fine-tuning does not load them.
        training_arguments: arguments that matter in training alone; a fine-tuned model has its own.
        prediction_arguments: groups of options that matter in predictions alone, which a command may change for itself.
        inputs_hint: options of predict that name an input, as a command to go on with shows them.
        short_recipe: recipe for texts of one sentence; None if the model has none.
        predicts_classes: True if its predictions are classes, whose probabilities `all_classes` adds.
        predicts_images: True if its predictions are images alone, which have to go into files.
        measures_early: True if what it measures on training samples may refuse them, before the run writes anything.
        all_classes: whether predictions include the probability of each class.
        views: views of images that validation and test average over.
        optimizer: optimizer and its settings; replace it before training.
        lr_scheduler: schedule of the learning rate; replace it before training.
        first_samples: number of training samples that `measure` wants before the first step, at most; 0 for none.
        facts: what the data module has told of the data of the present run; empty with other loaders.
        shown: samples of the first batches of each evaluated split, as batches of one, for artifacts.
    """

    name: ClassVar[str]
    batch_type: ClassVar[type[Batch]]
    attends: bool = False
    exportable: ClassVar[bool] = True
    why_not_exportable: ClassVar[str] = "the number of its steps depends on the input"
    output_meaning: ClassVar[str] = ""
    monitor: ClassVar[str | None] = "val/loss"
    first_samples: int = 0
    row_labels: ClassVar[dict[str, str]] = {}
    embedded_model: ClassVar[str | None] = None
    embedded_option: ClassVar[str] = ""
    data_to_tune: ClassVar[str] = ""
    network_option: ClassVar[str] = "--model backbone --model.network"
    processor_buffers: ClassVar[frozenset[str]] = frozenset()
    training_arguments: ClassVar[frozenset[str]] = frozenset()
    prediction_arguments: ClassVar[frozenset[str]] = frozenset()
    inputs_hint: str = "--data.file PICTURE"
    short_recipe: ClassVar[str | None] = None
    predicts_classes: ClassVar[bool] = False
    predicts_images: ClassVar[bool] = False
    measures_early: ClassVar[bool] = False
    all_classes: bool = False
    views: str = "none"
    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.further_arguments = further_arguments(self)
        self.optimizer = replace(self.optimizer)  # a copy of the class's default
        self.lr_scheduler = replace(self.lr_scheduler)
        self.facts = self._next_facts = RunFacts()
        self._totals = RunningMeans()
        self._all_finite: Tensor | None = None
        self._window: Window | None = None
        self.shown: dict[str, list[Any]] = {}
        self._processor: Processor | None = None
        self._metrics = nn.ModuleDict()  # by split, then by name

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
        if lacking := [name for name, each in taken.items() if each.default is each.empty and name not in arguments]:
            raise UserError(
                f"{type(data).__name__} does not tell {' and '.join(lacking)}, which {cls.__name__} needs: give "
                f"{'it' if len(lacking) == 1 else 'them'}, or other data"
            )
        return cls(**arguments)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Compute `forward`, of a batch that the model can read."""
        if not torch.compiler.is_compiling():
            self.check_batch(arguments[0] if arguments else named.get("batch"))
        return super().__call__(*arguments, **named)

    def begin(self, facts: RunFacts) -> None:
        """Begin a run: take the processor, and measure training samples; a data module calls this before `setup`.

        Args:
            facts: about the data.
        """
        self.processor, self._next_facts = facts.processor, facts
        if facts.samples is not None and self.first_samples:
            self.measure(facts.samples(self.first_samples))

    def measure(self, batches: Iterable[Any]) -> None:
        """Measure training samples, such as their mean, before the first step, unless the model was trained before.

        Args:
            batches: each pass over them reads them anew.
        """

    def setup(self, stage: str) -> None:
        """Make the metrics and begin training; Lightning calls this after `begin`."""
        self.facts, self._next_facts = self._next_facts, RunFacts()
        for split in ("val", "test"):
            self.split_metrics(split)
        if stage == "fit":
            self.begin_training()

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

    def summary(self) -> list[tuple[str, ...]]:
        """Return the rows of a table of the model shown when a run starts, header first; an empty list for none."""
        return []

    @classmethod
    def view_names(cls) -> tuple[str, ...]:
        """Return the values of `views`; none if it can't average over views of images."""
        return ()

    @property
    def layers_below_head(self) -> list[str]:
        """Names of the layers that fine-tuning should load from another model; none if all are alike."""
        return []

    def frozen_encoder(self) -> FrozenEncoder | None:
        """Return an encoder of images that is not trained, so that features can be computed once; None for none."""
        return None

    def explain(self, texts: list[str]) -> list[Explanation]:
        """Predict on texts, with what the model attended to, if it `attends`."""
        raise UserError(f"this {type(self).__name__} has no attention to show")

    def unknown_share(self, least: int = 1) -> float:
        """Return the share of unknown words in the inputs of predict so far; 0 of fewer words than `least`."""
        return 0.0

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
            raise UserError(
                f"a batch is a {type(batch).__name__}; {type(self).__name__} takes {self.batch_type.__name__} of "
                "lightning_nn.data.batches"
            )
        batch.check(self.hparams)

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

    @property
    def lr(self) -> float:
        """Learning rate of `optimizer`, where Lightning's Tuner looks for it."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    def begin_training(self) -> None:
        """Reset what an earlier run left.

        Raises:
            UserError: the run does what its optimizer can't.
        """
        if self.optimizer.name == "lbfgs":
            check_lbfgs(self.trainer)
        self._totals.clear()
        self._all_finite = self._window = None
        if not self.training:  # as load_from_checkpoint returns it; Lightning would train without dropout
            self.train()

    def fixed_norms(self) -> list[nn.Module]:
        """List the batch norms that use fixed statistics throughout training; a hook for subclasses."""
        return []

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Group the trained parameters by their rate and decay; see `training.parameter_groups`."""
        return parameter_groups(self, self.optimizer, self.fixed_norms())

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule, which steps with each optimizer step; Lightning calls this."""
        optimizer = self.optimizer.build([g for g in self.parameter_groups() if g["params"]])
        if self.lr_scheduler == LRScheduler():
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_scheduler.factor(self.optimizer_steps()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_steps(self) -> float:
        """Count the optimizer steps of the whole run; infinity if it has no end."""
        return optimizer_steps(self.trainer, self.facts.train_batches)

    def runner(self) -> Any:
        """Return the trainer; None outside of Lightning's Trainer, as in a loop of one's own or with Fabric."""
        with contextlib.suppress(RuntimeError):
            return self.trainer if isinstance(self.trainer, pl.Trainer) else None
        return None

    def training_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """Compute the mean loss of a batch; in a Trainer's run, weighted by its share of the optimizer step.

        Raises:
            UserError: on all processes together, before a loss that is not finite changes the weights; on a GPU, where
                reading the loss would wait for the device, every 50 steps and before a checkpoint is saved.
        """
        self.check_batch(batch)
        means, trainer = self.training_means(batch), self.runner()
        loss = means.sums["loss"] / at_least_one(means.weight)
        if trainer is None or not trainer.training:
            return loss
        self._totals.add(means.sums, means.weight, trainer.current_epoch, keeps_resumed=trainer.is_global_zero)
        every = trainer.log_every_n_steps  # 0: never
        if every and (trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", loss, batch_size=batch.size)
        loss, finite, self._window = weighted(trainer, loss, means.weight, batch_idx, self._window)
        self._all_finite = finite if self._all_finite is None else self._all_finite & finite
        if loss.device.type == "cpu" or trainer.global_step % 50 == 0:
            self._raise_unless_finite()
        return loss

    def on_after_backward(self) -> None:
        """Correct the gradient of accumulated batches before it is logged, clipped and used."""
        correct_gradients(self.parameters(), self._window)

    def on_train_epoch_end(self) -> None:
        """Log the epoch means over samples, such as train/loss, each measured when its batch was trained on."""
        totals = self._epoch_totals()
        if totals is not None:
            weight = at_least_one(totals.weight)
            # The values are equal on every process; without sync_dist Lightning would warn.
            self.log_dict({f"train/{name}": value / weight for name, value in totals.sums.items()}, sync_dist=True)
        self._totals.clear()

    def _epoch_totals(self) -> Totals | None:
        return self._totals.totals(lambda values: sum_over_processes(self.trainer, values))

    def _raise_unless_finite(self) -> None:
        if self._all_finite is not None and not bool(self._all_finite):
            raise self.not_finite("training")

    def not_finite(self, what: str) -> UserError:
        """Return the error for a loss that is not finite, with the remedy.

        Args:
            what: "training" or "validation".
        """
        return UserError(
            f"the {what} loss is no longer a finite number (epoch {self.trainer.current_epoch}, step "
            f"{self.trainer.global_step}): the run stopped before saving it in a checkpoint.\n"
            f"Lower --optimizer.lr (now {self.optimizer.lr:g}), or clip gradients: --trainer.gradient_clip_val 1.0"
        )

    def learning_remedy(self) -> str:
        """Return what to change in a run that learns nothing."""
        kernels = f" and --optimizer.kernel_lr (now {self.optimizer.kernel_lr:g})"
        rates = f"--optimizer.lr (now {self.optimizer.lr:g}){kernels * self.optimizer.name.startswith('muon')}"
        return f"lower {rates}, or train for more epochs"

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

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch to evaluation mode, and back to the previous mode on leaving."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add everything that resuming and prediction need, as plain data.

        Raises:
            UserError: an argument of the model or the data is not plain data, or the loss is not finite.
        """
        self._raise_unless_finite()
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = _arguments(self)  # Lightning omits it if empty
        if (data_key := pl.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY) in checkpoint:
            checkpoint[data_key] = _arguments(cast(Any, self.trainer).datamodule)
        processor = (
            None if self.processor is None else {"kind": self.processor.kind, "state": self.processor.state_dict()}
        )
        checkpoint.setdefault("lightning_nn", {}).update(  # the callbacks' hooks run before the model's
            format=FORMAT,
            model=self.name,
            processor=processor,
            settings=to_plain_data(self.settings(), "settings"),
        )
        window = self._window
        if window is not None and window.factor is None:
            weights = {"first": float(window.first), "total": float(window.total)}
            checkpoint["lightning_nn"]["window"] = weights
        totals = self._epoch_totals()
        if totals is not None:
            sums = {name: float(value) for name, value in totals.sums.items()}
            checkpoint["lightning_nn"]["totals"] = {"sums": sums, "weight": float(totals.weight)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the processor, the sums of the unfinished epoch and the weights of the unfinished step."""
        kept = checkpoint["lightning_nn"]["processor"]
        if kept is not None and self.processor is None:
            self.processor = catalog.processor(kept["kind"], kept["state"])
        window = checkpoint["lightning_nn"].get("window")
        self._window = None if window is None else Window(float(window["first"]), float(window["total"]))
        totals = checkpoint["lightning_nn"].get("totals")
        if totals is not None:
            sums: dict[str, float | Tensor] = {name: float(value) for name, value in dict(totals["sums"]).items()}
            self._totals.resume(checkpoint["epoch"], Totals(sums, float(totals["weight"])))

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of optimizer, schedule and so on, by group."""
        return {"optimizer": asdict(self.optimizer), "lr_scheduler": asdict(self.lr_scheduler)}

    def imagenet_weights(self) -> Path:
        """Find the file of weights of others that were trained on ImageNet.

        Raises:
            UserError: there are none for this model, or they can't be downloaded.
        """
        raise UserError(f"--finetune imagenet: there are no such weights of {self.name}; name a file")

    @classmethod
    def form_of(cls, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that give this model the form of the one in a checkpoint, for fine-tuning.

        Args:
            model: name of the model in the checkpoint.
            arguments: trusted ones of its constructor, which may lack newer ones.

        Returns:
            All but the `training_arguments` for the same model, none for another.
        """
        if model != cls.name:
            return {}
        in_code = {k: to_plain_data(p.default, k) for k, p in parameters(cls).items() if p.default is not p.empty}
        form = _replaced(cls, in_code, arguments)
        return {name: value for name, value in form.items() if name not in cls.training_arguments}

    @classmethod
    def form_of_weights(cls, weights: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that the weights themselves tell, by the names and shapes of the tensors in a file."""
        return {}

    def load_weights(
        self, checkpoint: Checkpoint | WeightsFile, processor: Processor | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Load the parameters and buffers of a checkpoint that fit, for fine-tuning.

        Labelled rows (`row_labels`) are copied to the row of the same word or category, whatever its index.

        Args:
            checkpoint: from `open_weights` of `lightning_nn.runs.weights_file`.
            processor: processor of the data that the model will be trained on.

        Returns:
            A remark on each tensor that was loaded, by name, and the reason for each that was not.

        Raises:
            UserError: the processor in the checkpoint is damaged.
        """
        given, saved = checkpoint.state_dict, checkpoint.processor()
        if isinstance(checkpoint, WeightsFile) and (prefix := common_prefix(given, self.state_dict().keys())):
            given = {name.removeprefix(prefix): each for name, each in given.items() if name.startswith(prefix)}
            checkpoint.notes.append(f"names without their prefix {shown(prefix)!r}")
        old = saved.row_labels() if saved is not None else {}
        new = processor.row_labels() if processor else {}
        rows = {
            name: RowLabels(kind, new[kind], old[kind])
            for name, kind in self.row_labels.items()
            if kind in new and kind in old
        }
        once = dict(self.named_parameters())
        tied = dict(self.named_parameters(remove_duplicate=False)).keys() - once.keys()
        weights = {name: tensor for name, tensor in self.state_dict().items() if isinstance(tensor, Tensor)}
        own = {name: tensor for name, tensor in weights.items() if name not in tied | self.processor_buffers}
        loaded, kept = transfer(own, given, rows)
        kept |= {name: "only in the checkpoint" for name in given if name not in self.state_dict()}
        return loaded, kept

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        strict: bool = True,
        weights_only: bool = True,
        **arguments: Any,
    ) -> Self:
        """Load a trained model in evaluation mode from a checkpoint alone, without executing anything in the file.

        Args:
            checkpoint_path: the file.
            map_location: device of its tensors, as in `torch.load`; the CPU by default.
            strict: require exactly the weights of this model.
            weights_only: has no effect: nothing but weights and plain data is ever loaded.
            arguments: constructor arguments that replace the saved ones; of a group, a dictionary of some options.

        Raises:
            UserError: see `Checkpoint.open` of `lightning_nn.runs.checkpoint`; also if it holds another model, or
                weights that do not fit.
        """
        return cls.from_checkpoint(Checkpoint.open(checkpoint_path, map_location or "cpu"), strict=strict, **arguments)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, strict: bool = True, **arguments: Any) -> Self:
        """Load a trained model in evaluation mode from an open checkpoint.

        Args:
            checkpoint: from `Checkpoint.open`.
            strict: require exactly the weights of this model.
            arguments: constructor arguments that replace the saved ones; of a group, a dictionary of some options.

        Raises:
            UserError: the checkpoint holds another model, or weights that do not fit.
        """
        if checkpoint.model != cls.name:
            raise UserError(f"{checkpoint.path} holds the model {checkpoint.model!r}, not {cls.name!r}")
        whole = {name for name, value in arguments.items() if not isinstance(value, dict)}
        saved_arguments = {name: value for name, value in checkpoint.arguments.items() if name not in whole}
        form = trusted([{"model": saved_arguments}], {"model": cls})
        if form.left_out:
            raise UserError(
                f"{checkpoint.path}: {names(form.left_out)} can't be loaded: not an argument of {cls.__name__}, "
                f"or not plain data of its type; in Python, pass load_from_checkpoint(FILE, NAME=VALUE)"
            )
        processor = checkpoint.processor()
        try:
            model = cls(**_replaced(cls, form.group("model"), arguments))
            for kind, labels in processor.row_labels().items() if processor else ():
                if (size := model.hparams.get(_SIZES.get(kind, ""))) and size != len(labels):
                    raise ValueError(f"its processor has {len(labels):,} {kind}, not {size:,}")
            model.processor = processor
            model.on_load_checkpoint(checkpoint.content)
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            raise _misfit(checkpoint.path, cls, error) from error
        model.load_state(checkpoint, strict=strict)
        return model.eval()

    def load_state(self, checkpoint: Checkpoint, *, strict: bool = True) -> None:
        """Load the weights of a checkpoint.

        Args:
            checkpoint: from `Checkpoint.open`.
            strict: require exactly the weights of this model.

        Raises:
            UserError: the weights do not fit.
        """
        given = checkpoint.state_dict
        for name, tensor in self.state_dict().items():
            if name in given and isinstance(tensor, Tensor) and (reason := misfit(tensor, given[name])):
                raise UserError(f"{checkpoint.path} does not fit this {type(self).__name__}: {shown(name)} is {reason}")
        try:
            self.load_state_dict(given, strict=strict)
        except (TypeError, RuntimeError) as error:
            raise _misfit(checkpoint.path, type(self), error) from error


def _replaced(cls: type, saved: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Replace saved arguments of a constructor by others; of a group, a dictionary replaces the options that it has."""
    merged = {}
    for name, value in arguments.items():
        partial = isinstance(value, dict) and _is_group(parameters(cls).get(name))
        merged[name] = {**saved.get(name, {}), **value} if partial else value
    return {**saved, **merged}


def _is_group(parameter: Parameter | None) -> bool:
    return parameter is not None and isinstance(parameter.annotation, type) and issubclass(parameter.annotation, Group)


def _arguments(made: pl.LightningModule | pl.LightningDataModule) -> dict[str, Any]:
    """Return the arguments of a constructor as plain data; of a subclass its own, not those that it gives its base."""
    own = signature(type(made)).parameters.keys() | getattr(made, "further_arguments", frozenset())
    arguments: dict[str, Any] = to_plain_data({k: v for k, v in made.hparams.items() if k in own}, "arguments")
    return arguments


def _misfit(path: str | Path, cls: type, error: Exception) -> UserError:
    reason = sanitize(" ".join(str(error).split())[:_LONGEST])
    if "allocate" in reason:  # by torch; a stranger's arguments may be any numbers
        return UserError(f"{path}: a {cls.__name__} of its arguments needs more memory than this machine has")
    other_size = "size mismatch" in str(error) or "its processor has" in str(error)
    remedy = "; model.load_weights(open_weights(FILE)) loads what fits" * other_size
    return UserError(f"{path} does not fit this {cls.__name__}: {reason}{remedy}")
