from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner import Tuner
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_nn import (
    FCN,
    BackboneClassifier,
    ConvNet,
    Digits,
    LogisticRegression,
    Loss,
    LRScheduler,
    Optimizer,
    SoftmaxClassifier,
    UserError,
)
from lightning_nn.data.batches import IGNORED, ImageBatch, MaskBatch
from lightning_nn.metrics.running import RunningMeans, Totals
from lightning_nn.tasks.artifacts import Masks
from lightning_nn.tasks.task import Task
from tests.contract import trainer
from tests.tiny.register import registered
from tests.tiny.segmentation import Segmenter, TinyMasks

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step` but have no `val_dataloader`.*"
)


# ---------------------------------------------------------------------- what a sample weighs


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


class Steps(pl.Callback):
    """The gradient and its norm at each step of the optimizer, as the callbacks see it, and the weights before."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, Tensor]] = []
        self.weights: list[dict[str, Tensor]] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        named = dict(pl_module.named_parameters())
        self.gradients.append({name: p.grad.clone() for name, p in named.items() if p.grad is not None})
        self.weights.append({name: p.detach().clone() for name, p in named.items()})


def pictures(*sizes: int) -> list[ImageBatch]:
    """Batches of so many samples each, no two alike."""
    random = torch.Generator().manual_seed(0)
    shape = [torch.Size((n, 1, 4, 4)) for n in sizes]
    return [
        ImageBatch(
            torch.randint(0, 256, each, generator=random, dtype=torch.uint8),
            torch.randint(0, 3, each[:1], generator=random),
        )
        for each in shape
    ]


def masks(*sizes: int) -> list[MaskBatch]:
    """The same with masks, of whose pixels some are ignored: a row of each image, but all of the last batch's first."""
    random = torch.Generator().manual_seed(0)
    batches = []
    for i, n in enumerate(sizes):
        image = torch.randint(0, 256, (n, 1, 8, 8), generator=random, dtype=torch.uint8)
        mask = torch.randint(0, 2, (n, 8, 8), generator=random, dtype=torch.uint8)
        mask[:, : i + 1] = IGNORED
        batches.append(MaskBatch(image, mask))
    return batches


def segmenter(num_classes: int = 2) -> Segmenter:
    """A model of masks without dropout."""
    return Segmenter(channels=1, num_classes=num_classes, dropout=0.0)


def by_hand(model: Task, weights: dict[str, Tensor], window: Sequence[Any]) -> dict[str, Tensor]:
    """Gradient of the mean loss over all samples of a window at these weights."""
    model.load_state_dict(weights, strict=False)
    model.zero_grad()
    means = [model.training_means(batch) for batch in window]
    loss = torch.stack([m.sums["loss"] for m in means]).sum() / sum(float(m.weight) for m in means)
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["samples", "pixels"])
@pytest.mark.parametrize(
    ("sizes", "accumulate"),
    [
        ((8, 3, 5, 7, 2), 3),  # a last window of two
        ((8, 3, 5, 1), 3),  # of one short batch
        ((2, 9), 2),
        ((6, 1, 4), 1),
        ((5, 3), 7),  # the whole epoch is shorter
    ],
)
def test_each_sample_of_a_step_weighs_the_same(
    kind: str, sizes: tuple[int, ...], accumulate: int, tmp_path: Path
) -> None:
    """Whatever the sizes of accumulated batches; Lightning's own division would count each batch the same."""
    batches: list[Any] = pictures(*sizes) if kind == "samples" else masks(*sizes)
    model: Task = SoftmaxClassifier(features=16, num_classes=3, hidden=[4]) if kind == "samples" else segmenter()
    model.optimizer = Optimizer("sgd", lr=0.1)
    steps = Steps()
    run = trainer(tmp_path, max_epochs=2, accumulate_grad_batches=accumulate, callbacks=[steps], limit_val_batches=0)
    run.fit(model, DataLoader(batches, batch_size=None, shuffle=False))  # type: ignore[arg-type]
    windows = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)] * 2
    assert len(steps.gradients) == len(windows)
    for gradient, weights, window in zip(steps.gradients, steps.weights, windows, strict=True):
        expected = by_hand(model, weights, window)
        for name in expected:
            torch.testing.assert_close(gradient[name], expected[name], atol=1e-7, rtol=1e-5)


def test_a_gradient_is_clipped_by_its_true_norm(tmp_path: Path) -> None:
    class Clipped(SoftmaxClassifier):
        norms: list[float] = []  # noqa: RUF012

        def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
            super().configure_gradient_clipping(*args, **kwargs)
            gradients = [p.grad for p in self.parameters() if p.grad is not None]
            self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    model, steps = Clipped(features=16, num_classes=3), Steps()
    run = trainer(
        tmp_path,
        max_epochs=1,
        accumulate_grad_batches=4,
        callbacks=[steps],
        gradient_clip_val=0.05,
        limit_val_batches=0,
    )
    run.fit(model, DataLoader(pictures(9, 1, 2, 3, 8), batch_size=None))  # type: ignore[arg-type]
    assert model.norms == pytest.approx([0.05, 0.05], rel=1e-4)
    for gradient, weights, window in zip(steps.gradients, steps.weights, (slice(4), slice(4, 5)), strict=True):
        for name, expected in by_hand(model, weights, pictures(9, 1, 2, 3, 8)[window]).items():
            torch.testing.assert_close(gradient[name], expected, atol=1e-7, rtol=1e-5)


def test_a_batch_in_which_nothing_counts_moves_nothing(tmp_path: Path) -> None:
    batches = masks(2, 3)
    assert batches[0].mask is not None
    batches[0].mask.fill_(IGNORED)
    for accumulate in (1, 2):
        model, steps = segmenter(), Steps()
        run = trainer(
            tmp_path, max_epochs=1, accumulate_grad_batches=accumulate, callbacks=[steps], limit_val_batches=0
        )
        run.fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
        assert len(steps.gradients) == 2 // accumulate
        if accumulate == 1:
            assert not any(g.any() for g in steps.gradients[0].values())
        expected = by_hand(model, steps.weights[-1], batches[1:])
        for name, gradient in steps.gradients[-1].items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


# ---------------------------------------------------------------------- a task of somebody's own


def test_perfect_masks_have_an_accuracy_of_one(tmp_path: Path) -> None:
    """Means are over pixels, some of them ignored, not over images."""
    data, model = TinyMasks(batch_size=4, samples=24), segmenter(3)
    run = trainer(tmp_path, max_epochs=30)
    run.fit(model, datamodule=data)
    assert float(run.callback_metrics["train/acc"]) == 1.0
    assert float(run.callback_metrics["val/miou"]) == 1.0
    (tested,) = run.test(model, datamodule=data, verbose=False)
    assert tested["test/miou"] == 1.0 and tested.keys() == {"test/miou", "test/loss"}
    image = np.full((8, 8), 128, np.uint8)
    image[2:5, 1:4] = 240
    (prediction,) = model.predict([image])
    assert prediction.mask.tolist() == (image > 200).astype(int).tolist()


def test_a_few_samples_of_a_split_are_kept_to_be_shown(tmp_path: Path) -> None:
    data, model = TinyMasks(batch_size=4, samples=96), segmenter(3)
    run = trainer(tmp_path, max_epochs=2)
    run.fit(model, datamodule=data)
    shown = model.shown["val"]
    assert [batch.size for batch in shown] == [1] * 4
    firsts = [next(iter([batch])) for batch in data.val_dataloader()][:4]
    assert all(torch.equal(a.image, b.image[:1]) for a, b in zip(shown, firsts, strict=True))
    (drawn,) = model.artifacts("val")
    assert isinstance(drawn, Masks) and len(drawn.images) == 4


# ---------------------------------------------------------------------- how many steps


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 3},
        {"max_epochs": 3, "limit_train_batches": 5},
        {"max_epochs": 3, "limit_train_batches": 0.4},
        {"max_epochs": 2, "accumulate_grad_batches": 4},
        {"max_epochs": 5, "max_steps": 7},
        {"max_epochs": -1, "max_steps": 7},
        {"max_epochs": 2, "overfit_batches": 3},
        {"max_epochs": 2, "overfit_batches": 0.3},
        {"fast_dev_run": 2},
    ],
)
@pytest.mark.filterwarnings("ignore:You requested to overfit but enabled train dataloader shuffling.*")
def test_the_schedule_counts_steps_as_lightning_does(options: dict[str, Any], tmp_path: Path) -> None:
    class Counting(pl.Callback):
        counted: tuple[float, float] = (0, 0)

        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, Task)
            self.counted = (pl_module.optimizer_steps(), trainer.estimated_stepping_batches)

    counting, model = Counting(), SoftmaxClassifier(features=64, num_classes=2)
    model.lr_scheduler = LRScheduler("cosine")
    run = trainer(tmp_path, callbacks=[counting], limit_val_batches=0, **options)
    run.fit(model, datamodule=Digits(classes=[0, 1], batch_size=16))
    assert counting.counted[0] == counting.counted[1] > 0


def test_another_loader_is_counted_by_lightning(tmp_path: Path) -> None:
    """The data module of an earlier run has no say in it."""
    model = SoftmaxClassifier(features=64, num_classes=2)
    model.lr_scheduler = LRScheduler("cosine")
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=Digits(classes=[0, 1]))
    loader = DataLoader(list(Digits(classes=[0, 1], batch_size=64).train_dataloader())[:2], batch_size=None)  # type: ignore[arg-type]
    run = trainer(tmp_path, max_epochs=2, limit_val_batches=0)
    run.fit(model, loader)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


# ---------------------------------------------------------------------- means


def test_resumed_sums_go_on_in_their_epoch_on_one_process_only() -> None:
    kept = Totals({"loss": 5.0, "iou": 2.0}, 10.0)
    step = {"loss": torch.tensor(1.0), "iou": torch.tensor(0.5)}
    for epoch, keeps, expected in ((3, True, (6.0, 2.5, 12.0)), (4, True, (1, 0.5, 2)), (3, False, (1, 0.5, 2))):
        means = RunningMeans()
        means.resume(3, kept)
        means.add(step, 2, epoch, keeps_resumed=keeps)
        totals = means.totals(lambda sums: sums)
        assert totals is not None
        assert (float(totals.sums["loss"]), float(totals.sums["iou"]), float(totals.weight)) == expected


def test_sums_of_other_names_are_refused() -> None:
    means = RunningMeans()
    means.add({"loss": torch.tensor(1.0)}, 1, 0, keeps_resumed=True)
    with pytest.raises(ValueError, match="sums of a step are iou; those before were loss"):
        means.add({"iou": torch.tensor(1.0)}, 1, 0, keeps_resumed=True)


# ---------------------------------------------------------------------- soft labels, float images


@pytest.mark.parametrize("classes", [2, 3])
def test_shares_of_classes_are_labels_too(classes: int) -> None:
    models: list[Any] = [SoftmaxClassifier(features=16, num_classes=classes)]
    models += [LogisticRegression(features=16, criterion=c) for c in ("bce", "mse")] if classes == 2 else []  # type: ignore[arg-type]
    label = torch.arange(12) % classes
    batch = pictures(12)[0]._replace(label=label)
    hot = torch.nn.functional.one_hot(label, classes).float()
    mixed = 0.7 * hot + 0.3 * hot.roll(1, 0)
    for model in models:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        model.loss = Loss(label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5][:classes])
        logits = model.logits(batch)
        hard, other = model.sample_losses(logits, label), model.sample_losses(logits, label.roll(1, 0))
        torch.testing.assert_close(model.sample_losses(logits, hot), hard)
        expected = 0.7 * hard + 0.3 * other
        if getattr(model, "criterion", "bce") == "bce":  # the loss is linear in the label
            torch.testing.assert_close(model.sample_losses(logits, mixed), expected)
        means = model.training_means(ImageBatch(batch.image, mixed))
        assert int(means.sums["acc"]) == int((model.probabilities(logits).argmax(1) == label).sum())


def test_mixed_up_labels_and_float_images_train_and_are_measured(tmp_path: Path) -> None:
    class Mixup(Digits):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            hot = torch.nn.functional.one_hot(batch.label, 3).float()
            image = batch.image / 255
            return ImageBatch(0.8 * image + 0.2 * image.flip(0), 0.8 * hot + 0.2 * hot.flip(0))

    model, data = SoftmaxClassifier(features=64, num_classes=3), Mixup(classes=[0, 1, 2])
    run = trainer(tmp_path, max_epochs=3)
    run.fit(model, datamodule=data)
    assert float(run.callback_metrics["train/acc"]) > 0.9
    assert float(run.callback_metrics["val/acc"]) > 0.9
    assert int(model.confusion("val").sum()) == len(data.sources["val"])


def test_float_images_are_the_same_images() -> None:
    model, (batch,) = SoftmaxClassifier(features=16, num_classes=3), pictures(5)
    torch.testing.assert_close(model(batch), model(batch._replace(image=batch.image / 255)))


def test_a_batch_without_labels_says_so(tmp_path: Path) -> None:
    loader = DataLoader([batch._replace(label=None) for batch in pictures(3)], batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="a batch has no labels"):
        trainer(tmp_path).fit(SoftmaxClassifier(features=16, num_classes=3), loader)


def test_lightnings_tuner_finds_a_learning_rate(tmp_path: Path) -> None:
    data = Digits(batch_size=64)
    model = SoftmaxClassifier.for_data(data)
    run = trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    found = Tuner(run).lr_find(model, datamodule=data, num_training=25, update_attr=True)
    assert found is not None and model.optimizer.lr == model.lr == found.suggestion()
    assert SoftmaxClassifier.optimizer.lr != model.lr, "the rate of this model, not of its class"


@pytest.mark.parametrize(
    ("cls", "settings", "ratio"),
    [
        (BackboneClassifier, Optimizer("sgd", 0.01), 0.1),
        (ConvNet, Optimizer("muon_adamw", 0.01, kernel_lr=0.05), 5.0),
    ],
)
def test_lightnings_tuner_keeps_the_ratios_of_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: type[Task], settings: Optimizer, ratio: float
) -> None:
    data = Digits(batch_size=256)
    layers = {"layers": ["conv 4 kernel=3", "batch_norm", "relu", "flatten"]}
    model = cls.for_data(data, **(layers if cls is ConvNet else {"finetune": {"body_lr": ratio}}))
    model.optimizer = settings
    moved: list[float] = []

    build = model.configure_optimizers

    def watched() -> Any:
        found = build()
        optimizer = found["optimizer"] if isinstance(found, dict) else found
        optimizer.register_step_pre_hook(lambda *_: moved.append(_spread(optimizer)))
        return found

    monkeypatch.setattr(model, "configure_optimizers", watched)
    run = trainer(tmp_path, max_epochs=2, limit_val_batches=0)
    found = Tuner(run).lr_find(model, datamodule=data, num_training=4, early_stop_threshold=None, update_attr=False)
    assert found is not None and found.results["lr"][0] == 1e-8, "the rate of the head, of all but kernels"
    assert moved == [pytest.approx(max(ratio, 1 / ratio))] * 4
    moved.clear()
    trainer(tmp_path, max_epochs=1, limit_val_batches=0, limit_train_batches=1).fit(model, datamodule=data)
    assert moved == [pytest.approx(max(ratio, 1 / ratio))], "as without the Tuner"


def _spread(optimizer: torch.optim.Optimizer) -> float:
    rates = [group["lr"] for group in optimizer.param_groups]
    return max(rates) / min(rates)


def test_lightnings_tuner_ends_where_the_loss_is_not_finite(tmp_path: Path) -> None:
    data = Digits(batch_size=64)
    model = SoftmaxClassifier.for_data(data)
    model.optimizer = Optimizer("sgd", 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = trainer(tmp_path, max_epochs=8)
    found = Tuner(run).lr_find(
        model, datamodule=data, min_lr=1e-4, max_lr=1e38, early_stop_threshold=None, update_attr=False
    )
    assert found is not None and 10 < len(found.results["lr"]) < 100
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "weights are restored"
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)


def test_a_found_rate_takes_the_rate_of_kernels_with_it() -> None:
    model = SoftmaxClassifier(64, 10)
    for name, kernels in (("muon", 0.6), ("adam", 0.2)):
        model.optimizer = Optimizer(name, lr=0.01, kernel_lr=0.2)  # type: ignore[arg-type]
        model.lr = 0.03
        assert model.optimizer == Optimizer(name, lr=0.03, kernel_lr=pytest.approx(kernels))  # type: ignore[arg-type]


def test_a_sanity_check_leaves_nothing_in_the_metrics(tmp_path: Path) -> None:
    data = Digits(batch_size=256)
    model = SoftmaxClassifier.for_data(data)
    trainer(tmp_path, max_epochs=1, num_sanity_val_steps=1, check_val_every_n_epoch=2).fit(model, datamodule=data)
    assert not any(metric.update_called for metric in model.split_metrics("val").values())
    assert model.guessing_loss() == pytest.approx(math.log(10), rel=0.01)


def test_masks_of_ignored_pixels_alone_name_the_cause(tmp_path: Path) -> None:
    (batch,) = masks(3)
    blank = batch._replace(mask=torch.full_like(batch.mask, IGNORED))  # type: ignore[arg-type]
    loaders: list[Any] = [DataLoader([each], batch_size=None) for each in (batch, blank)]  # type: ignore[arg-type]
    for run in (trainer(tmp_path, max_epochs=1), trainer(tmp_path, max_epochs=1, num_sanity_val_steps=1)):
        with pytest.raises(UserError, match="the masks of this split show no class: all of their pixels are 255"):
            run.fit(FCN(1, 2, first_channels=2), *loaders)
