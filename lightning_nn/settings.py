"""The groups of options that every training shares, as dataclasses: recipes and the command line fill them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from lightning_nn.errors import UserError, choose
from lightning_nn.optimizers import Muon, RowWiseAdam, RowWiseAdamW

if TYPE_CHECKING:
    from typing_extensions import Self

OptimizerName = Literal["sgd", "adam", "adamw", "muon", "muon_adamw", "lbfgs"]
LRSchedulerName = Literal["constant", "cosine", "linear", "one_cycle"]

# Settings that an optimizer does not have.
FOREIGN: dict[str, tuple[str, ...]] = {
    "sgd": ("kernel_lr",),
    **dict.fromkeys(("adam", "adamw"), ("kernel_lr", "momentum", "nesterov")),
    "muon": (),
    "muon_adamw": ("momentum", "nesterov"),
    "lbfgs": ("kernel_lr", "momentum", "nesterov", "weight_decay", "norm_scale"),
}
_LARGEST = 3e38  # of a rate, a factor or a decay, and of their products: float32 holds no more
HISTORY = 10  # steps that L-BFGS remembers, two vectors of all parameters each


@dataclass(frozen=True)
class Group:
    """Base of the groups of a model's own options: dataclasses that check themselves when they are made."""

    @classmethod
    def of(cls, options: Self | dict[str, Any], default: Self | None = None) -> Self:
        """Make a group from a dictionary, as files of settings and checkpoints have it; a group is returned as it is.

        Args:
            options: values by name.
            default: values of all other options; None for the group's.

        Raises:
            UserError: an unknown option, or a value out of its range.
        """
        if not isinstance(options, dict):
            return options
        if unknown := [name for name in options if name not in signature(cls).parameters]:
            raise UserError(f"{cls.__name__} has no option {unknown[0]!r}")
        return cls(**options) if default is None else replace(cast(Any, default), **options)


