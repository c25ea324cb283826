"""Frozen layers: not a bit of them moves until they are trained, under a schedule, resumed, in any number of epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_nn import BackboneClassifier, LRScheduler, Optimizer, catalog
from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.errors import UserError
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.tasks.fine_tuning import FineTune
from tests.cases import FewDigits
from tests.commands import command
from tests.contract import differing, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

MULTIPLIER = 0.125


def make(trainable: Any = "head", **options: Any) -> BackboneClassifier:
    return BackboneClassifier(1, 8, 8, 3, "mobilenet_v1", MULTIPLIER, finetune=FineTune(trainable, **options))


@pytest.fixture
def weights() -> WeightsFile:
    """Weights of another training, with statistics."""
    torch.manual_seed(5)
    net = MobileNetV1(10, MULTIPLIER)
    for _ in range(5):
        net(torch.randn(8, 3, 32, 32))
    return WeightsFile(Path("other.pth"), net.state_dict())


class Snapshots(pl.Callback):
    """Weights at the start of each epoch and at the end; the norms in training mode at the end of each epoch."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.training: list[set[str]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.weights.append({name: value.clone() for name, value in module.state_dict().items()})

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any) -> None:
        if trainer.is_last_batch:
            norms = {
                name for name, each in module.named_modules() if isinstance(each, nn.BatchNorm2d) and each.training
            }
            self.training.append(norms)

    on_train_end = on_train_epoch_start

    def moved(self, epoch: int) -> set[str]:
        """Layers of which a bit moved in an epoch."""
        names = differing(self.weights[epoch], self.weights[epoch + 1])
        return {
            name.split(".conv.")[0].split(".bn.")[0].removesuffix(".weight").removesuffix(".bias") for name in names
        }


def fit(
    model: BackboneClassifier,
    folder: Path,
    epochs: int = 2,
    callbacks: Any = (),
    resume: Path | None = None,
    **arguments: Any,
) -> pl.Trainer:
    run = trainer(folder, max_epochs=epochs, callbacks=[StepSeed(0), *callbacks], **arguments)
    data = FewDigits(classes=[3, 8, 1], batch_size=8)
    run.fit(model, datamodule=data, ckpt_path=str(resume) if resume else None)
    return run


