from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_nn import ConvNet, LRScheduler, LSTMClassifier, Optimizer
from lightning_nn.errors import UserError


def small_model() -> LSTMClassifier:
    return LSTMClassifier(vocabulary_size=20, num_classes=2, embedding_size=4, hidden_size=4, pooling="attention")


def descend(build: Any, steps: int = 5) -> Tensor:
    """Weights after some steps down a bowl that is steeper in one direction than in the other."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = build([{"params": [weight]}])
    for _ in range(steps):
        optimizer.zero_grad()
        (weight**2 * torch.tensor([0.5, 2.0])).sum().backward()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_the_rule_of_the_notes(momentum: float, nesterov: bool) -> None:
    """v = m v + g;  w = w - lr v, or w - lr (g + m v) for Nesterov's."""
    if nesterov and not momentum:
        return
    w, v = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for _ in range(5):
        g = 2 * w * torch.tensor([0.5, 2.0])
        v = momentum * v + g
        w = w - 0.1 * (g + momentum * v if nesterov else v)
    ours = Optimizer("sgd", lr=0.1, momentum=momentum, nesterov=nesterov)
    torch.testing.assert_close(descend(ours.build), w)


@pytest.mark.parametrize(("name", "reference"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_and_adamw_are_torchs_own(name: Any, reference: Any) -> None:
    for decay in (0.0, 0.1):
        ours = descend(lambda g, d=decay: Optimizer(name, lr=0.1).build([{**g[0], "weight_decay": d}]))
        torch.testing.assert_close(ours, descend(lambda g, d=decay: reference(g, lr=0.1, weight_decay=d)))


def test_biases_and_attention_vectors_of_one_row_are_not_confused() -> None:
    """The context vectors, which torch holds as matrices of one row, are decayed as matrices; biases are not."""
    model = small_model()
    model.optimizer = replace(model.optimizer, weight_decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, free = ({names[id(p)] for p in group["params"]} for group in model.parameter_groups())
    assert [group["weight_decay"] for group in model.parameter_groups()] == [0.1, 0.0]
    assert decayed | free == set(names.values()) and not decayed & free
    assert {name for name in free if "bias" not in name} == set()
    assert {name for name in decayed if "bias" in name} == set()


def test_decay_without_a_gradient_moves_matrices_towards_zero_and_leaves_biases() -> None:
    model = small_model()
    model.optimizer = Optimizer("sgd", lr=0.1, weight_decay=0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    model.optimizer.build(model.parameter_groups()).step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, before[name] * (1.0 if "bias" in name else 1 - 0.1 * 0.5), msg=name)


def test_a_groups_scale_multiplies_its_rate() -> None:
    slow, fast = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups: list[dict[str, Any]] = [{"params": [slow], "scale": 0.1}, {"params": [fast]}]
    rates = [group["lr"] for group in Optimizer(lr=0.5).build(groups).param_groups]
    assert rates == pytest.approx([0.05, 0.5])
    assert groups[0]["scale"] == 0.1, "the caller's groups are left alone"


def test_norms_may_learn_at_a_rate_of_their_own() -> None:
    model = ConvNet(1, 8, 8, 3, layers=["whitening 2", "conv 4 3", "batch_norm", "flatten"])
    model.optimizer = Optimizer(lr=0.5, norm_scale=64.0)
    matrices, vectors, norms = model.optimizer.build(model.parameter_groups()).param_groups
    assert [group["lr"] for group in (matrices, vectors, norms)] == [0.5, 0.5, 32.0]
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in norms["params"]} == {"body.batch_norm1.weight", "body.batch_norm1.bias"}
    assert {names[id(p)] for p in vectors["params"]} == {"body.whitening1.bias", "head.bias"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "rmsprop"}, "--optimizer.name is 'rmsprop'"),
        ({"lr": 0.0}, "--optimizer.lr is 0.0; it must be above 0"),
        ({"lr": -1.0}, "--optimizer.lr is -1.0"),
        ({"lr": 1e308}, r"--optimizer.lr is 1e\+308; it must be above 0, at most 3e\+38"),
        ({"weight_decay": 1e308}, r"--optimizer.weight_decay is 1e\+308; it must be 0 to 3e\+38"),
        ({"lr": math.nan}, "--optimizer.lr is nan"),
        ({"name": "adam", "momentum": 0.9}, "momentum is 0.9, but adam has none: leave it out"),
        ({"name": "adamw", "nesterov": True}, "nesterov is True, but adamw has none"),
        ({"name": "sgd", "kernel_lr": 0.1}, "kernel_lr is 0.1, but sgd has none"),
        ({"name": "lbfgs", "weight_decay": 0.1}, "weight_decay is 0.1, but lbfgs has none"),
        ({"name": "sgd", "nesterov": True}, "--optimizer.nesterov needs a momentum"),
        ({"name": "sgd", "momentum": -0.5}, "--optimizer.momentum is -0.5"),
        ({"weight_decay": -0.1}, "--optimizer.weight_decay is -0.1"),
        ({"name": "muon", "kernel_lr": 0.0}, "--optimizer.kernel_lr is 0.0; it must be above 0"),
        ({"norm_scale": 0.0}, "--optimizer.norm_scale is 0.0; it must be above 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    model = small_model()
    model.optimizer = Optimizer(**settings)
    with pytest.raises(UserError, match=message):
        model.optimizer.build(model.parameter_groups())


# ---------------------------------------------------------------------- schedules

TOTAL = 100


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (LRScheduler("constant"), {0: 1.0, 50: 1.0, 99: 1.0}),
        (LRScheduler("constant", warmup=10), {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 99: 1.0}),
        (LRScheduler("constant", warmup=0.2), {0: 0.05, 19: 1.0, 20: 1.0}),
        (LRScheduler("cosine"), {0: 1.0, 25: 0.5 + 0.5 * math.sqrt(0.5), 50: 0.5, 100: 0.0}),
        (LRScheduler("cosine", floor=0.1), {0: 1.0, 50: 0.55, 100: 0.1}),
        (LRScheduler("cosine", warmup=0.2), {0: 0.05, 19: 1.0, 20: 1.0, 60: 0.5, 100: 0.0}),
        (LRScheduler("linear", floor=0.1), {0: 1.0, 50: 0.55, 100: 0.1}),
        (LRScheduler("linear", warmup=0.2), {0: 0.05, 19: 1.0, 20: 1.0, 40: 0.75, 100: 0.0}),
        (LRScheduler("one_cycle"), {0: 0.04, 15: 0.52, 30: 1.0, 65: 0.5, 100: 0.0}),
        (LRScheduler("one_cycle", warmup=50), {0: 0.04, 25: 0.52, 50: 1.0, 75: 0.5, 100: 0.0}),
    ],
)
def test_values_at_the_start_the_end_of_warm_up_and_the_end(scheduler: LRScheduler, expected: dict[int, float]) -> None:
    factor = scheduler.factor(TOTAL)
    assert {step: factor(step) for step in expected} == pytest.approx(expected, abs=1e-9)


