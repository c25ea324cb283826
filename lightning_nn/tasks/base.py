"""Base class of all models: training, evaluation and prediction over one kind of batch, and their checkpoints."""

from __future__ import annotations

from abc import ABC
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.data.batches import Batch
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import FORMAT, Checkpoint, to_plain_data
from lightning_nn.runs.saved_settings import names, parameters, shown, trusted
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.evaluation import Evaluation
from lightning_nn.tasks.training import Means as Means
from lightning_nn.tasks.training import Training
from lightning_nn.tasks.weight_transfer import Rows, common_prefix, misfit, transfer

if TYPE_CHECKING:
    from typing_extensions import Self


_SIZES = {"categories": "num_classes", "words": "vocabulary_size", "characters": "num_characters"}  # of row labels
_LONGEST = 500  # characters of torch's own reason, which names every tensor


class Described(Protocol):
    """A data set, as a data module describes it to models."""

    def describe_for(self, batch_type: type[Batch]) -> dict[str, Any]:
        """Prepare the data for a type of batch, and return the model arguments that it determines."""
        ...


class Task(Training, Evaluation, ABC):
    """A model of the course.

    A subclass defines `training_means`, `metrics`, `update`, `compute_metrics`, `predictions` and, if it has something
    to show, `artifacts`. `forward` is defined by each model.

    Attributes:
        name: its name in the catalog.
        batch_type: type of its batches.
        attends: True if it can show its attention (`explain`).
        exportable: True if `torch.export` accepts its forward; not if the number of steps depends on the data.
        output_meaning: what its forward computes, for those who use an exported network.
        monitor: metric that selects the best checkpoint; lower is better if its name ends in loss, else higher. None:
            there is no validation, and the last state is the result.
        headline: metrics that tables of results show, in this order.
        row_labels: kind of row label ("words", "categories", ...; a key of the processor's `row_labels`) by the name of
            each parameter whose rows are labelled.
        embedded_model: name of the model whose weights are part of the package and fit this one; None: its own.
        network_option: option that chooses a classic network, which public weights are for.
        processor_buffers: buffers that the data of a run fills; fine-tuning does not load them.
        training_arguments: arguments that have a part in training alone; a fine-tuned model has its own.
        prediction_arguments: arguments that have a part in predictions alone, which a command may change for itself.
    """

    name: ClassVar[str]
    batch_type: ClassVar[type[Batch]]
    attends: bool = False
    exportable: ClassVar[bool] = True
    output_meaning: ClassVar[str] = ""
    monitor: ClassVar[str | None] = "val/loss"
    headline: ClassVar[tuple[str, ...]] = ()
    row_labels: ClassVar[dict[str, str]] = {}
    embedded_model: ClassVar[str | None] = None
    network_option: ClassVar[str] = "--model backbone --model.network"
    processor_buffers: ClassVar[frozenset[str]] = frozenset()
    training_arguments: ClassVar[frozenset[str]] = frozenset()
    prediction_arguments: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def for_data(cls, data: Described, **arguments: Any) -> Self:
        """Make a model for a data set, which determines the sizes of images, the numbers of words, classes and so on.

        Args:
            data: a data module.
            arguments: of the constructor, all others.

        Raises:
            UserError: the data is not for this model, or can't be used.
        """
        taken = parameters(cls)
        arguments |= {name: value for name, value in data.describe_for(cls.batch_type).items() if name in taken}
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

    def setup(self, stage: str) -> None:
        """Make the metrics and begin training; Lightning calls this after the data module has set the processor."""
        for split in ("val", "test"):
            self.split_metrics(split)
        if stage == "fit":
            self.begin_training()

    def summary(self) -> list[tuple[str, ...]]:
        """Return the rows of a table of the model shown when a run starts, header first; an empty list for none."""
        return []

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

    # ------------------------------------------------------------------ checkpoints

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
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the processor and the sums of the unfinished epoch."""
        kept = checkpoint["lightning_nn"]["processor"]
        if kept is not None and self.processor is None:
            self.processor = catalog.processor(kept["kind"], kept["state"])
        super().on_load_checkpoint(checkpoint)

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
        in_code = {k: p.default for k, p in parameters(cls).items() if p.default is not p.empty}
        return {name: v for name, v in {**in_code, **arguments}.items() if name not in cls.training_arguments}

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
            name: Rows(kind, new[kind], old[kind])
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
            arguments: constructor arguments that replace the saved ones.

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
            arguments: constructor arguments that replace the saved ones.

        Raises:
            UserError: the checkpoint holds another model, or weights that do not fit.
        """
        if checkpoint.model != cls.name:
            raise UserError(f"{checkpoint.path} holds the model {checkpoint.model!r}, not {cls.name!r}")
        saved_arguments = {k: v for k, v in checkpoint.arguments.items() if k not in arguments}
        form = trusted([{"model": saved_arguments}], {"model": cls})
        if form.left_out:
            raise UserError(
                f"{checkpoint.path}: {names(form.left_out)} can't be loaded: not an argument of {cls.__name__}, "
                f"or not plain data of its type; in Python, pass load_from_checkpoint(FILE, NAME=VALUE)"
            )
        processor = checkpoint.processor()
        try:
            model = cls(**{**form.group("model"), **arguments})
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
