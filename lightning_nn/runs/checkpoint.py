"""Checkpoints as plain data: loaded without running code, written whole or not at all."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lightning_nn.compat  # noqa: F401  isort: skip
import inspect
import os
from dataclasses import asdict, is_dataclass

import numpy as np
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from lightning_nn import catalog
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically
from lightning_nn.runs.saved_settings import names, shown

FORMAT = 1  # of the value under the key "lightning_nn"
FILES = (".ckpt", ".safetensors", ".pth", ".pt", ".bin", ".tar")  # suffixes of files of weights
_FOREIGN = (".onnx", ".h5", ".hdf5", ".keras", ".pb", ".tflite", ".npz", ".npy", ".msgpack", ".gguf", ".json", ".index")
_STARTS = {  # first bytes of other files
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run git lfs pull, or download the file",
    b"\x1f\x8b": "is a gzip archive: unpack it and name the file of weights in it",
    b"\x89HDF": "is an HDF5 file, as Keras writes them, not a file of torch",
}
_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8})
_DTYPES |= {torch.int8, torch.int16, torch.int32, torch.int64}
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
        check_tensors(content["state_dict"], path)
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
        """The weights by name."""
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
            "model they belong to; --finetune FILE, or in Python model.load_state_dict, loads them"
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
        UserError: the file is missing, damaged or of another kind, or holds more than plain data.
    """
    refuse_other_files(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged bytes can make the unpickler raise anything
        if match := re.search(r"GLOBAL ([\w.]*)", str(error)):  # a class or function that is not plain data
            raise UserError(
                f"{path} holds more than plain data ({shown(match[1])}) and could run code when loaded: refused, "
                "nothing in it was run. Save its tensors alone: torch.save(model.state_dict(), FILE)"
            ) from None
        raise UserError(
            f"{path} is damaged or no checkpoint ({path.stat().st_size:,} bytes can't be read as one); "
            "use another one, such as last.ckpt or best.ckpt beside it"
        ) from None


def begins_as_safetensors(head: bytes) -> bool:
    """Return whether a file begins with the length of a header in eight bytes, the lower of them any, and then JSON."""
    return head[5:9] == b"\0\0\0{"


def refuse_other_files(path: Path) -> None:
    """Refuse a file that is missing, cut off or of another kind, by its name and its first bytes.

    Raises:
        UserError: the message says what the file is, and what to do.
    """
    if not path.is_file():
        raise UserError(missing(path))
    with path.open("rb") as file:
        head = file.read(64)
    size = f"{path.stat().st_size:,} bytes"
    if not head:
        raise UserError(f"{path} is damaged: it is empty; copy or download it again, or use another one")
    if begins_as_safetensors(head):
        return
    if remedy := next((remedy for start, remedy in _STARTS.items() if head.startswith(start)), None):
        raise UserError(f"{path} {remedy}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise UserError(f"{path} is a web page, not weights: the download saved a page in place of the file")
    if path.suffix.lower() in _FOREIGN:
        raise UserError(f"{path} is a file of another kind, {path.suffix}; {' and '.join(FILES[1:4])} are loaded")
    if not head.startswith(b"PK\x03\x04"):
        return
    try:
        inside = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise UserError(
            f"{path} is damaged: it is cut off after {size}; copy or download it again, or use another one"
        ) from None
    if any(name.endswith("/constants.pkl") for name in inside):
        raise UserError(
            f"{path} is a program of TorchScript, which could run code: refused, nothing in it was run. "
            "Save its tensors alone: torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)"
        )
    if not any(name.endswith("data.pkl") for name in inside):
        raise UserError(f"{path} is a zip archive, not weights: unpack it and name the file of weights in it")


def check_tensors(weights: Mapping[Any, Any], path: str | Path) -> None:
    """Refuse weights that are not plain, finite tensors by name.

    Raises:
        UserError: the message names the first that is none.
    """
    for name, value in weights.items():
        if fault := "has a name that is no text" if not isinstance(name, str) else _fault(value):
            raise UserError(f"{path} can't be used: {shown(str(name))} {fault}; use another file")


def _fault(value: Any) -> str:
    """Return why a value can't be a weight; "" if it can."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.is_nested or value.layout != torch.strided:
        return f"is {'nested' if value.is_nested else 'sparse'}, not a dense tensor"
    if value.is_meta:
        return "has no values (device meta)"
    if value.dtype not in _DTYPES:
        return f"is {value.dtype}; floats of 16, 32 or 64 bits are loaded"
    once = value[tuple(slice(1) if stride == 0 else slice(None) for stride in value.stride())]  # of an expanded tensor
    if value.is_floating_point() and not bool(once.isfinite().all()):
        return "holds values that are not finite (NaN or infinity), as after a training that diverged"
    return ""


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
    if re.match(r"[a-z][a-z0-9+-]+:/", str(path)):
        address = str(path).replace(":/", "://", 1)
        return f"{address} is an address, not a file: download it and give the file's path"
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.suffix in FILES)
        return f"{path} is a folder; " + (f"name a file, such as {inside[0]}" if inside else "it holds no weights")
    beside = sorted(p.name for p in path.parent.glob("*") if p.suffix in FILES) if path.parent.is_dir() else []
    listed = f"; there are: {names(beside)}" if beside else ""
    return f"no checkpoint at {path}{listed}"


def _without_functions(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _without_functions(item) for key, item in state.items() if not callable(item)}
    return [_without_functions(item) for item in state] if isinstance(state, list) else state


def to_plain_data(value: Any, where: str) -> Any:
    """Convert a value to plain data, which a checkpoint may hold: numbers, strings, bools, None, lists and dicts.

    NumPy numbers, arrays and tensors become Python's numbers and lists, a path its name, a dataclass a dictionary.

    Args:
        value: arguments or settings.
        where: name of the value in errors.

    Raises:
        UserError: the value is of another kind, which could not be loaded again.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): to_plain_data(item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain_data(asdict(value), where)
    if isinstance(value, list | tuple):
        return [to_plain_data(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise UserError(
        f"{where} is a {type(value).__name__}; a checkpoint holds plain data, which loads without running code: "
        "give numbers, strings or lists of them"
    )


def further_arguments(made: object) -> frozenset[str]:
    """Return the names of the arguments that a constructor was given through its `**`.

    Args:
        made: an object whose constructor is running and calls this, directly or by those of its bases.
    """
    names: frozenset[str] = frozenset()
    frame = inspect.currentframe()
    while frame := frame and frame.f_back:  # the outermost constructor is the last one
        arguments = inspect.getargvalues(frame)
        if frame.f_code.co_name != "__init__" or arguments.locals.get(next(iter(arguments.args), "")) is not made:
            break
        names = frozenset(arguments.locals[arguments.keywords]) if arguments.keywords else frozenset()
    return names
