"""Style transfer: an image with the content of one photograph and the style of another, found by gradient descent.

Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks" (CVPR 2016). Nothing is trained but
the image x itself. Layer l of a network trained on other things sees F in x, P in the content p and, as means of
products of channels that forget all places, G in x and A in the style a:

    L_content(p, x) = sum over l of w_l |F_l - P_l|^2 / |P_l|^2         eq. 1
    G_l             = F_l F_l^T / N_l                                   eq. 3
    L_style(a, x)   = sum over l of w_l |G_l - A_l|^2 / |A_l|^2         eq. 4 and 5
    L(p, a, x)      = alpha L_content + beta L_style + gamma L_variation     eq. 7

The gradient with respect to x (eq. 2 and 6) is autograd's. Content alone shows what a layer keeps of a photograph,
style alone makes a texture (Gatys et al. 2015).

Departures: each loss is relative to its target, so that the same weights do for every network and size; the small
network that is part of this package instead of VGG-19, unless `features` says otherwise; with both, the image starts as
the content, not as noise; noise is weak, as that network hardly sees it and would leave it; total variation, several
scales and the content's colours (Gatys et al. 2016, arXiv:1606.05897; 2017, arXiv:1611.07865) are options.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.features import Features, Pooling
from lightning_nn.layers.images import cover, levels, resize
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.layers.style import (
    content_loss,
    gram,
    in_range,
    luminance,
    matched,
    style_loss,
    total_variation,
    with_colours,
)
from lightning_nn.settings import Optimizer
from lightning_nn.tasks.stylization import ImageTask, LayerWeights, StyleOptions, placeholder
from lightning_nn.tasks.training import Means

Colours = Literal["style", "luminance", "histogram"]
Init = Literal["content", "style", "noise"]

LITTLE_CONTENT = StyleOptions(content_weight=0.03)
COARSE = 0.6  # share of the steps at the scales before the finest, which take a quarter of its time, a sixteenth, ...
LONGEST_STEP = 10.0  # root mean square of the changes of all values in a step, of 0 to 255
EXPLODED = 10  # times the first loss; L-BFGS may come back from there after a step that was too long
PATIENCE = 10  # steps in which it does not
NOISE = 2.0  # deviation of the first image's pixels around gray, of 0 to 255


class Targets(NamedTuple):
    """Content and style to reproduce, as the network sees them.

    Attributes:
        content: activations P by layer, (B, C, H, W).
        style: Gram matrices A by layer, (1, C, C) or (B, C, C), for each style.
    """

    content: dict[str, Tensor]
    style: list[dict[str, Tensor]]


class StyleLoss:
    """The loss L(p, a, x) and its parts.

    Args:
        options: weights alpha, beta and gamma.
        content: w_l by layer of the content, with a sum of 1; empty if none is reproduced.
        style: w_l by layer of the style, with a sum of 1; empty if none is reproduced.
    """

    def __init__(self, options: StyleOptions, content: LayerWeights, style: LayerWeights) -> None:
        self.options, self.content, self.style = options, content, style

    @torch.no_grad()
    def targets(self, network: Features, content: Tensor | None, styles: Sequence[Tensor]) -> Targets:
        """Compute P and A.

        Args:
            network: the frozen network.
            content: p, float (B, 3, H, W), 0 to 255.
            styles: a, float (1, 3, h, w) each, or (B, 3, h, w) if each image has a style of its own.
        """
        seen = {} if content is None or not self.content else network(content)
        grams = []
        for image in styles if self.style else ():
            grams.append({name: gram(activation) for name, activation in network.each(image) if name in self.style})
        return Targets({name: at_least_float32(seen[name]) for name in self.content if seen}, grams)

    def parts(self, seen: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Compute the terms of eq. 1 and eq. 5 before they are weighted, (B,) each, as content/LAYER and style/LAYER.

        Args:
            seen: F, activations of x by layer, (B, C, H, W).
            targets: P and A.
        """
        shares = self.options.style_weights or [1.0] * len(targets.style)
        parts = {f"content/{name}": content_loss(seen[name], target) for name, target in targets.content.items()}
        for name in self.style if targets.style else ():
            pairs = zip(shares, targets.style, strict=True)
            losses = [share * style_loss(seen[name], grams[name]) for share, grams in pairs if share]
            parts[f"style/{name}"] = torch.stack(losses).sum(0) / sum(shares)
        return parts

    def __call__(self, network: Features, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Compute the total loss of each image, (B,), as "loss", and its parts (eq. 7).

        Args:
            network: the frozen network.
            image: x, float (B, 3, H, W), 0 to 255.
            targets: P and A.
        """
        parts = self.parts(network(image), targets)
        weights = {f"content/{name}": self.options.content_weight * w for name, w in self.content.items()}
        weights |= {f"style/{name}": self.options.style_weight * w for name, w in self.style.items()}
        if self.options.variation_weight:
            parts["variation"] = total_variation(image)
            weights["variation"] = self.options.variation_weight
        total = image.new_zeros(len(image))
        for name, part in parts.items():
            total = total + weights[name] * part
        return {"loss": total, **parts}


class Step(NamedTuple):
    """A step of `StyleTransfer.stylize`.

    Attributes:
        number: counted from 1.
        total: number of all steps.
        loss: before the step.
        image: float (3, H, W), 0 to 255, after it.
    """

    number: int
    total: int
    loss: float
    image: Tensor


class StyleTransfer(ImageTask):
    """A picture with the content of one photograph and the style of another.

    A step is one evaluation of the loss. The picture is made at several sizes in turn. The finest gets the last steps,
    those before share the first 60% alike. At a new size Adam's moments are enlarged, and L-BFGS starts anew.

    Args:
        height: rows of the content, whose shape the picture gets; without content, of the style.
        width: columns of the same photograph.
        pictures: number of pictures that are made at once, each of a content of its own.
        features: network whose activations represent content and style: embedded, the one that is part of the package;
            vgg16 or vgg19, trained on ImageNet and downloaded; or a file, a checkpoint of a convnet or the weights of a
            VGG.
        size: longer side of the picture, in pixels.
        scales: number of sizes, each twice the one before, at which the picture is made in turn; the finest gets the
            last 40% of the steps.
        init: first picture: content, style or noise; null: the content if a style changes it, else noise.
        loss: weights and layers of the losses.
        colours: style: the style's. luminance: the content's; only luminance gets a style. histogram: the content's;
            the style's picture is recoloured first, by mean and covariance.
        pooling: average: pool by means, for smoother gradients. trained: as the network was trained.

    Raises:
        UserError: an unknown choice, a value out of its range, or arguments that contradict each other.

    Example:
        >>> model = StyleTransfer(height=427, width=640)
        >>> model.picture.shape  # at the first of its sizes
        torch.Size([1, 3, 171, 256])
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
        loss: StyleOptions = LITTLE_CONTENT,
        colours: Colours = "style",
        pooling: Pooling = "average",
    ) -> None:
        options = StyleOptions.of(loss, LITTLE_CONTENT)
        super().__init__((pictures, height, width), size, scales, features, pooling, options)
        self.save_hyperparameters(logger=False)
        choose("init", init or "noise", Init)
        choose("colours", colours, Colours)
        self.init, self.colours = init, colours
        self.watch = Watch()
        self.versions = pictures if colours == "histogram" else 1
        self.register_buffer("original", placeholder(pictures if colours == "luminance" else 0, self.sizes[-1]))

    def first_image(self, batch: StyleBatch) -> Tensor:
        """Return a photograph or noise at the coarsest scale, (B, 3, H, W) or (1, 3, H, W).

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
        return 127.5 + NOISE * self.picture.new_empty(self.picture.shape).normal_()

    def targets(self, batch: StyleBatch) -> Targets:
        """Compute P and A at the picture's present size; once for the same photographs and size."""
        if self._targets is None or not self._targets[0].shows_the_same_as(batch):
            if self.begun.all():
                self.look_at(batch, self.sizes[0])
            else:
                self.measure([batch])
            content = None if batch.content is None else resize(levels(batch.content, self.picture), self.size)
            styles = self.style_images(batch, self.size, self.picture)
            if self.colours == "luminance":
                content, *styles = (luminance(image) for image in (content, *styles) if image is not None)
            elif self.colours == "histogram" and content is not None:
                styles = [matched(image, content) for image in styles]
            loss = StyleLoss(self.options, *self.layer_weights())
            self._targets = batch, loss.targets(self.network(self.picture), content, styles)
        return self._targets[1]

    def forward(self, batch: StyleBatch) -> dict[str, Tensor]:
        """Compute L(p, a, x) and its parts, (B,) each, by name."""
        targets = self.targets(batch)  # which may set the first picture
        loss = StyleLoss(self.options, *self.layer_weights())
        return loss(self.network(self.picture), in_range(self.picture), targets)

    def result(self) -> Tensor:
        """Return the pictures, float (B, 3, H, W), 0 to 255, in the content's colours if these are kept."""
        image = super().result()
        if not len(self.original):
            return image
        return with_colours(image, resize(self.original, (image.shape[2], image.shape[3])).to(image))

    def begin_training(self) -> None:
        """Reset what an earlier run left, and refuse several processes, which would each make a picture of their own.

        Raises:
            UserError: several processes, or several scales in a run that has no end.
        """
        super().begin_training()
        self._targets, self.watch = None, Watch()
        if self.trainer.world_size > 1:
            raise UserError(f"{self.trainer.world_size} processes: a picture is made by one; use --trainer.devices 1")
        if len(self.sizes) > 1 and self.optimizer_steps() == float("inf"):
            raise UserError("scales share the steps of a run: set --trainer.max_epochs or --trainer.max_steps")

    def training_means(self, batch: StyleBatch) -> Means:
        """Sum the losses over pictures."""
        losses = self(batch)
        self.watch.judge(losses["loss"], self.picture, self.optimizer)
        sums = {name: loss.sum() if name == "loss" else loss.detach().sum() for name, loss in losses.items()}
        return Means(sums, len(self.picture))

    def on_after_backward(self) -> None:
        """Scale the gradient to that of a sum over pixels, each 0 to 1: L-BFGS forgets curvature below 1e-10."""
        super().on_after_backward()
        if self.picture.grad is not None:
            self.picture.grad.mul_(255 * self.picture[0].numel())

    @torch.no_grad()
    def enlarge(self, step: int, total: float) -> bool:
        """Enlarge the picture if the scale of a step is finer, and return whether it did.

        Args:
            step: number of steps that are done.
            total: number of all steps.
        """
        coarser = len(self.sizes) - 1
        size = self.sizes[min(int(step * coarser / max(COARSE * total, 1)), coarser)]
        if size[0] * size[1] <= self.picture[0, 0].numel():
            return False
        self.picture.data = resize(in_range(self.picture), size)
        self.picture.grad = None
        self._targets = None
        self.watch.begin_scale()
        return True

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Do a step of the Trainer's, and check it."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.check_step(self.trainer.global_step, self.optimizer_steps(), optimizer)

    @torch.no_grad()
    def check_step(self, step: int, total: float, optimizer: Any) -> None:
        """Shorten a step that is too long, and refuse one, or the result of the last, that is no good.

        Args:
            step: number of steps before it.
            total: number of all steps.
            optimizer: after the step.

        Raises:
            UserError: a pixel is not finite, or the last loss is far above the first one.
        """
        shorten(self.picture, optimizer)
        if not self.picture.isfinite().all():
            self.watch.stop("the picture is no longer of finite numbers", self.picture, self.optimizer)
        if step + 1 >= total and self._targets is not None:
            self.watch.judge(self(self._targets[0])["loss"], self.picture, self.optimizer, last=True)

    @classmethod
    def stylize(
        cls,
        content: Tensor | None,
        style: Tensor | Sequence[Tensor] = (),
        steps: int = 300,
        optimizer: Optimizer | None = None,
        **arguments: Any,
    ) -> Iterator[Step]:
        """Make a picture step by step, without a Trainer.

        Args:
            content: uint8 (3, H, W), 0 to 255, or float, 0 to 1; None for style alone.
            style: one or several, as the content, of any size; none for content alone.
            steps: evaluations of the loss.
            optimizer: None for that of the class.
            arguments: of the constructor, such as `size`.

        Yields:
            A `Step` after each one; its image is the picture so far.

        Raises:
            UserError: no steps, or the loss explodes; see also the constructor, `measure` and `check_step`.
        """
        if steps < 1:
            raise UserError(f"steps is {steps}; it must be at least 1")
        styles = (style,) if isinstance(style, Tensor) else tuple(style)
        batch = StyleBatch(None if content is None else content[None], styles, torch.zeros(1, dtype=torch.int64))
        shape = next((image.shape for image in (content, *styles) if image is not None), None)
        if shape is None:
            raise UserError("stylize needs a content, a style, or both")
        model = cls(shape[-2], shape[-1], **arguments)
        model.optimizer = optimizer or model.optimizer
        model.measure([batch])
        yield from model.to((content if content is not None else styles[0]).device).descend(batch, steps)

    def descend(self, batch: StyleBatch, total: int) -> Iterator[Step]:
        """Optimise the picture without a Trainer, and yield each step.

        Args:
            batch: the photographs of one picture.
            total: number of steps.

        Raises:
            UserError: the loss explodes or is not finite.
        """
        optimizer = self.optimizer.build([{"params": [self.picture]}])
        losses: list[float] = []

        def closure() -> float:
            self.picture.grad = None
            loss = self.training_means(batch).sums["loss"]
            loss.backward()  # type: ignore[no-untyped-call]
            self.on_after_backward()
            losses.append(float(loss.detach()))
            return losses[-1]

        for step in range(total):
            if self.enlarge(step, total):
                optimizer = self.enlarged(optimizer)
            optimizer.step(closure)
            self.check_step(step, total, optimizer)
            yield Step(step + 1, total, losses[-1], self.result()[0])


