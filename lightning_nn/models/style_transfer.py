"""Style transfer: a picture with the content of one photograph and the style of another, found by gradient descent.

Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks" (CVPR 2016). Nothing is trained but
the picture x itself. Layer l of a network trained on other things sees F in x, P in the content p and, as means of
products of channels that forget all places, G in x and A in the style a:

    L_content(p, x) = sum over l of w_l |F_l - P_l|^2 / |P_l|^2         eq. 1
    G_l             = F_l F_l^T / N_l                                   eq. 3
    L_style(a, x)   = sum over l of w_l |G_l - A_l|^2 / |A_l|^2         eq. 4 and 5
    L(p, a, x)      = alpha L_content + beta L_style + gamma L_variation     eq. 7

The gradient with respect to x (eq. 2 and 6) is autograd's. Content alone shows what a layer keeps of a photograph,
style alone makes a texture (Gatys et al. 2015).

Departures: each loss is relative to its target, so that the same weights do for every network and size; the small
network that is part of this package instead of VGG-19, unless `features` says otherwise; with both, the picture starts
as the content, not as noise; noise is weak, as that network hardly sees it and would leave it; total variation, several
scales and the content's colours (Gatys et al. 2016, arXiv:1606.05897; 2017, arXiv:1611.07865) are options.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.colours import luminance, matched, with_colours
from lightning_nn.layers.features import Pooling
from lightning_nn.layers.normalize import levels
from lightning_nn.layers.resizing import cover, resize
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.loss_options import LayerWeights, LossOptions
from lightning_nn.tasks.picture import PictureTask, not_yet
from lightning_nn.tasks.stylization import Targets

Colours = Literal["style", "luminance", "histogram"]
Init = Literal["content", "style", "noise"]

_NOISE = 2.0  # deviation of the first picture's pixels around gray, of 0 to 255


class StyleTransfer(PictureTask):
    """A picture with the content of one photograph and the style of another.

    Args:
        height: rows of the content, whose shape the picture gets; without content, of the style.
        width: columns, likewise.
        pictures: number of pictures that are made at once, each of a content of its own.
        features: network that tells content and style: embedded, the one that is part of the package; vgg16 or vgg19,
            trained on ImageNet and downloaded; or a file, a checkpoint of a convnet or the weights of a VGG.
        size: longer side of the picture, in pixels.
        scales: number of sizes, each twice the one before, at which the picture is made in turn; the finest gets the
            last 40% of the steps.
        init: first picture: content, style or noise; null: the content if a style changes it, else noise.
        content_weight: alpha, weight of the content; 0: style alone.
        style_weight: beta, weight of the style; 0: content alone.
        variation_weight: gamma, weight of the total variation, which smooths.
        content_layers: weight of each layer of the content, such as {relu4_2: 1}; null: the second activation of the
            fourth stage, or of the last. A stage ends where the network halves the size.
        style_layers: weight of each layer of the style; null: the first activation of each stage, all alike.
        style_weights: weight of each style if there are several; null: all alike.
        style_scale: size of the style's picture relative to the result's: larger, and its strokes are larger.
        colours: style: the style's. luminance: the content's; only luminance gets a style. histogram: the content's;
            the style's picture is recoloured first, by mean and covariance.
        pooling: average: pool by means, for smoother gradients. trained: as the network was trained.

    Raises:
        UserError: an unknown choice, a value out of its range, or arguments that contradict each other.
    """

    name = "style_transfer"
    optimizer = Optimizer(name="lbfgs", lr=1.0)
    original: Tensor

    def __init__(
        self,
        height: int,
        width: int,
        pictures: int = 1,
        features: str = "embedded",
        size: int = 256,
        scales: int = 1,
        init: Init | None = None,
        content_weight: float = 0.03,
        style_weight: float = 1.0,
        variation_weight: float = 0.0,
        content_layers: LayerWeights | None = None,
        style_layers: LayerWeights | None = None,
        style_weights: list[float] | None = None,
        style_scale: float = 1.0,
        colours: Colours = "style",
        pooling: Pooling = "average",
    ) -> None:
        super().__init__(
            (pictures, height, width),
            size,
            scales,
            LossOptions(
                features,
                content_weight,
                style_weight,
                variation_weight,
                content_layers,
                style_layers,
                style_weights,
                style_scale,
                pooling,
            ),
        )
        self.save_hyperparameters(logger=False)
        choose("init", init or "noise", Init)
        choose("colours", colours, Colours)
        self.init, self.colours = init, colours
        self.versions = pictures if colours == "histogram" else 1
        self.register_buffer("original", not_yet(pictures if colours == "luminance" else 0, self.sizes[-1]))

    def first_picture(self, batch: StyleBatch) -> Tensor:
        """Return a photograph or noise at the coarsest scale.

        Raises:
            UserError: the photograph for `init` or `colours` is missing.
        """
        content = None if batch.content is None else levels(batch.content, self.picture)
        init = self.init or ("content" if all(self.layer_weights()) else "noise")
        if self.colours != "style" and content is None:
            raise UserError(f"colours {self.colours!r} keeps those of a content, and there is none")
        if content is not None and len(self.original):
            self.original = resize(content, self.sizes[-1])
        if init == "content" and content is not None:
            return resize(content, self.sizes[0])
        if init == "style" and batch.style:
            return cover(levels(batch.style[0][None], self.picture), self.sizes[0])
        if init != "noise":
            raise UserError(f"init is {init!r}, and there is no {init}: leave it out")
        return 127.5 + _NOISE * self.picture.new_empty(self.picture.shape).normal_()

    def make_targets(self, batch: StyleBatch) -> Targets:
        """Compute P and A at the picture's present size."""
        content = None if batch.content is None else resize(levels(batch.content, self.picture), self.size)
        styles = self.style_images(batch, self.size, self.picture)
        if self.colours == "luminance":
            content, *styles = (luminance(image) for image in (content, *styles) if image is not None)
        elif self.colours == "histogram" and content is not None:
            styles = [matched(image, content) for image in styles]
        return self.targets(content, styles)

    def forward(self, batch: StyleBatch) -> dict[str, Tensor]:
        """Compute L(p, a, x) and its parts, (B,) each, by name."""
        targets = self.targets_of(batch)  # which may set the first picture
        return self.losses(self.current(), targets)

    def result(self) -> Tensor:
        """Return the pictures, float (B, 3, H, W), 0 to 255, in the content's colours if these are kept."""
        image = super().result()
        if not len(self.original):
            return image
        return with_colours(image, resize(self.original, (image.shape[2], image.shape[3])).to(image))
