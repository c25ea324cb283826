"""Steps of a picture's optimisation: what its optimizer needs, and the loop without a Trainer for research code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.resizing import resize
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.base import Means

LONGEST_STEP = 10.0  # root mean square of the changes of all values in a step, of 0 to 255
EXPLODED = 10  # times the first loss; L-BFGS may come back from there after a step that was too long
PATIENCE = 10  # steps in which it does not


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


class Watch:
    """Watch over the loss of pictures, which may explode."""

    def __init__(self) -> None:
        self._best: Tensor | None = None  # the pictures of the least loss
        self.begin_scale()

    def begin_scale(self) -> None:
        """Forget the losses at another size, but keep the best pictures until there are some of this size."""
        self._first, self._least, self._exploded = 0.0, math.inf, 0

    @torch.no_grad()
    def judge(self, loss: Tensor, picture: nn.Parameter, optimizer: Optimizer, *, last: bool = False) -> None:
        """Stop a run whose loss is not finite, or has risen far above the first one and does not come back.

        Args:
            loss: of each picture, (B,).
            picture: the pictures; if the run stops, the best are put back.
            optimizer: settings, for the message.
            last: whether no step follows, which could still come back.

        Raises:
            UserError: the run stops.
        """
        value = float(loss.sum())
        if value < self._least:
            self._least, self._best = value, picture.clone()
        if not value < math.inf:
            self.stop("the loss is no longer a finite number", picture, optimizer)
        self._first = self._first or value
        self._exploded = self._exploded + 1 if value > EXPLODED * self._first else 0
        if self._exploded > PATIENCE * (not last):
            self.stop(f"the loss has risen from {self._first:.3g} to {value:.3g}", picture, optimizer)

    @torch.no_grad()
    def stop(self, fault: str, picture: nn.Parameter, optimizer: Optimizer) -> NoReturn:
        """Put the best pictures back, and stop the run."""
        if self._best is not None:
            picture.copy_(resize(self._best, (picture.shape[2], picture.shape[3])))
        other = "" if optimizer.name == "adam" else ", or take --optimizer.name adam"
        raise UserError(
            f"{fault}: the run stopped, with the picture of the least loss.\n"
            f"Lower --optimizer.lr (now {optimizer.lr:g}){other}"
        )


class Optimised(Protocol):
    """Interface of a model of one picture, for `optimise`."""

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

    def settle(self, step: int, total: float, optimizer: Any) -> None:
        """Check the picture after a step."""
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
        loss.backward()  # type: ignore[no-untyped-call]
        model.on_after_backward()
        losses.append(float(loss.detach()))
        return losses[-1]

    for step in range(total):
        if model.advance(step, total):
            optimizer = renewed(optimizer, model.picture, model.optimizer)
        optimizer.step(closure)
        model.settle(step, total, optimizer)
        yield Step(step + 1, total, losses[-1], model.result()[0])


@torch.no_grad()
def shorten(picture: nn.Parameter, optimizer: Any) -> None:
    """Take back a part of a step of L-BFGS that is longer than `LONGEST_STEP`: its curvature holds near by only."""
    state = optimizer.state.get(picture, {})
    if "d" not in state or (length := state["d"].norm() * state["t"]) <= (
        longest := LONGEST_STEP * picture.numel() ** 0.5
    ):
        return
    shorter = state["t"] * longest / length
    picture.view(-1).add_(state["d"] * (shorter - state["t"]))
    state["t"] = shorter  # from which the optimizer knows its step


@torch.no_grad()
def renewed(optimizer: torch.optim.Optimizer, picture: nn.Parameter, settings: Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer of an enlarged picture.

    Args:
        optimizer: that of the smaller one.
        picture: the enlarged one.
        settings: kind of optimizer.
    """
    if not isinstance(optimizer, torch.optim.LBFGS):
        size = (picture.shape[2], picture.shape[3])
        for state in optimizer.state.values():
            state.update({name: resize(each, size) for name, each in state.items() if is_image(each)})
        return optimizer
    values = {name: each for name, each in optimizer.param_groups[0].items() if name != "params"}
    optimizer = settings.build([{"params": [picture]}])
    optimizer.param_groups[0].update(values)
    return optimizer


def is_image(value: Any) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor (B, C, H, W)."""
    return isinstance(value, Tensor) and value.dim() == 4
