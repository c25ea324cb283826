"""Lookahead: slow weights that follow those of the optimizer."""

from __future__ import annotations

import math
from typing import Any

import torch

from lightning_nn.errors import UserError


class Lookahead:
    """Lookahead (Zhang et al. 2019), attached to an optimizer.

    Every k steps the slow weights move a share of the way to the optimizer's, which then go on from there:

        slow <- a slow + (1 - a) fast;  fast <- slow

    The optimizer explores at a high learning rate while the slow weights average over its noise. As in Jordan (2024,
    arXiv:2404.00498) the memory a grows with the cube of the steps done, from 0 to 0.95^k. Slow weights and the
    number of steps are part of the optimizer's state, and so of checkpoints.

    Args:
        optimizer: the optimizer; its step calls this from now on.
        every: k, 1 or above.
        steps: number of steps of the whole run.

    Raises:
        UserError: the run has no end.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, every: int, steps: float) -> None:
        if math.isinf(steps):
            raise UserError(
                "--optimizer.lookahead needs to know where the run ends: set --trainer.max_epochs or "
                "--trainer.max_steps"
            )
        self.every, self.steps = every, steps
        optimizer.param_groups[0]["lookahead_steps"] = 0
        optimizer.register_step_post_hook(self)

    @torch.no_grad()
    def __call__(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count a step of the optimizer and, after every k-th, average its weights."""
        first = optimizer.param_groups[0]
        first["lookahead_steps"] += 1
        if first["lookahead_steps"] % self.every:
            return
        memory = 0.95**self.every * min(1.0, first["lookahead_steps"] / self.steps) ** 3
        for group in optimizer.param_groups:
            for fast in group["params"]:
                if fast.grad is None:
                    continue
                state = optimizer.state[fast]
                if "slow" in state:
                    fast.copy_(state["slow"].lerp_(fast, 1 - memory))
                else:
                    state["slow"] = fast.clone()