OPTIMIZERS = [Optimizer("sgd", 0.1, 0.9, weight_decay=0.1), Optimizer("adamw", 0.01, weight_decay=0.1)]
OPTIMIZERS += [Optimizer("muon", 0.1, momentum=0.9, weight_decay=0.1), Optimizer("muon_adamw", weight_decay=0.1)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
@pytest.mark.parametrize(("trainable", "trained"), [("head", 1), ("last_stage", 5)])
def test_frozen_layers_do_not_move_a_bit(
    weights: WeightsFile, tmp_path: Path, trainable: str, trained: int, optimizer: Optimizer
) -> None:
    model, seen = make(trainable, freeze_statistics=False), Snapshots()
    model.load_weights(weights)
    model.optimizer, model.lr_scheduler = optimizer, LRScheduler("one_cycle")
    fit(model, tmp_path, callbacks=[seen], gradient_clip_val=0.5)
    last = model.layers[-trained:]
    assert seen.moved(0) == seen.moved(1) == {*last}
    norms = {f"{layer}.bn" for layer in last[:-1]}
    assert seen.training == [norms, norms], "after a validation, too"
    assert all(parameter.requires_grad for parameter in model.parameters()), "nothing is frozen after a run"


def test_layers_are_trained_from_an_epoch_on_under_a_schedule(weights: WeightsFile, tmp_path: Path) -> None:
    model, seen = make("head", unfreeze_at=2, freeze_statistics=False), Snapshots()
    model.load_weights(weights)
    model.lr_scheduler = LRScheduler("one_cycle")
    fit(model, tmp_path, 4, [seen])
    assert [len(seen.moved(epoch)) for epoch in range(4)] == [1, 1, 28, 28]
    assert [len(norms) for norms in seen.training] == [0, 0, 27, 27]


def test_loaded_statistics_stay_in_layers_that_are_trained(weights: WeightsFile, tmp_path: Path) -> None:
    model, seen = make("all"), Snapshots()
    model.load_weights(weights)
    fit(model, tmp_path, 1, [seen])
    moved = differing(seen.weights[0], seen.weights[-1])
    assert "net.dw.3.bn.weight" in moved and not [name for name in moved if "running" in name or "tracked" in name]


def test_statistics_that_were_not_loaded_are_measured(weights: WeightsFile, tmp_path: Path) -> None:
    """Also after a resume."""
    del weights.state_dict["dw.3.bn.running_mean"]
    model, middle = make("all"), tmp_path / "middle.ckpt"
    model.load_weights(weights)
    fit(model, tmp_path, 2, [SaveAt(8, middle)])
    resumed, seen = make("all"), Snapshots()
    fit(resumed, tmp_path, 2, [seen], middle)
    for statistics in (model.state_dict(), seen.weights[-1]):
        moved = {name for name, value in weights.state_dict.items() if "running" in name}
        moved = {name for name in moved if not torch.equal(statistics[f"net.{name}"], weights.state_dict[name])}
        assert moved == {"dw.3.bn.running_var"}
        assert statistics["net.dw.3.bn.running_mean"].any()
    assert not differing(model.state_dict(), resumed.state_dict())


def test_a_trained_model_that_was_loaded_can_be_frozen(tmp_path: Path) -> None:
    scratch, seen = make("all"), Snapshots()
    fit(scratch, tmp_path, 1).save_checkpoint(tmp_path / "one.ckpt")
    model = BackboneClassifier.load_from_checkpoint(tmp_path / "one.ckpt", finetune={"trainable": "head"})
    fit(model, tmp_path, 1, [seen])
    assert seen.moved(0) == {"net.fc"}


def test_a_run_that_goes_on_knows_what_was_loaded(weights: WeightsFile, tmp_path: Path) -> None:
    for pretrained in (True, False):
        model = make("all")
        if pretrained:
            model.load_weights(weights)
        fit(model, tmp_path, 1).save_checkpoint(tmp_path / "one.ckpt")
        resumed = make("all")
        resumed.load_state(Checkpoint.open(tmp_path / "one.ckpt"))
        assert resumed.pretrained == pretrained and bool(resumed.measured_norms) == pretrained


def test_without_loaded_weights_statistics_are_measured(tmp_path: Path) -> None:
    model, seen = make("all"), Snapshots()
    fit(model, tmp_path, 1, [seen])
    assert "net.dw.3.bn.running_mean" in differing(seen.weights[0], seen.weights[-1])


class SaveAt(pl.Callback):
    """Saves a checkpoint after a step."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            assert not trainer.is_last_batch, "this is to fall within an epoch"
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("step", [3, 8, 13])
def test_resumed_within_an_epoch_it_ends_with_the_same_bits(weights: WeightsFile, tmp_path: Path, step: int) -> None:
    """In an epoch with frozen layers, in the next one, which is the last of these, and in one without."""
    ends, middle = [], tmp_path / "middle.ckpt"
    for path in (None, middle):
        model = make("last_stage", unfreeze_at=2, body_lr=0.1)
        model.load_weights(weights)
        model.optimizer, model.lr_scheduler = Optimizer("sgd", 0.1, 0.9, weight_decay=0.01), LRScheduler("one_cycle")
        fit(model, tmp_path, 3, [] if path else [SaveAt(step, middle)], path)
        ends.append({name: value.clone() for name, value in model.state_dict().items()})
    assert not differing(*ends)


def test_the_body_has_a_rate_of_its_own(weights: WeightsFile, tmp_path: Path) -> None:
    model = make("all", body_lr=0.1)
    model.load_weights(weights)
    model.optimizer, model.lr_scheduler = Optimizer("sgd", 0.1, norm_scale=2), LRScheduler()
    (optimizer,) = fit(model, tmp_path, 1).optimizers
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: round(rates[id(p)], 6) for name, p in model.named_parameters()}
    assert found.keys() == dict(model.named_parameters()).keys()
    assert found["net.fc.weight"] == found["net.fc.bias"] == 0.1
    assert found["net.dw.0.conv.weight"] == 0.01 and found["net.dw.0.bn.weight"] == 0.02


def test_loaded_layers_have_a_small_rate_unless_another_is_set(weights: WeightsFile, tmp_path: Path) -> None:
    """In a run that goes on, too; without loaded weights all layers have one rate."""
    for arguments, body in (({}, 0.003), ({"body_lr": 1.0}, 0.1)):
        model = make("all", **arguments)
        model.optimizer, model.lr_scheduler = Optimizer("sgd", 0.1), LRScheduler()
        assert rate_of_body(model) == 0.1
        model.load_weights(weights)
        run = fit(model, tmp_path, 1)
        assert rate_of_body(model) == body
        assert {round(group["lr"], 6) for group in run.optimizers[0].param_groups} == {0.1, body}
        run.save_checkpoint(tmp_path / "one.ckpt")
        resumed = make("all", **arguments)
        resumed.load_state(Checkpoint.open(tmp_path / "one.ckpt"))
        again = BackboneClassifier.load_from_checkpoint(tmp_path / "one.ckpt")
        assert resumed.body_lr == again.body_lr == model.body_lr == pytest.approx(body / 0.1)


def test_lbfgs_refuses_a_rate_of_the_body(weights: WeightsFile) -> None:
    for arguments in ({}, {"body_lr": 0.1}):
        model = make("all", **arguments)
        model.load_weights(weights)
        with pytest.raises(UserError, match="lbfgs has one rate for all layers"):
            Optimizer("lbfgs", 0.1).build(model.parameter_groups())
    model = make("all", body_lr=1.0)
    model.load_weights(weights)
    Optimizer("lbfgs", 0.1).build(model.parameter_groups())


def rate_of_body(model: BackboneClassifier) -> float:
    first = model.get_parameter("net.conv1.conv.weight")
    groups = [group for group in model.parameter_groups() if any(p is first for p in group["params"])]
    return round(groups[0].get("scale", 1.0) * model.optimizer.lr, 6)


def test_the_table_says_what_is_frozen() -> None:
    rows = {name: training for name, *_, training in make("last_stage", unfreeze_at=3, body_lr=0.1).summary()}
    assert rows["dw.10"] == "frozen for 3 epochs"
    assert rows["dw.11"] == "trained, rate x 0.1"
    assert rows["fc"] == "trained"


# ---------------------------------------------------------------------- the form of a fine-tuned model


@pytest.mark.parametrize("name", ["convnet", "backbone", "fcn", "show_and_tell", "multimodal_rnn"])
def test_the_form_of_a_trained_model_has_no_plan_of_its_training(name: str) -> None:
    model = catalog.MODELS[name].load()
    plan = {"trainable": "head", "unfreeze_at": 1, "body_lr": 0.1, "freeze_statistics": False}
    form = model.form_of(name, {"finetune": plan})
    assert form and not form.keys() & {"finetune", "class_weights", "training"}


def test_a_fine_tuned_run_has_a_plan_of_its_own(tmp_path: Path) -> None:
    """A first run that froze layers leaves no option behind that the second would have to undo."""
    argv = ("fit", "--model", "convnet", "--data", "scenes", "--data.size", "32", "--data.train_size", "24")
    argv += ("--data.val_size", "8", "--data.test_size", "8", "--trainer.max_epochs", "1", "--finetune")
    one = command(
        *argv, "embedded", "--model.finetune.trainable", "head", "--model.finetune.unfreeze_at", "1", cwd=tmp_path
    ).ok()
    assert "frozen" in one.out
    (best,) = tmp_path.rglob("best.ckpt")
    for options in ((), ("--model.finetune.trainable", "all")):
        again = command(*argv, str(best), *options, cwd=tmp_path).ok()
        assert "whitening 3" in again.out and "frozen" not in again.out


# ---------------------------------------------------------------------- what makes no sense


def test_freezing_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--model.finetune.trainable freezes layers that nothing was loaded into: .*--finetune"
    ):
        fit(make("head"), tmp_path)


def test_freezing_layers_that_the_file_lacks_is_refused(weights: WeightsFile) -> None:
    del weights.state_dict["dw.3.conv.weight"]
    with pytest.raises(
        UserError, match=r"freezes layers that other.pth has no fitting weights for: net.dw.3.conv.weight"
    ):
        make("head").load_weights(weights)
    loaded, kept = make("all").load_weights(weights)
    assert kept["net.dw.3.conv.weight"] == "not in the checkpoint" and loaded


def test_weights_of_another_size_are_refused_with_the_option(weights: WeightsFile) -> None:
    with pytest.raises(UserError, match=r"mobilenet_v1 --model.multiplier 0.125$"):
        BackboneClassifier(1, 8, 8, 3, "mobilenet_v1", 0.5).load_weights(weights)


def test_weights_of_another_kind_of_number_are_named(tmp_path: Path) -> None:
    weights = {"layers.0.weight": torch.zeros(10, 64, dtype=torch.int8), "layers.0.bias": torch.zeros(10)}
    torch.save(weights, tmp_path / "whole.pth")
    command("--model", "softmax", "--finetune", "whole.pth", cwd=tmp_path).refused(
        "layers.0.weight: torch.float32 here, torch.int8 in the checkpoint"
    )


def test_norms_that_were_folded_into_biases_cannot_be_trained(weights: WeightsFile) -> None:
    for name, value in weights.state_dict.items():
        if name.endswith("running_mean"):
            value.zero_()
    with pytest.raises(UserError, match=r"folded into biases .* --model.finetune.freeze_statistics true"):
        make("all", freeze_statistics=False).load_weights(weights)
    make("all").load_weights(weights)