class Watch:
    """Guard of the loss of images, which may explode."""

    def __init__(self) -> None:
        self._best: Tensor | None = None  # images of the least loss
        self.begin_scale()

    def begin_scale(self) -> None:
        """Start a scale: reset the losses; the best image of the last scale stays as fallback."""
        self._first, self._least, self._exploded = 0.0, math.inf, 0

    @torch.no_grad()
    def judge(self, loss: Tensor, picture: nn.Parameter, optimizer: Optimizer, *, last: bool = False) -> None:
        """Stop a run whose loss is not finite, or has risen far above the first one and does not come back.

        Args:
            loss: of each image, (B,).
            picture: the images; if the run stops, the best are put back.
            optimizer: settings, for the message.
            last: whether no step follows, which could still come back.

        Raises:
            UserError: the run stops.
        """
        value = float(loss.sum())
        if value < self._least:
            self._least, self._best = value, picture.clone()
        if not value < math.inf:
            self.stop("the loss is no longer a finite number", picture, optimizer)
        self._first = self._first or value
        self._exploded = self._exploded + 1 if value > EXPLODED * self._first else 0
        if self._exploded > PATIENCE * (not last):
            self.stop(f"the loss has risen from {self._first:.3g} to {value:.3g}", picture, optimizer)

    @torch.no_grad()
    def stop(self, fault: str, picture: nn.Parameter, optimizer: Optimizer) -> NoReturn:
        """Put the best images back, and stop the run."""
        if self._best is not None:
            picture.copy_(resize(self._best, (picture.shape[2], picture.shape[3])))
        other = "" if optimizer.name == "adam" else ", or take --optimizer.name adam"
        raise UserError(
            f"{fault}: the run stopped, with the picture of the least loss.\n"
            f"Lower --optimizer.lr (now {optimizer.lr:g}){other}"
        )


@torch.no_grad()
def shorten(picture: nn.Parameter, optimizer: Any) -> None:
    """Shorten an L-BFGS step to `LONGEST_STEP`; its quadratic model is only valid locally."""
    state = optimizer.state.get(picture, {})
    if "d" not in state or (length := state["d"].norm() * state["t"]) <= (
        longest := LONGEST_STEP * picture.numel() ** 0.5
    ):
        return
    shorter = state["t"] * longest / length
    picture.view(-1).add_(state["d"] * (shorter - state["t"]))
    state["t"] = shorter  # from which the optimizer knows its step
