"""Zeros: one layer learns from zeros; two layers do not, and neurons that start equal stay equal.

    dL/dW_2 = (p - y) h^T,    dL/dW_1 = (W_2^T (p - y) * relu'(z)) x^T,    h = relu(z),  z = W_1 x

With W_1 = 0 and W_2 = 0, h is 0 and so are both gradients. Neurons of a hidden layer with equal weights get equal
gradients at every step; whatever its width, the layer is one neuron (Rumelhart, Hinton and Williams 1986, section on
symmetry breaking).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from lightning_nn import Digits, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEURONS = 16  # of each hidden layer
Start = Literal["zeros", "copies", "random"]
CASES: tuple[tuple[int, Start], ...] = ((1, "zeros"), (2, "zeros"), (2, "copies"), (2, "random"), (3, "zeros"))


def build(data: Digits, layers: int, start: Start, noise: float = 0.0) -> SoftmaxClassifier:
    """Build a network whose weights start at zero, as copies of one neuron in each hidden layer, or at random."""
    model = SoftmaxClassifier.for_data(data, hidden=[NEURONS] * (layers - 1), init="kaiming")
    matrices = [weight.data for weight in model.parameters() if weight.ndim == 2]
    if start == "zeros":
        for matrix in matrices:
            matrix.zero_()
    if start == "copies":
        for into, out_of in pairwise(matrices):
            into[:] = into[:1].clone()  # what each neuron reads
            out_of[:] = out_of[:, :1] / NEURONS  # and how it is read
    if start != "random" and noise:
        for matrix in matrices:
            matrix += noise * torch.randn_like(matrix)
    return model


def first_gradient(model: SoftmaxClassifier, data: Digits) -> float:
    """Return the norm of the gradient of the first layer's weights over the training set."""
    model.zero_grad()
    model.training_step(split(data, "train")).backward()
    gradient = next(model.parameters()).grad
    return 0.0 if gradient is None else float(gradient.norm())


def run(seed: int = 0, size: Size = "full", *, noise: float = 0.0) -> Result:
    """Train networks of one to three layers on digits from several starts."""
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for layers, start in CASES:
        model = build(data := Digits(), layers, start, noise)
        gradient, losses, weights = first_gradient(model, data), [], []
        for _ in range(12 if size == "full" else 4):
            losses += fit(model, data, 1, Optimizer(lr=0.01))
            weights.append(next(model.parameters())[:8, 28].tolist())  # from a pixel in the middle to eight neurons
        neurons = len(torch.unique(next(model.parameters()).detach(), dim=0))
        rows.append(
            {
                "layers": layers,
                "start": start,
                "first gradient": gradient,
                "neurons that differ": neurons,
                "accuracy": accuracy(model, split(data, "test")),
            }
        )
        arrays |= {f"losses {layers} {start}": np.array(losses), f"weights {layers} {start}": np.array(weights)}
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the losses, and the weights from one pixel to eight neurons."""
    left, middle, right = figure.subplots(1, 3)
    for (layers, start), style, colour in zip(CASES, ("-", "--", "-.", ":"), (GREEN, RED, ORANGE, BLUE), strict=False):
        losses = result.arrays[f"losses {layers} {start}"]
        left.plot(np.convolve(losses, np.ones(10) / 10, "valid"), style, color=colour, label=f"{layers}, {start[0]}")
    left.set(xlabel="t", ylabel="L", ylim=(0, 2.6))
    left.legend()
    for axes, start, colour in ((middle, "copies", ORANGE), (right, "random", BLUE)):
        axes.plot(result.arrays[f"weights 2 {start}"], color=colour, linewidth=1)
        axes.set(xlabel="t", ylabel="w", title=start[0], ylim=(-0.6, 0.6))


def claim(result: Result) -> list[Claim]:
    """Compare the starts."""
    one, two = result.row(layers=1, start="zeros"), result.row(layers=2, start="zeros")
    copies, random = result.row(layers=2, start="copies"), result.row(layers=2, start="random")
    return [
        Claim("accuracy of one layer from zeros", one["accuracy"], ">=", 0.85),
        Claim("first gradient of two layers from zeros", two["first gradient"], "==", 0),
        Claim("accuracy of two layers from zeros", two["accuracy"], "<=", 0.15),
        Claim("neurons that differ from copies", copies["neurons that differ"], "==", 1),
        Claim("accuracy of two layers from copies", copies["accuracy"], "<=", 0.6),
        Claim("accuracy of two layers from random weights", random["accuracy"], ">=", 0.85),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that is the accuracy of two layers from zeros."""
    accuracy = result.row(layers=2, start="zeros")["accuracy"]
    return 1 if accuracy < 0.3 else 2 if accuracy < 0.7 else 3


def answer_1() -> list[Claim]:
    """Add a little noise to zeros."""
    row = run(noise=0.01).row(layers=2, start="zeros")
    return [
        Claim("neurons that differ", row["neurons that differ"], "==", NEURONS),
        Claim("accuracy from zeros and noise", row["accuracy"], ">=", 0.8),
    ]


def answer_2() -> list[Claim]:
    """Compare what a network that started from zeros predicts with the shares of the classes."""
    data = Digits()
    model, train = build(data, 2, "zeros"), split(data, "train")
    fit(model, data, 10, Optimizer(lr=0.01))
    shares = torch.bincount(train.label) / len(train.label)
    with torch.no_grad():
        p = model(train).softmax(1)
    return [
        Claim("gap of p and the shares of the classes", (p - shares).abs().max().item(), "<=", 0.03),
        Claim("gap of p of two images", (p - p[:1]).abs().max().item(), "==", 0),
    ]
