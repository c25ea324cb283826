"""Fine-tuning: with ten images a class, trained features are a good start, and a small rate of their own improves them.

    w_head <- w_head - lr dL/dw_head,    w_body <- w_body - factor lr dL/dw_body,    0 <= factor <= 1

Factor 0 trains the head alone, on features that stay as they are. Yosinski et al. 2014, "How transferable are features
in deep neural networks?"; smaller rates below the head: Howard and Ruder 2018, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import ConvNet, ImageBatch, Optimizer
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, few_scenes
from lightning_nn.tasks.fine_tuning import FineTune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = 6  # classes of the drawn scenes
SIDE = 24  # pixels
SCRATCH, HEAD, SMALL, FULL = WAYS = ("from scratch", "head alone", "small rate", "full rate")
LABELS = ("new", "0", "0.03", "1")


def network(batch: ImageBatch, way: str) -> ConvNet:
    """Return the network of the package with a new head, and a body that is new or was trained on CIFAR-10."""
    form = {"height": SIDE, "width": SIDE}
    if way != SCRATCH:
        rate = 0.03 if way == SMALL else 1.0
        return ConvNet.from_pretrained(num_classes=KINDS, **form, finetune=FineTune(body_lr=rate))
    model = ConvNet(**{**ConvNet.from_pretrained().hparams, **form, "num_classes": KINDS})
    model.measure([batch])
    return model


def train(model: ConvNet, batch: ImageBatch, way: str, steps: int) -> None:
    """Train on small random batches; only at the full rate batch norms follow the new images."""
    model.train(way in (SCRATCH, FULL))
    model.body.requires_grad_(way != HEAD)
    model.optimizer = Optimizer(name="sgd", lr=0.1, momentum=0.9)
    optimizer = model.optimizer.build(model.parameter_groups())
    for _ in range(steps):
        optimizer.zero_grad()
        model.training_step(batch.select(torch.randperm(batch.size)[:8].tolist())).backward()
        optimizer.step()


def kernels(model: ConvNet) -> Tensor:
    """Return all weights of the body's convolutions as one vector, a copy."""
    return torch.cat([w.detach().flatten() for w in model.body.parameters() if w.ndim == 4])


def run(seed: int = 0, size: Size = "full", *, images: int = 10) -> Result:
    """Train in four ways on a few images of each class."""
    batch, test = few_scenes(images, 200 if size == "full" else 100, SIDE)
    rows: list[Row] = []
    for way in WAYS if size == "full" else (SCRATCH, HEAD, SMALL):
        model = network(batch, way)
        before = kernels(model)
        train(model, batch, way, 48 if size == "full" else 12)
        moved = (kernels(model) - before).norm() / before.norm()
        row = {"way": way, "kernels moved": moved.item()}
        rows.append(row | {"training accuracy": accuracy(model, batch), "test accuracy": accuracy(model, test)})
    return Result(rows)


def draw(result: Result, figure: Figure) -> None:
    """Draw both accuracies of each training, over the factor on the body's rate."""
    axes = figure.subplots()
    places = range(len(result.rows))
    axes.bar([place - 0.2 for place in places], result.column("training accuracy"), 0.36, color=ORANGE, label="1")
    axes.bar([place + 0.2 for place in places], result.column("test accuracy"), 0.36, color=BLUE, hatch="//", label="2")
    axes.axhline(1 / KINDS, color="#888888", linestyle=":")
    axes.set(xlabel="$\\lambda$", ylabel="acc", ylim=(0, 1.02))
    axes.set_xticks(places, LABELS[: len(places)])
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def claim(result: Result) -> list[Claim]:
    """Compare the trainings by what they are right on, and by how far the kernels move."""
    test = {row["way"]: row["test accuracy"] for row in result.rows}
    moved = {row["way"]: row["kernels moved"] for row in result.rows}
    claims = [
        Claim("small rate less from scratch", test[SMALL] - test[SCRATCH], ">=", 0.1),
        Claim("small rate less head alone", test[SMALL] - test[HEAD], ">=", result.bound(full=0.05, test=0.0)),
        Claim("share by which the small rate moves kernels", moved[SMALL], "<=", 0.15),
    ]
    if FULL in test:
        claims += [
            Claim("full rate less from scratch", test[FULL] - test[SCRATCH], ">=", 0.03),
            Claim("small rate less full rate", test[SMALL] - test[FULL], ">=", 0.03),
            Claim("share by which the full rate moves kernels", moved[FULL], ">=", 0.7),
        ]
    return claims


def right_choice(result: Result) -> int:
    """Return the choice of the best training."""
    best = max(result.rows, key=lambda row: row["test accuracy"])["way"]
    return {SCRATCH: 1, HEAD: 2}.get(best, 3)


def answer_1() -> list[Claim]:
    """Train the head alone, on a trained body and on a new one."""
    batch, test = few_scenes(10, 100, SIDE)
    correct = []
    for way in (HEAD, SCRATCH):
        model = network(batch, way)
        train(model, batch, HEAD, 24)
        correct.append(accuracy(model, test))
    return [Claim("head on trained features less head on new ones", correct[0] - correct[1], ">=", 0.1)]


def answer_2() -> list[Claim]:
    """Train all at the full rate, with the statistics of batch norms as they were loaded."""
    batch, test = few_scenes(10, 100, SIDE)
    model = network(batch, FULL)
    train(model, batch, SMALL, 10)  # which keeps the statistics
    return [Claim("accuracy at the full rate with kept statistics", accuracy(model, test), "<=", 0.35)]
