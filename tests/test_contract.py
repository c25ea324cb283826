"""What holds for every model of the catalog: a new topic is tested here before it has a test of its own."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

import lightning_nn
from lightning_nn import ImageBatch, Loss, LRScheduler, Optimizer, TextBatch, catalog
from lightning_nn.callbacks.step_seed import StepSeed
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.settings import CheckpointSettings, EarlyStoppingSettings
from lightning_nn.tasks.classification import Classifier
from tests.contract import SMALL, differing, one_batch, small_data, small_model, texts, trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",  # data in memory needs none
    "ignore:.*You defined a `validation_step` but have no `val_dataloader`.*",
)

Make = Callable[..., Classifier]


@pytest.fixture(params=catalog.MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def data(name: str, tmp_path: Path) -> DataModule:
    return small_data(name, tmp_path)


@pytest.fixture
def model(name: str, data: DataModule) -> Classifier:
    return small_model(name, data)


def test_the_contract_knows_every_model() -> None:
    assert SMALL.keys() == catalog.MODELS.keys()


# ---------------------------------------------------------------------- 1, 2: it learns


def test_every_parameter_gets_a_finite_gradient(model: Classifier, data: DataModule) -> None:
    batch = one_batch(data)
    model.sample_losses(model.logits(batch), batch.label).mean().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert not idle


def test_overfits_one_batch(model: Classifier, data: DataModule, tmp_path: Path) -> None:
    """By its own optimizer, as `--trainer.overfit_batches 1` does."""
    run = trainer(tmp_path, max_epochs=200, overfit_batches=1, limit_val_batches=0)
    run.fit(model, datamodule=data)
    assert float(run.callback_metrics["train/loss"]) < 0.1
    assert float(run.callback_metrics["train/acc"]) == 1.0


# ---------------------------------------------------------------------- 3: an answer depends on its own sample only


def test_batch_size_order_and_neighbours_change_no_answer(model: Classifier, data: DataModule) -> None:
    model = model.double().eval()
    batch = one_batch(data)
    whole = model.predict_step(batch)
    alone = torch.cat([model.predict_step(batch.select([i])) for i in range(batch.size)])
    order = np.random.default_rng(1).permutation(batch.size)
    torch.testing.assert_close(alone, whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(model.predict_step(batch.select(order)), whole[order], atol=1e-12, rtol=0)


# ---------------------------------------------------------------------- 4, 6: what a checkpoint holds is enough

FRESH = """
import json, sys
from lightning_nn import catalog
answers = {}
for name, (checkpoint, raw) in json.load(sys.stdin).items():
    model = catalog.MODELS[name].load().load_from_checkpoint(checkpoint)
    model.eval()
    answers[name] = [model.predict_step(model.processor.encode(raw)).tolist(), model.predict(raw)]
json.dump(answers, sys.stdout)
"""


def raw_input(name: str, folder: Path) -> list[str]:
    """Texts, or files of pictures of another size and colour than those of training."""
    if "text" in catalog.MODELS[name].batch_types:
        return [*texts(4)[0], "ABC, 没见过的字", ""]
    random = np.random.default_rng(0)
    paths = [folder / f"{name}-{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def test_a_fresh_process_gives_the_same_answers_from_the_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, request = {}, {}
    for name in catalog.MODELS:
        corpus = tmp_path / f"corpus-{name}"
        corpus.mkdir()
        with monkeypatch.context() as patch:
            patch.setenv("LIGHTNING_NN_CACHE", str(corpus / "cache"))
            data = small_data(name, corpus)
            model = small_model(name, data)
            run = trainer(tmp_path, max_epochs=1)
            run.fit(model, datamodule=data)
        checkpoint = tmp_path / f"{name}.ckpt"
        run.save_checkpoint(checkpoint)
        assert torch.load(checkpoint, weights_only=True)["lightning_nn"]["model"] == name
        raw = raw_input(name, tmp_path)
        model.eval()
        answers = model.predict_step(model.require_processor().encode(raw)).tolist()
        expected[name] = [answers, [list(answer) for answer in model.predict(raw)]]
        request[name] = (str(checkpoint), raw)
        corpus.rename(tmp_path / f"gone-{name}")
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=Path(lightning_nn.__file__).parent.parent,
    )
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads(fresh.stdout) == expected


# ---------------------------------------------------------------------- 5, 8: the same run, bit for bit


class SaveAt(pl.Callback):
    """Saves a checkpoint after a step, in the middle of an epoch."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            assert not trainer.is_last_batch, "this is to fall within an epoch"
            trainer.save_checkpoint(self.path)


