"""Steps of a picture's optimisation without a Trainer, for research code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

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

    picture: torch.nn.Parameter
    optimizer: Optimizer
    training_means: Callable[[Any], Means]
    on_after_backward: Callable[[], None]
    advance: Callable[[int, float], bool]
    shorten: Callable[[torch.optim.Optimizer], None]
    renewed: Callable[[torch.optim.Optimizer], torch.optim.Optimizer]
    result: Callable[[], Tensor]


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
