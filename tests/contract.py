"""Short runs for tests: a quiet trainer, a whole split as one batch, comparison of models, predictions and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.data.module import DataModule
from lightning_nn.runs.checkpoint import PlainCheckpointIO


def trainer(folder: Path, **arguments: Any) -> pl.Trainer:
    """Make a Trainer on the CPU that prints nothing and writes nothing unless told to."""
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": str(folder),
        "callbacks": [StepSeed(0)],
        "plugins": [PlainCheckpointIO()],
    }
    return pl.Trainer(**{**defaults, **arguments})


def one_batch(data: DataModule) -> Any:
    """Return the whole training split as one batch."""
    data.prepare_once()
    source = data.sources["train"]
    return source[np.arange(len(source))]


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Return the names of the tensors that differ in any bit."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def to_plain(prediction: Any) -> Any:
    """Convert a prediction, or several, to lists, numbers and text."""
    if isinstance(prediction, list | tuple):
        return [to_plain(each) for each in prediction]
    return prediction.tolist() if isinstance(prediction, Tensor | np.ndarray | np.generic) else prediction


def check_export(model: Any, batch: Any) -> None:
    """Require the same of `torch.export`, and of onnxruntime, for three samples and for the whole batch.

    Args:
        model: in evaluation mode.
        batch: at least three samples, without what `forward` doesn't read.
    """
    import onnxruntime  # type: ignore[import-untyped]

    few = batch.select([0, 1, 2])
    samples = torch.export.Dim("samples", min=1, max=4096)  # torch 2.6 wants an end
    dynamic = {"batch": type(few)(*(None if each is None else {0: samples} for each in few))}
    program = torch.export.export(model, (few,), dynamic_shapes=dynamic, strict=False)
    onnx = torch.onnx.export(program, dynamo=True, verbose=False)
    assert onnx is not None
    session = onnxruntime.InferenceSession(onnx.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for some in (few, batch):
        expected = model(some)
        torch.testing.assert_close(program.module()(some), expected)
        given = [each.numpy() for each in some if each is not None]
        names = [each.name for each in session.get_inputs()]
        (found,) = session.run(None, dict(zip(names, given, strict=True)))
        largest = max(1.0, float(expected.detach().abs().max()))  # 255 of pictures, more of deep untrained networks
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5 * largest, rtol=1e-5)
