"""Overfit a small set first: a right pipeline learns sixteen images by heart; most faults keep it from that.

    min_w  -1/n sum_i log p_{y_i}(x_i)  ->  0,    if the network has more parameters than the n images need

Karpathy, "A recipe for training neural networks", 2019, step 2. What the check can't see: labels that are wrong in the
same way each time, since a network learns any labels by heart (Zhang et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import ConvNet, Digits, ImageBatch, Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, PINK, RED, SKY, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pipeline = Callable[[ConvNet, ImageBatch], Tensor]  # from a model and a batch to the loss


def right(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Return the cross-entropy."""
    return F.cross_entropy(model(batch), labels(batch))


def softmax_twice(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Give probabilities to a loss that expects logits."""
    return F.cross_entropy(model(batch).softmax(1), labels(batch))


def divided_twice(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Scale values of 0 to 255 to 0 to 1 a second time: all images are black."""
    return right(model, batch._replace(image=batch.image / 255 / 255))


def softmax_over_the_batch(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Make the scores of each class sum to 1 over the images, not those of each image over the classes."""
    return F.nll_loss(model(batch).log_softmax(0), labels(batch))


def shuffled_each_step(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Shuffle the images, and forget the labels."""
    return right(model, batch._replace(image=batch.image[torch.randperm(batch.size)]))


def wrong_labels(model: ConvNet, batch: ImageBatch) -> Tensor:
    """Read the labels from a table that is off by one row."""
    return right(model, batch._replace(label=labels(batch).roll(1)))


PIPELINES: dict[str, Pipeline] = {
    "right": right,
    "softmax twice": softmax_twice,
    "softmax over the batch": softmax_over_the_batch,
    "divided twice": divided_twice,
    "shuffled each step": shuffled_each_step,
    "wrong labels": wrong_labels,
}


def train(model: ConvNet, batch: ImageBatch, pipeline: Pipeline, steps: int) -> list[float]:
    """Train on one batch, and return the loss that the pipeline reports at each step."""
    optimizer = Optimizer(name="adam", lr=0.003).build(model.parameter_groups())
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = pipeline(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def run(seed: int = 0, size: Size = "full", *, samples: int = 16) -> Result:
    """Train on a few digits with a right pipeline and five wrong ones."""
    data = Digits()
    few, test = split(data, "train").select(torch.randperm(1000)[:samples].tolist()), split(data, "test")
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for name, pipeline in PIPELINES.items():
        model = ConvNet.for_data(data)
        losses = train(model, few, pipeline, 100 if size == "full" else 60)
        row = {"pipeline": name, "first loss": losses[0], "last loss": losses[-1]}
        rows.append(row | {"accuracy on test": accuracy(model, test)})
        arrays[name] = torch.tensor(losses).numpy()
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the loss of each pipeline over the steps, numbered as in the table."""
    axes = figure.subplots()
    styles = zip(result.arrays, (BLUE, ORANGE, GREEN, RED, PINK, SKY), ("-", "--", "-.", ":", "-", "--"), strict=True)
    for number, (name, colour, style) in enumerate(styles, 1):
        axes.plot(result.arrays[name], style, color=colour, label=str(number))
    axes.set(xlabel="t", ylabel="L", ylim=(0, 3))
    axes.legend(ncols=6, loc="upper center")


def claim(result: Result) -> list[Claim]:
    """Say which pipelines the check tells from the right one."""
    last = {row["pipeline"]: row["last loss"] for row in result.rows}
    test = {row["pipeline"]: row["accuracy on test"] for row in result.rows}
    caught = [name for name in PIPELINES if name not in ("right", "wrong labels")]
    return [
        Claim("last loss of the right pipeline", last["right"], "<=", result.bound(full=0.01, test=0.1)),
        Claim("smallest last loss of four wrong ones", min(last[name] for name in caught), ">=", 0.4),
        Claim("last loss with wrong labels", last["wrong labels"], "<=", result.bound(full=0.01, test=0.1)),
        Claim("accuracy on test of the right pipeline", test["right"], ">=", 0.3),
        Claim("accuracy on test with wrong labels", test["wrong labels"], "<=", 0.2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the fault that the check does not see."""
    row = result.row(pipeline="wrong labels")
    return 3 if row["last loss"] < 0.1 else 1


def answer_1() -> list[Claim]:
    """Compute the smallest loss that a softmax of a softmax can have."""
    floor = F.cross_entropy(torch.eye(10), torch.arange(10)).item()
    return [
        Claim("smallest loss of a softmax of a softmax", floor, ">=", 1.46),
        Claim("the same, from above", floor, "<=", 1.47),
    ]


def answer_2() -> list[Claim]:
    """Compare the first loss with that of guessing."""
    data = Digits()
    loss = right(ConvNet.for_data(data), split(data, "train").select(range(16))).item()
    return [Claim("gap of the first loss and log 10", abs(loss - math.log(10)), "<=", 0.05)]
