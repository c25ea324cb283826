"""Gates of recurrent layers, and how far back their gradient reaches, as metrics of a run.

--trainer.callbacks+=lightning_nn.callbacks.gates.GateStatistics
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.layers.ragged import segment_starts
from lightning_nn.layers.recurrent import FlatRNN

FADED = 0.01  # share of the largest gradient below which a row counts as out of reach


class GateStatistics(pl.Callback):
    """Callback that logs the gates of each `FlatRNN` over the first batch of each validation.

    For `word_rnn` of HAN it logs `gates/word_rnn/0/reset_mean`, `reset_above_0.9`, `reset_below_0.1` (shares of all
    values; 0 is the layer) and `gates/word_rnn/reach`, see `gradient_reach`. Sequences begin with a state of zeros; an
    initial state that the model gives its layer is ignored.
    """

    def __init__(self) -> None:
        self._inputs: dict[str, tuple[Tensor, Tensor]] = {}
        self._hooks: list[Any] = []

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch the recurrent layers."""
        self._inputs = {}
        for name, layer in pl_module.named_modules():
            if isinstance(layer, FlatRNN):
                self._hooks.append(layer.register_forward_hook(self._watch(name)))

    def _watch(self, name: str) -> Any:
        def keep(layer: FlatRNN, inputs: tuple[Any, ...], output: Tensor) -> None:
            self._inputs.setdefault(name, (inputs[0], inputs[1]))

        return keep

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what the first batch showed."""
        self._release()
        for name, inputs in self._inputs.items():
            layer = pl_module.get_submodule(name)
            assert isinstance(layer, FlatRNN)
            with torch.inference_mode(False):
                rows, lengths = (tensor.detach().clone() for tensor in inputs)
                metrics = {**gate_metrics(layer, rows, lengths), "reach": gradient_reach(layer, rows, lengths)}
            for metric, value in metrics.items():
                pl_module.log(f"gates/{name}/{metric}", value)
        self._inputs = {}

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop watching."""
        self._release()

    def _release(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def gate_metrics(layer: FlatRNN, rows: Tensor, lengths: Tensor) -> dict[str, float]:
    """Return the mean of each gate of each layer, and the shares of its values above 0.9 and below 0.1."""
    metrics = {}
    for number, gates in enumerate(layer.gates(rows, lengths)):
        for name, values in gates.items():
            metrics[f"{number}/{name}_mean"] = float(values.mean())
            metrics[f"{number}/{name}_above_0.9"] = float((values > 0.9).float().mean())
            metrics[f"{number}/{name}_below_0.1"] = float((values < 0.1).float().mean())
    return metrics


def gradient_reach(layer: FlatRNN, rows: Tensor, lengths: Tensor) -> float:
    """Return how many rows back the gradient of a final state reaches, in the longest sequence of a batch.

    The norms of the gradients of all rows are compared to the largest of them; the farthest row with at least `FADED`
    of it counts. With both directions it is the forward one.

    Args:
        layer: the recurrent layer; dropout between its layers should be off.
        rows: (W, E), as for its `forward`.
        lengths: int64 (S,), as for its `forward`.
    """
    longest = lengths.argmax()
    start, length = int(segment_starts(lengths)[longest]), int(lengths[longest])
    with torch.enable_grad():
        sequence = rows[start : start + length].detach().clone().requires_grad_()
        states = layer(sequence, lengths[longest].reshape(1))
        final = states[0] if layer.direction == "backward" else states[-1, : layer.rnn.hidden_size]
        (gradient,) = torch.autograd.grad(final.sum(), sequence)
    norms = gradient.norm(dim=1) if layer.direction == "backward" else gradient.norm(dim=1).flip(0)
    return float((norms >= FADED * norms.max()).nonzero().max())
