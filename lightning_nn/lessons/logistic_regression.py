"""Logistic regression: the output of a neuron is a probability.

    p = sigmoid(z),    z = w · x + b,    loss = -log p if y = 1, else -log(1 - p)

Of all answers p to the same x, the share of y = 1 has the smallest mean loss, so a neuron that is trained on
cross-entropy is pulled towards the shares (Cox 1958; Guo et al. 2017, "On calibration of modern neural networks").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn import Digits, ImageBatch, LogisticRegression, Optimizer
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blur(batch: ImageBatch, noise: float) -> ImageBatch:
    """Make digits pale and noisy, so that a three may look like an eight."""
    pale = 0.3 + 0.4 * batch.image / 255
    return ImageBatch((pale + noise * torch.randn(pale.shape)).clamp(0, 1), batch.label)


def run(seed: int = 0, size: Size = "full", *, noise: float = 0.3, scale: float = 1.0) -> Result:
    """Train on noisy threes and eights, and count how often each output is right on others."""
    data = Digits(classes=[3, 8])
    model = LogisticRegression.for_data(data)
    optimizer = Optimizer(name="sgd", lr=0.1).build(model.parameter_groups())
    train, test = split(data, "train"), split(data, "test")
    for _ in range(1500 if size == "full" else 700):
        optimizer.zero_grad()
        model.training_step(blur(train, noise)).backward()  # the noise is new at every step
        optimizer.step()
    with torch.no_grad():
        z = scale * torch.cat([model(blur(test, noise)) for _ in range(80)])  # (N,) logits
    y = test.label.repeat(80)
    rows: list[Row] = [
        {"p": p, "share of eights": share, "samples": int(count)} for p, share, count in calibration(z, y).tolist()
    ]
    return Result(rows, {"times 1": calibration(z, y).numpy(), "times 3": calibration(3 * z, y).numpy()})


def calibration(z: Tensor, y: Tensor) -> Tensor:
    """Return mean p, share of y = 1 and number of samples for each tenth of p that has samples, (tenths, 3)."""
    p = z.double().sigmoid()
    tenth = (10 * p).long().clamp(max=9)
    groups = [tenth == k for k in tenth.unique()]
    return torch.stack([torch.stack([p[g].mean(), y[g].double().mean(), g.sum()]) for g in groups])


def gap(points: Array) -> float:
    """Return the mean distance of p and share over all samples: the expected calibration error."""
    p, share, count = np.asarray(points).T
    return float((abs(p - share) * count).sum() / count.sum())


def draw(result: Result, figure: Figure) -> None:
    """Draw the share of eights over p; on the diagonal p is a probability."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for name, marker, colour in (("times 1", "o", BLUE), ("times 3", "^", ORANGE)):
        p, share, _ = result.arrays[name].T
        axes.plot(p, share, marker, color=colour, markersize=9, label=f"{name[-1]} z")
    axes.set(xlabel="p", ylabel="y = 1", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend()


def claim(result: Result) -> list[Claim]:
    """Say that p is as large as the share, and that a larger logit spoils it."""
    once, thrice = gap(result.arrays["times 1"]), gap(result.arrays["times 3"])
    return [
        Claim("mean gap of p and share", once, "<=", result.bound(full=0.04, test=0.07)),
        Claim("the same with the logit times 3", thrice, ">=", result.bound(full=0.07, test=0.05)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the row whose p is 0.8 to 0.9."""
    share = next(row["share of eights"] for row in result.rows if row["p"] >= 0.8)
    return 1 if share > 0.95 else 2 if share > 0.65 else 3


def answer_1() -> list[Claim]:
    """Train without noise."""
    points = run(size="test", noise=0.0).arrays["times 1"]
    sure = points[(points[:, 0] < 0.1) | (points[:, 0] > 0.9)]
    return [
        Claim("share of outputs below 0.1 or above 0.9", float(sure[:, 2].sum() / points[:, 2].sum()), ">=", 0.5),
        Claim("the same without noise", gap(points), "<=", 0.15),
    ]


def answer_2() -> list[Claim]:
    """Divide the threefold logit by 3."""
    points = run(scale=1 / 3, size="test").arrays["times 3"]
    return [Claim("gap with the logit times 3, brought back by a third", gap(points), "<=", 0.07)]