@dataclass
class Optimizer:
    """Optimizer and its settings.

    Args:
        name: sgd (single samples, mini-batches or the whole set: --data.batch_size 1, N or all), adam (Kingma and Ba
            2015), adamw (Loshchilov and Hutter 2019: decoupled weight decay), muon (see `lightning_nn.optimizers`:
            steps of convolution kernels before a normalisation are made orthogonal; sgd for all others), muon_adamw
            (the same, adamw for all others) or lbfgs (Liu and Nocedal 1989: curvature from the last steps; one
            evaluation of the loss a step, for problems without mini-batches).
        lr: learning rate, above 0.
        momentum: for sgd and muon, 0 or above and below 1: the share of the last step in the next one.
        nesterov: use Nesterov momentum, for sgd (Sutskever et al. 2013); muon always does.
        weight_decay: decay of weight matrices and embeddings towards zero, 0 for none; biases and norms do not decay.
        norm_scale: factor on the learning rate of the scales and biases of batch, layer and group norms, above 0.
        kernel_lr: learning rate of convolution kernels before a normalisation, for muon and muon_adamw, above 0. A step
            turns the M kernels of a layer, of N values each, by roughly this angle in radians where N is M or more, and
            by about sqrt(N / M) of it where N is less; kernels before a norm with frozen statistics use lr.

    Example:
        >>> model = SoftmaxClassifier(features=64, num_classes=10)
        >>> model.optimizer = Optimizer("sgd", lr=0.1)
    """

    name: OptimizerName = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    norm_scale: float = 1.0
    kernel_lr: float = 0.2

    def check(self) -> None:
        """Check the settings before anything is built from them.

        Raises:
            UserError: an unknown name, a value out of its range, or settings that contradict each other.
        """
        choose("--optimizer.name", self.name, OptimizerName)
        for name in ("lr", "kernel_lr", "norm_scale"):
            if not 0 < (value := getattr(self, name)) <= _LARGEST:
                raise UserError(f"--optimizer.{name} is {value}; it must be above 0, at most {_LARGEST:g}")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--optimizer.momentum is {self.momentum}; it must be 0 or above and below 1")
        if not 0 <= self.weight_decay <= _LARGEST:
            raise UserError(f"--optimizer.weight_decay is {self.weight_decay}; it must be 0 to {_LARGEST:g}")
        if self.lr * max(self.norm_scale, self.weight_decay) > _LARGEST:
            raise UserError(
                f"--optimizer.lr {self.lr:g} times norm_scale or weight_decay is above {_LARGEST:g}: lower one of them"
            )
        for setting in FOREIGN[self.name]:
            if (value := getattr(self, setting)) != getattr(Optimizer, setting):
                raise UserError(f"--optimizer.{setting} is {value}, but {self.name} has none: leave it out")
        if self.nesterov and not self.momentum:
            raise UserError("--optimizer.nesterov needs a momentum: --optimizer.momentum 0.9")

    def at(self, lr: float) -> Optimizer:
        """Return the settings with another learning rate, the kernels' in proportion where they have their own."""
        return replace(self, lr=lr, kernel_lr=self.kernel_lr * (lr / self.lr if self.name.startswith("muon") else 1.0))

    @property
    def can_update_rows(self) -> bool:
        """True if it is Adam or AdamW, whose decay, if any, is not part of the gradient."""
        return self.name == "adamw" or (self.name == "adam" and self.weight_decay == 0)

    def build(self, groups: list[dict[str, Any]], tables: Sequence[torch.nn.Embedding] = ()) -> torch.optim.Optimizer:
        """Build the optimizer over parameter groups; a group's `scale` multiplies the learning rate.

        Args:
            groups: of parameters.
            tables: embeddings to update row by row, see `lightning_nn.optimizers.row_wise`; none unless
                `can_update_rows`.

        Raises:
            UserError: see `check`; also a `scale` for L-BFGS, which has a single rate.
        """
        self.check()
        if self.name == "lbfgs":
            if any(group.get("scale", 1.0) != 1 for group in groups):
                raise UserError(
                    "--optimizer.name lbfgs has one rate for all layers: use --model.finetune.body_lr 1 with it"
                )
            parameters = [parameter for group in groups for parameter in group["params"]]
            for parameter in parameters:  # L-BFGS flattens them by views, which channels_last does not allow
                parameter.data = parameter.data.contiguous()
            # The tolerances are absolute: left on, they would stop at a small gradient, whatever the loss's scale.
            return torch.optim.LBFGS(
                parameters, self.lr, max_iter=1, history_size=HISTORY, tolerance_grad=0.0, tolerance_change=0.0
            )
        groups = [{**group, "lr": self.lr * group.pop("scale", 1.0)} for group in map(dict, groups)]
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)
        if self.name in ("muon", "muon_adamw"):
            return Muon(groups, self.lr, self.kernel_lr, self.momentum if self.name == "muon" else None)
        if tables:
            return (RowWiseAdam if self.name == "adam" else RowWiseAdamW)(groups, lr=self.lr, tables=tables)
        return (torch.optim.Adam if self.name == "adam" else torch.optim.AdamW)(groups, lr=self.lr)


