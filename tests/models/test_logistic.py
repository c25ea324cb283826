from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lightning_nn import Digits, LogisticRegression, Loss, Optimizer, UserError
from lightning_nn.layers.images import normalize
from tests.contract import one_batch, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def test_one_neuron_tells_two_digits_apart_from_zeros(tmp_path: Path) -> None:
    model, data = LogisticRegression(features=64), Digits(classes=[3, 8])
    assert not any(p.any() for p in model.parameters())
    run = trainer(tmp_path, max_epochs=20)
    run.fit(model, datamodule=data)
    accuracy = run.test(model, datamodule=data, verbose=False)[0]["test/acc"]
    assert accuracy > 0.95, accuracy


@pytest.mark.parametrize("seed", [1, 2])
def test_bce_is_convex_every_start_ends_at_the_same_loss(seed: int) -> None:
    """From zeros and from large random weights, on standardised features, so that descent is quick."""
    torch.manual_seed(seed)
    x = torch.randn(60, 4, dtype=torch.float64)
    y = (torch.rand(60) < x[:, 0].sigmoid()).long()

    def descend(start: torch.Tensor) -> float:
        model = LogisticRegression(features=4).double()
        model.neuron.weight.data.copy_(start)
        for _ in range(400):
            loss = model.sample_losses(model.neuron(x).squeeze(1), y).mean()
            gradient = torch.autograd.grad(loss, list(model.parameters()))
            for p, g in zip(model.parameters(), gradient, strict=True):
                p.data -= 1.0 * g
        return float(loss.detach())

    assert descend(torch.zeros(1, 4)) == pytest.approx(descend(3 * torch.randn(1, 4)), abs=1e-6)


def gradient_in_the_sum(criterion: Any, z: float, y: int) -> float:
    model = LogisticRegression(features=1, criterion=criterion).double()
    logit = torch.tensor([z], dtype=torch.float64, requires_grad=True)
    return float(torch.autograd.grad(model.sample_losses(logit, torch.tensor([y])).sum(), logit)[0])


@pytest.mark.quick
@pytest.mark.parametrize("z", [-12.0, -1.0, 0.0, 2.0, 12.0])
@pytest.mark.parametrize("y", [0, 1])
def test_gradients_are_those_of_the_notes(z: float, y: int) -> None:
    """bce: p - y; mse: 2 (p - y) p (1 - p)."""
    p = 1 / (1 + torch.tensor(-z, dtype=torch.float64).exp().item())
    assert gradient_in_the_sum("bce", z, y) == pytest.approx(p - y, abs=1e-12)
    assert gradient_in_the_sum("mse", z, y) == pytest.approx(2 * (p - y) * p * (1 - p), abs=1e-12)


def test_where_sure_and_wrong_mse_gives_no_gradient_and_bce_all_of_it() -> None:
    assert gradient_in_the_sum("bce", 12.0, 0) > 0.99999
    assert gradient_in_the_sum("mse", 12.0, 0) < 2e-5


def test_mse_cannot_leave_a_wrong_start_that_bce_leaves() -> None:
    batch = one_batch(Digits(classes=[3, 8]))
    x, label = normalize(batch.image, torch.float32).flatten(1), batch.label
    right = {}
    for criterion in ("bce", "mse"):
        model = LogisticRegression(features=64, criterion=criterion)
        model.neuron.weight.data = 5 * (x[label == 0].mean(0) - x[label == 1].mean(0))[None]  # sure, and wrong
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            model.sample_losses(model(batch), label).mean().backward()
            optimizer.step()
        right[criterion] = float(((model(batch) > 0) == label).float().mean())
    assert right["bce"] > 0.9 > 0.5 > right["mse"], right


def test_probabilities_are_those_of_the_two_classes() -> None:
    model = LogisticRegression(features=1)
    torch.testing.assert_close(model.probabilities(torch.tensor([0.0, 100.0])), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))


def test_label_smoothing_and_class_weights() -> None:
    model = LogisticRegression(features=1)
    model.loss = Loss(label_smoothing=0.2, class_weights=[1.0, 3.0])
    z, y = torch.tensor([0.3, -2.0]), torch.tensor([0, 1])
    logits = torch.stack([torch.zeros(2), z], dim=1)  # two neurons whose softmax is the one's sigmoid
    expected = F.cross_entropy(logits, y, weight=torch.tensor([1.0, 3.0]), label_smoothing=0.2, reduction="none")
    torch.testing.assert_close(model.sample_losses(z, y), expected)


def test_more_classes_are_refused_with_the_remedy() -> None:
    with pytest.raises(
        UserError, match=r"the data has 10: choose two, such as --data.classes \[3,8\].*--model softmax"
    ):
        LogisticRegression(features=64, num_classes=10)


@pytest.mark.parametrize("size", [1, 16, "all"])
def test_batch_size_is_a_choice_of_gradient_descent(tmp_path: Path, size: Any) -> None:
    """By single samples, mini-batches or the whole set: as many steps as that makes, and each of them learns."""
    model, data = LogisticRegression(features=64), Digits(classes=[0, 1], batch_size=size)
    model.optimizer = Optimizer("sgd", lr=0.01)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    samples = sum(data.class_counts)
    assert run.global_step == {1: samples, 16: -(-samples // 16), "all": 1}[size]
    assert run.callback_metrics["val/acc"] > 0.95


def test_an_image_is_read_as_numbers_from_minus_one_to_one() -> None:
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    torch.testing.assert_close(normalize(image, torch.float64).flatten(), torch.tensor([-1, -0.6, 1]).double())
