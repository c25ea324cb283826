"""Losses: a neuron that is certain and wrong learns by cross-entropy, and hardly by the squared error.

    cross-entropy    dL/dz = p - y
    squared error    dL/dz = 2 (p - y) p (1 - p)

The factor p (1 - p) is the derivative of the sigmoid: where the neuron is certain, nothing passes it (Solla, Levin and
Fleisher 1988, "Accelerated learning in layered neural networks").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import Digits, LogisticRegression, Optimizer
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STARTS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)


def make_saturated(criterion: str, start: float) -> LogisticRegression:
    """Return a neuron that says three to every picture, with the logit -start."""
    model = LogisticRegression.for_data(Digits(classes=[3, 8]), criterion=criterion)
    with torch.no_grad():
        model.neuron.bias.fill_(-start)
        model.neuron.weight.normal_(0, 0.02)
    return model


def descend(model: LogisticRegression, steps: int) -> tuple[list[float], float]:
    """Train on all threes and eights at once; return the share of correct ones before each step, and at the end."""
    train, test = (split(Digits(classes=[3, 8]), name) for name in ("train", "test"))
    optimizer = Optimizer(name="sgd", lr=0.2).build(model.parameter_groups())
    shares = []
    for _ in range(steps):
        shares.append(correct(model(train), train.label))
        optimizer.zero_grad()
        model.training_step(train).backward()
        optimizer.step()
    return shares, correct(model(test), test.label)


def correct(z: Tensor, y: Tensor) -> float:
    """Return the share of logits on the right side."""
    return float(((z > 0) == (y == 1)).double().mean())


def run(seed: int = 0, size: Size = "full", *, start: float = 8.0) -> Result:
    """Train neurons by both losses, from starts that are more and more certain."""
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    for logit in sorted({*(STARTS if size == "full" else (0.0,)), start}):
        row: Row = {"start": logit}
        for criterion in ("bce", "mse"):
            torch.manual_seed(seed)
            model = make_saturated(criterion, logit)
            loss = model.training_step(split(Digits(classes=[3, 8]), "train"))
            row[f"gradient {criterion}"] = torch.autograd.grad(loss, model.neuron.bias)[0].abs().item()
            curve, row[f"correct {criterion}"] = descend(model, 60)
            curves[criterion] = curve if logit == start else curves.get(criterion, curve)
        rows.append(row)
    return Result(rows, {name: torch.tensor(curve).numpy() for name, curve in curves.items()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the correct answers over the steps, and the gradient over the start."""
    left, right = figure.subplots(1, 2)
    for criterion, colour, marker in (("bce", BLUE, "o"), ("mse", ORANGE, "s")):
        left.plot(result.arrays[criterion], color=colour, marker=marker, markevery=10, label=criterion)
        right.plot(result.column("start"), result.column(f"gradient {criterion}"), marker=marker, color=colour)
    left.set(xlabel="t", ylabel="ok", ylim=(0, 1.02))
    right.set(xlabel="-z", ylabel="|dL/db|", yscale="log")
    left.legend()


def claim(result: Result) -> list[Claim]:
    """Compare both losses from the certain start, and from a start without an opinion."""
    easy, hard = result.row(start=0.0), result.row(start=result.knobs["start"])
    return [
        Claim("correct by cross-entropy", hard["correct bce"], ">=", 0.85),
        Claim("correct by squared error", hard["correct mse"], "<=", 0.7),
        Claim("correct by squared error from 0", easy["correct mse"], ">=", 0.85),
        Claim("gradients, cross-entropy by squared error", hard["gradient bce"] / hard["gradient mse"], ">=", 100),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the correct answers by squared error."""
    share = result.row(start=8.0)["correct mse"]
    return 1 if share > 0.9 else 2 if share > 0.7 else 3


def answer_1() -> list[Claim]:
    """Compare both gradients in z with the formulas."""
    z = torch.tensor([-8.0], dtype=torch.float64, requires_grad=True)
    p = z.sigmoid()
    (cross,) = torch.autograd.grad(-p.log().sum(), z, retain_graph=True)
    (square,) = torch.autograd.grad(((p - 1) ** 2).sum(), z)
    return [
        Claim("gap of cross-entropy and p - y", (cross - (p - 1)).abs().item(), "<=", 1e-9),
        Claim("gradients, squared error by 2 p (1 - p)", (square / cross / (2 * p * (1 - p))).item(), "<=", 1.000001),
    ]


def answer_2() -> list[Claim]:
    """Give the squared error more steps."""
    model = make_saturated("mse", 8.0)
    return [Claim("correct by squared error, after 20 times the steps", descend(model, 1200)[1], ">=", 0.85)]
