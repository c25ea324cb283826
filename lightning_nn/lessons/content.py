"""Content: an image made anew from what one layer saw of another; the deeper the layer, the fewer edges come back.

    x* = argmin_x |F_l(x) - F_l(p)|^2 / |F_l(p)|^2,    from noise, by gradient descent on the pixels of x alone

Mahendran and Vedaldi 2015, "Understanding deep image representations by inverting them"; Gatys et al. 2016, eq. 1. The
image is made at three sizes in turn, since the first layer whitens its input and hardly sees what changes slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightning_nn import Photos, StyleTransfer
from lightning_nn.layers.images import resize
from lightning_nn.lessons.gram import Network
from lightning_nn.lessons.lesson import Array, Claim, Result, Row, Size
from lightning_nn.lessons.training import split
from lightning_nn.tasks.stylization import StyleOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = {"full": (48, 72), "test": (44, 66)}
LAYERS = ("gelu1_1", "gelu2_2", "gelu3_2", "gelu4_2")
HEIGHT = 1.4


def photographs(size: Size) -> tuple[Tensor, Tensor]:
    """Return a temple and a flower, uint8 (3, H, W)."""
    batch = split(Photos(steps=1), "train")
    images = (batch.content, batch.style[0][None])
    temple, flower = (resize(image.float(), SIDES[size])[0].round().byte() for image in images)
    return temple, flower


def reconstruct(image: Tensor, layer: str, steps: int) -> tuple[Tensor, float]:
    """Return an image that a layer can hardly tell from another one, float (3, H, W), 0 to 255, and its loss."""
    loss = StyleOptions(content_layers={layer: 1.0})
    *_, last = StyleTransfer.stylize(image, steps=steps, size=image.shape[2], scales=3, loss=loss)
    return last.image.detach(), last.loss


def edges(image: Tensor) -> Tensor:
    """Return the differences in brightness of all neighbours, across and down, in one vector."""
    gray = image.float().mean(0)
    return torch.cat([gray.diff(dim=0).flatten(), gray.diff(dim=1).flatten()])


def correlation(one: Tensor, other: Tensor) -> float:
    """Correlate two tensors of one shape."""
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


def pixels(image: Tensor) -> Array:
    """Round an image to whole numbers, (H, W, 3), 0 to 255."""
    return image.float().clamp(0, 255).round().permute(1, 2, 0).numpy().astype(np.int64)


def run(seed: int = 0, size: Size = "full", *, steps: int = 120) -> Result:
    """Make a photograph anew from each of several layers."""
    image, _ = photographs(size)
    rows: list[Row] = []
    arrays = {"p": pixels(image)}
    for layer in LAYERS:
        made, loss = reconstruct(image, layer, steps if size == "full" else steps // 2)
        agreement = {"edges": correlation(edges(made), edges(image)), "pixels": correlation(made, image.float())}
        rows.append({"layer": layer, "loss": loss, **agreement})
        arrays[layer] = pixels(made)
    return Result(rows, arrays)


def draw(result: Result, figure: Figure) -> None:
    """Draw the photograph, and what is made of it from each layer."""
    draw_images(result.arrays, ["p", *(layer[-3:].replace("_", ".") for layer in LAYERS)], figure)


def draw_images(images: dict[str, Array], titles: list[str], figure: Figure) -> None:
    """Draw images side by side."""
    for axes, image, title in zip(figure.subplots(1, len(images)), images.values(), titles, strict=True):
        axes.imshow(image.astype(np.uint8))
        axes.set_title(title)
        axes.axis("off")


def claim(result: Result) -> list[Claim]:
    """Compare the layers by the edges that they keep; each must be unable to tell both images apart."""
    first, second, third, last = result.column("edges")
    return [
        Claim("largest loss of a layer", max(result.column("loss")), "<=", result.bound(full=0.08, test=0.12)),
        Claim("edges, first layer", first, ">=", 0.85),
        Claim("edges, first layer less second", first - second, ">=", 0.3),
        Claim("edges, second layer less third", second - third, ">=", 0.1),
        Claim("edges, last layer", last, "<=", 0.2),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of which layer's image has the edges of the photograph."""
    best = int(np.argmax(result.column("edges")))
    return 1 if best == 0 else 3 if best == len(LAYERS) - 1 else 2


def answer_1() -> list[Claim]:
    """Count the numbers that the first and the last layer hand on, by those of the photograph."""
    image = photographs("full")[0].float()[None]
    first, last = (Network(layer)(image).numel() / image.numel() for layer in (LAYERS[0], LAYERS[-1]))
    return [
        Claim("numbers of the first layer, by those of the pixels", first, ">=", 2),
        Claim("numbers of the last layer, by those of the pixels", last, "<=", 2),
    ]


def answer_2() -> list[Claim]:
    """Make the photograph anew from the last layer twice, from two images of noise."""
    image, _ = photographs("test")
    (one, loss), (other, _) = (reconstruct(image, LAYERS[-1], 60) for _ in range(2))
    return [
        Claim("loss of one of them", loss, "<=", 0.1),
        Claim("correlation of their edges", correlation(edges(one), edges(other)), "<=", 0.4),
    ]
