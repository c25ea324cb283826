"""Softmax: K neurons, z = W x, and their outputs as one distribution.

    p_k = exp(z_k) / sum_j exp(z_j),    loss = -log p_y,    dL/dz = p - y

Bridle 1990. Division by the plain sum is no distribution once a z is negative; with negative z set to zero it is one,
but a class at zero has no gradient that could bring it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import Digits, SoftmaxClassifier
from lightning_nn.lessons.lesson import Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": lambda z: z.softmax(1),
    "relu": lambda z: F.relu(z) / F.relu(z).sum(1, keepdim=True).clamp(min=1e-6),
    "sum": lambda z: z / z.sum(1, keepdim=True),
}


def train(model: SoftmaxClassifier, rule: str, steps: int) -> None:
    """Descend -log p_y of all digits, p by one of the rules."""
    batch = split(Digits(), "train")
    optimizer = model.optimizer.build(model.parameter_groups())
    for _ in range(steps):
        p = RULES[rule](model(batch)).gather(1, batch.label[:, None])
        loss = -p.clamp(min=1e-6).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def run(seed: int = 0, size: Size = "full", *, shift: float = 5.0) -> Result:
    """Train ten neurons by each rule, and look at what each makes of the same logits."""
    rows: list[Row] = []
    weights = torch.empty(0)
    test = split(data := Digits(), "test")
    for rule, normalise in RULES.items():
        torch.manual_seed(seed)
        model = SoftmaxClassifier.for_data(data)
        with torch.no_grad():
            z = model(test)
            p, shifted = normalise(z), normalise(z + shift)
        train(model, rule, 100 if size == "full" else 40)
        with torch.no_grad():
            correct = (model(test).argmax(1) == test.label).double().mean()
        weights = next(model.parameters()).detach() if rule == "exp" else weights
        rows.append(
            {
                "rule": rule,
                "outside 0 to 1": outside(p),
                "change by the shift": float((p - shifted).abs().max(1).values.median()),
                "correct": float(correct),
            }
        )
    mean = [test.image[test.label == k].double().mean(0).flatten() for k in range(10)]
    return Result(rows, {"weights": weights.view(10, 8, 8).numpy(), "digits": torch.stack(mean).view(10, 8, 8).numpy()})


def outside(p: Tensor) -> float:
    """Return the share of samples with a p that is no probability."""
    return float(((p < 0) | (p > 1)).any(1).double().mean())


def draw(result: Result, figure: Figure) -> None:
    """Draw the weights of each neuron as a picture: violet where ink speaks for its digit, orange where against it."""
    largest = abs(result.arrays["weights"]).max()
    for k, (axes, weights) in enumerate(zip(figure.subplots(2, 5).flat, result.arrays["weights"], strict=True)):
        image = axes.imshow(weights, cmap="PuOr", vmin=-largest, vmax=largest)
        axes.set(xticks=[], yticks=[], title=str(k))
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="w")


def claim(result: Result) -> list[Claim]:
    """Compare the rules."""
    exp, relu, total = result.rows
    return [
        Claim("outside 0 to 1 by exp", exp["outside 0 to 1"], "==", 0),
        Claim("outside 0 to 1 by division", total["outside 0 to 1"], ">=", 0.9),
        Claim("change by exp, if all logits are shifted", exp["change by the shift"], "<=", 1e-5),
        Claim("change by relu, if all logits are shifted", relu["change by the shift"], ">=", 0.05),
        Claim("correct with exp", exp["correct"], ">=", result.bound(full=0.9, test=0.8)),
        Claim(
            "correct with exp, minus with relu", exp["correct"] - relu["correct"], ">=", result.bound(full=0.05, test=0)
        ),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that says what division makes of most samples."""
    return 3 if result.row(rule="sum")["outside 0 to 1"] > 0.5 else 1


def answer_1() -> list[Claim]:
    """Compare the gradient of the loss in z with p - y."""
    z, y = torch.randn(1, 10, dtype=torch.float64, requires_grad=True), torch.tensor([3])
    (gradient,) = torch.autograd.grad(F.cross_entropy(z, y), z)
    gap = (gradient - (z.softmax(1) - F.one_hot(y, 10))).abs().max()
    return [Claim("gap of the gradient and p - y", gap.item(), "<=", 1e-12)]


def answer_2() -> list[Claim]:
    """Take the exponential of a large logit, as it is and after the largest is taken off."""
    z = torch.tensor([[1000.0, 999.0]])
    plain, careful = z.exp() / z.exp().sum(), (z - z.max()).exp() / (z - z.max()).exp().sum()
    return [
        Claim("outputs that are numbers, plain", int(plain.isfinite().sum()), "==", 0),
        Claim("first output, with the largest taken off", careful[0, 0].item(), ">=", 0.73),
    ]
