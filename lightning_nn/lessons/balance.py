"""Balance: with a rare class, accuracy looks good while the rare class is never found.

accuracy = (TP + TN) / N,    recall = TP / (TP + FN),    loss = -1/N sum_i c_{y_i} log p_{y_i}

"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import Digits, ImageBatch, Loss, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import labels, split
from lightning_nn.metrics.confusion import accuracy, class_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # of an eight, by that of another digit


def eights(batch: ImageBatch, count: int | None = None) -> ImageBatch:
    """Label eights 1 and all others 0, with at most `count` eights."""
    label = (labels(batch) == 8).long()
    rare = label.nonzero().flatten()
    rare = rare[torch.randperm(len(rare))[:count]]
    return ImageBatch(batch.image, label).select([*(label == 0).nonzero().flatten().tolist(), *rare.tolist()])


def train(batch: ImageBatch, weight: float) -> SoftmaxClassifier:
    """Train on a batch in whose loss the rare class weighs more; the weights have the mean 1 over the samples."""
    model = SoftmaxClassifier(64, 2, init="zeros")
    rare = labels(batch).double().mean().item()
    common = 1 / (1 - rare + rare * weight)
    model.loss = Loss(class_weights=[common, common * weight])
    optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9).build(model.parameter_groups())
    for _ in range(200):
        optimizer.zero_grad()
        model.training_step(batch).backward()
        optimizer.step()
    return model


def score(predicted: Tensor, label: Tensor) -> Row:
    """Return accuracy, and recall, precision and F1 of the rare class."""
    matrix = torch.bincount(2 * label + predicted, minlength=4).view(2, 2)  # rows true, columns predicted
    _, rare = class_scores(matrix, ["0", "1"])
    return {"accuracy": float(accuracy(matrix)), "recall": rare.recall, "precision": rare.precision, "F1": rare.f1}


def run(seed: int = 0, size: Size = "full", *, rare: int = 10) -> Result:
    """Train with a few eights and about a thousand other digits; test on the natural share, one in ten."""
    data = Digits()
    few, test = eights(split(data, "train"), rare), eights(split(data, "test"))
    rows: list[Row] = [{"weight": "never", **score(torch.zeros_like(labels(test)), labels(test))}]
    for weight in WEIGHTS:
        predicted = train(few, weight)(test).argmax(1)
        rows.append({"weight": f"{weight:g}", **score(predicted, labels(test))})
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw accuracy, recall and precision over the weight."""
    axes = figure.subplots()
    places = range(len(WEIGHTS))
    for name, style, colour in (("accuracy", "o-", BLUE), ("recall", "s--", ORANGE), ("precision", "^-.", GREEN)):
        axes.plot(places, result.column(name)[1:], style, color=colour, label=name[0])
    axes.set(xlabel="c", ylim=(0, 1.05))
    axes.set_xticks(places, [f"{weight:g}" for weight in WEIGHTS])
    axes.legend()


def claim(result: Result) -> list[Claim]:
    """Compare no weight with that which makes up for the rarity."""
    never, plain, balanced = (result.row(weight=weight) for weight in ("never", "1", "100"))
    return [
        Claim("accuracy if an eight is never found", never["accuracy"], ">=", 0.88),
        Claim("accuracy without weights", plain["accuracy"], ">=", 0.9),
        Claim("recall without weights", plain["recall"], "<=", 0.35),
        Claim("recall with weight 100", balanced["recall"], ">=", 0.5),
        Claim("F1 with weight 100 less that without", balanced["F1"] - plain["F1"], ">=", 0.2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the recall without weights."""
    recall = result.row(weight="1")["recall"]
    return 1 if recall > 0.8 else 2 if recall > 0.4 else 3


def answer_1() -> list[Claim]:
    """Repeat the eights instead."""
    few = eights(split(Digits(), "train"), 10)
    repeated = few.select([*range(few.size - 10), *(100 * [*range(few.size - 10, few.size)])])
    weighted, plain = train(few, 100.0), train(repeated, 1.0)
    gap = max((a - b).abs().max().item() for a, b in zip(weighted.parameters(), plain.parameters(), strict=True))
    return [Claim("gap of weights and of repeated samples", gap, "<=", 1e-3)]


def answer_2() -> list[Claim]:
    """Lower the threshold of a network that was trained without weights."""
    data = Digits()
    few, test = eights(split(data, "train"), 10), eights(split(data, "test"))
    p = train(few, 1.0)(test).softmax(1)[:, 1]
    return [
        Claim("recall with threshold 0.5", score((p > 0.5).long(), labels(test))["recall"], "<=", 0.35),
        Claim("recall with threshold 0.02", score((p > 0.02).long(), labels(test))["recall"], ">=", 0.5),
    ]
