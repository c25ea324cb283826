"""Properties of every model of the catalog, whatever it is for; the facts on each model are in `cases`."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_nn import Loss, LRScheduler, Optimizer, catalog
from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.cli.network import text_network
from lightning_nn.data.module import DataModule
from lightning_nn.errors import UserError
from lightning_nn.settings import CheckpointSettings, EarlyStoppingSettings
from lightning_nn.tasks.task import Task
from lightning_nn.tasks.text_classification import TextClassifier
from tests.cases import CASES, Case
from tests.commands import process, ranks
from tests.contract import check_export, differing, one_batch, to_plain, trainer
from tests.tiny.register import registered

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",  # data in memory needs none
    "ignore:.*You defined a `validation_step` but have no `val_dataloader`.*",
    "ignore:.*Total length of `list` across ranks is zero.*",  # a data set without this split
)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if reason := CASES[name].skips.get(request.node.originalname):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.fixture
def case(name: str) -> Case:
    return CASES[name]


@pytest.fixture
def data(case: Case, tmp_path: Path) -> DataModule:
    return case.data(tmp_path)


def make(name: str, data: DataModule, *, quiet: bool = True) -> Any:
    """A small model; a quiet one has nothing random in it but its first weights."""
    return CASES[name].model(catalog.MODELS[name].load(), data, quiet=quiet)


@pytest.fixture
def model(name: str, data: DataModule) -> Any:
    return make(name, data)


def test_the_contract_knows_every_model() -> None:
    assert CASES.keys() == catalog.MODELS.keys()


def test_what_is_skipped_is_a_test() -> None:
    assert {test for case in CASES.values() for test in case.skips} <= {n for n in globals() if n.startswith("test_")}


# ---------------------------------------------------------------------- 1, 2: it learns


def test_every_parameter_gets_a_finite_gradient(model: Task, data: DataModule) -> None:
    means = model.training_means(one_batch(data))
    (means.sums["loss"] / means.weight).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert not idle


def test_overfits_one_batch(case: Case, model: Task, data: DataModule, tmp_path: Path) -> None:
    """By its own optimizer, as `--trainer.overfit_batches 1` does."""
    enough = EarlyStopping("train/loss", stopping_threshold=0.02, patience=200, check_on_train_epoch_end=True)
    epochs = {"min_epochs": 60, "max_epochs": 200}  # the least for running means of batch normalisation
    run = trainer(tmp_path, **epochs, overfit_batches=1, limit_val_batches=0, callbacks=[StepSeed(0), enough])
    run.fit(model, datamodule=data)
    assert float(run.callback_metrics["train/loss"]) < 0.1
    assert {metric: float(run.callback_metrics[f"train/{metric}"]) for metric in case.perfect} == case.perfect
    (batch,) = list(data.train_dataloader())[:1]
    assert case.learned(model.eval(), batch) == 1.0


@pytest.mark.parametrize("clip", [None, 1.0])
def test_lbfgs_takes_steps(model: Task, data: DataModule, tmp_path: Path, clip: float | None) -> None:
    """Also on kernels in channels_last, of which it can't make a view."""
    model.optimizer = Optimizer("lbfgs", lr=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    run = trainer(tmp_path, max_epochs=2, limit_train_batches=1, limit_val_batches=0, gradient_clip_val=clip)
    run.fit(model, datamodule=data)
    assert [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()] == []
    assert len(differing(before, dict(model.named_parameters()))) > len(before) / 2


def test_a_loop_of_ones_own_trains(model: Task, data: DataModule) -> None:
    """By the same loss, without a Trainer."""
    batch = one_batch(data)
    means = model.training_means(batch)
    optimizer = model.optimizer.build(model.parameter_groups())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model.training_step(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]  # type: ignore[arg-type,attr-defined]
    assert losses[0] == pytest.approx(float(means.sums["loss"].detach() / means.weight), rel=1e-5)
    assert min(losses[1:]) < losses[0]


# ---------------------------------------------------------------------- 3: a prediction depends on its own sample only


@torch.inference_mode()
def test_batch_size_order_and_neighbours_change_no_prediction(case: Case, model: Task, data: DataModule) -> None:
    model, batch = model.double().eval(), one_batch(data)
    batch = batch.select(range(min(batch.size, 12)))
    order = np.random.default_rng(1).permutation(batch.size)
    alone, shuffled = [batch.select([i]) for i in range(batch.size)], batch.select(order)
    for predict in (case.outputs, lambda model, batch: to_plain(model.predictions(batch))):
        whole = predict(model, batch)
        same(whole, [predict(model, one)[0] for one in alone])
        same([whole[i] for i in order], predict(model, shuffled))


@torch.inference_mode()
def test_images_of_bytes_and_of_fractions_are_the_same(case: Case, model: Task, data: DataModule) -> None:
    model, batch = model.double().eval(), one_batch(data)
    images = {name: getattr(batch, name, None) for name in ("image", "content")}
    floats = {name: v.double() / 255 for name, v in images.items() if v is not None and v.dtype == torch.uint8}
    same(case.outputs(model, batch), case.outputs(model, batch._replace(**floats)))


def same(one: Any, other: Any) -> None:
    """Numbers within float64's rounding, anything else equal."""
    assert type(one) is type(other)
    if isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, Tensor | float):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    else:
        assert one == other


