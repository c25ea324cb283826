"""More steps: the training loss goes on falling; the validation loss has a least value, after which the two part.

    t* = argmin_t  L_val(w_t),    L_val = -1/N sum_i log p_{y_i}(x_i)    over samples that take no part in training

To stop at t* is early stopping (Prechelt 1998, "Early stopping - but when?"). The loss may rise while the
accuracy stays: a network that is right as often becomes surer where it is wrong (Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from lightning_nn import Digits, ImageBatch, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Claim, Result, Row, Size
from lightning_nn.lessons.regularisation import spoil
from lightning_nn.lessons.training import labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {"full": (1, 3, 10, 20, 30, 50, 100, 200, 500, 1000), "test": (1, 3, 10, 20, 30, 50, 100, 200, 300)}


def score(model: SoftmaxClassifier, batch: ImageBatch) -> dict[str, float]:
    """Return loss and accuracy, and the mean probability that the network gives to its own answers."""
    with torch.no_grad():
        p = model(batch).softmax(1)
    confidence, answer = p.max(1)
    return {
        "loss": float(-p.gather(1, labels(batch)[:, None]).log().mean()),
        "accuracy": float((answer == labels(batch)).double().mean()),
        "confidence": float(confidence.double().mean()),
    }


def train(model: SoftmaxClassifier, few: ImageBatch, steps: int) -> None:
    """Train on a few images by Adam, which starts anew."""
    optimizer = Optimizer(name="adam", lr=0.01).build(model.parameter_groups())
    for _ in range(steps):
        optimizer.zero_grad()
        model.training_step(few).backward()
        optimizer.step()


def descend(model: SoftmaxClassifier, few: ImageBatch, steps: int) -> Iterator[int]:
    """Train on a few images, and yield the number of each step after it."""
    optimizer = Optimizer(name="adam", lr=0.01).build(model.parameter_groups())
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        model.training_step(few).backward()
        optimizer.step()
        yield step


def watch(few: ImageBatch, val: ImageBatch, steps: tuple[int, ...]) -> list[tuple[float, dict[str, float]]]:
    """Return the training loss and the scores on the validation set after some steps."""
    model = SoftmaxClassifier(val.image[0].numel(), 10, hidden=[64])
    seen = []
    for step in descend(model, few, steps[-1]):
        if step in steps:
            seen.append((score(model, few)["loss"], score(model, val)))
    return seen


def run(seed: int = 0, size: Size = "full", *, wrong: float = 0.2) -> Result:
    """Train on 200 digits, with right labels and with a share of wrong ones."""
    data = Digits()
    train, val = split(data, "train"), split(data, "val")
    few = train.select(torch.randperm(train.size)[:200].tolist())
    steps = STEPS[size]
    clean, spoiled = watch(few, val, steps), watch(spoil(few, wrong), val, steps)
    rows: list[Row] = [
        {"steps": step, "training loss": loss}
        | {"validation loss": right["loss"], "accuracy": right["accuracy"], "confidence": right["confidence"]}
        | {"training loss, wrong": loss_of_wrong}
        | {"validation loss, wrong": other["loss"], "accuracy, wrong": other["accuracy"]}
        for step, (loss, right), (loss_of_wrong, other) in zip(steps, clean, spoiled, strict=True)
    ]
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw losses, and accuracy and confidence, over the steps."""
    left, middle, right = figure.subplots(1, 3)
    steps = result.column("steps")
    for axes, end in ((left, ""), (middle, ", wrong")):
        axes.plot(steps, result.column(f"training loss{end}"), "s--", color=ORANGE, label="1", markersize=4)
        axes.plot(steps, result.column(f"validation loss{end}"), "o-", color=BLUE, label="2", markersize=4)
        axes.set(ylabel="L", ylim=(0, 3))
        axes.legend()
    for name, style, colour, label in (
        ("confidence", "^-.", GREEN, "p"),
        ("accuracy", "o-", BLUE, "a"),
        ("accuracy, wrong", "D:", RED, "b"),
    ):
        right.plot(steps, result.column(name), style, color=colour, label=label, markersize=4)
    right.set(ylim=(0, 1.02))
    right.legend()
    for axes in (left, middle, right):
        axes.set(xlabel="t", xscale="log")


def least(result: Result, column: str) -> int:
    """Return the number of the row with the least value of a column."""
    values = result.column(column)
    return values.index(min(values))


def claim(result: Result) -> list[Claim]:
    """Compare the last step with that of the least validation loss."""
    best, last, early = result.rows[least(result, "validation loss")], result.rows[-1], result.row(steps=20)
    spoiled = result.rows[least(result, "validation loss, wrong")]
    ratio = {name: last[name] / best[name] for name in ("training loss", "validation loss")}
    growth = last["validation loss, wrong"] / spoiled["validation loss, wrong"]
    lost = spoiled["accuracy, wrong"] - last["accuracy, wrong"]
    rise = result.bound(full=1.1, test=1.02)
    return [
        Claim("training loss at the end, by that at the best step", ratio["training loss"], "<=", 0.2),
        Claim("validation loss at the end, by its least", ratio["validation loss"], ">=", rise),
        Claim("accuracy at the end less that at the best step", last["accuracy"] - best["accuracy"], ">=", -0.02),
        Claim("confidence less accuracy, at the end", last["confidence"] - last["accuracy"], ">=", 0.03),
        Claim("the same at step 20", early["confidence"] - early["accuracy"], "<=", 0.0),
        Claim("validation loss at the end by its least, wrong labels", growth, ">=", result.bound(full=1.7, test=1.3)),
        Claim("accuracy lost after the best step, wrong labels", lost, ">=", 0.01),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what the accuracy does while the validation loss rises."""
    change = result.rows[-1]["accuracy"] - result.rows[least(result, "validation loss")]["accuracy"]
    return 1 if change < -0.04 else 2 if change < 0.04 else 3


def answer_1() -> list[Claim]:
    """Divide the logits of a network that was trained for long by a number, the temperature."""
    data = Digits()
    few, val = split(data, "train").select(range(200)), split(data, "val")
    model = SoftmaxClassifier.for_data(data, hidden=[64])
    for _ in descend(model, few, 500):
        pass
    with torch.no_grad():
        logits = model(val)
    loss = {t: float(F.cross_entropy(logits / t, labels(val))) for t in (1.0, 1.5, 2.0, 3.0)}
    return [Claim("loss with the best temperature, by that without", min(loss.values()) / loss[1.0], "<=", 0.9)]


def answer_2() -> list[Claim]:
    """Choose the step on one half of the validation set, and read the loss of the other half there."""
    data = Digits()
    few, val = spoil(split(data, "train").select(range(200)), 0.2), split(data, "val")
    model = SoftmaxClassifier.for_data(data, hidden=[64])
    halves = [val.select(range(start, val.size, 2)) for start in (0, 1)]
    losses = [[score(model, half)["loss"] for half in halves] for step in descend(model, few, 100) if step % 2 == 0]
    chosen, least = min(losses)[1], min(other for _, other in losses)
    return [
        Claim("loss of the other half at the chosen step, by its least", chosen / least, "<=", 1.15),
        Claim("loss of the other half after 100 steps, by its least", losses[-1][1] / least, ">=", 1.2),
    ]
