"""Initialisation: the first weights decide whether a signal reaches the end of a deep network.

    z_l = W_l relu(z_{l-1}),    Var(z_l) = n Var(w) E[relu(z_{l-1})^2] = (n Var(w) / 2) Var(z_{l-1})

With Var(w) = 2 / n the spread stays the same from layer to layer (He et al. 2015). With 1 / n (Glorot and Bengio 2010,
for activations that are linear near 0) it falls by sqrt(2) at each ReLU, and gradients shrink as much on the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lightning_nn import Digits, ImageBatch, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, fit, split
from lightning_nn.models.softmax import Init

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTH, WIDTH = 20, 128
GRADIENT = "gradient of layer 1 by that of layer 20"
LETTERS = {"normal": "N", "xavier": "X", "kaiming": "K"}
INITS = tuple(init for init in get_args(Init) if init != "zeros")


def build(data: Digits, init: Init, gain: float = 1.0) -> SoftmaxClassifier:
    """Build a deep network, its first weights times a gain."""
    model = SoftmaxClassifier.for_data(data, hidden=[WIDTH] * DEPTH, init=init)
    for weight in model.parameters():
        weight.data *= gain
    return model


def spreads(model: SoftmaxClassifier, batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Return the standard deviation of each hidden layer's z, and the norm of the gradient with respect to it."""
    outputs: list[Tensor] = []
    layers = [layer for layer in model.layers if isinstance(layer, nn.Linear)][:-1]
    hooks = [layer.register_forward_hook(lambda _, x, z: outputs.append(z)) for layer in layers]
    loss = model.training_step(batch)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(loss, outputs)
    return torch.stack([z.detach().std() for z in outputs]), torch.stack([g.norm() for g in gradients])


def run(seed: int = 0, size: Size = "full", *, gain: float = 1.0) -> Result:
    """Measure the spread by layer for several inits, and train each network."""
    rows: list[Row] = []
    arrays: dict[str, Array] = {}
    data = Digits()
    for init in INITS:
        model = build(data, init, gain)
        spread, gradient = spreads(model, split(data, "train"))
        losses = fit(model, data, 10 if size == "full" else 1, Optimizer(name="sgd", lr=0.01, momentum=0.9))
        rows.append(
            {
                "init": init,
                "spread of layer 1": spread[0].item(),
                "spread of layer 20": spread[-1].item(),
                GRADIENT: (gradient[0] / gradient[-1]).item(),
                "loss": float(np.mean(losses[-10:])),
                "accuracy": accuracy(model, split(data, "test")),
            }
        )
        arrays |= {f"spread {init}": spread.numpy(), f"gradient {init}": gradient.numpy()}
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the spread and the gradient by layer."""
    left, right = figure.subplots(1, 2)
    for init, marker, colour in zip(INITS, ("s", "^", "o"), (GREEN, ORANGE, BLUE), strict=True):
        for axes, name in ((left, "spread"), (right, "gradient")):
            values = np.maximum(result.arrays[f"{name} {init}"], 1e-12)
            axes.plot(range(1, DEPTH + 1), values, marker=marker, markersize=4, color=colour, label=LETTERS[init])
    left.set(xlabel="l", ylabel="$\\sigma(z_l)$", yscale="log", ylim=(1e-9, 1e3))
    right.set(xlabel="l", ylabel="$|dL/dz_l|$", yscale="log", ylim=(1e-9, 1e3))
    left.legend()


def claim(result: Result) -> list[Claim]:
    """Compare the last layer with the first, and the trained networks."""
    xavier, kaiming = result.row(init="xavier"), result.row(init="kaiming")
    decline = {row["init"]: row["spread of layer 20"] / row["spread of layer 1"] for row in result.rows}
    claims = [
        Claim("spread of layer 20 by that of layer 1, kaiming", decline["kaiming"], ">=", 0.25),
        Claim("the same, from above", decline["kaiming"], "<=", 4),
        Claim("spread of layer 20 by that of layer 1, xavier", decline["xavier"], "<=", 0.01),
        Claim("spread of layer 20 by that of layer 1, normal", decline["normal"], "<=", 1e-15),
        Claim("gradient of layer 1 by that of layer 20, xavier", xavier[GRADIENT], "<=", 0.01),
    ]
    if result.size == "full":
        claims += [
            Claim("accuracy with kaiming", kaiming["accuracy"], ">=", 0.5),
            Claim("accuracy with xavier", xavier["accuracy"], "<=", 0.4),
        ]
    return claims


def right_choice(result: Result) -> int:
    """Return the choice that is the loss of spread in 20 layers with xavier."""
    row = result.row(init="xavier")
    decline = row["spread of layer 1"] / row["spread of layer 20"]
    return 1 if decline < 2 else 2 if decline < 60 else 3


def answer_1() -> list[Claim]:
    """Multiply xavier's weights by the square root of 2."""
    spread, _ = spreads(build(data := Digits(), "xavier", 2**0.5), split(data, "train"))
    decline = (spread[-1] / spread[0]).item()
    return [
        Claim("spread of layer 20 by that of layer 1", decline, ">=", 0.2),
        Claim("the same, from above", decline, "<=", 5),
    ]


def answer_2() -> list[Claim]:
    """Make the weights a little larger."""
    spread, _ = spreads(build(data := Digits(), "kaiming", 1.2), split(data, "train"))
    plain, _ = spreads(build(data, "kaiming"), split(data, "train"))
    growth = spread[-1] / spread[0] / (plain[-1] / plain[0])
    return [Claim("growth through 19 layers with gain 1.2", growth.item(), ">=", 10)]
