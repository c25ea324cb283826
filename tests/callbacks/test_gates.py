from __future__ import annotations

from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_nn.callbacks.gates import GateStatistics, gate_metrics, gradient_reach
from lightning_nn.layers.recurrent import Direction, FlatRNN
from tests.callbacks.tiny import trainer

E, H = 3, 4
LENGTHS = torch.tensor([2, 30, 5])


class Recurrent(pl.LightningModule):
    """Two layers that add up a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = FlatRNN(E, H, "gru", layers=2, dropout=0.5)

    def training_step(self, batch: Tensor) -> Tensor:
        return self.rnn(batch, LENGTHS).square().mean()

    def validation_step(self, batch: Tensor) -> None:
        self.rnn(batch, LENGTHS)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(cast(Any, [torch.ones(37, E)]), batch_size=None)

    val_dataloader = train_dataloader


def fitted(*callbacks: pl.Callback) -> tuple[Recurrent, pl.Trainer]:
    torch.manual_seed(0)
    model, fit = Recurrent(), trainer(*callbacks, logger=False)
    fit.fit(model)
    return model, fit


def test_a_run_logs_its_gates_and_trains_as_without_them() -> None:
    model, fit = fitted(GateStatistics())
    logged = {name: float(value) for name, value in fit.callback_metrics.items() if name.startswith("gates/")}
    expected = gate_metrics(model.eval().rnn, torch.ones(37, E), LENGTHS)
    expected["reach"] = gradient_reach(model.rnn, torch.ones(37, E), LENGTHS)
    assert logged == pytest.approx({f"gates/rnn/{name}": value for name, value in expected.items()})
    assert {"0/reset_mean", "1/update_above_0.9", "1/update_below_0.1"} < set(expected)
    assert not model.rnn._forward_hooks, "nothing is watched any longer"
    for weight, same in zip(model.parameters(), fitted()[0].parameters(), strict=True):
        assert torch.equal(weight, same)


@pytest.mark.quick
def test_shares_count_open_and_closed_gates() -> None:
    layer = FlatRNN(E, H, "lstm", "forward")
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        bias = dict(layer.rnn.named_parameters())["bias_ih_l0"]
        bias[H : H + 2] = 4.0  # half of the forget gates, 0.98
        bias[:H] = -4.0  # input gates, 0.02
    metrics = gate_metrics(layer, torch.ones(37, E), LENGTHS)
    assert metrics["0/forget_above_0.9"] == 0.5
    assert metrics["0/input_below_0.1"] == 1
    assert metrics["0/output_mean"] == 0.5


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_an_open_forget_gate_reaches_farther(direction: Direction) -> None:
    reaches = []
    for bias in (-4.0, 0.0, 8.0):
        torch.manual_seed(0)
        layer = FlatRNN(E, H, "lstm", direction)
        with torch.no_grad():
            for name, value in layer.rnn.named_parameters():
                if "bias_ih" in name:
                    value[H : 2 * H] = bias
        reaches.append(gradient_reach(layer, torch.randn(37, E), LENGTHS))
    closed, half, opened = reaches
    assert closed < half < opened == 29
