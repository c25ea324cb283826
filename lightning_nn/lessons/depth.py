"""Depth: more layers learn more, as long as the training of so many works; skip connections make it work.

    plain:     x_{l+1} = relu(N(w_l * x_l)),        residual:  x_{l+2} = relu(x_l + N(w_{l+1} * relu(N(w_l * x_l))))

N is batch normalisation. A deep plain network is worse on the training set already, so it does not overfit: it is hard
to train, though a shallow network is contained in it (layers that copy). He et al. 2016, arXiv:1512.03385.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from lightning_nn import ConvNet, Digits, Optimizer
from lightning_nn.layers.convolution import initialise
from lightning_nn.layers.inspection import receptive_fields
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["plain", "normed", "residual"]
KINDS: tuple[Kind, ...] = ("plain", "normed", "residual")
DEPTHS = (0, 2, 8, 24)  # convolutions after the first one
CONV = "conv 16 3 padding=1"
SGD = Optimizer("sgd", lr=0.03, momentum=0.9)


def layers(kind: Kind, depth: int) -> list[str]:
    """List the layers of a network with `depth` convolutions on maps of 4 x 4, an even number."""
    block = {
        "plain": [CONV, "relu"] * 2,
        "normed": [CONV, "batch_norm", "relu"] * 2,
        "residual": [f"residual {CONV}, batch_norm, relu, {CONV}, batch_norm", "relu"],
    }[kind]
    return [CONV, "relu", "max_pool 2", *block * (depth // 2), "flatten"]


def build(kind: Kind, depth: int) -> ConvNet:
    """Make a network for digits."""
    return ConvNet.for_data(Digits(), layers=layers(kind, depth))


def gradient_norms(model: ConvNet) -> list[float]:
    """Return the norm of the gradient of each convolution's weights, over some of the training set."""
    model.zero_grad()
    model.training_step(split(Digits(), "train").select(torch.arange(256))).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.ndim == 4]
    return [float(gradient.norm()) for gradient in gradients if gradient is not None]


def run(seed: int = 0, size: Size = "full", *, epochs: int = 8) -> Result:
    """Train networks of several depths and three kinds on digits."""
    data = Digits(batch_size=128)
    train, test = split(data, "train"), split(data, "test")
    depths, epochs = (DEPTHS, epochs) if size == "full" else ((0, 24), min(epochs, 2))
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    for depth in depths:
        for kind in KINDS:
            model = build(kind, depth)
            losses = fit(model, data, epochs, SGD)
            rows.append(
                {
                    "layers": depth + 2,
                    "kind": kind,
                    "loss": float(np.mean(losses[-9:])),
                    "train": accuracy(model, train),
                    "test": accuracy(model, test),
                }
            )
            if depth == DEPTHS[-1]:  # before training
                arrays[kind] = np.array(gradient_norms(build(kind, depth)))
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw training accuracy by depth, and the first gradient by layer."""
    left, right = figure.subplots(1, 2)
    for kind, label, colour, style in zip(KINDS, "PNR", (ORANGE, GREEN, BLUE), ("s--", "^:", "o-"), strict=True):
        rows = [row for row in result.rows if row["kind"] == kind]
        left.plot([row["layers"] for row in rows], [row["train"] for row in rows], style, color=colour, label=label)
        gradients = result.arrays[kind]
        right.semilogy(range(1, len(gradients) + 1), gradients, style, color=colour, markersize=4, label=label)
    left.set(xlabel="D", ylabel="%", ylim=(0, 1.05), xticks=sorted(set(result.column("layers"))))
    left.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
    right.set(xlabel="l", ylabel="|g|")
    left.legend()


def claim(result: Result) -> list[Claim]:
    """Compare depths and kinds by training accuracy."""
    deepest = max(result.column("layers"))
    plain, normed, residual = (result.row(layers=deepest, kind=kind) for kind in KINDS)
    shallow = result.row(layers=2, kind="plain")
    return [
        Claim("train, 2 layers", shallow["train"], ">=", result.bound(full=0.95, test=0.6)),
        Claim("train, 26 plain layers", plain["train"], "<=", 0.5),
        Claim(
            "train, residual minus plain", residual["train"] - plain["train"], ">=", result.bound(full=0.4, test=0.15)
        ),
        Claim("loss, residual by normed", residual["loss"] / normed["loss"], "<=", result.bound(full=0.6, test=1.2)),
        Claim("test, residual", residual["test"], ">=", result.bound(full=0.9, test=0.25)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of how a deep plain network does on the training set."""
    deep, shallow = (result.row(layers=layers, kind="plain")["train"] for layers in (26, 2))
    return 1 if deep > shallow + 0.005 else 2 if deep > shallow - 0.02 else 3


def answer_1() -> list[Claim]:
    """Build a deep plain network that computes what a shallow one does: its other layers copy."""
    batch, models = split(Digits(), "test"), [build("plain", 0), build("plain", 24)]
    shallow, deep = models
    initialise(deep.body, "zeros")
    for layer in deep.body.children():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
    deep.body[0].load_state_dict(shallow.body[0].state_dict())
    deep.head.load_state_dict(shallow.head.state_dict())
    with torch.no_grad():
        gap = (deep(batch) - shallow(batch)).abs().max()
    return [Claim("gap of the logits", float(gap), "<=", 1e-6)]


def answer_2() -> list[Claim]:
    """Multiply the norms of gradients by the number of layers that they pass."""
    first = {kind: gradient_norms(build(kind, 24)) for kind in KINDS}
    shallow = gradient_norms(build("plain", 0))
    return [
        Claim("first layer, 26 plain layers by 2 layers", first["plain"][0] / shallow[0], "<=", 0.3),
        Claim("second layer by last, normed", first["normed"][1] / first["normed"][-1], ">=", 8),
        Claim("second layer by last, residual", first["residual"][1] / first["residual"][-1], "<=", 6),
    ]


def answer_3() -> list[Claim]:
    """Measure which pixels a place of the last map can see."""
    chain = build("plain", 24).chain
    fields = receptive_fields((layer.name, layer.module) for layer in chain)
    sizes = [fields[f"conv{number}"].size for number in (1, 2, 25)]
    return [Claim("pixels across, of the first layer", sizes[0], "==", 3), Claim("of the last", sizes[-1], "==", 100)]
