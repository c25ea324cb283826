"""Adaptive steps: Adam gives each weight its own length of step, Muon each direction of a kernel; against SGD.

    Adam    w = w - lr m / (sqrt(v) + e)      m, v: running means of the gradient and of its square
    Muon    W = W - lr U V^T                  with the momentum M = U S V^T

Kingma and Ba 2015; Jordan et al. 2024. The table has the best of three rates for each, so that none is favoured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lightning_nn import ConvNet, Digits, Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit, split
from lightning_nn.optimizers import orthogonal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = [*["conv 12 3 padding=1 bias=false", "batch_norm", "relu"] * 2, "max_pool 2"]
LAYERS += [*["conv 24 3 padding=1 bias=false", "batch_norm", "relu"] * 2, "global_avg_pool"]
CANDIDATES = {
    "sgd": [Optimizer(name="sgd", lr=lr) for lr in (0.1, 0.3, 1.0)],
    "momentum": [Optimizer(name="sgd", lr=lr, momentum=0.9) for lr in (0.03, 0.1, 0.3)],
    "adam": [Optimizer(name="adam", lr=lr) for lr in (0.01, 0.03, 0.1)],
    "muon": [Optimizer(name="muon", lr=lr, momentum=0.9, kernel_lr=0.2) for lr in (0.03, 0.1, 0.3)],
}


def train(optimizer: Optimizer, epochs: int) -> tuple[list[float], float]:
    """Train a small convolutional network; return the loss of each batch, and the share of correct test digits."""
    model = ConvNet.for_data(data := Digits(), layers=LAYERS)
    model.optimizer = optimizer
    losses = fit(model, data, epochs)
    model.eval()
    test = split(data, "test")
    with torch.no_grad():
        return losses, float((model(test).argmax(1) == test.label).double().mean())


def run(seed: int = 0, size: Size = "full", *, epochs: int = 2) -> Result:
    """Train by each optimizer at three rates."""
    rows: list[Row] = []
    curves = []
    for name, optimizers in CANDIDATES.items():
        tries = []
        for optimizer in optimizers if size == "full" else optimizers[1:2]:
            torch.manual_seed(seed)
            losses, correct = train(optimizer, epochs)
            tries.append((float(np.mean(losses[-8:])), optimizer.lr, correct, losses))
        loss, lr, correct, losses = min(tries, key=lambda attempt: attempt[0])
        rows.append({"optimizer": name, "best lr": lr, "loss": loss, "correct": correct})
        curves.append(losses)
    return Result(rows, {"losses": np.array(curves)})


def draw(result: Result, figure: Figure) -> None:
    """Draw the loss over the steps."""
    axes = figure.subplots()
    styles = ((ORANGE, "-"), (BLUE, "--"), (GREEN, "-."), (RED, ":"))
    for name, losses, (colour, style) in zip(CANDIDATES, result.arrays["losses"], styles, strict=True):
        axes.plot(losses, style, color=colour, label={"momentum": "sgd μ"}.get(name, name))
    axes.set(xlabel="t", ylabel="L")
    axes.legend()


def claim(result: Result) -> list[Claim]:
    """Compare each with plain SGD."""
    loss = {row["optimizer"]: row["loss"] for row in result.rows}
    curves = result.arrays["losses"]
    return [
        Claim("loss of adam, by that of sgd", loss["adam"] / loss["sgd"], "<=", 1.1),
        Claim("loss of muon, by that of sgd", loss["muon"] / loss["sgd"], "<=", 0.6),
        Claim(
            "loss of momentum, by that of sgd", loss["momentum"] / loss["sgd"], "<=", result.bound(full=0.95, test=1.05)
        ),
        Claim(
            "last losses by the first",
            float(curves[:, -5:].mean() / curves[:, :5].mean()),
            "<=",
            result.bound(full=0.6, test=0.9),
        ),
    ]


def right_choice(result: Result) -> int:
    """Return the number of the choice with the lowest loss."""
    loss = {row["optimizer"]: row["loss"] for row in result.rows}
    return 1 + min(range(3), key=lambda k: loss[("sgd", "adam", "muon")[k]])


def answer_1() -> list[Claim]:
    """Take one step of Adam where one gradient is a million times the other."""
    w = nn.Parameter(torch.zeros(2))
    optimizer = Optimizer(name="adam", lr=0.01).build([{"params": [w]}])
    (w @ torch.tensor([1000.0, 0.001])).backward()
    optimizer.step()
    steps = w.detach().abs()
    return [Claim("longer step by shorter", float(steps.max() / steps.min()), "<=", 1.01)]


def answer_2() -> list[Claim]:
    """Look at the singular values of a step of Muon."""
    before = torch.linalg.svdvals(matrix := torch.randn(24, 108))
    after = torch.linalg.svdvals(orthogonal(matrix))
    return [
        Claim("largest by smallest singular value, gradient", float(before.max() / before.min()), ">=", 2),
        Claim("largest by smallest singular value, step", float(after.max() / after.min()), "<=", 1.9),
    ]
