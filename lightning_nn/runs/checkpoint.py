"""Checkpoints as plain data: loaded without running code, written whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically

FORMAT = 1  # of the value under the key "lightning_nn"
_KEYS = ("state_dict", "hyper_parameters", "model", "processor", "settings")


class Progress(NamedTuple):
    """Progress of a run when its checkpoint was written.

    Attributes:
        epochs: completed epochs.
        steps: completed optimizer steps.
    """

    epochs: int
    steps: int


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint; each command opens its file once and passes this object on.

    Its settings are untrusted; `lightning_nn.runs.saved_settings.trusted` decides which of them are used.

    Attributes:
        path: the file.
        model: name of the model in the catalog.
        data: name of the data set the model was trained on; None if it was not trained by the command line.
        arguments: arguments of the model's constructor.
        data_arguments: arguments of the data module's constructor.
        settings: training settings by group, as the model keeps them: optimizer, lr_scheduler, loss.
        run: settings by group that the command line added: trainer, checkpoint, early_stopping, seed_everything.
        content: Lightning's dictionary, which holds all of the above and the weights.
    """

    path: Path
    model: str
    data: str | None
    arguments: dict[str, Any] = field(repr=False)
    data_arguments: dict[str, Any] = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    run: dict[str, Any] = field(repr=False)
    content: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def open(cls, path: str | Path, map_location: Any = "cpu") -> Checkpoint:
        """Load a file without executing anything in it.

        Args:
            path: the file.
            map_location: device of its tensors, as in `torch.load`.

        Raises:
            UserError: the file is missing or damaged, holds more than plain data, or was written by something else or
                by a newer version.
        """
        return cls.of(read_plain(Path(path), map_location), path)

    @classmethod
    def of(cls, content: Any, path: str | Path) -> Checkpoint:
        """Check the content of a file and return it as a checkpoint.

        Args:
            content: as `torch.load` returned it.
            path: the file.

        Raises:
            UserError: the file was written by something else or by a newer version, or is damaged.
        """
        path = Path(path)
        content = migrate(content, path)
        mine = content["lightning_nn"]
        if missing := [key for key in _KEYS if key not in {**content, **mine}]:
            raise UserError(f"{path} is damaged: it lacks {', '.join(missing)}; use another checkpoint")
        run = mine.get("run", {})
        data_arguments = content.get("datamodule_hyper_parameters", {})
        callbacks = content.get("callbacks", {})
        groups = [content["state_dict"], content["hyper_parameters"], data_arguments, mine["settings"], run, callbacks]
        whole = all(isinstance(group, dict) for group in groups) and isinstance(mine["model"], str)
        inner = [*mine["settings"].values(), *callbacks.values()] if whole else []
        whole = whole and all(isinstance(group, dict) for group in inner)
        whole = whole and isinstance(run.get("data"), str | None)
        processor = mine["processor"]
        whole = whole and (processor is None or (isinstance(processor, dict) and processor.keys() >= {"kind", "state"}))
        if not whole:
            parts = "weights, model, settings or processor"
            raise UserError(f"{path} is damaged: {parts} are malformed; use another checkpoint")
        return cls(
            path=path,
            model=mine["model"],
            data=run.get("data"),
            arguments=content["hyper_parameters"],
            data_arguments=data_arguments,
            settings=mine["settings"],
            run={group: values for group, values in run.items() if group != "data"},
            content=content,
        )

    @property
    def state_dict(self) -> dict[str, Any]:
        """The weights by name: tensors, unless the file is malformed."""
        weights: dict[str, Any] = self.content["state_dict"]
        return weights

    @property
    def reads(self) -> bool:
        """True if it holds a processor, which encodes raw input."""
        return self.content["lightning_nn"]["processor"] is not None

    def processor(self) -> Any:
        """Load the processor of the model; return None if there is none.

        Raises:
            UserError: the processor is damaged.
        """
        kept = self.content["lightning_nn"]["processor"]
        try:
            return None if kept is None else catalog.processor(kept["kind"], kept["state"])
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def data_state(self, data: type) -> dict[str, Any]:
        """Return the state that a data module saved (`DataModule.state_dict`); empty if it saved none.

        Args:
            data: class of the data module.
        """
        state = self.content.get(data.__qualname__)
        return state if isinstance(state, dict) else {}

    def callback_state(self, key: str) -> dict[str, Any]:
        """Return the state of a callback; empty if there is none.

        Args:
            key: the callback's `state_key`.
        """
        return dict(self.content.get("callbacks", {}).get(key, {}))

    @property
    def progress(self) -> Progress:
        """Progress of the run when the checkpoint was written.

        Raises:
            UserError: the checkpoint holds weights only, or its progress is malformed.
        """
        if "loops" not in self.content:
            raise UserError(f"{self.path} holds weights only, no run to resume: --finetune FILE trains from them")
        try:
            loop = self.content["loops"]["fit_loop"]
            epoch, through = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["is_last_batch"]
            # After its last batch the current epoch is done, but Lightning has not counted it yet.
            epochs = epoch["processed"] + int(through and epoch["processed"] < epoch["started"])
            return Progress(int(epochs), int(self.content["global_step"]))
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{self.path} is damaged: it does not say how far its run was; use another checkpoint"
            ) from None


