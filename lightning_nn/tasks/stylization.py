"""Shared base of the models that give a picture the style of another: the losses on the features of a frozen network.

There is no validation and no test: a picture is judged by looking at it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.features import Features, Pooling, deep_layer, first_of_stages
from lightning_nn.layers.normalize import levels
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.layers.resizing import Size, resize, with_longer_side
from lightning_nn.layers.style_losses import content_loss, gram, style_loss, total_variation
from lightning_nn.tasks.artifacts import Artifact, Picture
from lightning_nn.tasks.base import Task
from lightning_nn.tasks.feature_network import feature_network
from lightning_nn.tasks.memory import require_memory

LayerWeights = dict[str, float]
LARGEST_SCALE = 8


class StyledImage(NamedTuple):
    """A picture in another style.

    Attributes:
        image: uint8 (H, W, 3).
        settings: the arguments of the model that made it, as JSON; written into a PNG.
    """

    image: NDArray[np.uint8]
    settings: str


class Targets(NamedTuple):
    """Content and style of photographs, as a network sees them.

    Attributes:
        content: activations P by layer, (B, C, H, W).
        style: Gram matrices A by layer, (1, C, C), for each style.
    """

    content: dict[str, Tensor]
    style: list[dict[str, Tensor]]


class LossOptions(NamedTuple):
    """Weights of the losses of a stylization, and the network behind them.

    Attributes:
        features: see `feature_network`.
        content_weight: of the content loss, 0 or above.
        style_weight: of the style loss, likewise.
        variation_weight: of the total variation, likewise.
        content_layers: weight of each layer of the content by name; None for the usual one.
        style_layers: likewise for the style; None for the first layer of each stage, all equal.
        style_weights: weight of each style; None if all weigh the same.
        style_scale: size of the style's picture, relative to that of the result.
        pooling: see `Features`.
    """

    features: str
    content_weight: float
    style_weight: float
    variation_weight: float
    content_layers: LayerWeights | None
    style_layers: LayerWeights | None
    style_weights: Sequence[float] | None
    style_scale: float
    pooling: Pooling

    def check(self) -> None:
        """Check the options.

        Raises:
            UserError: a value is out of its range, or nothing is left to reproduce.
        """
        choose("pooling", self.pooling, Pooling)
        for name in ("content_weight", "style_weight", "variation_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 0 or above")
        if not self.content_weight and not self.style_weight:
            raise UserError("content_weight and style_weight are both 0: nothing is left to reproduce")
        if not 0 < self.style_scale <= LARGEST_SCALE:
            raise UserError(f"style_scale is {self.style_scale}; it must be above 0 and at most {LARGEST_SCALE}")
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            if layers is not None and (not layers or any(not 0 < each < math.inf for each in layers.values())):
                raise UserError(f"{name} is {layers}; it names layers, each with a weight above 0")
        weights = self.style_weights
        if weights is not None and (not any(weights) or any(not 0 <= each < math.inf for each in weights)):
            raise UserError(f"style_weights is {list(weights)}; each must be 0 or above, one of them above 0")


class Stylization(Task):
    """A task that makes pictures with the style of others.

    Args:
        options: weights and network of the losses.

    Raises:
        UserError: see `LossOptions.check`.
    """

    batch_type = StyleBatch
    monitor = None

    def __init__(self, options: LossOptions) -> None:
        super().__init__()
        options.check()
        self.options = options
        self._network: list[Features] = []  # in a list, so that its weights are no part of the model's

    # ------------------------------------------------------------------ the network

    @cached_property
    def chain(self) -> nn.Sequential:
        """Layers of the feature network, from images of 0 to 255 on, on the CPU."""
        return feature_network(self.options.features)

    def layer_weights(self) -> tuple[LayerWeights, LayerWeights]:
        """Return the weights of the layers of content and style, each summing to 1; empty where none is reproduced."""
        chosen = []
        for total, layers, usual in (
            (self.options.content_weight, self.options.content_layers, [deep_layer(self.chain)]),
            (self.options.style_weight, self.options.style_layers, first_of_stages(self.chain)),
        ):
            given = layers or dict.fromkeys(usual, 1.0)
            chosen.append({name: each / sum(given.values()) for name, each in given.items()} if total else {})
        return chosen[0], chosen[1]

    def network(self, like: Tensor) -> Features:
        """Return the feature network on the device of a tensor and in its precision, cut after the last layer used."""
        if not self._network:
            content, style = self.layer_weights()
            layers = dict.fromkeys([*content, *style])
            self._network.append(Features(self.chain, list(layers), self.options.pooling).to(like.device, like.dtype))
        return self._network[0]

    def begin_training(self) -> None:
        """Also place the network anew: this run may be on another device."""
        super().begin_training()
        self._network.clear()

    # ------------------------------------------------------------------ the losses

    def style_images(self, batch: StyleBatch, size: Size, like: Tensor) -> list[Tensor]:
        """Return the styles, (1, 3, h, w) each, at `style_scale` of a size of pictures.

        Raises:
            UserError: there are not as many as `style_weights`.
        """
        weights = self.options.style_weights
        if batch.style and weights is not None and len(weights) != len(batch.style):
            raise UserError(f"style_weights has {len(weights)} weights; there are {len(batch.style)} styles")
        longer = max(size) * self.options.style_scale
        images = (levels(image[None], like) for image in batch.style)
        return [resize(image, with_longer_side((image.shape[2], image.shape[3]), longer)) for image in images]

    @torch.no_grad()
    def targets(self, content: Tensor | None, styles: list[Tensor]) -> Targets:
        """Compute what a picture is to reproduce.

        Args:
            content: float (B, 3, H, W), 0 to 255.
            styles: float (1, 3, h, w) each.
        """
        of_content, of_style = self.layer_weights()
        found: dict[str, Tensor] = {}
        if content is not None and of_content:
            activations = self.network(content)(content)
            found = {name: at_least_float32(activations[name]) for name in of_content}
        grams = []
        for image in styles if of_style else []:
            activations = self.network(image)(image)
            grams.append({name: gram(activations[name]) for name in of_style})
        return Targets(found, grams)

    def losses(self, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Compute the total loss of each picture, (B,), as "loss", and its parts (eq. 7).

        Args:
            image: float (B, 3, H, W), 0 to 255.
            targets: see `targets`.
        """
        activations = self.network(image)(image)
        of_content, of_style = self.layer_weights()
        parts: dict[str, Tensor] = {}
        total = image.new_zeros(len(image))
        for name, target in targets.content.items():
            parts[f"content/{name}"] = content_loss(activations[name], target)
            total = total + self.options.content_weight * of_content[name] * parts[f"content/{name}"]
        for name, each in self.style_parts(activations, targets).items():
            parts[f"style/{name}"] = each
            total = total + self.options.style_weight * of_style[name] * each
        if self.options.variation_weight:
            parts["variation"] = total_variation(image)
            total = total + self.options.variation_weight * parts["variation"]
        return {"loss": total, **parts}

    def style_parts(self, activations: Mapping[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Compute the style loss of each layer, the mean over styles by their weights, (B,) each."""
        shares = self.options.style_weights or [1.0] * len(targets.style)
        found = {}
        for name in self.layer_weights()[1] if targets.style else ():
            each = [w * style_loss(activations[name], a[name]) for w, a in zip(shares, targets.style, strict=True) if w]
            found[name] = torch.stack(each).sum(0) / sum(shares)
        return found

    # ------------------------------------------------------------------ what is shown

    def need(self, pictures: int, size: Size, extra: float = 0.0) -> int:
        """Return the bytes that a step on pictures of a size takes, beside what the process holds already.

        Args:
            pictures: pictures in a step, B.
            size: height and width.
            extra: further bytes a value of a picture.
        """
        content, style = self.layer_weights()
        network = Features(self.chain, [*content, *style], self.options.pooling)
        return round(pictures * size[0] * size[1] * (network.bytes_per_pixel() + 3 * extra))

    def require_memory(self, need: int, size: Size) -> str:
        """Return a line on the memory that a step takes.

        Raises:
            UserError: there is less; the message has the largest size that fits.
        """
        return require_memory(need, max(size), self.device)

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers with what each is for."""
        content, style = self.layer_weights()
        rows: list[tuple[str, ...]] = [("layer", "content", "style")]
        for name in dict.fromkeys([*style, *content]):
            shares = [f"{each[name]:.0%}" if name in each else "" for each in (content, style)]
            rows.append((name, *shares))
        return rows

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the pictures as they are now."""
        yield from (Picture(*each) for each in self.styled())

    def styled(self) -> list[StyledImage]:
        """Return the pictures to show while a run goes on."""
        return []

    def described(self) -> str:
        """Return the photographs' names and the arguments of this model as JSON."""
        photographs: Mapping[str, Any] = self.processor.state_dict() if self.processor else {}
        arguments: Mapping[str, Any] = self.hparams
        return json.dumps({"model": self.name, **photographs, **arguments}, default=str, ensure_ascii=False)


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image (3, H, W), 0 to 255, to uint8 (H, W, 3)."""
    return image.detach().float().clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
