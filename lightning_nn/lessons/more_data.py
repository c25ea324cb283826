"""More data: the error on new images falls about as a power of the number of training images.

    error(n) ~ a n^-b,    log error(n) = log a - b log n: ten times the images leave the same share of the error, 10^-b

Cortes et al. 1994, "Learning curves"; Hestness et al. 2017, arXiv:1712.00409, over many tasks and larger sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lightning_nn import Digits, ImageBatch, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.regularisation import spoil
from lightning_nn.lessons.training import accuracy, labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1, 3, 10, 30, 100)  # images of each class
HIDDEN = {"linear": [], "hidden layer": [64]}


def shuffled(batch: ImageBatch) -> ImageBatch:
    """Return a hundred images of each class, in random order, so that each ten are one of each."""
    order = torch.randperm(batch.size)
    by_class = [order[labels(batch)[order] == digit][:100] for digit in range(10)]
    return batch.select(torch.stack(by_class, 1).flatten().tolist())


def train(few: ImageBatch, hidden: list[int]) -> SoftmaxClassifier:
    """Train for 120 steps, on a hundred images at a time or on all if there are fewer."""
    model = SoftmaxClassifier(64, 10, hidden=hidden)
    optimizer = Optimizer(name="adam", lr=0.01 if hidden else 0.03).build(model.parameter_groups())
    for _ in range(120):
        batch = few if few.size <= 100 else few.select(torch.randperm(few.size)[:100].tolist())
        optimizer.zero_grad()
        model.training_step(batch).backward()
        optimizer.step()
    return model


def exponent(counts: list[int], errors: list[float]) -> float:
    """Return b of the line through the logarithms of errors over those of counts."""
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


def run(seed: int = 0, size: Size = "full", *, draws: int = 2) -> Result:
    """Train both networks on more and more digits; errors are means over draws of them."""
    data = Digits()
    test = split(data, "test")
    orders = [shuffled(split(data, "train")) for _ in range(draws if size == "full" else 1)]
    rows: list[Row] = []
    for count in COUNTS:
        row: Row = {"images of a class": count}
        for name, hidden in HIDDEN.items():
            sets = [order.select(range(10 * count)) for order in orders]
            models = [train(few, hidden) for few in sets]
            seen = [1 - accuracy(model, few) for model, few in zip(models, sets, strict=True)]
            new = [1 - accuracy(model, test) for model in models]
            row |= {f"training error, {name}": float(np.mean(seen)), f"test error, {name}": float(np.mean(new))}
        rows.append(row)
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw errors over the number of images, as they are and by their logarithms."""
    left, right = figure.subplots(1, 2)
    counts = result.column("images of a class")
    for axes in (left, right):
        axes.plot(counts, result.column("test error, linear"), "o-", color=BLUE, label="1")
        axes.plot(counts, result.column("test error, hidden layer"), "s--", color=ORANGE, label="2")
        axes.set(xlabel="n", ylabel="err")
    left.plot(counts, result.column("training error, linear"), "^-.", color=GREEN, label="0")
    left.set_ylim(-0.02, None)
    right.set(
        xscale="log", yscale="log", ylim=(0.02, 1), yticks=(0.03, 0.1, 0.3, 1), yticklabels=("0.03", "0.1", "0.3", "1")
    )
    left.legend()


def claim(result: Result) -> list[Claim]:
    """Compare errors with a line of their logarithms, and both networks with each other."""
    counts, errors = result.column("images of a class"), result.column("test error, linear")
    others = result.column("test error, hidden layer")
    seen = [*result.column("training error, linear"), *result.column("training error, hidden layer")]
    b = exponent(counts, errors)
    line = np.polyval(np.polyfit(np.log(counts), np.log(errors), 1), np.log(counts))
    return [
        Claim("largest training error", max(seen), "<=", 0.05),
        Claim("test error with one image, by that with a hundred", errors[0] / errors[-1], ">=", 4),
        Claim("exponent b", b, ">=", 0.3),
        Claim("exponent b, from above", b, "<=", 0.6),
        Claim("largest factor to the line", float(np.exp(np.abs(line - np.log(errors)).max())), "<=", 1.3),
        Claim("largest gap of both networks", float(np.abs(np.subtract(errors, others)).max()), "<=", 0.12),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what tenfold data leave of the error."""
    few, many = (result.row(**{"images of a class": count})["test error, linear"] for count in (10, 100))
    return 1 if many / few < 0.2 else 2 if many / few < 0.7 else 3


def answer_1() -> list[Claim]:
    """Predict the error with a hundred images of a class from those with one, three and ten."""
    rows = run(size="test").rows
    counts, errors = ([row[name] for row in rows] for name in ("images of a class", "test error, linear"))
    predicted = errors[2] * 10 ** -exponent(counts[:3], errors[:3])
    return [
        Claim("predicted error by the measured one", predicted / errors[-1], "<=", 0.9),
        Claim("the same, from below", predicted / errors[-1], ">=", 0.4),
    ]


def answer_2() -> list[Claim]:
    """Train on a thousand digits of which three of ten have a wrong label, and on three hundred without."""
    data = Digits()
    order, test = shuffled(split(data, "train")), split(data, "test")
    many, few = (1 - accuracy(train(batch, []), test) for batch in (spoil(order, 0.3), order.select(range(300))))
    return [Claim("test error of many with wrong labels less that of few", many - few, ">=", 0.02)]
