"""Fine-tuning: start from the weights of a trained model and train some layers, or all, at once or in stages.

A network trained on many images has first layers that serve others as well (Yosinski et al. 2014). With few images of
one's own, they stay as they are, and only the head, or the last stage with it, is trained.

Lightning's BaseFinetuning adds a group of parameters to the optimizer when it unfreezes them, which a schedule of the
learning rate refuses, and parameters frozen when several processes start are never reduced over them. Here every
parameter is in the optimizer from the start. A frozen one has no gradient at an optimizer step, so the optimizer passes
it over, decay and momentum included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from lightning_nn.data.processor import Processor
from lightning_nn.errors import UserError, choose
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.saved_settings import names
from lightning_nn.runs.weights_file import WeightsFile, embedded_weights, open_model
from lightning_nn.settings import Group
from lightning_nn.tasks.task import Task

if TYPE_CHECKING:
    from typing_extensions import Self

Trainable = Literal["head", "last_stage", "all"]
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class FineTune(Group):
    """The layers that a run with `--finetune` trains, and the statistics that it keeps.

    Args:
        trainable: what is trained. head: what follows the body: the last layer, or the decoder. last_stage: also the
            body's layers since the last halving. all: everything.
        unfreeze_at: epochs after which everything is trained; null: never.
        body_lr: factor on the learning rate of all layers but the head, above 0; null: 0.03 after --finetune, else 1.
        freeze_statistics: keep the mean and variance of loaded batch norms, also in layers that are trained; better for
            few images like those that the weights were trained on.

    Raises:
        UserError: a value is out of its range, or they contradict each other.
    """

    trainable: Trainable = "all"
    unfreeze_at: int | None = None
    body_lr: float | None = None
    freeze_statistics: bool = True

    def __post_init__(self) -> None:
        choose("--model.finetune.trainable", self.trainable, Trainable)
        if self.unfreeze_at is not None and (self.unfreeze_at < 1 or self.trainable == "all"):
            raise UserError(
                f"--model.finetune.unfreeze_at is {self.unfreeze_at}; it must be at least 1 epoch, with "
                "--model.finetune.trainable head or last_stage"
            )
        if self.body_lr is not None and not 0 < self.body_lr < math.inf:
            raise UserError(f"--model.finetune.body_lr is {self.body_lr}; it must be above 0")


class FineTuning(Task):
    """A task whose layers stand in a row, so that the first of them can be frozen.

    A subclass calls `plan` in its constructor.

    Attributes:
        finetune: what is trained, and when.
        layers: names of the layers with parameters, in the order of execution; the last one is the head.
        pretrained: whether the weights of another training were loaded.
        measured_norms: names of the batch norms whose statistics came with them.
        tuned_body_lr: factor on the learning rate of loaded layers if `body_lr` is None.
    """

    finetune: FineTune
    layers: list[str]
    pretrained: bool
    measured_norms: list[str]
    tuned_body_lr: ClassVar[float] = 0.03
    training_arguments = frozenset({"finetune"})

    def plan(self, layers: list[str], last_stage: str, finetune: FineTune | dict[str, Any]) -> None:
        """Set what is trained when.

        Args:
            layers: names of the modules with parameters, in the order of execution; the last one is the head. They may
                be made later.
            last_stage: the first layer of the last stage.
            finetune: what is trained, and when.

        Raises:
            UserError: see `FineTune`.
        """
        self.finetune, self.layers = FineTune.of(finetune), layers
        first_trained = {"all": 0, "last_stage": layers.index(last_stage), "head": len(layers) - 1}
        self._frozen_first = layers[: first_trained[self.finetune.trainable]]
        self._frozen: list[str] = []
        self._fixed: list[nn.Module] = []  # modules that stay in evaluation mode
        self._constant: list[str] | None = None  # parameters that are never trained
        self.pretrained, self.measured_norms = False, []

    @property
    def body_lr(self) -> float:
        """Factor on the learning rate of all layers but the head."""
        if self.finetune.body_lr is not None:
            return self.finetune.body_lr
        return self.tuned_body_lr if self.pretrained else 1.0

    @property
    def layers_below_head(self) -> list[str]:
        """Names of all layers but the head."""
        return self.layers[:-1]

    def _modules_of(self, layers: Iterable[str]) -> list[nn.Module]:
        return [self.get_submodule(name) for name in layers]

    def fixed_norms(self) -> list[nn.Module]:
        """List the loaded batch norms, if their statistics are to be kept."""
        return self._modules_of(self.measured_norms) if self.finetune.freeze_statistics else []

    def _freeze(self, layers: list[str], norms: Iterable[nn.Module] = ()) -> None:
        """Freeze these layers and no others, and the statistics of these batch norms.

        In one process autograd skips them, which saves most of the time of a step; several processes reduce the
        gradients of all parameters that were trained when they started.
        """
        if self._constant is None:
            self._constant = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        self._frozen, self._fixed = layers, [*self._modules_of(layers), *norms]
        for name, layer in zip(self.layers, self._modules_of(self.layers), strict=True):
            layer.requires_grad_(name not in layers or self.trainer.world_size > 1)
        for name in self._constant:
            self.get_parameter(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode, in which frozen layers and the statistics of loaded batch norms stay fixed."""
        super().train(mode)
        if mode:
            for module in self._fixed:
                module.eval()
        return self

    def learning_remedy(self) -> str:
        """Return what to change in a run that learns nothing; see `Task`."""
        if not self.pretrained:
            return f"{super().learning_remedy()}, or start from trained weights: --finetune"
        if len(self._frozen_first) == len(self.layers) - 1:  # the head alone is trained
            return super().learning_remedy()
        return (
            f"lower --model.finetune.body_lr (now {self.body_lr:g}) or --optimizer.lr (now {self.optimizer.lr:g}), or "
            "train the head alone: --model.finetune.trainable head"
        )

    def batch_norms(self) -> list[str]:
        """List the names of the batch norms of all layers but the head."""
        body = tuple(f"{layer}." for layer in self.layers_below_head)
        return [n for n, module in self.named_modules() if isinstance(module, _NORMS) and f"{n}.".startswith(body)]

    def setup(self, stage: str) -> None:
        """Unfreeze what an earlier run froze: the optimizer is made of all parameters."""
        self._freeze([])
        super().setup(stage)

    def on_fit_start(self) -> None:
        """Refuse to freeze layers at random.

        Raises:
            UserError: no weights were loaded into layers that are to be frozen.
        """
        if self._frozen_first and not self.pretrained:
            raise UserError(
                "--model.finetune.trainable freezes layers that nothing was loaded into: give weights with --finetune, "
                "or --model.finetune.trainable all"
            )

    def on_train_start(self) -> None:
        """Freeze layers in a run that goes on within an epoch."""
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Freeze the layers that this epoch does not train."""
        thawed = self.finetune.unfreeze_at is not None and self.current_epoch >= self.finetune.unfreeze_at
        self._freeze([] if thawed else self._frozen_first, self.fixed_norms())

    def on_train_end(self) -> None:
        """Leave nothing frozen."""
        self._freeze([])

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Drop the gradients of frozen layers before they are clipped and used."""
        for layer in self._modules_of(self._frozen):
            for parameter in layer.parameters():
                parameter.grad = None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Group the parameters; those of the body in groups of their own if they have a learning rate of their own."""
        groups = super().parameter_groups()
        if self.body_lr == 1:
            return groups
        body = {id(p) for layer in self._modules_of(self.layers_below_head) for p in layer.parameters()}
        parted = []
        for group in groups:
            slower = {"scale": group.get("scale", 1.0) * self.body_lr}
            parted.append({**group, "params": [p for p in group["params"] if id(p) not in body]})
            parted.append({**group, "params": [p for p in group["params"] if id(p) in body], **slower})
        return parted

    def training_plan(self, layer: str) -> str:
        """Describe in some words how a layer is trained."""
        if layer in self._frozen_first:
            return "frozen" + (f" for {self.finetune.unfreeze_at} epochs" if self.finetune.unfreeze_at else "")
        return f"trained, rate x {self.body_lr:g}" if self.body_lr != 1 and layer != self.layers[-1] else "trained"

    def with_training_plan(self, rows: list[tuple[str, ...]], layers: list[str]) -> list[tuple[str, ...]]:
        """Add how each layer is trained to a table of layers, if some are frozen or have a rate of their own.

        Args:
            rows: of the table, header first.
            layers: name of the layer of each row after the header.
        """
        plans = [self.training_plan(name) if name in self.layers else "" for name in layers]
        if {*plans} <= {"", "trained"}:
            return rows
        return [(*row, plan) for row, plan in zip(rows, ["training", *plans], strict=True)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the names of the batch norms that were loaded from another training, and whether any weights were."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lightning_nn"] |= {"pretrained": self.pretrained, "measured_norms": self.measured_norms}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what was loaded from another training; see `Task`."""
        super().on_load_checkpoint(checkpoint)
        self._restore_loaded(checkpoint["lightning_nn"])

    def load_state(self, checkpoint: Checkpoint, *, strict: bool = True) -> None:
        """Load the weights of a checkpoint, whose run goes on; see `Task`."""
        super().load_state(checkpoint, strict=strict)
        self._restore_loaded(checkpoint.content["lightning_nn"])

    def _restore_loaded(self, saved: Mapping[str, Any]) -> None:
        self.pretrained = bool(saved.get("pretrained"))
        norms = saved.get("measured_norms")
        self.measured_norms = [name for name in self.batch_norms() if isinstance(norms, list) and name in norms]

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, strict: bool = True, **arguments: Any) -> Self:
        """Load a trained model; a training of it is a fine-tuning, whose layers may be frozen; see `Task`."""
        model = super().from_checkpoint(checkpoint, strict=strict, **arguments)
        model.pretrained, model.measured_norms = True, model.batch_norms()
        return model

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, /, num_classes: int | None = None, **arguments: Any
    ) -> Self:
        """Load a trained network: from a model folder, or the one in the package, see `weights/README.md`.

        Args:
            folder: see `Task`.
            num_classes: number of classes of a new head, for fine-tuning; None for the head that the weights have.
            arguments: constructor arguments that replace the saved ones, such as `finetune=FineTune("head")`.

        Raises:
            UserError: see `Task`; layers are to be frozen that have no weights; see also the constructor.
        """
        if num_classes is None:
            return super().from_pretrained(folder, **arguments)
        weights = embedded_weights(cls.name) if folder is None else open_model(folder)
        model = cls(**cls.trusted_arguments(weights, {"num_classes": num_classes, **arguments}))
        body = {name: weight for name, weight in weights.state_dict.items() if cls.row_labels.get(name) != "categories"}
        model.load_weights(replace(weights, content={**weights.content, "state_dict": body}))
        return model

    def by_our_names(self, weights: Checkpoint | WeightsFile) -> dict[str, Tensor]:
        """Return the weights of a file by the names of this model; a hook for subclasses."""
        return weights.state_dict

    def load_weights(
        self, checkpoint: Checkpoint | WeightsFile, processor: Processor | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Load the weights that fit; see `Task.load_weights`.

        Raises:
            UserError: layers that are to be frozen are not in the file, or its batch norms can't be trained.
        """
        tensors = self.by_our_names(checkpoint)
        if isinstance(checkpoint, WeightsFile):
            checkpoint = replace(checkpoint, state_dict=tensors)
        else:
            checkpoint = replace(checkpoint, content={**checkpoint.content, "state_dict": tensors})
        loaded, kept = super().load_weights(checkpoint, processor)
        if not any(name.startswith(tuple(f"{layer}." for layer in self.layers)) for name in loaded):
            return {}, kept
        frozen = tuple(f"{layer}." for layer in self._frozen_first)
        state = self.state_dict().keys()
        if lacking := [name for name in kept if name in state and name.startswith(frozen)]:
            raise UserError(
                f"--model.finetune.trainable freezes layers that {checkpoint.path} has no fitting weights for: "
                f"{names(lacking)}"
            )
        norms = [name for name in self.batch_norms() if f"{name}.running_mean" in loaded]
        folded = norms and not any(self.get_buffer(f"{name}.running_mean").any() for name in norms)
        if folded and not self.finetune.freeze_statistics:
            raise UserError(
                f"the batch norms of {checkpoint.path} are folded into biases and hold no statistics: training must "
                "keep them, --model.finetune.freeze_statistics true"
            )
        self.pretrained, self.measured_norms = True, norms
        return loaded, kept
