"""Networks: five classic architectures, made small, on one budget of weights and epochs.

    weights of a convolution  C' C K^2,    its multiply-adds  C' C K^2 H W;    of a fully connected layer  F' F,  F' F

LeNet (LeCun et al. 1998), AlexNet (Krizhevsky et al. 2012), network in network (Lin et al. 2013), VGG (Simonyan and
Zisserman 2014), ResNet (He et al. 2015). Each has what it is known for, about 10,000 parameters, and one optimizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import ConvNet, Digits, Optimizer
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, PINK, RED, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM = Optimizer("adam", lr=0.003)


YEARS = {"LeNet": 1998, "AlexNet": 2012, "NiN": 2013, "VGG": 2014, "ResNet": 2015}
LAYERS = {
    "LeNet": "conv 6 5 padding=2; tanh; avg_pool 2; conv 16 5 padding=2; tanh; avg_pool 2; flatten; linear 96; tanh",
    "AlexNet": "conv 12 3 padding=1; relu; max_pool 2; conv 20 3 padding=1; relu; conv 20 3 padding=1; relu; "
    "max_pool 2; flatten; dropout 0.5; linear 40; relu",
    "NiN": "conv 24 3 padding=1; relu; conv 24 1; relu; max_pool 2; conv 36 3 padding=1; relu; conv 24 1; relu; "
    "global_avg_pool",
    "VGG": "conv 10 3 padding=1; relu; conv 10 3 padding=1; relu; max_pool 2; conv 16 3 padding=1; relu; "
    "conv 16 3 padding=1; relu; max_pool 2; flatten; linear 72; relu",
    "ResNet": "conv 12 3 padding=1; batch_norm; relu; "
    "residual conv 12 3 padding=1, batch_norm, relu, conv 12 3 padding=1, batch_norm; relu; "
    "conv 16 3 stride=2 padding=1; batch_norm; relu; "
    "residual conv 16 3 padding=1, batch_norm, relu, conv 16 3 padding=1, batch_norm; relu; global_avg_pool",
}


def build(name: str, side: int = 8) -> ConvNet:
    """Make a network for images of side x side pixels."""
    return ConvNet(1, side, side, 10, layers=LAYERS[name].split("; "))


def cost(model: ConvNet) -> dict[str, float]:
    """Count layers with weights, parameters, multiply-adds for an image, and the share of fully connected weights."""
    work: list[tuple[bool, int, int]] = []  # fully connected or not, weights, places where they are used

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        weight = next(layer.parameters())
        work.append((isinstance(layer, nn.Linear), weight.numel(), output[0, 0].numel()))

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad(), model.evaluating():
        model(split(Digits(), "test"))
    for hook in hooks:
        hook.remove()
    weights = sum(count for _, count, _ in work)
    return {
        "layers": len(work),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flat": sum(count for flat, count, _ in work if flat) / weights,
        "multiply-adds": sum(count * places for _, count, places in work),
    }


def train(model: ConvNet, data: Digits, epochs: int) -> list[float]:
    """Train a network; return its accuracy on the validation and test sets after each epoch."""
    held_out = [split(data, name) for name in ("val", "test")]
    loader, optimizer = data.train_dataloader(), ADAM.build(model.parameter_groups())
    curve = []
    for epoch in range(epochs):
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            model.training_step(batch).backward()
            optimizer.step()
        curve.append(float(np.mean([accuracy(model, batch) for batch in held_out])))
    return curve


def run(seed: int = 0, size: Size = "full", *, epochs: int = 12) -> Result:
    """Train each network on digits twice, and classify others after each epoch."""
    data = Digits()
    runs, epochs = (2, epochs) if size == "full" else (1, min(epochs, 3))
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for name, year in YEARS.items():
        models = [build(name) for _ in range(runs)]
        curve = arrays[name] = np.mean([train(model, data, epochs) for model in models], 0)
        early, last = curve[min(2, epochs - 1)], curve[-1]
        rows.append({"network": name, "year": str(year), **cost(models[0]), "early": float(early), "last": float(last)})
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw accuracy over epochs, and at the end over multiply-adds."""
    left, right = figure.subplots(1, 2)
    styles = zip((BLUE, ORANGE, GREEN, RED, PINK), "os^Dv", ("-", "--", ":", "-.", "-"), strict=True)
    for row, (colour, marker, line) in zip(result.rows, styles, strict=True):
        curve = result.arrays[row["network"]]
        label = row["network"][0]
        left.plot(range(1, len(curve) + 1), curve, line, marker=marker, markersize=5, color=colour, label=label)
        right.plot(row["multiply-adds"] / 1000, row["last"], marker, markersize=11, color=colour)
        right.annotate(label, (row["multiply-adds"] / 1000, row["last"]), (9, -4), textcoords="offset points")
    left.set(xlabel="t", ylabel="%", ylim=(0, 1.03), xticks=range(0, len(curve) + 1, 3))
    right.set(xlabel="MAC / 1000", ylabel="%", xlim=(0, 320))
    for axes in (left, right):
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    left.legend()


def claim(result: Result) -> list[Claim]:
    """Compare the oldest network with the newest."""
    old, new = result.row(network="LeNet"), result.row(network="ResNet")
    parameters = result.column("parameters")
    claims = [
        Claim("most parameters by fewest", max(parameters) / min(parameters), "<=", 1.1),
        Claim("fully connected share, LeNet", old["flat"], ">=", 0.6),
        Claim("fully connected share, ResNet", new["flat"], "<=", 0.05),
        Claim("multiply-adds, ResNet by LeNet", new["multiply-adds"] / old["multiply-adds"], ">=", 4),
        Claim("early, LeNet minus ResNet", old["early"] - new["early"], ">=", result.bound(full=0.15, test=0.05)),
    ]
    if result.size == "full":  # three epochs are too few for it
        claims.append(Claim("last, ResNet minus LeNet", new["last"] - old["last"], ">=", 0.01))
    return claims


def right_choice(result: Result) -> int:
    """Return the choice of the network that is best after three epochs."""
    best = max(result.rows, key=lambda row: row["early"])["network"]
    return {"LeNet": 1, "VGG": 2, "ResNet": 3}[best]


def answer_1() -> list[Claim]:
    """Count the parameters for images of 32 x 32 by those for images of 8 x 8."""
    growth = {}
    for name in ("LeNet", "ResNet"):
        small, large = (sum(p.numel() for p in build(name, side).parameters()) for side in (8, 32))
        growth[name] = large / small
    return [
        Claim("parameters at 32 × 32 by 8 × 8, LeNet", growth["LeNet"], ">=", 10),
        Claim("parameters at 32 × 32 by 8 × 8, ResNet", growth["ResNet"], "==", 1),
    ]


def answer_2() -> list[Claim]:
    """Train a ResNet for three epochs that reads all places of its last map instead of their mean."""
    layers = LAYERS["ResNet"].replace("global_avg_pool", "flatten").split("; ")
    flat, mean = (train(model, Digits(), 3)[-1] for model in (ConvNet(1, 8, 8, 10, layers=layers), build("ResNet")))
    return [Claim("after three epochs, flatten minus mean", flat - mean, ">=", 0.2)]
