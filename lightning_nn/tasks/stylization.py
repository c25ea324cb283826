"""Shared base of the models that give an image the style of another: photographs, a frozen network, how it was made.

There is no validation and no test: an image is judged by looking at it.
"""

from __future__ import annotations

import json
import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightning_nn.backbones.feature_network import feature_network
from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError, choose
from lightning_nn.layers.features import Features, Pooling, deep_layer, first_of_stages
from lightning_nn.layers.images import Size, levels, resize, with_longer_side
from lightning_nn.runs.checkpoint import to_plain_data
from lightning_nn.settings import HISTORY, Group
from lightning_nn.tasks.artifacts import Artifact, Picture
from lightning_nn.tasks.task import Task

LayerWeights = dict[str, float]

LARGEST_SCALE = 8  # of a style
SMALLEST = 16  # pixels of the longer side at the coarsest scale
WHOLE = 8  # copies of an image that any use of it makes
SPARE = 0.9  # share of the free memory that may be used
CONTAINER_LIMITS = {"/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current"}


@dataclass(frozen=True)
class StyleOptions(Group):
    """Weights of the losses of style transfer, and the layers that they are computed from.

    Args:
        content_weight: alpha, weight of the content, 0 or above; 0: style alone.
        style_weight: beta, weight of the style, 0 or above; 0: content alone.
        variation_weight: gamma, weight of the total variation, which smooths, 0 or above.
        content_layers: weight of each layer of the content, such as {relu4_2: 1}; null: the second activation of the
            fourth stage, or of the last. A stage ends where the network halves the size.
        style_layers: weight of each layer of the style; null: the first activation of each stage, all equal.
        style_weights: weight of each style if there are several; null: all equal.
        style_scale: size of the style's image relative to that of the result, above 0 and at most 8: larger, and its
            strokes are larger.

    Raises:
        UserError: a value is out of its range, or nothing is left to reproduce.
    """

    content_weight: float = 1.0
    style_weight: float = 1.0
    variation_weight: float = 0.0
    content_layers: LayerWeights | None = None
    style_layers: LayerWeights | None = None
    style_weights: list[float] | None = None
    style_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "variation_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"--model.loss.{name} is {getattr(self, name)}; it must be 0 or above")
        if not self.content_weight and not self.style_weight:
            raise UserError("content_weight and style_weight are both 0: nothing is left to reproduce")
        if not 0 < self.style_scale <= LARGEST_SCALE:
            raise UserError(
                f"--model.loss.style_scale is {self.style_scale}; it must be above 0 and at most {LARGEST_SCALE}"
            )
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            if layers is not None and (not layers or any(not 0 < weight < math.inf for weight in layers.values())):
                raise UserError(f"--model.loss.{name} is {layers}; it names layers, each with a weight above 0")
        weights = self.style_weights
        if weights is not None and (not any(weights) or any(not 0 <= weight < math.inf for weight in weights)):
            raise UserError(
                f"--model.loss.style_weights is {list(weights)}; each must be 0 or above, one of them above 0"
            )


class StyledImage(NamedTuple):
    """An image in another style.

    Attributes:
        image: uint8 (H, W, 3).
        settings: the arguments of the model that made it, as JSON; written into a PNG.
    """

    image: NDArray[np.uint8]
    settings: str


