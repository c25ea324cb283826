"""Regularisation: the squared norm of the weights, added to the loss, keeps a network from learning noise by heart.

    loss = cross-entropy + decay / 2 |w|^2,    dloss/dw = d(cross-entropy)/dw + decay w

Each step shrinks the weights by a share, and only what many samples agree on keeps them up (Krogh and Hertz 1992).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch

from lightning_nn import Digits, ImageBatch, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORM = "squared norm"
DECAYS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def spoil(batch: ImageBatch, wrong: float) -> ImageBatch:
    """Give a share of the images another label than theirs."""
    label = labels(batch)
    other = (label + torch.randint(1, 10, label.shape)) % 10
    return batch._replace(label=torch.where(torch.rand(batch.size) < wrong, other, label))


def train(data: Digits, batch: ImageBatch, decay: float, steps: int) -> SoftmaxClassifier:
    """Train a network with a hidden layer on one batch."""
    model = SoftmaxClassifier.for_data(data, hidden=[64])
    model.optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9, weight_decay=decay)
    optimizer = model.optimizer.build(model.parameter_groups())
    for _ in range(steps):
        optimizer.zero_grad()
        model.training_step(batch).backward()
        optimizer.step()
    return model


def run(seed: int = 0, size: Size = "full", *, wrong: float = 0.3) -> Result:
    """Train on 300 digits, of which a share has a wrong label, with several decays."""
    data = Digits()
    images, test = split(data, "train"), split(data, "test")
    few = spoil(images.select(torch.randperm(images.size)[:300].tolist()), wrong)
    rows: list[Row] = []
    for decay in DECAYS:
        model = train(data, few, decay, 200 if size == "full" else 150)
        with torch.no_grad():
            rows.append(
                {
                    "decay": decay,
                    NORM: sum(float(w.square().sum()) for w in model.parameters() if w.ndim == 2),
                    "training loss": float(model.training_step(few)),
                    "test loss": float(model.training_step(test)),
                    "training accuracy": accuracy(model, few),
                    "test accuracy": accuracy(model, test),
                }
            )
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw both accuracies and the squared norm over the decay."""
    left, right = figure.subplots(1, 2)
    places = range(len(result.rows))
    left.plot(places, result.column("training accuracy"), "s--", color=ORANGE, label="1")
    left.plot(places, result.column("test accuracy"), "o-", color=BLUE, label="2")
    left.set(ylabel="acc", ylim=(0, 1.02))
    left.legend()
    right.plot(places, result.column(NORM), "o-", color=GREEN)
    right.set(ylabel="$|w|^2$", yscale="log", ylim=(1e-2, None))
    for axes in (left, right):
        axes.set_xlabel("λ")
        axes.set_xticks(places, [f"{decay:g}" for decay in result.column("decay")], rotation=45)


def claim(result: Result) -> list[Claim]:
    """Compare the best decay with none and with the largest."""
    none, best, most = result.rows[0], max(result.rows, key=lambda row: row["test accuracy"]), result.rows[-1]
    return [
        Claim("best test accuracy less that without decay", best["test accuracy"] - none["test accuracy"], ">=", 0.08),
        Claim("training accuracy without decay", none["training accuracy"], ">=", 0.95),
        Claim("training accuracy at the best decay", best["training accuracy"], "<=", 0.85),
        Claim(
            "squared norm at the best decay, by that without", best["squared norm"] / none["squared norm"], "<=", 0.2
        ),
        Claim("test accuracy at the largest decay", most["test accuracy"], "<=", 0.2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the training accuracy without decay."""
    accuracy = result.rows[0]["training accuracy"]
    return 1 if accuracy < 0.8 else 2 if accuracy < 0.95 else 3


def answer_1() -> list[Claim]:
    """Train on right labels."""
    rows = run(wrong=0.0).rows
    best = max(row["test accuracy"] for row in rows)
    return [Claim("gain in test accuracy with right labels", best - rows[0]["test accuracy"], "<=", 0.04)]


def answer_2() -> list[Claim]:
    """Take one step with the optimizer's decay, and one with the squared norm in the loss."""
    batch = split(data := Digits(), "train").select(range(50))
    model = SoftmaxClassifier.for_data(data)
    twin = deepcopy(model)
    twin.optimizer = Optimizer(name="sgd", lr=0.1, weight_decay=0.5)
    by_decay = twin.optimizer.build(twin.parameter_groups())
    twin.training_step(batch).backward()
    by_decay.step()
    w = next(model.parameters())
    loss = model.training_step(batch) + 0.5 / 2 * w.square().sum()
    (gradient,) = torch.autograd.grad(loss, [w])
    gap = (next(twin.parameters()) - (w - 0.1 * gradient)).abs().max()
    return [Claim("gap of a step with decay and one with the norm in the loss", gap.item(), "<=", 1e-6)]