# ---------------------------------------------------------------------- 4, 6: what a checkpoint holds is enough

FRESH = """
import json, sys
from lightning_nn import catalog
from tests.cases import CASES
from tests.contract import to_plain
from tests.tiny.register import register; register()
found = {}
for name, (checkpoint, raw) in json.load(open("request.json", encoding="utf-8")).items():
    model = catalog.MODELS[name].load().load_from_checkpoint(checkpoint)
    outputs = CASES[name].outputs(model, model.processor.encode(raw))
    found[name] = to_plain([outputs, model.predict(raw)])
json.dump(found, sys.stdout)
"""


def test_a_fresh_process_predicts_the_same_from_the_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, request = {}, {}
    for name, case in CASES.items():
        corpus = tmp_path / f"corpus-{name}"
        corpus.mkdir()
        with monkeypatch.context() as patch:
            patch.setenv("LIGHTNING_NN_CACHE", str(corpus / "cache"))
            data = case.data(corpus)
            model = make(name, data)
            run = trainer(tmp_path, max_epochs=1)
            run.fit(model, datamodule=data)
        checkpoint = tmp_path / f"{name}.ckpt"
        run.save_checkpoint(checkpoint)
        assert torch.load(checkpoint, weights_only=True)["lightning_nn"]["model"] == name
        raw = case.raw(tmp_path)
        outputs = case.outputs(model.eval(), model.require_processor().encode(raw))
        expected[name] = to_plain([outputs, model.predict(raw)])
        request[name] = (str(checkpoint), raw)
        corpus.rename(tmp_path / f"gone-{name}")
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    assert json.loads(process(script=FRESH, cwd=tmp_path).ok().out) == expected


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
    name: str,
    folder: Path,
    seed: int,
    *,
    epochs: int = 3,
    schedule: Any = "cosine",
    resume: Path | None = None,
    callbacks: Any = (),
) -> dict[str, Tensor]:
    """Weights after a run with all that is random in one: order of samples, dropout, first weights; and a schedule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", str(seed))
        torch.manual_seed(seed)
        data = CASES[name].data(folder)
        model = make(name, data, quiet=False)
        model.optimizer = Optimizer("sgd", lr=0.1, momentum=0.9)
        model.lr_scheduler = LRScheduler(schedule)
        run = trainer(folder, max_epochs=epochs, callbacks=[StepSeed(seed), *callbacks])
        run.fit(model, datamodule=data, ckpt_path=str(resume) if resume else None)
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_resumed_in_the_middle_of_an_epoch_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    """With a schedule and without one: the base of all models has it, so that half of them have each."""
    schedule = ("one_cycle", "constant")[list(CASES).index(name) % 2]
    checkpoint = tmp_path / "middle.ckpt"
    whole = train(name, tmp_path, 3, schedule=schedule, callbacks=[SaveAt(7, checkpoint)])
    resumed = train(name, tmp_path, 99, schedule=schedule, resume=checkpoint)
    assert not differing(whole, resumed)


class Seen(pl.Callback):
    """Samples in the order in which they come, an epoch a list."""

    def __init__(self) -> None:
        self.samples: list[list[str]] = []

    def on_train_epoch_start(self, *args: Any) -> None:
        self.samples.append([])

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        for sample in (batch.select([i]) for i in range(batch.size)):
            fields = b"".join(each.numpy().tobytes() for each in sample if isinstance(each, Tensor))
            self.samples[-1].append(hashlib.blake2b(fields).hexdigest())


def test_every_epoch_has_the_same_samples_in_an_order_of_its_own(name: str, tmp_path: Path) -> None:
    seen = Seen()
    train(name, tmp_path, 1, callbacks=[seen])
    one, two, three = seen.samples
    assert sorted(one) == sorted(two) == sorted(three)
    assert one != two != three != one


def test_a_seed_decides_every_bit(name: str, tmp_path: Path) -> None:
    """In one epoch; that later ones are decided by it is seen where a run is resumed."""
    one, again, other = (train(name, tmp_path, seed, epochs=1) for seed in (1, 1, 2))
    assert not differing(one, again)
    assert differing(one, other)


# ---------------------------------------------------------------------- 7: two processes

TWO_PROCESSES = """
import json, os, sys
from pathlib import Path
import torch
from lightning_nn import catalog
from tests.cases import CASES
from tests.contract import trainer
from tests.tiny.register import register; register()
found = {}
for name, (folder, checkpoint) in json.loads(sys.argv[1]).items():
    data, model = CASES[name].data(Path(folder)), catalog.MODELS[name].load().load_from_checkpoint(checkpoint)
    run = trainer(folder, devices=2, strategy="ddp")
    found[name] = run.test(model, datamodule=data, verbose=False)[0]
