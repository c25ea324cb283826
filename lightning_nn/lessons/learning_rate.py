"""The learning rate: too small, and nothing happens; too large, and the steps jump over the valley.

    w = w - lr dL/dw

On a parabola of curvature c a step multiplies the distance from the lowest point by 1 - lr c, which grows beyond
lr = 2 / c. LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lightning_nn import Digits, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, ORANGE, RED, Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)


def descend(lr: float, steps: int) -> tuple[list[float], float]:
    """Descend the loss of softmax regression on all digits; return it before each step, and the share correct."""
    data = Digits()
    train, test = split(data, "train"), split(data, "test")
    model = SoftmaxClassifier(features=64, num_classes=10)
    optimizer = Optimizer(name="sgd", lr=lr).build(model.parameter_groups())
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.training_step(train)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        return losses, float((model(test).argmax(1) == test.label).double().mean())


def run(seed: int = 0, size: Size = "full", *, lr: float = 3.0) -> Result:
    """Descend with several rates, from the same start."""
    rows: list[Row] = []
    curves = {}
    for rate in sorted({*(RATES if size == "full" else RATES[::3]), lr}):
        torch.manual_seed(seed)
        losses, correct = descend(rate, 100 if size == "full" else 60)
        worse = float(np.mean(np.diff(losses) > 0))
        rows.append({"lr": rate, "loss": losses[-1], "steps up": worse, "correct": correct})
        curves[rate] = losses
    shown = [curves[rate] for rate in (RATES[0], lr, RATES[-1])]
    return Result(rows, {"curves": np.array(shown)})


def draw(result: Result, figure: Figure) -> None:
    """Draw three descents, and the loss at the end over the rate."""
    left, right = figure.subplots(1, 2)
    rates = (RATES[0], result.knobs["lr"], RATES[-1])
    styles = ((ORANGE, "--"), (BLUE, "-"), (RED, ":"))
    for rate, losses, (colour, style) in zip(rates, result.arrays["curves"], styles, strict=True):
        left.semilogy(np.clip(losses, 1e-2, None), style, color=colour, label=f"{rate:g}")
    left.set(xlabel="t", ylabel="L")
    left.legend(title="lr")
    right.loglog(result.column("lr"), result.column("loss"), "o-", color=BLUE)
    right.set(xlabel="lr", ylabel="L")


def claim(result: Result) -> list[Claim]:
    """Say that there is a range of rates that work, with an end on each side."""
    small, large, chosen = result.rows[0], result.rows[-1], result.row(lr=result.knobs["lr"])
    best = min(result.column("loss"))
    return [
        Claim("loss at the chosen rate, by the best", chosen["loss"] / best, "<=", result.bound(full=5, test=6)),
        Claim("loss at the smallest rate, by the best", small["loss"] / best, ">=", 5),
        Claim("loss at the largest rate, by the best", large["loss"] / best, ">=", 5),
        Claim("steps up at the smallest rate", small["steps up"], "==", 0),
        Claim("steps up at the largest rate", large["steps up"], ">=", 0.1),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says what the largest rate does."""
    large = result.rows[-1]
    return 3 if large["loss"] > 5 * min(result.column("loss")) else 1


def answer_1() -> list[Claim]:
    """Descend a parabola of curvature 4 just below and just above 2 / c."""
    ends = []
    for lr in (0.49, 0.51):
        w = 1.0
        for _ in range(200):
            w -= lr * 4 * w
        ends.append(abs(w))
    return [
        Claim("distance at lr = 0.49", ends[0], "<=", 0.05),
        Claim("distance at lr = 0.51", ends[1], ">=", 1000),
    ]


def answer_2() -> list[Claim]:
    """Give the small rate ten times the steps, and a rate ten times as large the steps as they were."""
    torch.manual_seed(0)
    slow, _ = descend(0.01, 400)
    torch.manual_seed(0)
    fast, _ = descend(0.1, 40)
    return [Claim("gap of both losses, by the loss", abs(slow[-1] - fast[-1]) / fast[-1], "<=", 0.1)]
