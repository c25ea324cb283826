"""Steps of a picture's optimisation without a Trainer, for research code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.base import Means


class Step(NamedTuple):
    """A step of `StyleTransfer.stylize`.

    Attributes:
        number: counted from 1.
        total: number of all steps.
        loss: before the step.
        image: float (3, H, W), 0 to 255, after it.
    """

    number: int
    total: int
    loss: float
    image: Tensor


class Optimised(Protocol):
    """What `optimise` needs of a model of one picture."""

    picture: nn.Parameter
    optimizer: Optimizer

    def training_means(self, batch: StyleBatch) -> Means:
        """Sum the losses."""
        ...

    def on_after_backward(self) -> None:
        """Scale the gradient."""
        ...

    def advance(self, step: int, total: float) -> bool:
        """Go on to the next scale when its time has come, and return whether it did."""
        ...

    def renewed(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Return the optimizer of the next scale."""
        ...

    def shorten(self, optimizer: torch.optim.Optimizer) -> None:
        """Take back a part of a step that is too long."""
        ...

    def result(self) -> Tensor:
        """Return the picture, (1, 3, H, W)."""
        ...


def optimise(model: Optimised, batch: StyleBatch, total: int) -> Iterator[Step]:
    """Optimise the picture of a model, and yield each step.

    Args:
        model: of one picture.
        batch: its photographs.
        total: number of steps.

    Raises:
        UserError: the loss explodes or is not finite.
    """
    optimizer = model.optimizer.build([{"params": [model.picture]}])
    losses: list[float] = []

    def closure() -> float:
        model.picture.grad = None
        loss = model.training_means(batch).sums["loss"]
        if not loss.isfinite():
            raise UserError(f"the loss is no longer a finite number: lower lr (now {model.optimizer.lr:g})")
        loss.backward()  # type: ignore[no-untyped-call]
        model.on_after_backward()
        losses.append(float(loss.detach()))
        return losses[-1]

    for step in range(total):
        if model.advance(step, total):
            optimizer = model.renewed(optimizer)
        optimizer.step(closure)
        model.shorten(optimizer)
        yield Step(step + 1, total, losses[-1], model.result()[0])