if os.environ["RANK"] == "0":
    json.dump(found, open(sys.argv[2], "w"))
torch.distributed.destroy_process_group()  # gloo's threads may abort a process that ends with them
"""


def test_two_processes_measure_as_one(tmp_path: Path) -> None:
    """All models in two processes that start once."""
    expected, request = {}, {}
    tested = {name: case for name, case in CASES.items() if "test_two_processes_measure_as_one" not in case.skips}
    for name, case in tested.items():
        folder = tmp_path / name
        folder.mkdir()
        data = case.data(folder)
        model, run = make(name, data), trainer(folder, max_epochs=1)
        run.fit(model, datamodule=data)
        run.save_checkpoint(folder / "one.ckpt")
        expected[name] = run.test(model, datamodule=data, verbose=False)[0]
        request[name] = (folder, folder / "one.ckpt")
    for done in ranks(json.dumps(request, default=str), "found.json", script=TWO_PROCESSES, cwd=tmp_path):
        done.ok()
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found == {name: pytest.approx(metrics, rel=1e-5) for name, metrics in expected.items()}
    counted = {name: [key for key in metrics if not key.endswith("loss")] for name, metrics in expected.items()}
    for name, keys in counted.items():
        assert [found[name][key] for key in keys] == [expected[name][key] for key in keys], name


# ---------------------------------------------------------------------- 9: number formats


@torch.inference_mode()
def test_float64_and_bfloat16_agree_with_float32(case: Case, model: Task, data: DataModule) -> None:
    """Within float32's own rounding, and within that of bfloat16's 8 bits."""
    model.eval()
    for parameter in model.parameters():  # larger weights than at the start, so that predictions differ
        parameter.copy_(torch.randn_like(parameter) * 0.3)
    batch = one_batch(data)
    single = case.outputs(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = case.outputs(model, batch)
    double = case.outputs(model.double(), batch)
    assert {each.dtype for each in double} == {torch.float64}
    torch.testing.assert_close([each.double() for each in single], double, atol=1e-5, rtol=0)
    torch.testing.assert_close([each.double() for each in half], double, atol=0.05, rtol=0)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_trains_in_other_precisions(model: Task, data: DataModule, tmp_path: Path, precision: Any) -> None:
    run = trainer(tmp_path, max_epochs=1, precision=precision)
    run.fit(model, datamodule=data)
    assert all(p.isfinite().all() for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float64 if precision == "64-true" else torch.float32}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_gpu_predicts_as_the_cpu_does(
    case: Case,
    model: Task,
    data: DataModule,
    tmp_path: Path,
    precision: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = trainer(tmp_path, accelerator="gpu", precision=precision)
    run.fit(model, datamodule=data)
    with monkeypatch.context() as patch:
        patch.setattr(model, "predict_step", lambda batch, batch_idx: case.outputs(model, batch))
        batches: Any = run.predict(model, datamodule=data)
    on_gpu = [each.cpu().double() for batch in batches for each in batch]
    model.cpu().double().eval()
    on_cpu = [each.detach() for batch in data.predict_dataloader() for each in case.outputs(model, batch)]  # type: ignore[union-attr]
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-3 if precision == "32-true" else 0.05, rtol=0)


# ---------------------------------------------------------------------- 10: export


def test_export_gives_the_same_or_is_declared_impossible(case: Case, model: Task, data: DataModule) -> None:
    model.eval()
    whole = one_batch(data)._replace(**dict.fromkeys(case.truth))
    if isinstance(model, TextClassifier) and (padded := model.padded()) is not None:
        network, program = text_network(model, padded, onnx=False)
        inputs, expected = network.comparison()
        torch.testing.assert_close(program.module()(*inputs), expected, atol=1e-5, rtol=1e-5)
    elif model.exportable:
        check_export(model, whole)
    else:
        assert model.why_not_exportable


# ---------------------------------------------------------------------- 11: documentation

SETTINGS = {cls.__name__: cls for cls in (Optimizer, LRScheduler, Loss, CheckpointSettings, EarlyStoppingSettings)}
with registered():
    ENTRIES = {**catalog.MODELS, **catalog.DATA}


@pytest.mark.parametrize("which", [*ENTRIES, *SETTINGS])
def test_every_argument_is_documented_in_its_order(which: str) -> None:
    cls: type = SETTINGS[which] if which in SETTINGS else ENTRIES[which].load()
    documented = docstring_parser.parse(cls.__doc__ or "")
    arguments = [p for p in inspect.signature(cls).parameters if p != "self"]
    assert [p.arg_name for p in documented.params] == arguments
    empty = [p.arg_name for p in documented.params if len((p.description or "").split()) < 2]
    assert not empty, "described in less than two words"
    assert documented.short_description


# ---------------------------------------------------------------------- 12: wrong input


def test_a_wrong_batch_is_an_error_that_says_what_is_wrong(case: Case, model: Task, tmp_path: Path) -> None:
    for message, batch in case.wrong.items():
        with pytest.raises(UserError, match=message):
            trainer(tmp_path, fast_dev_run=True).fit(model, DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
        if not message.startswith("a batch lacks"):  # what `forward` does not read
            with pytest.raises(UserError, match=message):
                model(batch)


def test_a_second_loader_of_a_split_is_refused(model: Task, data: DataModule, tmp_path: Path) -> None:
    data.prepare_once()
    loader = DataLoader([one_batch(data)], batch_size=None)  # type: ignore[arg-type]
    run = trainer(tmp_path)
    for split, evaluate in (("val", run.validate), ("test", run.test)):
        with pytest.raises(UserError, match=f"several {split} loaders were given"):
            evaluate(model, [loader, loader], verbose=False)


def test_raw_input_that_is_none_is_an_error_that_says_so(model: Task) -> None:
    inputs: list[Any] = [None, 3, float("nan"), b"bytes", ["nested"]]
    for raw in inputs:
        with pytest.raises(UserError, match=r"not|got|no such file"):
            model.predict([raw])
            pytest.fail(f"{raw!r} was read")
    assert model.predict([]) == []


def test_an_untrained_model_says_that_it_cannot_read_yet(model: Task) -> None:
    model.processor = None
    with pytest.raises(UserError, match="can't read raw input yet"):
        model.predict(["……"])


def test_a_loss_that_is_not_finite_stops_the_run_before_a_checkpoint(
    model: Task, data: DataModule, tmp_path: Path
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
    run.fit(make(name, data), datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    for other in catalog.MODELS.keys() - {name}:
        with pytest.raises(UserError, match=f"holds the model '{name}', not '{other}'"):
            catalog.MODELS[other].load().load_from_checkpoint(tmp_path / "one.ckpt")
