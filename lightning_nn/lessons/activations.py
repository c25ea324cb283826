"""Activation functions: their shapes, their slopes, and what a deep stack of them does to the gradient.

    dL/dx = W^T (f'(z) * dL/dy),    z = W x,    y = f(z)

Each layer multiplies the gradient by a slope and a weight. Hochreiter 1991; Glorot and Bengio 2010; the scale of first
weights for ReLU: He et al. 2015, arXiv:1502.01852, equation 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lightning_nn.layers.convolution import KINDS, Init, build, initialise, sequential
from lightning_nn.lessons.lesson import COLOURS, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
WIDTH, BATCH = 128, 64


def stack(name: str, depth: int, init: Init) -> nn.Sequential:
    """Make a stack of fully connected layers, each with an activation."""
    net = sequential(build([f"linear {WIDTH}", name] * depth, (WIDTH,)))
    initialise(net, init)
    return net


def gradients(net: nn.Sequential) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the length of the gradient behind each activation, from the first layer to the last."""
    x, outputs = torch.randn(BATCH, WIDTH), []
    for layer in net:
        x = layer(x)
        if not isinstance(layer, nn.Linear):
            x.retain_grad()
            outputs.append(x)
    x.backward(torch.randn(BATCH, WIDTH))
    return np.array([float(y.grad.double().norm()) for y in outputs if y.grad is not None])


def shape(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return z from -6 to 6, f(z) and f'(z)."""
    z = torch.linspace(-6, 6, 97, requires_grad=True)
    y = KINDS[name](0)(z)
    (slope,) = torch.autograd.grad(y.sum(), z)
    return z.detach(), y.detach(), slope


def run(seed: int = 0, size: Size = "full", *, depth: int = 20) -> Result:
    """Send a gradient back through a stack of each activation."""
    rows: list[Row] = []
    arrays = {"z": shape("relu")[0].numpy()}
    for name in NAMES:
        z, y, slope = shape(name)
        arrays |= {f"{name} y": y.numpy(), f"{name} slope": slope.numpy()}
        shares = {}
        for init in ("xavier", "kaiming"):
            lengths = gradients(stack(name, depth, init))
            shares[init] = float(lengths[0] / lengths[-1])
        arrays[f"{name} gradient"] = np.log10(lengths / lengths[-1])
        rows.append(
            {"f": name, "largest slope": float(slope.max()), "slope at -4": float(slope[z == -4])}
            | {"slope at 4": float(slope[z == 4]), **shares}
        )
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the functions, their slopes, and the gradient by layer."""
    left, middle, right = figure.subplots(1, 3)
    for name, colour, style in zip(NAMES, (*COLOURS[1:4], *COLOURS[5:]), STYLES, strict=True):
        left.plot(result.arrays["z"], result.arrays[f"{name} y"], color=colour, linestyle=style)
        middle.plot(result.arrays["z"], result.arrays[f"{name} slope"], color=colour, linestyle=style)
        lengths = result.arrays[f"{name} gradient"]
        right.plot(np.arange(1, len(lengths) + 1), lengths, color=colour, linestyle=style, label=name)
    left.set(xlabel="z", ylabel="f(z)", ylim=(-1.3, 3))
    middle.set(xlabel="z", ylabel="f′(z)")
    right.set(xlabel="l", ylabel="log |g|")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=9)


def claim(result: Result) -> list[Claim]:
    """Say which slopes are small, and what becomes of the gradient."""
    sigmoid, tanh, relu = (result.row(f=name) for name in ("sigmoid", "tanh", "relu"))
    return [
        Claim("largest slope of sigmoid", sigmoid["largest slope"], "==", 0.25),
        Claim("slope of tanh at 4", tanh["slope at 4"], "<=", 0.01),
        Claim("slope of relu at 4", relu["slope at 4"], "==", 1),
        Claim("gradient left by sigmoid", sigmoid["kaiming"], "<=", 1e-6),
        Claim("gradient left by relu, kaiming", relu["kaiming"], ">=", 0.2),
        Claim("the same, from above", relu["kaiming"], "<=", 5),
        Claim("gradient left by relu, xavier by kaiming", relu["xavier"] / relu["kaiming"], "<=", 0.02),
    ]


def right_choice(result: Result) -> int:
    """Return the choice nearest to what a stack of sigmoids leaves."""
    share = result.row(f="sigmoid")["xavier"]
    return 1 if share > 0.05 else 2 if share > 1e-4 else 3


def answer_1() -> list[Claim]:
    """Replace a stack without activations by one matrix."""
    layers = [nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(20)]
    x = torch.randn(BATCH, WIDTH)
    y, matrix = x, torch.eye(WIDTH)
    for layer in layers:
        y, matrix = layer(y), layer.weight @ matrix
    gap = (y - x @ matrix.T).norm() / y.norm()
    return [Claim("gap of one matrix to 20 layers", gap.item(), "<=", 1e-4)]


def answer_2() -> list[Claim]:
    """Compare the slope of ReLU for random z with the factor of kaiming."""
    z = torch.randn(100_000)
    share = (z > 0).double().mean().item()
    slopes = (z.sigmoid() * (1 - z.sigmoid())).square().mean().item()
    return [
        Claim("mean squared slope of relu, times 2, off 1", abs(2 * share - 1), "<=", 0.02),
        Claim("mean squared slope of sigmoid", slopes, "<=", 1 / 16),
    ]


def answer_3() -> list[Claim]:
    """Make a sigmoid of a tanh."""
    z = torch.linspace(-6, 6, 97)
    gap = (z.sigmoid() - (1 + (z / 2).tanh()) / 2).abs().max()
    return [Claim("gap of both functions", gap.item(), "<=", 1e-6)]
