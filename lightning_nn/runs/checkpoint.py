"""Checkpoints as plain data: read without running code, written whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lightning_nn.compat  # noqa: F401  isort: skip

import numpy as np
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically

FORMAT = 2  # of what stands under the key "lightning_nn"
_PARTS = ("state_dict", "hyper_parameters", "version", "model", "data", "processor", "settings")


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint of this project, from anyone: nothing in it is executed.

    Args:
        path: the file.
        map_location: where its tensors go, as in `torch.load`.

    Returns:
        Lightning's dictionary; its "lightning_nn" says model, data and reader.

    Raises:
        UserError: the file is missing, damaged, holds more than plain data, is not one of this project's or was
            written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(_missing(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's thoughts on pickles that it then refuses
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead it to
        if "GLOBAL " in str(error):  # the name of a class or function that is not plain data
            raise UserError(
                f"{path} holds more than plain data and could run code when loaded: refused, nothing of it was run.\n"
                "Ask its author for a checkpoint of plain tensors."
            ) from None
        raise UserError(
            f"{path} is damaged or no checkpoint ({path.stat().st_size:,} bytes can't be read as one); "
            "use another one, such as last.ckpt or best.ckpt beside it"
        ) from None
    _require_whole(checkpoint, path)
    return cast(dict[str, Any], checkpoint)


def _require_whole(checkpoint: Any, path: Path) -> None:
    """Refuses what is no checkpoint of ours, or one that lacks a part.

    Raises:
        UserError: it was written by something else, by a newer version, or is not whole.
    """
    mine = checkpoint.get("lightning_nn") if isinstance(checkpoint, dict) else None
    if isinstance(checkpoint, dict) and checkpoint and all(isinstance(value, Tensor) for value in checkpoint.values()):
        raise UserError(
            f"{path} was not written by lightning_nn: it holds {len(checkpoint):,} tensors and does not say which "
            "model they belong to; load them in Python with model.load_state_dict"
        )
    if not isinstance(mine, dict):
        raise UserError(f"{path} was not written by lightning_nn: it does not say which model it holds")
    if not isinstance(mine.get("version"), int):
        raise UserError(f"{path} is not whole: it lacks its format's version; use another checkpoint")
    if mine["version"] > FORMAT:
        raise UserError(
            f"{path} has format {mine['version']}, newer than this lightning_nn reads ({FORMAT}): "
            "pip install -U lightning-nn"
        )
    if missing := [part for part in _PARTS if part not in {**checkpoint, **mine}]:
        raise UserError(f"{path} is not whole: it lacks {', '.join(missing)}; use another checkpoint")
    processor = mine["processor"]
    groups = [checkpoint["hyper_parameters"], checkpoint.get("datamodule_hyper_parameters", {}), mine["settings"]]
    whole = all(isinstance(group, dict) for group in groups) and isinstance(mine["model"], str)
    whole = whole and all(isinstance(group, dict) for group in mine["settings"].values())
    whole = whole and all(isinstance(mine.get(key), str | None) for key in ("data", "config", "split_digest"))
    whole = whole and isinstance(checkpoint["state_dict"], dict)
    if not (whole and (processor is None or (isinstance(processor, dict) and processor.keys() >= {"kind", "state"}))):
        raise UserError(
            f"{path} is not whole: weights, model, settings or reader are malformed; use another checkpoint"
        )


class PlainCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, made safe.

    Written to a temporary file beside, synced, then renamed: a crash or a full disk while writing loses the new
    checkpoint, never the old one. Read with `weights_only=True` always.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes all or nothing.

        Raises:
            UserError: the disk is full or the folder can't be written.
        """
        write_atomically(Path(path), lambda file: torch.save(checkpoint, file))

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads plain data only; `weights_only` has no say in it."""
        return read_checkpoint(path, map_location if map_location is not None else "cpu")


def to_plain_data(value: Any, where: str) -> Any:
    """A value as what a checkpoint may hold: numbers, strings, bools, None, lists and dicts of these.

    NumPy's numbers and arrays and tensors become Python's, a path its name.

    Args:
        value: arguments or settings.
        where: how an error calls it.

    Raises:
        UserError: it is something else, which could not be loaded again.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): to_plain_data(item, f"{where}.{key}") for key, item in value.items()}
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


def _missing(path: Path) -> str:
    if path.is_dir():
        inside = sorted(path.rglob("*.ckpt"))
        return f"{path} is a folder; " + (f"name a file, such as {inside[0]}" if inside else "there is no .ckpt in it")
    beside = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
    there = f"; there are: {', '.join(p.name for p in beside)}" if beside else ""
    return f"no checkpoint at {path}{there}"