@dataclass
class LRScheduler:
    """Schedule of the learning rate, step by step.

    Args:
        name: constant; cosine, half a wave down to `floor` (Loshchilov and Hutter 2017); linear, straight down to it;
            one_cycle, up from a 25th of `lr` over 30% of the steps, unless `warmup` says otherwise, then half a wave
            down to nothing (Smith 2018; momentum is left alone). All reach their end one step after the last.
        warmup: length of the linear warm-up: a number of steps (1 or more) or a fraction of all steps (below 1).
        floor: final rate of cosine and linear as a fraction of `lr`, 0 to 1.

    Example:
        >>> model = SoftmaxClassifier(features=64, num_classes=10)
        >>> model.lr_scheduler = LRScheduler("cosine")
    """

    name: LRSchedulerName = "constant"
    warmup: float = 0.0
    floor: float = 0.0

    def check(self) -> None:
        """Check the settings before anything is built from them.

        Raises:
            UserError: an unknown name, or a value out of its range.
        """
        choose("--lr_scheduler.name", self.name, LRSchedulerName)
        if not 0 <= self.warmup < math.inf:
            raise UserError(f"--lr_scheduler.warmup is {self.warmup}; it must be 0 or above")
        if not 0 <= self.floor <= 1:
            raise UserError(f"--lr_scheduler.floor is {self.floor}; it must be 0 to 1")

    def factor(self, total: float) -> Callable[[int], float]:
        """Return the function from a step, counted from 0, to the factor on the learning rate.

        Args:
            total: steps of the whole run; infinity where it has no end.

        Raises:
            UserError: see `check`; also a schedule that needs an end in a run without one.
        """
        self.check()
        if math.isinf(total) and (self.name != "constant" or 0 < self.warmup < 1):
            raise UserError(
                f"--lr_scheduler.name {self.name} needs to know where the run ends: set --trainer.max_epochs "
                "or --trainer.max_steps"
            )
        share = 0.3 if self.name == "one_cycle" and not self.warmup else self.warmup
        warm = math.ceil(share * total if 0 < share < 1 else share)
        floor = 0.0 if self.name == "one_cycle" else self.floor

        def at(step: int) -> float:
            if step < warm:
                return 0.04 + 0.96 * step / warm if self.name == "one_cycle" else (step + 1) / warm
            if self.name == "constant":
                return 1.0
            done = min(1.0, (step - warm) / max(1.0, total - warm))
            left = 1 - done if self.name == "linear" else 0.5 * (1 + math.cos(math.pi * done))
            return floor + (1 - floor) * left

        return at


@dataclass
class Loss:
    """Options of a classifier's cross-entropy.

    Args:
        label_smoothing: share of the label spread over all classes, 0 or above and below 1 (Szegedy et al. 2016).
        class_weights: weight of each class in the loss, above 0, in the order of the labels; balanced: N / (K n_k), so
            that each class counts the same however many samples it has. The loss is the mean over samples, so weights
            with mean 1 over them, such as `balanced`'s, do not change its scale.
        r_drop: 0 or above. Each batch goes through the network twice, under other dropout, for twice the time and
            memory; the loss is the mean of both, plus `r_drop` times the distance of the two predictions, (KL(p|q) +
            KL(q|p)) / 2 (R-Drop, Liang et al. 2021; the paper's alpha is twice as large for the same effect, because it
            adds both losses up). Class weights do not apply to it. It is part of train/loss, not of
            val/loss.

    Example:
        >>> model = SoftmaxClassifier(features=64, num_classes=10)
        >>> model.loss = Loss(label_smoothing=0.1)
    """

    label_smoothing: float = 0.0
    class_weights: list[float] | Literal["balanced"] | None = None
    r_drop: float = 0.0

    def check(self, num_classes: int) -> None:
        """Check the settings before anything is built from them.

        Args:
            num_classes: K.

        Raises:
            UserError: a value out of its range, or not a weight for each class.
        """
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"--loss.label_smoothing is {self.label_smoothing}; it must be 0 or above and below 1")
        if not 0 <= self.r_drop < math.inf:
            raise UserError(f"--loss.r_drop is {self.r_drop}; it must be a number of 0 or above")
        if self.class_weights is None or self.class_weights == "balanced":
            return
        if not all(0 < weight < math.inf for weight in self.class_weights):
            raise UserError(f"--loss.class_weights is {self.class_weights}; each must be above 0")
        if len(self.class_weights) != num_classes:
            raise UserError(
                f"--loss.class_weights has {len(self.class_weights)} weights; there are {num_classes} classes"
            )


@dataclass
class CheckpointSettings:
    """Options of the checkpoints that a run keeps.

    Args:
        monitor: the validation metric that selects the best epoch.
        mode: min or max; null: min for a name that ends in loss, max for any other.
        minutes: longest time between two saves of last.ckpt, above 0.
    """

    monitor: str = "val/loss"
    mode: Literal["min", "max"] | None = None
    minutes: float = 3.0


@dataclass
class EarlyStoppingSettings:
    """Options of early stopping.

    Args:
        patience: stop after this many validations without improvement; 0: never.
        monitor: the validation metric that is watched.
        mode: min or max; null: min for a name that ends in loss, max for any other.
        min_delta: smallest change that counts as improvement.
    """

    patience: int = 0
    monitor: str = "val/loss"
    mode: Literal["min", "max"] | None = None
    min_delta: float = 0.0
