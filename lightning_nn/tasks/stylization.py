"""Shared base of the models that give a picture the style of another: the losses on the features of a frozen network.

There is no validation and no test: a picture is judged by looking at it.
"""

from __future__ import annotations

import contextlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.features import Features, deep_layer, first_of_stages
from lightning_nn.layers.normalize import levels
from lightning_nn.layers.ragged import at_least_float32
from lightning_nn.layers.resizing import Size, resize, with_longer_side
from lightning_nn.layers.style_losses import content_loss, gram, style_loss, total_variation
from lightning_nn.runs.plain_data import to_plain_data
from lightning_nn.tasks.artifacts import Artifact, Picture
from lightning_nn.tasks.base import Task
from lightning_nn.tasks.feature_network import feature_network
from lightning_nn.tasks.loss_options import LayerWeights, LossOptions


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
        style: Gram matrices A by layer, (1, C, C) or (B, C, C), for each style.
    """

    content: dict[str, Tensor]
    style: list[dict[str, Tensor]]


class Stylization(Task):
    """A task that makes pictures with the style of others.

    Args:
        options: weights and network of the losses.

    Raises:
        UserError: see `LossOptions.check`.
    """

    batch_type = StyleBatch
    monitor = None
    first_samples = 1  # the data module hands over photographs before the first step

    def __init__(self, options: LossOptions) -> None:
        super().__init__()
        options.check()
        self.options = options
        self._seen: StyleBatch | None = None  # the photographs
        self._network: list[Features] = []  # in a list, so that its weights are no part of the model's
        self._made: dict[str, Any] = {}  # how the model of a checkpoint was made

    # ------------------------------------------------------------------ the photographs

    @abstractmethod
    def measure(self, batches: Iterable[StyleBatch]) -> None:
        """Look at the photographs before the first step.

        Args:
            batches: the first one is looked at.

        Raises:
            UserError: nothing can be reproduced from them; see `look_at`.
        """

    def look_at(self, batch: StyleBatch, size: Size) -> None:
        """Keep what photographs there are, and refuse those from which nothing can be reproduced.

        Args:
            batch: the photographs.
            size: smallest height and width of the pictures.

        Raises:
            UserError: neither content nor style is to be reproduced, there are not as many styles as `style_weights`,
                or something is too small for the network.
        """
        self._seen = batch
        self._network.clear()
        if not any(self.layer_weights()):
            missing, weight = ("content", "style_weight") if batch.style else ("style", "content_weight")
            raise UserError(f"there is no {missing}, and {weight} is 0: nothing is left to reproduce")
        weights = self.options.style_weights
        if batch.style and weights is not None and len(weights) != len(batch.style):
            raise UserError(f"style_weights has {len(weights)} weights; there are {len(batch.style)} styles")
        smallest = self.network(next(self.parameters())).smallest_side()
        sizes = {"the picture": size}
        sizes |= {f"style {n}": self.style_size(image, size) for n, image in enumerate(batch.style, 1)}
        for what, (height, width) in sizes.items():
            if min(height, width) < smallest:
                raise UserError(
                    f"{what} has only {width} x {height} pixels at this size; the network of the features needs "
                    f"{smallest} on each side: take a larger size{' or style_scale' * (what != 'the picture')}, fewer "
                    "scales, or a photograph that is less narrow"
                )

    def photographs(self, which: Literal["content", "style", "both"] = "both") -> list[Tensor]:
        """Return the contents, (B, 3, H, W), and the styles, (3, H, W) each, that the model has looked at."""
        batch = self._seen or StyleBatch(None)
        content = [] if batch.content is None else [batch.content]
        return {"content": content, "style": [*batch.style], "both": [*content, *batch.style]}[which]

    # ------------------------------------------------------------------ the network

    @cached_property
    def chain(self) -> nn.Sequential:
        """Layers of the feature network, from images of 0 to 255 on, loaded when they are first needed."""
        return feature_network(self.options.features)

    def _shows(self, which: Literal["content", "style"]) -> bool:
        """Return whether there are such photographs; True if none have been seen yet."""
        return self._seen is None or bool(self.photographs(which))

    def layer_weights(self) -> tuple[LayerWeights, LayerWeights]:
        """Return the weights of the layers of content and style, each summing to 1; empty where none is reproduced."""
        chosen = []
        for given, total, layers, usual in (
            (
                self._shows("content"),
                self.options.content_weight,
                self.options.content_layers,
                [deep_layer(self.chain)],
            ),
            (self._shows("style"), self.options.style_weight, self.options.style_layers, first_of_stages(self.chain)),
        ):
            weights = layers or dict.fromkeys(usual, 1.0)
            whole = sum(weights.values())
            chosen.append({name: each / whole for name, each in weights.items()} if given and total else {})
        return chosen[0], chosen[1]

    def network(self, like: Tensor) -> Features:
        """Return the feature network, cut after the last layer used, on the device of a tensor and in its precision."""
        if not self._network:
            content, style = self.layer_weights()
            layers = dict.fromkeys([*content, *style])
            self._network.append(Features(self.chain, list(layers), self.options.pooling))
        return self._network[0].to(like.device, like.dtype)

    # ------------------------------------------------------------------ the losses

    def style_size(self, image: Tensor, size: Size) -> Size:
        """Return height and width of a style, (3, H, W), at `style_scale` of a size of pictures."""
        return with_longer_side((image.shape[1], image.shape[2]), max(size) * self.options.style_scale)

    def style_images(self, batch: StyleBatch, size: Size, like: Tensor) -> list[Tensor]:
        """Return the styles, (1, 3, h, w) each, at `style_scale` of a size of pictures."""
        return [resize(levels(image[None], like), self.style_size(image, size)) for image in batch.style]

    @torch.no_grad()
    def targets(self, content: Tensor | None, styles: list[Tensor]) -> Targets:
        """Compute what a picture is to reproduce.

        Args:
            content: float (B, 3, H, W), 0 to 255.
            styles: float (1, 3, h, w) each, or (B, 3, h, w) if each picture has a style of its own.
        """
        of_content, of_style = self.layer_weights()
        found: dict[str, Tensor] = {}
        if content is not None and of_content:
            activations = self.network(content)(content)
            found = {name: at_least_float32(activations[name]) for name in of_content}
        grams = []
        for image in styles if of_style else []:
            network = self.network(image)
            grams.append({name: gram(seen) for name, seen in network.each(image) if name in of_style})
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

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers with what each is for."""
        content, style = self.layer_weights()
        rows: list[tuple[str, ...]] = [("layer", "content", "style")]
        for name in dict.fromkeys([*style, *content]):
            shares = [f"{each[name]:.0%}" if name in each else "" if each else "none" for each in (content, style)]
            rows.append((name, *shares))
        return rows

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the pictures as they are now."""
        yield from (Picture(*each) for each in self.styled())

    def styled(self) -> list[StyledImage]:
        """Return the pictures to show while a run goes on."""
        return []

    def described(self) -> str:
        """Return the photographs' names, the arguments of this model and how it was trained, as JSON."""
        photographs: Mapping[str, Any] = self.processor.state_dict() if self.processor else {}
        made = {"model": self.name, **photographs, **self.hparams, **(self._training() or self._made)}
        return json.dumps(made, default=str, ensure_ascii=False)

    def _training(self) -> dict[str, Any]:
        """Return optimizer, steps and seed of the run; nothing outside of one."""
        if (trainer := self.runner()) is None or trainer.state.fn != "fit":
            return {}
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {**self.settings(), "steps": trainer.global_step, "seed": None if seed is None else int(seed)}

    def on_train_end(self) -> None:
        """Remember how the model was trained."""
        super().on_train_end()
        self._made = self._training()

    def runner(self) -> Any:
        """Return the trainer; None if there is none."""
        with contextlib.suppress(RuntimeError):
            return self.trainer
        return None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how the model was trained."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lightning_nn"]["made"] = to_plain_data(self._training() or self._made, "made")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also keep how the model was trained."""
        super().on_load_checkpoint(checkpoint)
        self._made = dict(checkpoint["lightning_nn"].get("made", {}))


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image (3, H, W), 0 to 255, to uint8 (H, W, 3)."""
    return image.detach().float().clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
