"""Base of the models whose only parameter is a picture: from coarse to fine, until it looks right."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.in_range import in_range
from lightning_nn.layers.resizing import Size, resize, with_longer_side
from lightning_nn.settings import HISTORY, Optimizer
from lightning_nn.tasks.base import Means
from lightning_nn.tasks.loss_options import LossOptions
from lightning_nn.tasks.memory import destination, require_memory
from lightning_nn.tasks.picture_steps import Step, Watch, is_image, optimise, renewed, shorten
from lightning_nn.tasks.stylization import StyledImage, Stylization, Targets, pixels

SMALLEST = 16  # pixels of the longer side at the coarsest scale
COARSE = 0.6  # share of the steps at the scales before the finest, which take a quarter of its time, a sixteenth, ...
WHOLE = 8  # copies of a picture that any use of it makes


class PictureTask(Stylization):
    """A task whose only parameter is the picture, or several at once.

    A step is one evaluation of the loss. The picture is made at several sizes in turn. The finest gets the last steps,
    those before share the first 60% alike. At a new size Adam's moments are enlarged, and L-BFGS starts anew.

    Args:
        shape: number of pictures, and height and width of the photograph whose shape they get.
        size: longer side of the pictures.
        scales: number of sizes, each twice the one before.
        options: see `Stylization`.

    Attributes:
        picture: float (B, 3, H, W); values beyond 0 to 255 count as these. Until it is begun it takes no memory.
        sizes: height and width at each scale, the coarsest first.
        begun: bool (B,), whether the first picture is set.

    Raises:
        UserError: no scale, or one that is too small.
    """

    exportable = False
    begun: Tensor
    versions = 1  # of each style

    def __init__(self, shape: tuple[int, int, int], size: int, scales: int, options: LossOptions) -> None:
        super().__init__(options)
        if scales < 1 or size < SMALLEST * 2 ** (scales - 1):
            raise UserError(
                f"size is {size} and scales {scales}: at least one scale, the smallest of {SMALLEST} pixels or more"
            )
        pictures, *sides = shape
        fine_to_coarse = [with_longer_side((sides[0], sides[1]), size / 2**halvings) for halvings in range(scales)]
        self.sizes = fine_to_coarse[::-1]
        self.pictures = pictures
        self.picture = nn.Parameter(not_yet(pictures, self.sizes[0]))
        self.register_buffer("begun", torch.zeros(pictures, dtype=torch.bool))
        self._targets: tuple[StyleBatch, Targets] | None = None
        self._watch = Watch()

    @abstractmethod
    def first_picture(self, batch: StyleBatch) -> Tensor:
        """Return the picture to start from, at the coarsest scale."""

    @abstractmethod
    def make_targets(self, batch: StyleBatch) -> Targets:
        """Compute what is to be reproduced at the picture's present size."""

    @abstractmethod
    def forward(self, batch: StyleBatch) -> dict[str, Tensor]:
        """Compute the total loss, "loss", and its parts, (B,) each, by name."""

    # ------------------------------------------------------------------ the start

    def begin_training(self) -> None:
        """Also refuse several processes, which would each make a picture of their own."""
        super().begin_training()
        self._targets, self._watch = None, Watch()
        if self.trainer.world_size > 1:
            raise UserError(f"{self.trainer.world_size} processes: a picture is made by one; use --trainer.devices 1")
        if len(self.sizes) > 1 and self.optimizer_steps() == float("inf"):
            raise UserError("scales share the steps of a run: set --trainer.max_epochs or --trainer.max_steps")

    @torch.no_grad()
    def measure(self, batches: Iterable[StyleBatch]) -> None:
        """Look at the photographs, a single batch, and set the first picture, unless there is one.

        Raises:
            UserError: see `look_at`; also if there is less memory than the pictures need.
        """
        (batch,) = batches
        self.check_batch(batch)
        self.look_at(batch, self.sizes[0])
        self.memory()
        if not self.begun.all():
            first = self.first_picture(batch).clamp(0, 255)
            self.picture.data = first.expand(self.pictures, -1, -1, -1).contiguous()
            self.begun.fill_(True)

    def targets_of(self, batch: StyleBatch) -> Targets:
        """Return what is to be reproduced, computed once for the same photographs and size."""
        if self._targets is None or not self._targets[0].shows_the_same_as(batch):
            if self.begun.all():
                self.look_at(batch, self.sizes[0])
            else:
                self.measure([batch])
            self._targets = batch, self.make_targets(batch)
        return self._targets[1]

    @property
    def size(self) -> Size:
        """Present height and width."""
        return self.picture.shape[2], self.picture.shape[3]

    def current(self) -> Tensor:
        """Return the pictures, within their range."""
        return in_range(self.picture)

    # ------------------------------------------------------------------ a step

    def training_means(self, batch: StyleBatch) -> Means:
        """Sum the losses over pictures."""
        losses = self(batch)
        self._watch.judge(losses["loss"], self.picture, self.optimizer)
        sums = {name: each.sum() if name == "loss" else each.detach().sum() for name, each in losses.items()}
        return Means(sums, len(self.picture))

    def on_after_backward(self) -> None:
        """Scale the gradient to that of a sum over pixels, each 0 to 1: L-BFGS forgets curvature below 1e-10."""
        super().on_after_backward()
        if self.picture.grad is not None:
            self.picture.grad.mul_(255 * self.picture[0].numel())

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Also check the step."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.settle(self.trainer.global_step, self.optimizer_steps(), optimizer)

    @torch.no_grad()
    def settle(self, step: int, total: float, optimizer: Any) -> None:
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
            self._watch.stop("the picture is no longer of finite numbers", self.picture, self.optimizer)
        if step + 1 >= total and self._targets is not None:
            self._watch.judge(self(self._targets[0])["loss"], self.picture, self.optimizer, last=True)

    # ------------------------------------------------------------------ from coarse to fine

    @torch.no_grad()
    def advance(self, step: int, total: float) -> bool:
        """Enlarge the picture if the scale of a step is finer, and return whether it did.

        Args:
            step: number of steps that are done.
            total: number of all steps.
        """
        coarser = len(self.sizes) - 1
        size = self.sizes[min(int(step * coarser / max(COARSE * total, 1)), coarser)]
        if size[0] * size[1] <= self.picture[0, 0].numel():
            return False
        self.picture.data = resize(self.current(), size)
        self.picture.grad = None
        self._targets = None
        self._watch.begin_scale()
        return True

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Go on to the next scale when its time has come."""
        trainer: Any = self.trainer
        if len(self.sizes) > 1 and self.advance(trainer.global_step, self.optimizer_steps()):
            trainer.optimizers = [renewed(each, self.picture, self.optimizer) for each in trainer.optimizers]
            for config in trainer.lr_scheduler_configs:
                config.scheduler.optimizer = trainer.optimizers[0]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also take the size that the picture had."""
        super().on_load_checkpoint(checkpoint)
        self._make_room(checkpoint["state_dict"])

    def load_state(self, checkpoint: Any, *, strict: bool = True) -> None:
        """Load the picture of a checkpoint, of whatever scale."""
        self._make_room(checkpoint.state_dict)
        super().load_state(checkpoint, strict=strict)

    def load_weights(self, checkpoint: Any, processor: Any = None) -> tuple[dict[str, str], dict[str, str]]:
        """Start from the picture of a checkpoint, if it fits, for fine-tuning."""
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

    # ------------------------------------------------------------------ the result

    @torch.no_grad()
    def result(self) -> Tensor:
        """Return the pictures, float (B, 3, H, W), 0 to 255."""
        return self.picture.detach().clamp(0, 255)

    def predictions(self, batch: StyleBatch) -> list[StyledImage]:
        """Return the pictures that a batch asks for."""
        numbers = range(len(self.picture)) if batch.picture is None else batch.picture.tolist()
        styled = self.styled()
        return [styled[number] for number in numbers]

    def styled(self) -> list[StyledImage]:
        """Return the pictures as they are now."""
        return [StyledImage(pixels(image), self.described()) for image in self.result()]

    # ------------------------------------------------------------------ memory

    def memory(self) -> str:
        """Return a line on the memory that the finest scale takes.

        Raises:
            UserError: there is less; the message has the largest size that fits.
        """
        device, width = destination(self, self.runner(), self.photographs())
        return require_memory(self.need() * width, max(self.sizes[-1]), device)

    def need(self) -> int:
        """Return the values that a step at the finest scale takes, or the look at a style before it."""
        size = self.sizes[-1]
        vectors = 2 * HISTORY + WHOLE if self.optimizer.name == "lbfgs" else WHOLE
        styles = [self.versions * math.prod(self.style_size(image, size)) for image in self.photographs("style")]
        step, look = self.network(self.picture).values_per_pixel()
        step, own = (each * self.pictures * size[0] * size[1] for each in (step, 3 * vectors))
        return round(own + max(step, 3 * WHOLE * sum(styles) + look * max(styles, default=0)))

    def summary(self) -> list[tuple[str, ...]]:
        """Return the table of layers, and the memory that the run takes."""
        return [*super().summary(), (self.memory(), "", "")]

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
            style: likewise, of any size; one or several; none for content alone.
            steps: evaluations of the loss.
            optimizer: None for that of the class.
            arguments: of the constructor, such as `size`.

        Yields:
            A `Step` after each one; its image is the picture so far.

        Raises:
            UserError: no steps; see also the constructor, `measure` and `settle`.
        """
        if steps < 1:
            raise UserError(f"steps is {steps}; it must be at least 1")
        styles = (style,) if isinstance(style, Tensor) else tuple(style)
        batch = StyleBatch(None if content is None else content[None], styles, torch.zeros(1, dtype=torch.int64))
        shown = next((each for each in (content, *styles) if each is not None), None)
        if shown is None:
            raise UserError("stylize needs a content, a style, or both")
        model = cls(shown.shape[-2], shown.shape[-1], **arguments)  # type: ignore[arg-type]
        model.optimizer = optimizer or model.optimizer
        model.measure([batch])
        yield from optimise(model.to(shown.device), batch, steps)


def not_yet(pictures: int, size: Size) -> Tensor:
    """Return zeros (B, 3, H, W) that take the memory of one."""
    return torch.zeros(()).expand(pictures, 3, *size)
