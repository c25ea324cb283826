from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from lightning_nn import Digits, SoftmaxClassifier
from lightning_nn.models.softmax import Init
from tests.contract import one_batch, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def train(folder: Path, epochs: int, **arguments: Any) -> tuple[SoftmaxClassifier, float]:
    """A model and its accuracy on the test digits."""
    model, data = SoftmaxClassifier(features=64, num_classes=10, **arguments), Digits()
    run = trainer(folder, max_epochs=epochs)
    run.fit(model, datamodule=data)
    return model, run.test(model, datamodule=data, verbose=False)[0]["test/acc"]


@pytest.mark.parametrize("init", get_args(Init))
def test_one_layer_learns_from_any_start(tmp_path: Path, init: Init) -> None:
    _, accuracy = train(tmp_path, 5, init=init)
    assert accuracy > 0.9, accuracy


def test_zeros_with_a_hidden_layer_stay_at_chance_and_only_the_last_bias_moves(tmp_path: Path) -> None:
    model, accuracy = train(tmp_path, 3, hidden=[16], init="zeros")
    moved = {name for name, p in model.named_parameters() if p.any()}
    assert moved == {"layers.2.bias"}
    assert accuracy < 0.15, accuracy  # ten classes of equal size


def test_kaiming_with_a_hidden_layer_learns(tmp_path: Path) -> None:
    _, accuracy = train(tmp_path, 10, hidden=[64], init="kaiming")
    assert accuracy > 0.93, accuracy


def test_kaiming_keeps_the_size_of_signals_through_many_layers_and_a_fixed_deviation_does_not() -> None:
    batch = one_batch(Digits())
    spread = {}
    for init in ("kaiming", "normal"):
        model = SoftmaxClassifier(features=64, num_classes=10, hidden=[128] * 8, init=init)
        spread[init] = float(model(batch).detach().std())
    assert 0.2 < spread["kaiming"] < 5, spread
    assert spread["normal"] < 1e-6, spread


@pytest.mark.quick
def test_the_gradient_in_the_logits_is_p_minus_y() -> None:
    model = SoftmaxClassifier(features=4, num_classes=3)
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 2, 1, 1, 0])
    gradient = torch.autograd.grad(model.sample_losses(z, y).sum(), z)[0]
    torch.testing.assert_close(gradient, z.softmax(1) - torch.eye(3).double()[y])


def test_hidden_layers_stand_in_their_order_without_a_relu_on_the_logits() -> None:
    model = SoftmaxClassifier(features=64, num_classes=10, hidden=[32, 16])
    sizes = [(m.in_features, m.out_features) for m in model.layers if isinstance(m, torch.nn.Linear)]
    assert sizes == [(64, 32), (32, 16), (16, 10)]
    assert (model(one_batch(Digits())) < 0).any()


def test_an_evaluation_that_was_broken_off_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = SoftmaxClassifier(features=64, num_classes=10), Digits(batch_size=32)
    whole = trainer(tmp_path).test(model, datamodule=data, verbose=False)
    with monkeypatch.context() as patch:
        step = SoftmaxClassifier.test_step
        patch.setattr(SoftmaxClassifier, "test_step", lambda self, batch, i: step(self, batch, i) if i < 2 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trainer(tmp_path).test(model, datamodule=data, verbose=False)
    assert trainer(tmp_path).test(model, datamodule=data, verbose=False) == whole
    assert int(model.confusion("test").sum()) == len(data.sources["test"])
