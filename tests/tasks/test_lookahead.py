from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightning_nn import Optimizer, UserError
from lightning_nn.tasks.lookahead import Lookahead
from tests.commands import command


def descend(weight: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight**2 * torch.tensor([0.5, 2.0])).sum().backward()
        optimizer.step()
    return weight.detach().clone()


def made() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    return weight, Optimizer("sgd", lr=0.1, momentum=0.9).build([{"params": [weight]}])


def test_every_second_step_the_weights_are_averaged_with_the_slow_ones() -> None:
    weight, optimizer = made()
    Lookahead(optimizer, 2, 6)
    fast, v = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    slow = None
    for step in range(1, 7):
        v = 0.9 * v + 2 * fast * torch.tensor([0.5, 2.0])
        fast = fast - 0.1 * v
        if step % 2 == 0:
            memory = 0.95**2 * (step / 6) ** 3
            slow = fast if slow is None else memory * slow + (1 - memory) * fast
            fast = slow
    torch.testing.assert_close(descend(weight, optimizer, 6), fast)


@pytest.mark.parametrize("at", [1, 2, 5])
def test_an_optimizer_restored_from_its_state_goes_on(at: int) -> None:
    weight, optimizer = made()
    Lookahead(optimizer, 2, 9)
    whole = descend(weight, optimizer, 9)
    weight, optimizer = made()
    Lookahead(optimizer, 2, 9)
    middle = descend(weight, optimizer, at)
    state = optimizer.state_dict()
    weight, optimizer = made()
    Lookahead(optimizer, 2, 9)
    weight.data.copy_(middle)
    optimizer.load_state_dict(state)
    assert torch.equal(descend(weight, optimizer, 9 - at), whole)


def test_weights_that_are_not_trained_are_left_alone() -> None:
    trained, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Optimizer("adam").build([{"params": [trained, frozen]}])
    Lookahead(optimizer, 1, 4)
    descend(trained, optimizer, 2)
    assert frozen not in optimizer.state
    (trained.sum() + frozen.sum()).backward()
    optimizer.step()
    assert {"exp_avg", "slow"} <= optimizer.state[frozen].keys()


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(UserError, match=r"--optimizer\.lookahead needs to know where the run ends"):
        Lookahead(made()[1], 2, math.inf)


@pytest.mark.parametrize(
    ("settings", "words"),
    [(Optimizer(lookahead=-1), "lookahead is -1"), (Optimizer("lbfgs", lookahead=2), "has no lookahead")],
)
def test_settings_that_make_no_sense_are_refused(settings: Optimizer, words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings.check()


def test_the_option_reaches_the_run(tmp_path: Path) -> None:
    argv = ("fit", "--model", "softmax", "--name", "r", "--trainer.max_epochs", "1", "--optimizer.lookahead", "3")
    command(*argv, cwd=tmp_path).ok()
    checkpoint = torch.load(tmp_path / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)
    state = checkpoint["optimizer_states"][0]
    assert state["param_groups"][0]["lookahead_steps"] == checkpoint["global_step"]
    assert all("slow" in each for each in state["state"].values())
