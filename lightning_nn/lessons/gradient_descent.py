"""Gradient descent: a step against the gradient is the fastest way down, and the gradient can be checked by hand.

    w = w - lr dL/dw,    dL/dw_i ~ (L(w_i + e) - L(w_i - e)) / 2 e

Cauchy 1847. The difference quotient is off by about e^2, and by the rounding of L divided by e: there is a best e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import Digits, ImageBatch, LogisticRegression
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS_OF_DIFFERENCE = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-7, 1e-9, 1e-11)


def make_neuron() -> tuple[LogisticRegression, ImageBatch]:
    """Return a neuron in double precision, with random weights, and all threes and eights to train it on."""
    model = LogisticRegression.for_data(data := Digits(classes=[3, 8])).double()
    torch.nn.init.normal_(model.neuron.weight, 0, 0.1)
    return model, split(data, "train")


def gradient(model: LogisticRegression, batch: ImageBatch) -> Tensor:
    """Compute dL/dw by backpropagation, (features,)."""
    (result,) = torch.autograd.grad(model.training_step(batch), model.neuron.weight)
    return result[0]


@torch.no_grad()
def loss_at(model: LogisticRegression, batch: ImageBatch, step: Tensor) -> float:
    """Compute the loss at w + step; the weights stay as they are."""
    model.neuron.weight += step
    loss = model.training_step(batch).item()
    model.neuron.weight -= step
    return loss


def run(seed: int = 0, size: Size = "full", *, lr: float = 0.1) -> Result:
    """Compare the gradient with difference quotients, and with the slope in random directions; then descend."""
    model, batch = make_neuron()
    exact = gradient(model, batch)
    rows: list[Row] = []
    for e in STEPS_OF_DIFFERENCE if size == "full" else STEPS_OF_DIFFERENCE[::2]:
        steps = torch.eye(len(exact), dtype=torch.float64)[:24] * e
        quotients = [(loss_at(model, batch, step) - loss_at(model, batch, -step)) / (2 * e) for step in steps]
        rows.append({"e": e, "gap": (torch.tensor(quotients, dtype=torch.float64) - exact[:24]).abs().max().item()})
    directions = torch.randn(300, len(exact), dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    slopes = directions @ exact
    losses = []
    for _ in range(50):
        losses.append(loss_at(model, batch, torch.zeros(())))
        step = -lr * gradient(model, batch)
        with torch.no_grad():
            model.neuron.weight += step
    arrays = {"slopes": slopes.numpy(), "steepest": exact.norm()[None].numpy(), "losses": torch.tensor(losses).numpy()}
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the gap over e, the slopes of random directions beside the gradient's, and the descent."""
    left, middle, right = figure.subplots(1, 3)
    left.loglog(result.column("e"), [max(gap, 1e-17) for gap in result.column("gap")], "o-", color=BLUE)
    left.set(xlabel="e", ylabel="gap")
    steepest = result.arrays["steepest"][0]
    middle.hist(result.arrays["slopes"], bins=20, color=BLUE)
    middle.axvline(-steepest, color=ORANGE, linestyle="--")
    middle.axvline(steepest, color=ORANGE, linestyle="--")
    middle.set(xlabel="dL/ds", ylabel="n")
    right.plot(result.arrays["losses"], color=GREEN)
    right.set(xlabel="t", ylabel="L")


def claim(result: Result) -> list[Claim]:
    """Say that the gradient is right, that nothing is steeper, and that steps against it go down."""
    gaps, losses = result.column("gap"), result.arrays["losses"]
    first, last = gaps[0], gaps[-1]
    return [
        Claim("smallest gap", min(gaps), "<=", 1e-9),
        Claim("gap of the largest e, by the smallest gap", first / min(gaps), ">=", 1000),
        Claim("gap of the smallest e, by the smallest gap", last / min(gaps), ">=", 100),
        Claim("steepness, by that of the steepest random direction",
              float(result.arrays["steepest"][0] / abs(result.arrays["slopes"]).max()), ">=", 1.5),
        Claim("share of steps that went down", float((losses[1:] < losses[:-1]).mean()), "==", 1),
    ]  # fmt: skip


def right_choice(result: Result) -> int:
    """Return the choice of the best e."""
    best = min(result.rows, key=lambda row: row["gap"])["e"]
    return 1 if best >= 0.1 else 2 if best >= 1e-8 else 3


def answer_1() -> list[Claim]:
    """Halve e in the range where e^2 decides."""
    model, batch = make_neuron()
    exact, step = gradient(model, batch)[20], torch.eye(64, dtype=torch.float64)[20]
    gaps = [
        abs((loss_at(model, batch, e * step) - loss_at(model, batch, -e * step)) / (2 * e) - float(exact))
        for e in (0.1, 0.05)
    ]
    return [
        Claim("gap at e, by that at e / 2", gaps[0] / gaps[1], ">=", 3.8),
        Claim("the same, from above", gaps[0] / gaps[1], "<=", 4.2),
    ]


def answer_2() -> list[Claim]:
    """Take steps in the best of ten random directions, as long as those of the gradient."""
    ends = {}
    for way in ("gradient", "random"):
        torch.manual_seed(0)
        model, batch = make_neuron()
        for _ in range(20):
            step = -0.1 * gradient(model, batch)
            if way == "random":
                tries = torch.randn(10, 64, dtype=torch.float64)
                tries *= step.norm() / tries.norm(dim=1, keepdim=True)
                step = min(tries, key=lambda direction: loss_at(model, batch, direction))
            with torch.no_grad():
                model.neuron.weight += step
        ends[way] = loss_at(model, batch, torch.zeros(()))
    return [Claim("loss of the gradient, by that of random directions", ends["gradient"] / ends["random"], "<=", 0.9)]
