"""Augmentation: changes of an image that keep its class teach a network, from few images, what does not matter.

    min_w  1/n sum_i E_T[ -log p_{y_i}(T x_i) ],    T drawn anew at every step: flips, stretches, crops, warps, colours

Which change helps is decided by the images to come: one that they don't show teaches nothing. Simard, Steinkraus and
Platt 2003 (warps); Krizhevsky et al. 2012, section 4.1 (crops, flips, colours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lightning_nn import ConvNet, Digits, ImageBatch, Optimizer
from lightning_nn.data.augmentation import Augment, augmented
from lightning_nn.data.batches import Origin
from lightning_nn.layers.images import resize
from lightning_nn.lessons.lesson import BLUE, ORANGE, Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import accuracy, few_scenes, fit, split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS, SIDE, SHOWN = 6, 24, 16  # classes; pixels of an image, and of one in the figure
AUGMENTS = {
    "none": Augment(),
    "flip": Augment(flip="random"),
    "stretch": Augment(stretch=1.4),
    "crop": Augment(crop=0.5),
    "shift": Augment(translate=4),
    "warp": Augment(rotate=15, shear=15, perspective=0.3),
    "scales": Augment(scale=1.4),
    "colour": Augment(brightness=0.4, contrast=0.4, saturation=0.8, hue=0.5),
    "all": Augment(
        flip="random", stretch=1.3, translate=3, rotate=10, shear=10, scale=1.3,
        brightness=0.3, contrast=0.3, saturation=0.8, hue=0.5,
    ),
}  # fmt: skip
LAYERS = ["conv 12 3 padding=1", "max_pool 2", "batch_norm", "relu", "conv 32 3 padding=1", "batch_norm", "relu"]
LAYERS += ["conv 32 3 padding=1", "max_pool 2", "batch_norm", "relu", "conv 64 3 padding=1", "batch_norm", "relu"]
LAYERS += ["global_max_pool"]


def train(few: ImageBatch, augment: Augment, seed: int, steps: int) -> ConvNet:
    """Train on thirty images at a step, changed in another way each time."""
    model = ConvNet(3, SIDE, SIDE, KINDS, layers=LAYERS)
    model.measure([few])
    optimizer = Optimizer(name="adam", lr=0.003).build(model.parameter_groups())
    for step in range(steps):
        batch = few.select(torch.randperm(few.size)[:30].tolist())._replace(origin=Origin(seed, 0, 0, step))
        optimizer.zero_grad()
        model.training_step(augmented(batch, augment)).backward()
        optimizer.step()
    return model


def run(seed: int = 0, size: Size = "full", *, images: int = 10) -> Result:
    """Train with each kind of augmentation on the same few images."""
    few, test = few_scenes(images, 200 if size == "full" else 100, SIDE)
    rows: list[Row] = []
    pictures: dict[str, Array] = {}
    for name in AUGMENTS if size == "full" else ("none", "colour"):
        model = train(few, AUGMENTS[name], seed, 160 if size == "full" else 60)
        seen, new = accuracy(model, few), accuracy(model, test)
        rows.append({"augmentation": name, "training accuracy": seen, "test accuracy": new, "gap": seen - new})
        first = few.select([0])._replace(origin=Origin(seed, 0, 0, 0))
        image = resize(augmented(first, AUGMENTS[name]).image, (SHOWN, SHOWN))[0]
        pictures[name] = (image if image.dtype == torch.uint8 else image * 255).byte().numpy().astype(np.int64)
    return Result(rows, pictures)


def draw(result: Result, figure: Figure) -> None:
    """Draw an image as each kind changes it, and both accuracies below."""
    count = len(result.rows)
    grid = figure.add_gridspec(2, count, height_ratios=(1, 2.6))
    for place, image in enumerate(result.arrays.values()):
        axes = figure.add_subplot(grid[0, place])
        axes.imshow(image.transpose(1, 2, 0).astype("uint8"))
        axes.set_title(str(place + 1))
        axes.axis("off")
    axes, places = figure.add_subplot(grid[1, :]), np.arange(1, count + 1)
    axes.bar(places - 0.2, result.column("training accuracy"), 0.36, color=ORANGE)
    axes.bar(places + 0.2, result.column("test accuracy"), 0.36, color=BLUE, hatch="//")
    axes.set(ylabel="acc", ylim=(0, 1.02), xticks=places, xlim=(0.5, count + 0.5))


def claim(result: Result) -> list[Claim]:
    """Compare no augmentation with that of colours, with flips, and with all."""
    rows = {row["augmentation"]: row for row in result.rows}
    none, colour = rows["none"], rows["colour"]
    claims = [
        Claim("gap without augmentation", none["gap"], ">=", result.bound(full=0.3, test=0.2)),
        Claim("gap closed by colours", none["gap"] - colour["gap"], ">=", result.bound(full=0.12, test=0.05)),
    ]
    if "flip" in rows:
        test = {name: row["test accuracy"] for name, row in rows.items()}
        claims += [
            Claim("gap closed by all", none["gap"] - rows["all"]["gap"], ">=", 0.12),
            Claim("test accuracy with colours less that without", test["colour"] - test["none"], ">=", 0.08),
            Claim("test accuracy with colours less that with flips", test["colour"] - test["flip"], ">=", 0.05),
        ]
    return claims


def right_choice(result: Result) -> int:
    """Return the choice of the change that helps most."""
    one = [row for row in result.rows if row["augmentation"] in ("flip", "shift", "colour")]
    return {"flip": 1, "shift": 2, "colour": 3}[max(one, key=lambda row: row["test accuracy"])["augmentation"]]


def answer_1() -> list[Claim]:
    """Show digits, as they are and mirrored, to a network that was trained on digits as they are."""
    data = Digits()
    model = ConvNet.for_data(data)
    fit(model, data, 4, Optimizer(name="adam", lr=0.003))
    test = split(data, "test")
    mirrored = test._replace(image=test.image.flip(3))
    return [
        Claim("accuracy on digits", accuracy(model, test), ">=", 0.9),
        Claim("accuracy on mirrored digits", accuracy(model, mirrored), "<=", 0.6),
    ]


def answer_2() -> list[Claim]:
    """Train on gray images instead, and test on gray ones."""
    few, test = few_scenes(10, 100, SIDE)
    gray = [b._replace(image=b.image.float().mean(1, keepdim=True).expand(-1, 3, -1, -1) / 255) for b in (few, test)]
    coloured, without = (
        accuracy(train(train_on, Augment(), 0, 80), test_on) for train_on, test_on in ((few, test), gray)
    )
    return [Claim("test accuracy in gray less that in colour", without - coloured, ">=", 0.05)]