class Stylization(Task):
    """A task that makes images with the style of others.

    Args:
        features: see `feature_network`.
        pooling: see `Features`.
        options: weights and layers of the losses.
    """

    batch_type = StyleBatch
    monitor = None
    predicts_images = True
    measures_early = True
    first_samples = 1  # the data module hands over photographs before the first step

    def __init__(self, features: str, pooling: Pooling, options: StyleOptions) -> None:
        super().__init__()
        choose("pooling", pooling, Pooling)
        self.features, self.pooling, self.options = features, pooling, options
        self._photographs = StyleBatch(None)
        self._network: list[Features] = []  # in a list, so that its weights are no part of the model's
        self._made: dict[str, Any] = {}  # how the model of a checkpoint was made

    def look_at(self, batch: StyleBatch, size: Size) -> None:
        """Keep content and styles; refuse them if they are too small or nothing is left to reproduce.

        Args:
            batch: the photographs.
            size: smallest height and width of the images.

        Raises:
            UserError: neither content nor style is to be reproduced, there are not as many styles as `style_weights`,
                or something is too small for the network.
        """
        self._photographs = batch
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
        for name, (height, width) in sizes.items():
            if min(height, width) < smallest:
                raise UserError(
                    f"{name} has only {width} x {height} pixels at this size; the network of the features needs "
                    f"{smallest} on each side: take a larger size{' or style_scale' * (name != 'the picture')}, fewer "
                    "scales, or a photograph that is less narrow"
                )

    @cached_property
    def chain(self) -> nn.Sequential:
        """Layers of the feature network, from images of 0 to 255 on, loaded when they are first needed."""
        return feature_network(self.features)

    def layer_weights(self) -> tuple[LayerWeights, LayerWeights]:
        """Return the weights of the layers of content and style, each summing to 1; empty where none is reproduced."""
        seen, options = self._photographs, self.options
        unseen = seen.content is None and not seen.style

        def relative(weight: float, layers: LayerWeights | None, usual: list[str], is_present: bool) -> LayerWeights:
            weights = layers or dict.fromkeys(usual, 1.0)
            total = sum(weights.values())
            return {name: w / total for name, w in weights.items()} if weight and (is_present or unseen) else {}

        deep, first = [deep_layer(self.chain)], first_of_stages(self.chain)
        return (
            relative(options.content_weight, options.content_layers, deep, seen.content is not None),
            relative(options.style_weight, options.style_layers, first, bool(seen.style)),
        )

    def network(self, like: Tensor) -> Features:
        """Return the feature network, cut after the last layer used, on the device of a tensor and in its precision."""
        if not self._network:
            content, style = self.layer_weights()
            self._network.append(Features(self.chain, list({**content, **style}), self.pooling))
        return self._network[0].to(like.device, like.dtype)

    def style_size(self, image: Tensor, size: Size) -> Size:
        """Return height and width of a style, (3, H, W), at `style_scale` of a size of images."""
        return with_longer_side((image.shape[1], image.shape[2]), max(size) * self.options.style_scale)

    def style_images(self, batch: StyleBatch, size: Size, like: Tensor) -> list[Tensor]:
        """Return the styles, (1, 3, h, w) each, at `style_scale` of a size of images."""
        return [resize(levels(image[None], like), self.style_size(image, size)) for image in batch.style]

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers with what each is for."""
        content, style = self.layer_weights()
        rows: list[tuple[str, ...]] = [("layer", "content", "style")]
        for name in dict.fromkeys([*style, *content]):
            shares = [f"{part[name]:.0%}" if name in part else "" if part else "none" for part in (content, style)]
            rows.append((name, *shares))
        return rows

    def artifacts(self, split: str) -> Iterator[Artifact]:
        """Yield the images as they are now."""
        yield from (Picture(*image) for image in self.styled())

    def styled(self) -> list[StyledImage]:
        """Return the images to show while a run goes on."""
        return []

    def described(self) -> str:
        """Return the photographs' names, the arguments of this model and how it was trained, as JSON."""
        photographs: Mapping[str, Any] = self.processor.state_dict() if self.processor else {}
        arguments = to_plain_data(dict(self.hparams), "arguments")
        made = {"model": self.name, **photographs, **arguments, **(self._training() or self._made)}
        return json.dumps(made, default=str, ensure_ascii=False)

    def _training(self) -> dict[str, Any]:
        """Return optimizer, steps and seed of the run; nothing outside of one."""
        if (trainer := self.runner()) is None or trainer.state.fn != "fit":
            return {}
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {**self.settings(), "steps": trainer.global_step, "seed": None if seed is None else int(seed)}

    def on_train_end(self) -> None:
        """Keep how the model was trained."""
        super().on_train_end()
        self._made = self._training()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how the model was trained."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lightning_nn"]["made"] = to_plain_data(self._training() or self._made, "made")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the processor, the sums of the unfinished epoch, and how the model was trained."""
        super().on_load_checkpoint(checkpoint)
        self._made = dict(checkpoint["lightning_nn"].get("made", {}))


class ImageTask(Stylization):
    """A task whose only parameter is an image, or several at once, first small and then larger.

    Args:
        shape: number of images, and height and width of the photograph whose shape they get.
        size: longer side of the images.
        scales: number of sizes, each twice the one before.
        features: see `Stylization`.
        pooling: see `Stylization`.
        options: see `Stylization`.

    Attributes:
        picture: float (B, 3, H, W); values beyond 0 to 255 count as these. Until it is begun it takes no memory.
        sizes: height and width at each scale, the coarsest first.
        begun: bool (B,), whether the first image is set.

    Raises:
        UserError: no scale, or one that is too small.
    """

    exportable = False
    why_not_exportable = "it is a finished picture, which predict --out FILE.png writes"
    begun: Tensor
    versions = 1  # of each style

    def __init__(
        self,
        shape: tuple[int, int, int],
        size: int,
        scales: int,
        features: str,
        pooling: Pooling,
        options: StyleOptions,
    ) -> None:
        super().__init__(features, pooling, options)
        if scales < 1 or size < SMALLEST * 2 ** (scales - 1):
            raise UserError(
                f"size is {size} and scales {scales}: at least one scale, the smallest of {SMALLEST} pixels or more"
            )
        pictures, height, width = shape
        self.sizes = [with_longer_side((height, width), size / 2**halvings) for halvings in range(scales)][::-1]
        self.pictures = pictures
        self.picture = nn.Parameter(placeholder(pictures, self.sizes[0]))
        self.register_buffer("begun", torch.zeros(pictures, dtype=torch.bool))
        self._targets: tuple[StyleBatch, Any] | None = None

    @property
    def inputs_hint(self) -> str:  # type: ignore[override]
        """Options of predict that name the files to write."""
        return f"--out {'pictures.csv' if self.pictures > 1 else 'picture.png'}"

    @abstractmethod
    def first_image(self, batch: StyleBatch) -> Tensor:
        """Return the image to start from, at the coarsest scale."""

    @abstractmethod
    def enlarge(self, step: int, total: float) -> bool:
        """Enlarge the image if the scale of a step is finer, and return whether it did."""

    @property
    def size(self) -> Size:
        """Present height and width."""
        return self.picture.shape[2], self.picture.shape[3]

    @torch.no_grad()
    def measure(self, batches: Iterable[StyleBatch]) -> None:
        """Look at the photographs, a single batch, and set the first image, unless there is one.

        Raises:
            UserError: see `look_at`; also if there is less memory than the images need.
        """
        (batch,) = batches
        self.check_batch(batch)
        self.look_at(batch, self.sizes[0])
        self.memory()
        if not self.begun.all():
            first = self.first_image(batch).clamp(0, 255)
            self.picture.data = first.expand(self.pictures, -1, -1, -1).contiguous()
            self.begun.fill_(True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Go on to the next scale when its time has come."""
        trainer: Any = self.trainer
        if len(self.sizes) > 1 and self.enlarge(trainer.global_step, self.optimizer_steps()):
            trainer.optimizers = [self.enlarged(optimizer) for optimizer in trainer.optimizers]
            for config in trainer.lr_scheduler_configs:
                config.scheduler.optimizer = trainer.optimizers[0]

    @torch.no_grad()
    def enlarged(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Return the optimizer of the enlarged image: Adam's moments are enlarged, too; L-BFGS starts anew.

        Args:
            optimizer: that of the smaller image.
        """
        if not isinstance(optimizer, torch.optim.LBFGS):
            for state in optimizer.state.values():
                state.update({name: resize(value, self.size) for name, value in state.items() if is_image(value)})
            return optimizer
        settings = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
        optimizer = self.optimizer.build([{"params": [self.picture]}])
        optimizer.param_groups[0].update(settings)
        return optimizer

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what the base does, and the size that the image had."""
        super().on_load_checkpoint(checkpoint)
        self._make_room(checkpoint["state_dict"])

    def load_state(self, checkpoint: Any, *, strict: bool = True) -> None:
        """Load the image of a checkpoint, of whatever scale."""
        self._make_room(checkpoint.state_dict)
        super().load_state(checkpoint, strict=strict)

    def load_weights(self, checkpoint: Any, processor: Any = None) -> tuple[dict[str, str], dict[str, str]]:
        """Start from the image of a checkpoint, if it fits, for fine-tuning."""
        self._make_room(checkpoint.state_dict)
        loaded, kept = super().load_weights(checkpoint, processor)
        self.begun.fill_("picture" in loaded)
        return loaded, kept

    def _make_room(self, weights: dict[str, Any]) -> None:
        """Allocate what the weights of a checkpoint are to be copied to."""
        saved = weights.get("picture")
        if is_image(saved) and tuple(saved.shape[2:]) in self.sizes:
            self.picture.data = self.picture.new_empty(len(self.picture), 3, *saved.shape[2:])
        for name, buffer in self.named_buffers():
            if is_image(saved := weights.get(name)) and saved.shape == buffer.shape:
                buffer.data = torch.empty_like(saved, dtype=buffer.dtype, device=buffer.device)

    @torch.no_grad()
    def result(self) -> Tensor:
        """Return the images, float (B, 3, H, W), 0 to 255."""
        return self.picture.detach().clamp(0, 255)

    def predictions(self, batch: StyleBatch) -> list[StyledImage]:
        """Return the images that a batch asks for."""
        numbers = range(len(self.picture)) if batch.picture is None else batch.picture.tolist()
        styled = self.styled()
        return [styled[number] for number in numbers]

    def styled(self) -> list[StyledImage]:
        """Return the images as they are now."""
        return [StyledImage(pixels(image), self.described()) for image in self.result()]

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers, and the memory that the run takes."""
        return [*super().summary(), (self.memory(), "", "")]

    def memory(self) -> str:
        """Return a line on the memory that the finest scale takes.

        Raises:
            UserError: there is less; the message has the largest size that fits.
        """
        device, width = self.destination()
        return require_memory(self.need() * width, max(self.sizes[-1]), device)

    def need(self) -> int:
        """Return the values that a step at the finest scale takes, or the look at a style before it."""
        size = self.sizes[-1]
        vectors = 2 * HISTORY + WHOLE if self.optimizer.name == "lbfgs" else WHOLE
        styles = [self.versions * math.prod(self.style_size(image, size)) for image in self._photographs.style]
        step, look = self.network(self.picture).values_per_pixel()
        step, image = (values * self.pictures * size[0] * size[1] for values in (step, 3 * vectors))
        return round(image + max(step, 3 * WHOLE * sum(styles) + look * max(styles, default=0)))

    def destination(self) -> tuple[torch.device, int]:
        """Return the device of a run and the bytes of a value there, before the model is moved and converted."""
        assert isinstance(self.dtype, torch.dtype)
        if (trainer := self.runner()) is None:
            seen = self._photographs
            images = [image for image in (seen.content, *seen.style) if image is not None]
            return next((image.device for image in images), self.device), self.dtype.itemsize
        widths = {"64-true": 8, "16-true": 2, "bf16-true": 2}
        return trainer.strategy.root_device, widths.get(str(trainer.precision), 4)


def is_image(value: Any) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor (B, C, H, W)."""
    return isinstance(value, Tensor) and value.dim() == 4


def placeholder(images: int, size: Size) -> Tensor:
    """Return zeros (B, 3, H, W), expanded from a single value, which take no memory."""
    return torch.zeros(()).expand(images, 3, *size)


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image (3, H, W), 0 to 255, to uint8 (H, W, 3)."""
    return image.detach().float().clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None if the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None
    for limit, used in CONTAINER_LIMITS.items():
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return max(free, 0)


def require_memory(need: int, size: int, device: torch.device) -> str:
    """Return a line on the memory that pictures take.

    Args:
        need: bytes.
        size: longer side of the pictures, in pixels; the need grows with its square.
        device: the device that computes.

    Raises:
        UserError: less is free; the message has the largest size that fits.
    """
    free = free_memory(device)
    line = f"memory: about {in_words(need)} at {size} pixels" + (f", {in_words(free)} are free" if free else "")
    if free is not None and need > SPARE * free:
        largest = int(size * (SPARE * free / need) ** 0.5) // 8 * 8
        raise UserError(f"{line}; the largest size that fits is --model.size {largest}")
    return line


def in_words(count: int) -> str:
    """Write a number of bytes, such as 250 MB or 1.5 GB."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
