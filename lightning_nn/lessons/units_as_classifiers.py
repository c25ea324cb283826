"""Units as classifiers: the value of one unit ranks images; how well it ranks those of a class before all others.

    AUC = P(a(x) > a(x')),    x of the class, x' of another one;    from ranks:  (sum of r(x) - n (n + 1) / 2) / (n n')

0.5 is guessing, 1 a perfect order, 0 a perfect one the other way round, so a unit is worth max(AUC, 1 - AUC). n images
are of the class, n' are not. Mann and Whitney 1947; units as detectors: Zhou et al. 2015, arXiv:1412.6856.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import ConvNet, Digits, ImageBatch
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit, labels, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYERS = ("pixels", "relu1", "max_pool1", "relu2", "max_pool2", "relu3", "logits")


def areas(values: Tensor, label: Tensor) -> Tensor:
    """Return the AUC of each unit for each class, (units, 10).

    Args:
        values: of the units, (N, units); equal ones are put in a random order.
        label: class of each image, int64 (N,).
    """
    shuffled = torch.randperm(len(values))
    rank = values[shuffled].argsort(dim=0, stable=True).argsort(dim=0).double() + 1  # (N, units), from 1
    one = F.one_hot(label[shuffled], 10).double()  # (N, 10)
    count = one.sum(0)
    return (rank.T @ one - count * (count + 1) / 2) / (count * (len(values) - count))


def outputs(model: ConvNet, batch: ImageBatch) -> dict[str, Tensor]:
    """Return the values of all units, layer by layer, (N, units) each."""
    with torch.no_grad(), model.evaluating():
        layers = {"pixels": batch.image.float(), **model.layer_outputs(batch), "logits": model(batch)}
    return {name: layers[name].flatten(1) for name in LAYERS}


def score(values: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Score the units of each layer.

    Args:
        values: AUC on the validation set, (units, 10) by layer.
        truth: the same on the test set.

    Returns:
        By layer: `median`, of all units, each for the class that it is best at; `best`, the mean over classes of the
        unit that is best at it; `chosen`, the AUC of these units on the validation set, where they were chosen.
    """
    scores = {}
    for layer, area in values.items():
        worth = (area - 0.5).abs()
        unit, kind = worth.argmax(0), worth.argmax(1)
        every, classes = torch.arange(len(area)), torch.arange(10)
        sign = (area - 0.5).sign()
        tested = 0.5 + sign * (truth[layer] - 0.5)  # a unit that was low for a class counts the other way round
        scores[layer] = {
            "median": float(tested[every, kind].median()),
            "best": float(tested[unit, classes].mean()),
            "chosen": 0.5 + float(worth[unit, classes].mean()),
        }
    return scores


def run(seed: int = 0, size: Size = "full", *, epochs: int = 10) -> Result:
    """Score the units of a small LeNet, layer by layer, as it starts and when it has learned digits."""
    model = ConvNet.for_data(data := Digits())
    batches = [split(data, name) for name in ("val", "test")]
    scores, area = [], {}
    for count in (0, epochs if size == "full" else min(epochs, 4)):
        fit(model, data, count)
        val, test = ({k: areas(v, labels(b)) for k, v in outputs(model, b).items()} for b in batches)
        scores.append(score(val, test))
        area = test
    start, end = scores
    rows: list[Row] = [
        {"layer": layer, "units": len(area[layer])}
        | {"median at the start": start[layer]["median"], "median": end[layer]["median"]}
        | {"best at the start": start[layer]["best"], "best": end[layer]["best"], "where chosen": end[layer]["chosen"]}
        for layer in LAYERS
    ]
    units = area["relu3"]
    order = units.argmax(1) * 2 - units.max(1).values
    return Result(rows, {"areas": units[order.argsort()].numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the scores by layer, and the AUC of the units of the fully connected layer for each digit."""
    left, right = figure.subplots(1, 2)
    lines = (
        ("best", "max", BLUE, "o-"),
        ("median", "med", BLUE, "s--"),
        ("best at the start", "max 0", ORANGE, "^-"),
        ("median at the start", "med 0", ORANGE, "v--"),
    )
    for column, label, colour, style in lines:
        left.plot(result.column(column), style, color=colour, label=label)
    left.set(xlabel="l", ylabel="AUC", xticks=range(len(LAYERS)), ylim=(0.65, 1.01))
    left.legend(fontsize=9, ncols=2, loc="lower left")
    image = right.imshow(result.arrays["areas"], cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    right.set(xlabel="k", ylabel="i", xticks=range(10))
    figure.colorbar(image, ax=right)


def claim(result: Result) -> list[Claim]:
    """Compare layers and networks by their units."""
    pixel, first, last = (result.row(layer=layer) for layer in ("pixels", "relu1", "relu3"))
    optimism = np.subtract(result.column("where chosen"), result.column("best"))
    wide = result.bound(full=0, test=0.03)
    return [
        Claim("median, relu3 minus pixels", last["median"] - pixel["median"], ">=", 0.08 - wide),
        Claim("median at the start, relu3 minus pixels", last["median at the start"] - pixel["median"], "<=", 0),
        Claim("best, relu3 minus pixels", last["best"] - pixel["best"], ">=", 0.05 - wide),
        Claim("best at the start, relu1 minus pixels", first["best at the start"] - pixel["best"], ">=", 0.02),
        Claim("best, logits", result.row(layer="logits")["best"], ">=", 0.98 - wide),
        Claim("AUC lost on new images by choosing, mean", float(optimism.mean()), ">=", 0.002),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to the AUC of the best pixels."""
    best = result.row(layer="pixels")["best"]
    return 1 if best < 0.6 else 2 if best < 0.75 else 3


def answer_1() -> list[Claim]:
    """Score units that are noise, and know nothing."""
    label = labels(split(Digits(), "val"))
    noise = areas(torch.randn(len(label), 1024), label)
    worth = (noise - 0.5).abs()
    return [
        Claim("best of 1,024 units of noise", 0.5 + float(worth.max(0).values.mean()), ">=", 0.6),
        Claim("median over all units and classes", abs(float(noise.median()) - 0.5), "<=", 0.01),
    ]


def answer_2() -> list[Claim]:
    """Take the best unit of each class out of the fully connected layer."""
    model = ConvNet.for_data(data := Digits())
    fit(model, data, 10)
    test = split(data, "test")
    unit = (areas(outputs(model, test)["relu3"], labels(test)) - 0.5).abs().argmax(0)
    correct = []
    for taken in (unit[:0], unit.unique(), torch.randperm(64)[: len(unit.unique())]):
        weight = model.head.weight.detach().clone()
        weight[:, taken] = 0
        values = outputs(model, test)["relu3"]
        guess = (values @ weight.T + model.head.bias.detach()).argmax(1)
        correct.append(float((guess == labels(test)).double().mean()))
    return [
        Claim("accuracy lost without them", correct[0] - correct[1], "<=", 0.15),
        Claim("units taken, of 64", len(unit.unique()), "<=", 10),
    ]