def train(
    name: str, folder: Path, seed: int, *, schedule: Any = "cosine", resume: Path | None = None, callbacks: Any = ()
) -> dict[str, Tensor]:
    """Weights after a run with all that is random in one: order of samples, dropout, first weights; and a schedule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", str(seed))
        torch.manual_seed(seed)
        data = small_data(name, folder)
        model = small_model(name, data, quiet=False)
        model.optimizer = Optimizer("sgd", lr=0.1, momentum=0.9)
        model.lr_scheduler = LRScheduler(schedule)
        run = trainer(folder, max_epochs=3, callbacks=[StepSeed(seed), *callbacks])
        run.fit(model, datamodule=data, ckpt_path=str(resume) if resume else None)
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_resumed_in_the_middle_of_an_epoch_ends_with_the_same_bits(name: str, tmp_path: Path, schedule: str) -> None:
    checkpoint = tmp_path / "middle.ckpt"
    whole = train(name, tmp_path, 3, schedule=schedule, callbacks=[SaveAt(7, checkpoint)])
    resumed = train(name, tmp_path, 99, schedule=schedule, resume=checkpoint)
    assert not differing(whole, resumed)


class Seen(pl.Callback):
    """Labels in the order in which they come, an epoch a list."""

    def __init__(self) -> None:
        self.labels: list[list[int]] = []

    def on_train_epoch_start(self, *args: Any) -> None:
        self.labels.append([])

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        self.labels[-1] += batch.label.tolist()


def test_every_epoch_has_the_same_samples_in_an_order_of_its_own(name: str, tmp_path: Path) -> None:
    seen = Seen()
    train(name, tmp_path, 1, callbacks=[seen])
    one, two, three = seen.labels
    assert sorted(one) == sorted(two) == sorted(three)
    assert one != two != three != one


def test_a_seed_decides_every_bit(name: str, tmp_path: Path) -> None:
    one, again, other = (train(name, tmp_path, seed) for seed in (1, 1, 2))
    assert not differing(one, again)
    assert differing(one, other)


# ---------------------------------------------------------------------- 9: number formats


@torch.inference_mode()
def test_float64_and_bfloat16_agree_with_float32(model: Classifier, data: DataModule) -> None:
    """Within float32's own rounding, and within that of bfloat16's 8 bits."""
    model.eval()
    for parameter in model.parameters():  # larger weights than at the start, so that answers differ
        parameter.copy_(torch.randn_like(parameter) * 0.3)
    batch = one_batch(data)
    single = model.predict_step(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.predict_step(batch)
    double = model.double().predict_step(batch)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=0)
    torch.testing.assert_close(half.double(), double, atol=0.05, rtol=0)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_trains_in_other_precisions(model: Classifier, data: DataModule, tmp_path: Path, precision: Any) -> None:
    run = trainer(tmp_path, max_epochs=1, precision=precision)
    run.fit(model, datamodule=data)
    assert all(p.isfinite().all() for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float64 if precision == "64-true" else torch.float32}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_gpu_answers_as_the_cpu_does(model: Classifier, data: DataModule, tmp_path: Path, precision: Any) -> None:
    run = trainer(tmp_path, accelerator="gpu", precision=precision)
    run.fit(model, datamodule=data)
    on_gpu = torch.cat(run.predict(model, datamodule=data)).cpu().double()  # type: ignore[arg-type]
    model.cpu().double().eval()
    on_cpu = torch.cat([model.predict_step(b) for b in data.predict_dataloader()])
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-3 if precision == "32-true" else 0.05, rtol=0)


# ---------------------------------------------------------------------- 10: export


def test_export_gives_the_same_or_is_declared_impossible(model: Classifier, data: DataModule) -> None:
    model.eval()
    batch = one_batch(data).select([0, 1, 2])._replace(label=None)
    if not model.exportable:
        with pytest.raises(Exception):  # noqa: B017  torch's own, of several types
            torch.export.export(model, (batch,), strict=False)
        return
    dynamic = {"batch": type(batch)({0: torch.export.Dim("samples", min=1)}, None)}
    exported = torch.export.export(model, (batch,), dynamic_shapes=dynamic, strict=False).module()
    other = one_batch(data)._replace(label=None)
    torch.testing.assert_close(exported(batch), model(batch))
    torch.testing.assert_close(exported(other), model(other))


# ---------------------------------------------------------------------- 11: documentation

SETTINGS = {cls.__name__: cls for cls in (Optimizer, LRScheduler, Loss, CheckpointSettings, EarlyStoppingSettings)}


@pytest.mark.parametrize("which", [*catalog.MODELS, *catalog.DATA, *SETTINGS])
def test_every_argument_is_documented_in_its_order(which: str) -> None:
    cls: type = SETTINGS[which] if which in SETTINGS else {**catalog.MODELS, **catalog.DATA}[which].load()
    documented = docstring_parser.parse(cls.__doc__ or "")
    arguments = [p for p in inspect.signature(cls).parameters if p != "self"]
    assert [p.arg_name for p in documented.params] == arguments
    empty = [p.arg_name for p in documented.params if len((p.description or "").split()) < 2]
    assert not empty, "described in less than two words"
    assert documented.short_description


# ---------------------------------------------------------------------- 12: wrong input

PICTURE = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
LABEL = torch.tensor([0, 1])
ONE, TWO, FOUR = torch.tensor([1]), torch.tensor([2]), torch.tensor([1, 2, 3, 4])

WRONG_PICTURES = {
    "image of a batch is empty": ImageBatch(PICTURE[:0], LABEL[:0]),
    "image of a batch is torch.int64 .*; expected torch.uint8": ImageBatch(PICTURE.long(), LABEL),
    r"image of a batch is torch.uint8 \(2, 8, 8\)": ImageBatch(PICTURE[:, 0], LABEL),
    r"images of \(1, 8, 4\); this model was made for 64 numbers": ImageBatch(PICTURE[..., :4], LABEL),
    "label of a batch is torch.float32": ImageBatch(PICTURE, LABEL / 1),
    "a batch of 2 samples has 1 labels": ImageBatch(PICTURE, LABEL[:1]),
    r"labels go from 0 to 7; this model was made for 0 to \d": ImageBatch(PICTURE, LABEL * 7),
    "labels go from -1 to 0": ImageBatch(PICTURE, -LABEL),
    "a batch is a list; .* takes ImageBatch of": [PICTURE, LABEL],
    "a batch is a TextBatch; .* takes ImageBatch of": TextBatch(ONE, TWO, TWO, ONE),
}
WRONG_TEXTS = {
    "documents of a batch is empty": TextBatch(ONE[:0], ONE[:0], ONE[:0], ONE[:0]),
    "words of a batch is torch.float32": TextBatch(ONE, TWO, torch.tensor([1.0, float("nan")]), ONE),
    r"words of a batch is torch.int64 \(2, 1\)": TextBatch(ONE, TWO, torch.ones(2, 1, dtype=torch.int64), ONE),
    "sentences counts the words of each, at least 1; its sum is 2": TextBatch(ONE, TWO, FOUR, ONE),
    "documents counts the sentences of each, at least 1; its sum is 2": TextBatch(TWO, TWO, FOUR[:2], ONE),
    "its least 0": TextBatch(TWO, torch.tensor([0, 4]), FOUR, ONE),
    "word ids go from 1 to 4000": TextBatch(ONE, torch.tensor([4]), torch.tensor([1, 2, 3, 4000]), ONE),
    "labels go from 9 to 9": TextBatch(ONE, TWO, FOUR[:2], ONE * 9),
    "a batch is a ImageBatch; .* takes TextBatch of": ImageBatch(PICTURE, LABEL),
}


def test_a_wrong_batch_is_an_error_that_says_what_is_wrong(name: str, model: Classifier, tmp_path: Path) -> None:
    wrong = WRONG_TEXTS if "text" in catalog.MODELS[name].batch_types else WRONG_PICTURES
    for message, batch in wrong.items():
        with pytest.raises(UserError, match=message):
            trainer(tmp_path, fast_dev_run=True).fit(model, DataLoader([batch], batch_size=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [None, 3, float("nan"), b"bytes", ["nested"]], ids=repr)
def test_raw_input_that_is_none_is_an_error_that_says_so(name: str, model: Classifier, raw: Any) -> None:
    with pytest.raises(UserError, match=r"not|got|no such file"):
        model.predict([raw])


def test_no_input_has_no_answers(model: Classifier) -> None:
    assert model.predict([]) == []


def test_an_untrained_model_says_that_it_cannot_read_yet(name: str, data: DataModule) -> None:
    model = small_model(name, data)
    model.processor = None
    with pytest.raises(UserError, match="can't read raw input yet"):
        model.predict(["……"])


def test_a_loss_that_is_not_finite_stops_the_run_before_a_checkpoint(
    model: Classifier, data: DataModule, tmp_path: Path
) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    run = trainer(tmp_path)
    with pytest.raises(UserError, match=r"no longer a finite number \(epoch 0, step 0\).*\n.*--optimizer.lr"):
        run.fit(model, datamodule=data)
    with pytest.raises(UserError, match="no longer a finite number"):
        run.save_checkpoint(tmp_path / "bad.ckpt")
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_checkpoint_of_another_model_is_refused(name: str, data: DataModule, tmp_path: Path) -> None:
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    run.fit(small_model(name, data), datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    for other in catalog.MODELS.keys() - {name}:
        with pytest.raises(UserError, match=f"holds the model '{name}', not '{other}'"):
            catalog.MODELS[other].load().load_from_checkpoint(tmp_path / "one.ckpt")
