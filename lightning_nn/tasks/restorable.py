"""Models and checkpoints: what a model saves, how it is made again, and how weights of another are loaded into it."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytorch_lightning as pl
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import FORMAT, Checkpoint, further_arguments, to_plain_data
from lightning_nn.runs.saved_settings import names, parameters, shown, trusted
from lightning_nn.runs.weights_file import WeightsFile, common_prefix, embedded_weights, open_model
from lightning_nn.sanitize import sanitize
from lightning_nn.settings import Group
from lightning_nn.tasks.weights import RowLabels, misfit, transfer

if TYPE_CHECKING:
    from typing_extensions import Self

_SIZES = {"categories": "num_classes", "words": "vocabulary_size", "characters": "num_characters"}  # of row labels
_LONGEST = 500  # characters of torch's own reason, which names every tensor


class Restorable(pl.LightningModule):
    """A model that a checkpoint keeps as plain data, and that takes over weights of others.

    Attributes:
        name: its name in the catalog.
        row_labels: kind of row label ("words", "categories", ...; a key of the processor's `row_labels`) by the name of
            each parameter whose rows are labelled.
        embedded_model: name of the model whose weights are part of the package and fit this one; None: its own.
        data_to_tune: which weights need other data than the default, and the options for it; empty if none do.
        network_option: option that chooses a classic network, which public weights are for.
        processor_buffers: buffers that the data of a run fills; fine-tuning does not load them.
        derived_buffers: those of them that follow from the processor, which a file of weights leaves out.
        training_arguments: arguments that matter in training alone; a fine-tuned model has its own.
    """

    name: ClassVar[str]
    row_labels: Mapping[str, str] = {}
    embedded_model: ClassVar[str | None] = None
    data_to_tune: ClassVar[str] = ""
    network_option: ClassVar[str] = "--model backbone --model.network"
    processor_buffers: ClassVar[frozenset[str]] = frozenset()
    derived_buffers: ClassVar[frozenset[str]] = frozenset()
    training_arguments: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.further_arguments = further_arguments(self)
        self._processor: Processor | None = None

    @property
    def processor(self) -> Processor | None:
        """Converter of raw input to batches; set by the data module when a run starts, or by the loaded checkpoint."""
        return self._processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        if processor is not None:
            if processor.kind not in catalog.PROCESSORS:
                raise UserError(
                    f"no checkpoint with the processor {processor.kind!r} could be read, as it is not registered: "
                    f"catalog.register_processor({processor.kind!r}, {type(processor).__name__})"
                )
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

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings to save beside the constructor's arguments, by group; a hook for subclasses."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add everything that prediction needs, as plain data.

        Raises:
            UserError: an argument of the model or the data is not plain data.
        """
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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the processor."""
        saved = checkpoint["lightning_nn"]["processor"]
        if saved is not None and self.processor is None:
            self.processor = catalog.processor(saved["kind"], saved["state"])

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
            UserError: see `open_model` of `lightning_nn.runs.weights_file`; also if it holds another model, or
                weights that do not fit.
        """
        return cls.from_checkpoint(open_model(checkpoint_path, map_location or "cpu"), strict=strict, **arguments)

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
        own_arguments = cls.trusted_arguments(checkpoint, arguments)
        processor = checkpoint.processor()
        try:
            model = cls(**own_arguments)
            for kind, labels in processor.row_labels().items() if processor else ():
                if (size := model.hparams.get(_SIZES.get(kind, ""))) and size != len(labels):
                    raise ValueError(f"its processor has {len(labels):,} {kind}, not {size:,}")
            model.processor = processor
            model.on_load_checkpoint(checkpoint.content)
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            raise _misfit(checkpoint.path, cls, error) from error
        model.load_state(checkpoint, strict=strict)
        return model.eval()

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None, /, **arguments: Any) -> Self:
        """Load a trained model in evaluation mode: from a model folder, or the weights that are part of the package.

        A folder is what `export --out FOLDER` has written; nothing in it is executed.

        Args:
            folder: the folder, or a file that `load_from_checkpoint` loads; None for the weights in the package.
            arguments: constructor arguments that replace the saved ones; of a group, a dictionary of some options.

        Raises:
            UserError: it is missing or damaged, holds another model, or the package has no weights of this model.
        """
        return cls.from_checkpoint(embedded_weights(cls.name) if folder is None else open_model(folder), **arguments)

    @classmethod
    def trusted_arguments(cls, checkpoint: Checkpoint, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor arguments of a checkpoint, which must be plain data of their types.

        Args:
            checkpoint: an open one, written by anyone.
            arguments: those that replace the saved ones; of a group, a dictionary of some options.

        Raises:
            UserError: it holds another model, or an argument that can't be loaded.
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
        return _replaced(cls, form.group("model"), arguments)

    def load_state(self, checkpoint: Checkpoint, *, strict: bool = True) -> None:
        """Load the weights of a checkpoint.

        Args:
            checkpoint: from `Checkpoint.open`.
            strict: require exactly the weights of this model.

        Raises:
            UserError: the weights do not fit.
        """
        own = self.state_dict()
        weights = {**{name: own[name] for name in self.derived_buffers if name in own}, **checkpoint.state_dict}
        for name, tensor in own.items():
            if name in weights and isinstance(tensor, Tensor) and (reason := misfit(tensor, weights[name])):
                raise UserError(f"{checkpoint.path} does not fit this {type(self).__name__}: {shown(name)} is {reason}")
        try:
            self.load_state_dict(weights, strict=strict)
        except (TypeError, RuntimeError) as error:
            raise _misfit(checkpoint.path, type(self), error) from error

    def imagenet_weights(self) -> Path:
        """Find the file of weights of others that were trained on ImageNet.

        Raises:
            UserError: there are none for this model, or they can't be downloaded.
        """
        raise UserError(f"--finetune imagenet: there are no such weights of {self.name}; name a file")

    @property
    def layers_below_head(self) -> list[str]:
        """Names of the layers that fine-tuning should load from another model; none if all are alike."""
        return []

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
        source, saved = checkpoint.state_dict, checkpoint.processor()
        if isinstance(checkpoint, WeightsFile) and (prefix := common_prefix(source, self.state_dict().keys())):
            source = {name.removeprefix(prefix): w for name, w in source.items() if name.startswith(prefix)}
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
        target = {name: tensor for name, tensor in weights.items() if name not in tied | self.processor_buffers}
        loaded, kept = transfer(target, source, rows)
        kept |= {name: "only in the checkpoint" for name in source if name not in self.state_dict()}
        return loaded, kept


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
    taken = signature(type(made)).parameters.keys() | getattr(made, "further_arguments", frozenset())
    arguments: dict[str, Any] = to_plain_data({k: v for k, v in made.hparams.items() if k in taken}, "arguments")
    return arguments


def _misfit(path: str | Path, cls: type, error: Exception) -> UserError:
    reason = sanitize(" ".join(str(error).split())[:_LONGEST])
    if "allocate" in reason:  # by torch; a stranger's arguments may be any numbers
        return UserError(f"{path}: a {cls.__name__} of its arguments needs more memory than this machine has")
    other_size = "size mismatch" in str(error) or "its processor has" in str(error)
    remedy = "; model.load_weights(open_weights(FILE)) loads what fits" * other_size
    return UserError(f"{path} does not fit this {cls.__name__}: {reason}{remedy}")