def migrate(content: Any, path: Path) -> dict[str, Any]:
    """Convert the content of a file to the present format; code for earlier formats would go here.

    Args:
        content: as `torch.load` returned it.
        path: the file, for errors.

    Raises:
        UserError: the file was written by something else or by a newer version.
    """
    if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(
            f"{path} was not written by lightning_nn: it holds {len(content):,} tensors and does not say which "
            "model they belong to; load them in Python with model.load_state_dict"
        )
    mine = content.get("lightning_nn") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(mine, dict):
        raise UserError(f"{path} was not written by lightning_nn: it does not say which model it holds")
    version = mine.get("format")
    if type(version) is not int or version < 1:
        raise UserError(f"{path} is damaged: it does not say which format it has; use another checkpoint")
    if version > FORMAT:
        newer = f"newer than this lightning_nn reads ({FORMAT})"
        raise UserError(f"{path} has format {version}, {newer}: pip install -U lightning-nn")
    return content


def read_plain(path: Path, map_location: Any = "cpu") -> Any:
    """Load a file of torch without executing anything in it.

    Raises:
        UserError: the file is missing or damaged, or holds more than plain data.
    """
    if not path.is_file():
        raise UserError(missing(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged bytes can make the unpickler raise anything
        if "GLOBAL " in str(error):  # the name of a class or function that is not plain data
            raise UserError(
                f"{path} holds more than plain data and could run code when loaded: refused, nothing in it was run.\n"
                "Ask its author for a checkpoint of plain tensors."
            ) from None
        raise UserError(
            f"{path} is damaged or no checkpoint ({path.stat().st_size:,} bytes can't be read as one); "
            "use another one, such as last.ckpt or best.ckpt beside it"
        ) from None


class PlainCheckpointIO(TorchCheckpointIO):
    """Lightning's input and output of checkpoints, made safe.

    A checkpoint is written to a temporary file beside the old one, synced, then renamed: a crash or a full disk loses
    the new checkpoint, never the old one. It is always loaded with `weights_only=True`.

    Args:
        opened: an open checkpoint, returned once instead of loading its file again.
    """

    def __init__(self, opened: Checkpoint | None = None) -> None:
        super().__init__()
        self._opened = opened

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint whole or not at all.

        Raises:
            UserError: the disk is full or the folder can't be written.
        """
        states = ("callbacks", "lr_schedulers")  # up to torch 2.6 SWALR saves a function there
        plain = {key: _without_functions(value) if key in states else value for key, value in checkpoint.items()}
        write_atomically(Path(path), lambda file: torch.save(plain, file))

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load plain data only, whatever `weights_only` says."""
        opened, self._opened = self._opened, None  # returned once: the optimizer then changes its tensors
        if opened is not None and Path(path).absolute() == opened.path.absolute():
            return opened.content
        return Checkpoint.open(path, map_location if map_location is not None else "cpu").content


def missing(path: Path) -> str:
    """Return the error for a file that isn't there, with those beside it."""
    if path.is_dir():
        inside = sorted(path.rglob("*.ckpt"))
        return f"{path} is a folder; " + (f"name a file, such as {inside[0]}" if inside else "there is no .ckpt in it")
    beside = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
    there = f"; there are: {', '.join(p.name for p in beside)}" if beside else ""
    return f"no checkpoint at {path}{there}"


def _without_functions(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _without_functions(each) for key, each in state.items() if not callable(each)}
    return [_without_functions(each) for each in state] if isinstance(state, list) else state
