"""Style: the content of one photograph, the style of another, or both, by what is asked of the same pixels.

    L(x) = alpha |F(x) - F(p)|^2 / |F(p)|^2 + 1 / |L| sum over l of |G_l(x) - G_l(a)|^2 / |G_l(a)|^2

p is a temple, a a flower. F are activations and say what is where, G Gram matrices and say what goes with what (see the
lesson `gram`). Gatys, Ecker and Bethge 2016, eq. 1, 5 and 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_nn import StyleTransfer
from lightning_nn.layers.style import content_loss, gram, style_loss
from lightning_nn.lessons.content import correlation, draw_images, edges, photographs, pixels
from lightning_nn.lessons.gram import Network
from lightning_nn.lessons.lesson import Claim, Result, Row, Size
from lightning_nn.tasks.stylization import StyleOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTENT_LAYER = "gelu2_2"
STYLE_LAYERS = ("gelu1_1", "gelu2_1", "gelu3_1")
HEIGHT = 1.4


def make(
    content: Tensor | None, style: Tensor | None, alpha: float, steps: int, layers: tuple[str, ...] = STYLE_LAYERS
) -> Tensor:
    """Return an image with the content of one, the style of another, or both, float (3, H, W), 0 to 255."""
    loss = StyleOptions(alpha, content_layers={CONTENT_LAYER: 1.0}, style_layers=dict.fromkeys(layers, 1.0))
    size = max(image.shape[2] for image in (content, style) if image is not None)
    styles = () if style is None else style
    *_, last = StyleTransfer.stylize(content, styles, steps, size=size, scales=2, loss=loss, pooling="trained")
    return last.image.detach()


@torch.no_grad()
def losses(image: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
    """Return how far an image is from a content and from a style, 0 for the photographs themselves."""
    x, p, a = (photograph.float()[None] for photograph in (image, content, style))
    at_content, at_style = Network(CONTENT_LAYER), [Network(layer) for layer in STYLE_LAYERS]
    of_style = [style_loss(network(x), gram(network(a))).item() for network in at_style]
    return {
        "content loss": content_loss(at_content(x), at_content(p)).item(),
        "style loss": sum(of_style) / len(of_style),
    }


def run(seed: int = 0, size: Size = "full", *, alpha: float = 0.3) -> Result:
    """Make an image by the content alone, by the style alone, and by both."""
    content, style = photographs(size)
    steps = 100 if size == "full" else 32
    images = {
        "p": content,
        "a": style,
        "content": make(content, None, 1, steps),
        "style": make(None, style, 1, steps),
        "both": make(content, style, alpha, steps),
    }
    rows: list[Row] = []
    for name, image in images.items():
        agreement = {f"edges of {of}": correlation(edges(image), edges(images[of])) for of in ("p", "a")}
        rows.append({"image": name, **losses(image, content, style), **agreement})
    return Result(rows, {name: pixels(image) for name, image in images.items()})


def draw(result: Result, figure: Figure) -> None:
    """Draw both photographs, and the three images."""
    draw_images(result.arrays, ["p", "a", "F", "G", "F, G"], figure)


def claim(result: Result) -> list[Claim]:
    """Compare the images by both losses, and by the edges of both photographs."""
    content, style, both = (result.row(image=name) for name in ("content", "style", "both"))
    return [
        Claim("content: its content loss", content["content loss"], "<=", result.bound(full=0.12, test=0.25)),
        Claim("content: style loss, less that of both", content["style loss"] - both["style loss"], ">=", 0.6),
        Claim("style: its style loss", style["style loss"], "<=", result.bound(full=0.15, test=0.3)),
        Claim("style: edges of a", abs(style["edges of a"]), "<=", result.bound(full=0.15, test=0.2)),
        Claim("both: style loss", both["style loss"], "<=", result.bound(full=0.2, test=0.3)),
        Claim("both: edges of p", both["edges of p"], ">=", result.bound(full=0.45, test=0.4)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of what an image shows whose style alone is the flower's."""
    return 1 if result.row(image="style")["edges of a"] > 0.4 else 2


def answer_1() -> list[Claim]:
    """Measure the loss of the flower in a mirror."""
    _, flower = photographs("full")
    mirrored = losses(flower.flip(2), flower, flower)
    return [
        Claim("content loss of the flower in a mirror", mirrored["content loss"], ">=", 0.5),
        Claim("style loss of the flower in a mirror", mirrored["style loss"], "<=", 0.1),
    ]


def answer_2() -> list[Claim]:
    """Ask for the style of the first layer alone, and measure it at a later one."""
    _, flower = photographs("test")
    network = Network(STYLE_LAYERS[-1])
    images = (make(None, flower, 1, 40, layers).float()[None] for layers in (STYLE_LAYERS[:1], STYLE_LAYERS))
    with torch.no_grad():
        first, all_layers = (style_loss(network(x), gram(network(flower.float()[None]))).item() for x in images)
    return [Claim("style loss at the last layer, first layer alone, by that of all", first / all_layers, ">=", 2)]