@given(
    st.sampled_from(["constant", "cosine", "linear", "one_cycle"]),
    st.floats(0, 1, exclude_max=True) | st.integers(1, 200),
    st.integers(1, 300),
)
def test_a_factor_is_never_above_one_rises_in_warm_up_and_falls_after(name: Any, warmup: float, total: int) -> None:
    factors = [LRScheduler(name, warmup).factor(total)(step) for step in range(total + 5)]
    assert all(0 <= f <= 1 for f in factors), factors
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1]) and factors[top:] == sorted(factors[top:], reverse=True)


def test_after_the_end_it_stays_at_its_last_value() -> None:
    factor = LRScheduler("cosine", floor=0.2).factor(10)
    assert factor(10) == factor(50) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("scheduler", "total", "message"),
    [
        (LRScheduler("constant", warmup=-1), TOTAL, "--lr_scheduler.warmup is -1"),
        (LRScheduler("cosine", floor=7), TOTAL, "--lr_scheduler.floor is 7"),
        (LRScheduler("liner"), TOTAL, "--lr_scheduler.name is 'liner'; did you mean 'linear'?"),  # type: ignore[arg-type]
        (LRScheduler("cosine"), math.inf, "cosine needs to know where the run ends: set --trainer.max_epochs"),
        (LRScheduler("constant", warmup=0.1), math.inf, "needs to know where the run ends"),
    ],
)
def test_schedules_that_make_no_sense(scheduler: LRScheduler, total: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scheduler.factor(total)


def test_a_run_without_an_end_may_warm_up_by_steps() -> None:
    assert LRScheduler("constant", warmup=4).factor(math.inf)(1) == 0.5
