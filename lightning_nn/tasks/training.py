"""Training, shared by all tasks: the step, the optimizer, and epoch means that survive a resume."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_nn.data.batches import Batch
from lightning_nn.errors import UserError
from lightning_nn.metrics.running import RunningMeans, Totals
from lightning_nn.optimizers import normalised_kernels
from lightning_nn.runs.checkpoint import further_arguments
from lightning_nn.settings import LRScheduler, Optimizer

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm)


class Means(NamedTuple):
    """Sums over the samples of a batch, and their number.

    Attributes:
        sums: scalars by metric name ("loss", "acc", ...); the loss keeps its graph and is the sum over all counted
            samples (pixels, words).
        weight: number of counted samples, an int or a scalar tensor; the loss of a step is `sums["loss"] / weight`.
    """

    sums: dict[str, Tensor]
    weight: int | Tensor


class _Window(NamedTuple):
    """The batches so far of one optimizer step.

    Attributes:
        first: weight of the first batch, over all processes: the unit of the losses.
        total: weight of all batches, over all processes.
        factor: correction of the gradient after the last batch; None before.
    """

    first: float | Tensor
    total: float | Tensor
    factor: float | Tensor | None = None


class Training(pl.LightningModule):
    """The training half of a task.

    Within one optimizer step each sample (pixel, word: the weight of `Means`) has the same weight, however the step is
    divided into accumulated batches and processes.

    Attributes:
        optimizer: optimizer and its settings; replace it before training.
        lr_scheduler: schedule of the learning rate; replace it before training.
        train_batches: batches per epoch on each process; set by the data module before each run, None with other
            loaders.
    """

    optimizer: Optimizer = Optimizer()
    lr_scheduler: LRScheduler = LRScheduler()

    def __init__(self) -> None:
        super().__init__()
        self.further_arguments = further_arguments(self)
        self.optimizer = replace(self.optimizer)  # a copy of the class's default
        self.lr_scheduler = replace(self.lr_scheduler)
        self.train_batches: int | None = None
        self._batches: int | None = None  # `train_batches` of the current run
        self._totals = RunningMeans()
        self._all_finite: Tensor | None = None
        self._window: _Window | None = None

    @property
    def lr(self) -> float:
        """Learning rate of `optimizer`, where Lightning's Tuner looks for it."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    @abstractmethod
    def training_means(self, batch: Any) -> Means:
        """Sum the loss over the samples of a batch, and whatever else is to be logged as an epoch mean.

        Args:
            batch: of the task's `batch_type`, already checked.
        """

    @abstractmethod
    def check_batch(self, batch: Batch) -> None:
        """Refuse a batch that the model can't read."""

    def begin_training(self) -> None:
        """Reset what an earlier run left.

        Raises:
            UserError: the run does what its optimizer can't.
        """
        if self.optimizer.name == "lbfgs":
            self._check_lbfgs()
        self._totals.clear()
        self._all_finite = self._window = None
        self._batches, self.train_batches = self.train_batches, None
        if not self.training:  # as load_from_checkpoint returns it; Lightning would train without dropout
            self.train()

    # ------------------------------------------------------------------ optimizer

    def fixed_norms(self) -> list[nn.Module]:
        """List the batch norms that use fixed statistics throughout training; a hook for subclasses."""
        return []

    def _check_lbfgs(self) -> None:
        """Refuse what L-BFGS, which compares gradients of successive steps, is not made for."""
        trainer = self.trainer
        for wrong, what, remedy in (
            (trainer.world_size > 1, f"{trainer.world_size} processes", "--trainer.devices 1"),
            ("mixed" in str(trainer.precision), f"--trainer.precision {trainer.precision}", "32-true"),
            (trainer.accumulate_grad_batches > 1, "--trainer.accumulate_grad_batches", "1"),
        ):
            if wrong:
                raise UserError(f"--optimizer.name lbfgs doesn't go with {what}: use {remedy}, or another optimizer")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Group the trained parameters: matrices decay; biases, norms and other vectors do not, nor what muon turns."""
        trained = [p for p in self.parameters() if p.requires_grad]
        norms: list[Tensor] = []
        if (scale := self.optimizer.norm_scale) != 1:
            norms = [p for m in self.modules() if isinstance(m, _NORMS) for p in m.parameters() if p.requires_grad]
            trained = [p for p in trained if all(p is not norm for norm in norms)]
        groups: list[dict[str, Any]] = []
        if self.optimizer.name in ("muon", "muon_adamw"):
            kernels = {id(p) for p in normalised_kernels(self, self.fixed_norms())}
            groups = [{"params": [p for p in trained if id(p) in kernels], "kernels": True}]
            trained = [p for p in trained if id(p) not in kernels]
        groups += [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": self.optimizer.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return groups if scale == 1 else [*groups, {"params": norms, "weight_decay": 0.0, "scale": scale}]

    def configure_optimizers(self) -> Any:
        """Build the optimizer and the schedule, which steps with each optimizer step; Lightning calls this."""
        optimizer = self.optimizer.build([g for g in self.parameter_groups() if g["params"]])
        if self.lr_scheduler == LRScheduler():
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.lr_scheduler.factor(self.optimizer_steps()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_steps(self) -> float:
        """Count the optimizer steps of the whole run; infinity if it has no end.

        Lightning's own count sets up the training loader before the checkpoint is restored, which loses the position
        in the epoch. It is used only if no data module has set the number of batches.
        """
        trainer = self.trainer
        if self._batches is None or trainer.max_epochs in (None, -1):
            return trainer.estimated_stepping_batches
        limit = trainer.limit_train_batches
        batches = min(self._batches, limit) if isinstance(limit, int) else int(self._batches * limit)
        steps = math.ceil(batches / trainer.accumulate_grad_batches) * max(trainer.max_epochs, 1)
        return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)

    def runner(self) -> Any:
        """Return the trainer; None outside of Lightning's Trainer, as in a loop of one's own or with Fabric."""
        with contextlib.suppress(RuntimeError):
            return self.trainer if isinstance(self.trainer, pl.Trainer) else None
        return None

    # ------------------------------------------------------------------ steps

    def training_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """Compute the mean loss of a batch; in a Trainer's run, weighted by its share of the optimizer step."""
        self.check_batch(batch)
        means, trainer = self.training_means(batch), self.runner()
        loss = means.sums["loss"] / _at_least_one(means.weight)
        if trainer is None or not trainer.training:
            return loss
        self._totals.add(means.sums, means.weight, trainer.current_epoch, keeps_resumed=trainer.is_global_zero)
        every = trainer.log_every_n_steps  # 0: never
        if every and (trainer.global_step + 1) % every == 0:
            self.log("train/loss_step", loss, batch_size=batch.size)
        return self._weigh(loss, means.weight, batch_idx)

    def _weigh(self, loss: Tensor, weight: int | Tensor, batch_idx: int) -> Tensor:
        """Weight the mean loss of a batch so that each sample of the optimizer step has the same weight.

        Stop the run, on all processes together, before a loss that is not finite changes the weights; on a GPU, where
        reading the loss would wait for the device, every 50 steps and before a checkpoint is saved.

        Lightning divides the loss by the number of accumulated batches and averages gradients over processes. So each
        batch's mean is multiplied by its number of samples relative to the window's first batch, which is known by
        then, and `on_after_backward` corrects the gradient of the window once the number of all its samples is known.
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
        """Correct the gradient of accumulated batches before it is logged, clipped and used."""
        factor = None if self._window is None else self._window.factor
        if factor is None or (isinstance(factor, float) and factor == 1.0):
            return
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def on_train_epoch_end(self) -> None:
        """Log the epoch means over samples, such as train/loss, each measured when its batch was trained on."""
        totals = self._totals.totals(self._sum_over_processes)
        if totals is not None:
            weight = _at_least_one(totals.weight)
            # The values are equal on every process; without sync_dist Lightning would warn.
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
        """Return the error for a loss that is not finite, with the remedy.

        Args:
            what: "training" or "validation".
        """
        return UserError(
            f"the {what} loss is no longer a finite number (epoch {self.trainer.current_epoch}, step "
            f"{self.trainer.global_step}): the run stopped before saving it in a checkpoint.\n"
            f"Lower --optimizer.lr (now {self.optimizer.lr:g}), or clip gradients: --trainer.gradient_clip_val 1.0"
        )

    def learning_remedy(self) -> str:
        """Return what to change in a run that learns nothing."""
        kernels = f" and --optimizer.kernel_lr (now {self.optimizer.kernel_lr:g})"
        rates = f"--optimizer.lr (now {self.optimizer.lr:g}){kernels * self.optimizer.name.startswith('muon')}"
        return f"lower {rates}, or train for more epochs"

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums of the unfinished epoch and the weights of the unfinished step, over all processes."""
        window = self._window
        if window is not None and window.factor is None:
            weights = {"first": float(window.first), "total": float(window.total)}
            checkpoint.setdefault("lightning_nn", {})["window"] = weights
        totals = self._totals.totals(self._sum_over_processes)
        if totals is not None:
            sums = {name: float(value) for name, value in totals.sums.items()}
            checkpoint.setdefault("lightning_nn", {})["totals"] = {"sums": sums, "weight": float(totals.weight)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of the unfinished epoch and the weights of the unfinished step."""
        window = checkpoint["lightning_nn"].get("window")
        self._window = None if window is None else _Window(float(window["first"]), float(window["total"]))
        totals = checkpoint["lightning_nn"].get("totals")
        if totals is not None:
            sums: dict[str, float | Tensor] = {name: float(value) for name, value in dict(totals["sums"]).items()}
            self._totals.resume(checkpoint["epoch"], Totals(sums, float(totals["weight"])))


def _at_least_one(weight: Any) -> Any:
    """Return the weight, at least 1, so that dividing by it gives 0 where nothing was counted."""
    return weight.clamp(min=1) if isinstance(weight, Tensor) else max(weight, 1)
