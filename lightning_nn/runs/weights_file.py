"""Weights that are part of the package: a checkpoint's model without its run, in half precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import FORMAT, Checkpoint

EMBEDDED = Path(__file__).parent.parent / "weights"


def save_weights(checkpoint: Checkpoint, path: Path, about: dict[str, str]) -> None:
    """Write weights, arguments and processor of a checkpoint to a safetensors file, floats in half precision.

    Args:
        checkpoint: a trained model.
        path: the file.
        about: where the weights come from, for readers of the file: command, data, metrics.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in checkpoint.state_dict.items()
    }
    model = {
        "model": checkpoint.model,
        "arguments": checkpoint.arguments,
        "processor": checkpoint.content["lightning_nn"]["processor"],
    }
    save_file(tensors, path, {"lightning_nn": json.dumps(model, ensure_ascii=False), **about})


def open_weights(path: str | Path) -> Checkpoint:
    """Open a file of `save_weights` as a checkpoint that holds no run; nothing in it is executed.

    Args:
        path: the file.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    try:
        with safe_open(path, "pt") as file:
            model: dict[str, Any] = json.loads((file.metadata() or {})["lightning_nn"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        mine = {"format": FORMAT, "model": model["model"], "processor": model["processor"], "settings": {}}
        content = {"state_dict": _widened(tensors), "hyper_parameters": model["arguments"], "lightning_nn": mine}
    except FileNotFoundError:
        raise UserError(f"no weights at {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no weights of lightning_nn ({type(error).__name__}: {error})") from None
    return Checkpoint.of(content, path)


def _widened(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
