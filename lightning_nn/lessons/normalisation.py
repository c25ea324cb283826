"""Normalisation: of the inputs, and of each batch within the network, widens the range of learning rates that work.

    y = gamma (x - mean) / sqrt(variance + eps) + beta,    mean and variance over the batch, for each channel

Inputs: LeCun et al. 1998, "Efficient BackProp", section 4.3. Batches: Ioffe and Szegedy 2015. In evaluation, running
averages take the place of mean and variance, so that a prediction does not depend on its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lightning_nn import ConvNet, Digits, Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
KINDS = ("raw", "inputs", "batches")
LABELS = {"raw": "255", "inputs": "x", "batches": "BN"}


def build(data: Digits, kind: str) -> ConvNet:
    """Build a network that reads values of 0 to 255, or of mean 0 and deviation 1, without or with batch norm."""
    convolution = ["conv 8 3 padding=1", *(["batch_norm"] if kind == "batches" else []), "relu"]
    model = ConvNet.for_data(data, layers=[*2 * convolution, "max_pool 2", *2 * convolution, "flatten"])
    if kind == "raw":
        model.normalize.set([0.0], [1.0])
    else:
        model.normalize.measure([split(data, "train").image])
    return model


def run(seed: int = 0, size: Size = "full", *, epochs: int = 3) -> Result:
    """Train each network at each rate."""
    rows: list[Row] = []
    data = Digits()
    for lr in RATES if size == "full" else (0.001, 0.03, 0.3):
        row: Row = {"lr": lr}
        for kind in KINDS:
            model = build(data, kind)
            fit(model, data, epochs, Optimizer(name="sgd", lr=lr, momentum=0.9))
            row[kind] = accuracy(model, split(data, "test"))
        rows.append(row)
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw the accuracy over the learning rate."""
    axes = figure.subplots()
    for kind, style, colour in zip(KINDS, ("s--", "^-.", "o-"), (GREEN, ORANGE, BLUE), strict=True):
        axes.plot(result.column("lr"), result.column(kind), style, color=colour, label=LABELS[kind])
    axes.set(xlabel="η", ylabel="acc", xscale="log", ylim=(0, 1))
    axes.legend()


def claim(result: Result) -> list[Claim]:
    """Compare the accuracies over all rates, and at a large one."""
    mean = {kind: float(np.mean(result.column(kind))) for kind in KINDS}
    large = result.row(lr=0.3)
    return [
        Claim("mean accuracy of inputs less that of raw", mean["inputs"] - mean["raw"], ">=", 0.1),
        Claim("mean accuracy of batches less that of inputs", mean["batches"] - mean["inputs"], ">=", 0.05),
        Claim("accuracy of batches at 0.3", large["batches"], ">=", result.bound(full=0.75, test=0.5)),
        Claim("accuracy of inputs at 0.3", large["inputs"], "<=", 0.3),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the largest rate at which the network with batch norm is right on four of five."""
    largest = max(row["lr"] for row in result.rows if row["batches"] >= 0.8)
    return 1 if largest < 0.02 else 2 if largest < 0.2 else 3


def answer_1() -> list[Claim]:
    """Predict an image among others, in training and in evaluation mode."""
    data = Digits()
    model, test = build(data, "batches"), split(data, "test")
    fit(model, data, 1)
    alone, among = test.select(range(2)), test.select(range(64))
    gaps = {}
    for name, training in (("training", True), ("evaluation", False)):
        model.train(training)
        with torch.no_grad():
            gaps[name] = (model(alone).softmax(1) - model(among)[:2].softmax(1)).abs().max().item()
    return [
        Claim("gap of p among others, in training mode", gaps["training"], ">=", 0.01),
        Claim("the same in evaluation mode", gaps["evaluation"], "<=", 1e-5),
    ]


def answer_2() -> list[Claim]:
    """Make the kernels before each batch norm ten times as large."""
    model, train = build(data := Digits(), "batches"), split(data, "train")
    with torch.no_grad():
        before = model(train)
        for convolution in model.body:
            if isinstance(convolution, nn.Conv2d):
                convolution.weight *= 10
        gap = (model(train) - before).abs().max() / before.abs().max()
    return [Claim("gap of logits with kernels ten times as large", gap.item(), "<=", 0.01)]
