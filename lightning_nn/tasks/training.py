"""Training as all tasks do it: the step, its optimizer, and means over the epoch that survive a resume."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn.data.batches import Batch
from lightning_nn.errors import UserError
from lightning_nn.metrics.running_means import RunningMeans, Totals
from lightning_nn.settings import LRScheduler, Optimizer


class Means(NamedTuple):
    """Sums that a training step adds up, and what they are over.

    Attributes:
        sums: by metric name ("loss", "acc", ...), scalars; the loss keeps its graph and is the sum of what each
            counted sample (pixel, word) costs.
        weight: how many are counted, an int or a scalar tensor; a step's loss is `sums["loss"] / weight`.
    """

    sums: dict[str, Tensor]
    weight: int | Tensor


class _Window(NamedTuple):
    """Batches that make one optimizer step, so far.

    Attributes:
        first: weight of the first of them, over all processes: the unit of their losses.
        total: weight of all of them, over all processes.
        factor: what the gradient is multiplied by once the last of them is through; None before.
    """

    first: float | Tensor
    total: float | Tensor
    factor: float | Tensor | None = None


class Training(pl.LightningModule):
    """The training half of a task.

    Within one optimizer step each sample (pixel, word: the weight of `Means`) weighs the same, however the step is
    shared out among accumulated batches and processes.

    Attributes:
        optimizer: and its settings; replace it before training.
        lr_scheduler: how the learning rate moves; replace it before training.
        train_batches: of an epoch on each process; set by the data module before each run, None with other loaders.
    """

    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = replace(self.optimizer)  # the topic's default, its own copy
        self.lr_scheduler = replace(self.lr_scheduler)
        self.train_batches: int | None = None
        self._batches: int | None = None  # the same for the run that has begun
        self._totals = RunningMeans()
        self._all_finite: Tensor | None = None
        self._window: _Window | None = None

    @abstractmethod
    def training_means(self, batch: Any) -> Means:
        """Return the sums of a batch: the loss, and whatever else is to be logged as its mean over the epoch.

        Args:
            batch: of the task's `batch_type`, already checked.
        """

    @abstractmethod
    def check_batch(self, batch: Batch) -> None:
        """Refuse what the model can't read."""

    def begin_training(self) -> None:
        """Forget what an earlier training left."""
        self._totals.clear()
        self._all_finite = self._window = None
        self._batches, self.train_batches = self.train_batches, None
        if not self.training:  # as load_from_checkpoint returns it; Lightning would train without dropout
            self.train()

    # ------------------------------------------------------------------ optimizer

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices are decayed; biases, norms and other vectors are not."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": self.optimizer.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]

    def configure_optimizers(self) -> Any:
        """Lightning's hook: from `optimizer` and `lr_scheduler`, stepped with each batch."""
        optimizer = self.optimizer.build([g for g in self.parameter_groups() if g["params"]])
        if self.lr_scheduler == LRScheduler():
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_scheduler.factor(self.optimizer_steps()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_steps(self) -> float:
        """Steps of the whole run; infinity where it has no end.

        Lightning's own count sets up the training loader before it knows whether the run resumes, and the place in
        the epoch is lost; so it is asked only where no data module has told the number of batches.
        """
        trainer = self.trainer
        if self._batches is None or trainer.max_epochs in (None, -1):
            return trainer.estimated_stepping_batches
        limit = trainer.limit_train_batches
        batches = min(self._batches, limit) if isinstance(limit, int) else int(self._batches * limit)
        steps = math.ceil(batches / trainer.accumulate_grad_batches) * max(trainer.max_epochs, 1)
        return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)

    # ------------------------------------------------------------------ steps

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Mean loss of the batch, weighted as its step needs it."""
        self.check_batch(batch)
        means, trainer = self.training_means(batch), self.trainer
        self._totals.add(means.sums, means.weight, trainer.current_epoch, keeps_resumed=trainer.is_global_zero)
        loss = means.sums["loss"] / _at_least_one(means.weight)
        every = cast(Any, trainer).log_every_n_steps  # 0: never
        if every and (trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", loss, batch_size=batch.size)
        return self._weigh(loss, means.weight, batch_idx)

    def _weigh(self, loss: Tensor, weight: int | Tensor, batch_idx: int) -> Tensor:
        """The mean loss of a batch, such that each sample of the optimizer step weighs the same.

        Stops the run, on all processes together, before a loss that is not finite moves the weights. On a GPU, where
        looking would wait for the device, every 50 steps and before a checkpoint is written.

        Lightning divides the loss by the number of accumulated batches and averages gradients over processes. So each
        batch's mean is multiplied by its share of the samples of the window's first batch, whose number is known by
        then, and `on_after_backward` corrects the gradient of the window by what its samples turned out to be.
        """
        trainer, finite = self.trainer, loss.detach().isfinite()
        total: float | Tensor = weight
        if trainer.world_size > 1:
            weight = torch.as_tensor(weight, dtype=torch.float32, device=loss.device)
            sums = cast(Tensor, trainer.strategy.reduce(torch.stack([weight, (~finite).float()]), reduce_op="sum"))
            total, finite = sums[0], sums[1] == 0
        self._all_finite = finite if self._all_finite is None else self._all_finite & finite
        if loss.device.type == "cpu" or trainer.global_step % 50 == 0:
            self._raise_unless_finite()
        accumulated = trainer.accumulate_grad_batches
        if accumulated == 1:
            self._window = None
            return loss if trainer.world_size == 1 else loss * (weight * trainer.world_size / _at_least_one(total))
        window = self._window
        if window is None or window.factor is not None or batch_idx % accumulated == 0:
            window = _Window(_at_least_one(total), 0.0)
        window = window._replace(total=window.total + total)
        last = batch_idx + 1 == trainer.num_training_batches or trainer.is_last_batch
        if last or (batch_idx + 1) % accumulated == 0:
            window = window._replace(factor=window.first * accumulated / _at_least_one(window.total))
        self._window = window
        return loss * (weight * trainer.world_size / window.first)

    def on_after_backward(self) -> None:
        """Corrects the gradient of accumulated batches, before it is looked at, clipped and used."""
        factor = None if self._window is None else self._window.factor
        if factor is None or (isinstance(factor, float) and factor == 1.0):
            return
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def on_train_epoch_end(self) -> None:
        """Logs the means of the epoch over its samples, each as it was met: train/loss and the like."""
        totals = self._totals.totals(self._sum_over_processes)
        if totals is not None:
            weight = _at_least_one(totals.weight)
            # The values are the same on every process; sync_dist says so to Lightning.
            self.log_dict({f"train/{name}": value / weight for name, value in totals.sums.items()}, sync_dist=True)
        self._totals.clear()

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return cast(Tensor, self.trainer.strategy.reduce(values.clone(), reduce_op="sum"))

    # ------------------------------------------------------------------ a loss that is not finite

    def _raise_unless_finite(self) -> None:
        if self._all_finite is not None and not bool(self._all_finite):
            raise self.not_finite("training")

    def not_finite(self, what: str) -> UserError:
        """The error that says that a loss is not finite, and what to change."""
        return UserError(
            f"the {what} loss is no longer a finite number (epoch {self.trainer.current_epoch}, step "
            f"{self.trainer.global_step}): stopped before it reached a checkpoint.\n"
            f"Lower --optimizer.lr (it is {self.optimizer.lr:g}), or clip: --trainer.gradient_clip_val 1.0"
        )

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the sums of the epoch that has begun, over all processes."""
        totals = self._totals.totals(self._sum_over_processes)
        if totals is not None:
            sums = {name: float(value) for name, value in totals.sums.items()}
            checkpoint.setdefault("lightning_nn", {})["totals"] = {"sums": sums, "weight": float(totals.weight)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the sums of the epoch that had begun."""
        totals = checkpoint["lightning_nn"].get("totals")
        if totals is not None:
            sums: dict[str, float | Tensor] = {name: float(value) for name, value in dict(totals["sums"]).items()}
            self._totals.resume(checkpoint["epoch"], Totals(sums, float(totals["weight"])))


def _at_least_one(weight: Any) -> Any:
    """A weight to divide by; nothing counted costs nothing."""
    return weight.clamp(min=1) if isinstance(weight, Tensor) else max(weight, 1)
