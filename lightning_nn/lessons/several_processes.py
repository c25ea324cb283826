"""Several processes: each computes the gradient of its share of a batch, and their mean is the gradient of the batch.

    g = 1/n sum_i g_i = sum_r (n_r / n) (1/n_r sum_{i in r} g_i)

With shares of equal size n_r the weights n_r / n are equal, and an all-reduce that averages is enough (Li et al. 2020,
"PyTorch Distributed"). With unequal shares it is not, nor with a layer that looks at a whole batch, as batch norm does.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn import ConvNet, Digits, ImageBatch, SoftmaxClassifier
from lightning_nn.data.loader import BatchSampler
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import split
from lightning_nn.tasks.classification import Classifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 64
PLACES = slice(0, None, 8)  # of the gradient in the figure


def gradient(model: Classifier, batch: ImageBatch) -> Tensor:
    """Return the gradient of the mean loss of a batch, all parameters in a row."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(model.training_step(batch), [*model.parameters()])])


def shared_gradient(model: Classifier, shares: list[ImageBatch], *, weighted: bool) -> Tensor:
    """Return the mean of the gradients of several processes, each with a copy of the model and its share."""
    gradients = torch.stack([gradient(deepcopy(model), share) for share in shares])
    sizes = torch.tensor([float(share.size if weighted else 1) for share in shares], dtype=gradients.dtype)
    return sizes / sizes.sum() @ gradients


def divide(batch: ImageBatch, sizes: list[int]) -> list[ImageBatch]:
    """Divide a batch into shares of the given sizes."""
    return [batch.select(range(start, stop)) for start, stop in pairwise([0, *accumulate(sizes)])]


def run(seed: int = 0, size: Size = "full", *, first: int = 48) -> Result:
    """Compare the gradient of one process with the mean of several, for equal and unequal shares."""
    data = Digits()
    plain = SoftmaxClassifier.for_data(data, hidden=[32]).double()
    normed = ConvNet.for_data(data, layers=["conv 8 3", "batch_norm", "relu", "flatten"], init="xavier").double()
    batch = split(data, "train").select(torch.randperm(1000)[:BATCH].tolist())
    whole, whole_normed = gradient(plain, batch), gradient(normed, batch)
    rows: list[Row] = []
    arrays = {"whole": whole[PLACES].numpy()}
    for sizes in ([32, 32], [16] * 4, [8] * 8, [first, BATCH - first]):
        shares = divide(batch, sizes)
        mean = shared_gradient(plain, shares, weighted=False)
        rows.append(
            {
                "processes": len(sizes),
                "shares": " + ".join(map(str, sizes)) if len(sizes) < 5 else f"{len(sizes)} x {sizes[0]}",
                "gap of the mean": gap(mean, whole),
                "gap of the weighted mean": gap(shared_gradient(plain, shares, weighted=True), whole),
                "gap with batch norm": gap(shared_gradient(normed, shares, weighted=True), whole_normed),
            }
        )
        arrays["unequal" if len(rows) == 4 else f"equal {len(sizes)}"] = mean[PLACES].numpy()
    return Result(rows, arrays)


def gap(one: Tensor, other: Tensor) -> float:
    """Return the distance of two gradients, by the length of the second."""
    return float((one - other).norm() / other.norm())


def draw(result: Result, figure: Figure) -> None:
    """Draw the mean of two gradients over the gradient of the batch, for equal and for unequal shares."""
    for axes, name, colour, marker in zip(
        figure.subplots(1, 2), ("equal 2", "unequal"), (BLUE, ORANGE), "os", strict=True
    ):
        axes.axline((0, 0), slope=1, color="grey", linewidth=1)
        axes.plot(result.arrays["whole"], result.arrays[name], marker, color=colour, markersize=4)
        axes.set(xlabel="$g$", ylabel="$(g_1 + g_2) / 2$")


def claim(result: Result) -> list[Claim]:
    """Say where the gradients are equal."""
    equal, unequal = result.rows[:-1], result.rows[-1]
    return [
        Claim("gap of the mean, equal shares", max(row["gap of the mean"] for row in equal), "<=", 1e-12),
        Claim("gap of the mean, unequal shares", unequal["gap of the mean"], ">=", 0.005),
        Claim("gap of the weighted mean", max(result.column("gap of the weighted mean")), "<=", 1e-12),
        Claim("gap with batch norm, two equal shares", result.rows[0]["gap with batch norm"], ">=", 0.005),
    ]


def right_choice(result: Result) -> int:
    """Return the choice that needs the weights."""
    return 2 if result.rows[0]["gap of the mean"] < 1e-6 < result.rows[-1]["gap of the mean"] else 1


def answer_1() -> list[Claim]:
    """Share an epoch of 1,000 samples among three processes."""
    orders = [BatchSampler(1000, 64, shuffle=True, rank=rank, world_size=3) for rank in range(3)]
    samples = np.concatenate([index for order in orders for index in order])
    steps = {len(order) for order in orders}
    return [
        Claim("different samples in an epoch", len(np.unique(samples)), "==", 1000),
        Claim("samples in an epoch", len(samples), "==", 1000),
        Claim("different numbers of steps", len(steps), "==", 1),
    ]


def answer_2() -> list[Claim]:
    """Add up the gradients of two halves of a batch in one process."""
    batch = split(data := Digits(), "train").select(range(BATCH))
    model = SoftmaxClassifier.for_data(data, hidden=[32]).double()
    for half in divide(batch, [BATCH // 2] * 2):
        (model.training_step(half) / 2).backward()  # adds to what is there
    added = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    return [Claim("gap of two halves, one after the other", gap(added, gradient(model, batch)), "<=", 1e-12)]
