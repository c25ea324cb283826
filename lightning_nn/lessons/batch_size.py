"""The batch size: one sample, a mini-batch, or the whole set for a step; by samples and by seconds.

    g_B = mean of dL_i/dw over B samples,    deviation of g_B = deviation of g_1 / sqrt(B)

Robbins and Monro 1951; Bottou 1998. A step on one sample is noisy and cheap, so that one pass over the data makes many
of them; a step on many is computed as one matrix product, which takes hardly longer than a small one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from lightning_nn import Digits, Optimizer, SoftmaxClassifier
from lightning_nn.lessons.lesson import BLUE, GREEN, ORANGE, RED, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1, 8, 64, 1079)  # the last is the whole set


def gradient_noise(model: SoftmaxClassifier, size: int) -> float:
    """Compute how far the gradient of a random batch is from that of all, on average, by the length of the latter."""
    batch = split(Digits(), "train")
    weight = next(model.parameters())
    (whole,) = torch.autograd.grad(model.training_step(batch), weight)
    distances = []
    for _ in range(30):
        (part,) = torch.autograd.grad(
            model.training_step(batch.select(torch.randint(batch.size, (size,)).tolist())), weight
        )
        distances.append((part - whole).norm() / whole.norm())
    return float(torch.stack(distances).square().mean().sqrt())


def run(seed: int = 0, size: Size = "full", *, lr: float = 0.03) -> Result:
    """Train with several batch sizes, on as many samples each."""
    rows: list[Row] = []
    curves = []
    epochs = 3 if size == "full" else 1
    train = split(Digits(), "train")
    for count in SIZES:
        model = SoftmaxClassifier.for_data(data := Digits(batch_size=count), init="zeros")
        noise = gradient_noise(model, count)
        losses = []
        start = time.process_time()
        for _ in range(epochs):
            fit(model, data, 1, Optimizer(name="sgd", lr=lr))
            with torch.no_grad():
                losses.append(model.training_step(train).item())
        seconds = time.process_time() - start
        rows.append(
            {
                "samples a step": count,
                "steps": epochs * -(-train.size // count),
                "noise": noise,
                "loss": losses[-1],
                "samples a second": epochs * train.size / seconds,
            }
        )
        curves.append([2.303, *losses])
    return Result(rows, {"losses": torch.tensor(curves).numpy()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the loss over the passes through the data, and the noise of the gradient."""
    left, right = figure.subplots(1, 2)
    styles = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (RED, "D"))
    for count, losses, (colour, marker) in zip(SIZES, result.arrays["losses"], styles, strict=True):
        left.semilogy(losses, marker=marker, color=colour, label=f"B = {count}")
    left.set(xlabel="n / N", ylabel="L", xlim=(-0.1, 5.2), xticks=range(4))
    left.legend(fontsize=9, loc="center right")
    right.loglog(SIZES, result.column("noise"), "o-", color=BLUE)
    right.set(xlabel="B", ylabel="|g - G| / |G|")


def claim(result: Result) -> list[Claim]:
    """Compare single samples, mini-batches and the whole set."""
    one, few, many, whole = result.rows
    return [
        Claim("loss of single samples, by that of the whole set", one["loss"] / whole["loss"], "<=", 0.5),
        Claim("noise at 1, by that at 64", one["noise"] / many["noise"], ">=", 5),
        Claim("noise at 1, by that at 64, from above", one["noise"] / many["noise"], "<=", 12),
        Claim("loss of 8 samples, by that of 64", few["loss"] / many["loss"], "<=", 0.9),
        Claim("samples a second, 64 by 1", many["samples a second"] / one["samples a second"], ">=", 4),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says how the noise falls."""
    return 2 if 5 < result.rows[0]["noise"] / result.rows[2]["noise"] < 12 else 3


def answer_1() -> list[Claim]:
    """Let the rate grow with the batch: 8 times the samples at 8 times the rate."""
    ends = []
    for count, lr in ((8, 0.01), (64, 0.08)):
        model = SoftmaxClassifier.for_data(data := Digits(batch_size=count), init="zeros")
        fit(model, data, 2, Optimizer(name="sgd", lr=lr))
        ends.append(model.training_step(split(data, "train")).item())
    return [Claim("gap of both losses, by the loss", abs(ends[0] - ends[1]) / ends[0], "<=", 0.15)]


def answer_2() -> list[Claim]:
    """Take the mean of the gradients of two half batches."""
    model, batch = SoftmaxClassifier.for_data(data := Digits()), split(data, "train")
    weight, half = next(model.parameters()), batch.size // 2
    parts = [batch.select(range(half)), batch.select(range(half, 2 * half)), batch.select(range(2 * half))]
    first, second, both = (torch.autograd.grad(model.training_step(part), weight)[0] for part in parts)
    return [Claim("gap of the gradients", ((first + second) / 2 - both).abs().max().item(), "<=", 1e-6)]
