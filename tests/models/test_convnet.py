from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer, seed_everything
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor

from lightning_nn import ConvNet, Digits, ImageBatch, Scenes
from lightning_nn.backbones.small import EMBEDDED
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.loader import SpreadSamples
from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import Init, build, sequential
from lightning_nn.layers.images import Normalize
from lightning_nn.runs.weights_file import WEIGHTS, embedded_weights
from lightning_nn.settings import LRScheduler, Optimizer
from lightning_nn.tasks.fine_tuning import FineTune
from tests.commands import command
from tests.contract import check_export, one_batch, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

SIZE = {"channels": 1, "height": 8, "width": 8, "num_classes": 10}
EVERY_KIND = [
    *("whitening 2", "gelu", "conv 8 3 padding=1", "batch_norm", "leaky_relu 0.1", "max_pool 2 stride=1"),
    *("residual conv 8 3 padding=1, batch_norm, relu", "elu", "avg_pool 2", "conv 8 3 groups=2", "tanh"),
    *("dropout 0.1", "global_max_pool", "linear 16", "sigmoid"),
]


def train(folder: Path, epochs: int, **arguments: object) -> tuple[ConvNet, float]:
    """A model and its accuracy on the test digits."""
    model, data = ConvNet(**SIZE, **arguments), Digits()  # type: ignore[arg-type]
    run = trainer(folder, max_epochs=epochs)
    run.fit(model, datamodule=data)
    return model, run.test(model, datamodule=data, verbose=False)[0]["test/acc"]


def test_the_default_learns_the_digits(tmp_path: Path) -> None:
    _, accuracy = train(tmp_path, 10)
    assert accuracy > 0.95, accuracy


@pytest.mark.parametrize("classes", [2, 10])
def test_a_fresh_network_gives_all_classes_the_same_probability(classes: int) -> None:
    """Large first losses on large images make steps that leave no ReLU alive."""
    model = ConvNet(3, 64, 64, classes)
    batch = ImageBatch(torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    model.measure([batch])
    means = model.training_means(batch)
    assert means.sums["loss"].item() / 4 == pytest.approx(math.log(classes), rel=0.1)


@pytest.mark.parametrize("init", sorted({*get_args(Init)} - {"zeros"}))
def test_it_learns_from_any_start_but_zeros(tmp_path: Path, init: Init) -> None:
    _, accuracy = train(tmp_path, 6, init=init, init_deviation=0.05)
    assert accuracy > 0.8, f"{init}: {accuracy}"


def test_from_zeros_only_the_last_bias_moves(tmp_path: Path) -> None:
    model, accuracy = train(tmp_path, 2, init="zeros")
    assert {name for name, p in model.named_parameters() if p.any()} == {"head.bias"}
    assert accuracy < 0.15, accuracy


def test_every_kind_of_layer_trains(tmp_path: Path) -> None:
    model, accuracy = train(tmp_path, 8, layers=EVERY_KIND)
    assert accuracy > 0.6, accuracy
    assert all(p.any() for p in model.parameters())


def test_a_batch_of_one_sample_can_be_trained_on() -> None:
    """With one value a channel, which has no variance."""
    layers = ["conv 4 8", "batch_norm", "relu", "flatten", "linear 6", "batch_norm", "relu"]
    model, data = ConvNet(**SIZE, layers=layers), Digits()
    model.measure([one_batch(data)])
    means = model.training_means(one_batch(data).select([0]))
    means.sums["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "layers",
    [
        ["conv 8 3", "relu", "max_pool 2", "conv 8 2", "flatten", "relu", "linear 16", "batch_norm", "relu", "dropout"],
        ["whitening 3", "gelu", "avg_pool 2", "global_max_pool", "linear 16", "relu"],
        ["conv 8 3", "batch_norm", "relu", "max_pool 2", "residual conv 8 1, relu", "global_avg_pool"],
    ],
)
def test_a_trained_net_turned_into_a_dense_classifier_gives_the_same_answers(tmp_path: Path, layers: list[str]) -> None:
    """On an image as on every window of a larger one, two pixels apart as the pooling has it."""
    model, _ = train(tmp_path, 3, layers=layers, logit_scale=0.5)
    model.double().eval()
    images = one_batch(Digits()).image[:60]
    with torch.no_grad():
        dense = model.dense()
        torch.testing.assert_close(dense(images)[:, :, 0, 0], model(ImageBatch(images)))
        canvas = torch.cat([torch.cat([*row], 2) for row in images.view(6, 10, 1, 8, 8)], 1)  # (1, 48, 80)
        places = dense(canvas[None])[0]
        assert places.shape == (10, 21, 37)
        windows = canvas.unfold(1, 8, 2).unfold(2, 8, 2).flatten(1, 2).transpose(0, 1)  # (places, 1, 8, 8)
        torch.testing.assert_close(places.flatten(1).T, model(ImageBatch(windows)))


def test_a_default_net_with_borders_is_dense_too_and_a_copy() -> None:
    model, images = ConvNet(**SIZE, init="xavier").eval(), one_batch(Digits()).image[:60]
    dense = model.dense()
    torch.testing.assert_close(dense(images)[:, :, 0, 0], model(ImageBatch(images)))
    before = model(ImageBatch(images))
    for parameter in dense.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(model(ImageBatch(images)), before)


def test_statistics_of_each_place_make_no_dense_classifier() -> None:
    with pytest.raises(UserError, match="'batch_norm' between flatten and a linear layer"):
        ConvNet(**SIZE, layers=["conv 4 3", "flatten", "batch_norm"]).dense()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [EVERY_KIND, ["relu", "global_avg_pool"], None])
def test_every_kind_of_layer_is_exported(layers: list[str] | None) -> None:
    batch = ImageBatch(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8))
    check_export(ConvNet(**SIZE, layers=layers).eval(), batch)


# ---------------------------------------------------------------------- measured on training images


def test_images_are_normalised_by_the_training_images_and_the_numbers_stay_with_the_weights(tmp_path: Path) -> None:
    model, data = ConvNet(**SIZE, layers=["whitening 2", "flatten"]), Digits()
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    seen = model.normalize(one_batch(data).image)
    assert abs(float(seen.mean())) < 0.01 and abs(float(seen.std()) - 1) < 0.01
    run.save_checkpoint(tmp_path / "one.ckpt")
    loaded = ConvNet.load_from_checkpoint(tmp_path / "one.ckpt")
    kept = {name: each.clone() for name, each in loaded.named_buffers() if "metrics" not in name}
    loaded.measure([ImageBatch(torch.zeros(4, 1, 8, 8))])
    assert all(torch.equal(each, kept[name]) for name, each in loaded.named_buffers() if name in kept)
    assert torch.equal(loaded.normalize.mean, model.normalize.mean)


def test_what_does_not_fit_other_images_is_measured_anew() -> None:
    """As fine-tuning does: tensors of another shape are not loaded."""
    layers = ["whitening 2", "conv 4 3", "flatten"]
    gray, colour = ConvNet(**SIZE, layers=layers), ConvNet(**{**SIZE, "channels": 3}, layers=layers)
    gray.measure([ImageBatch(torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8))])
    state = colour.state_dict()
    fits = {name: each for name, each in gray.state_dict().items() if each.shape == state[name].shape}
    colour.load_state_dict({**state, **fits})
    assert "head.weight" in fits
    colour.measure([ImageBatch(torch.full((64, 3, 8, 8), 9, dtype=torch.uint8))])
    assert colour.normalize.mean.flatten().tolist() == [9, 9, 9]
    assert colour.body[0].measured.all()  # type: ignore[union-attr]


class Recorded:
    """A source that records how many samples are read at once."""

    def __init__(self, source: Any) -> None:
        self.source, self.sizes = source, list[int]()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> ImageBatch:
        self.sizes.append(len(index))
        return self.source[index]


def test_images_are_measured_batch_by_batch_as_all_at_once() -> None:
    data, layers = Digits(), ["whitening 2", "flatten"]
    all_at_once, model = ConvNet(**SIZE, layers=layers), ConvNet(**SIZE, layers=layers)
    all_at_once.measure([one_batch(data)])
    model.measure(SpreadSamples(source := Recorded(data.sources["train"]), model.first_samples))  # type: ignore[arg-type]
    assert max(source.sizes) <= 64 and sum(source.sizes) == 2 * len(source), "each statistic reads them once"
    kept = [name for name, _ in model.named_buffers() if name.startswith(("normalize.", "body.whitening1."))]
    for name in kept:
        torch.testing.assert_close(model.get_buffer(name), all_at_once.get_buffer(name))
    assert len(kept) == 5


def test_normalisation_takes_bytes_and_floats_and_a_constant_channel() -> None:
    normalize = Normalize(2)
    image = torch.randint(0, 256, (5, 2, 4, 4), dtype=torch.uint8)
    torch.testing.assert_close(normalize(image), image / 127.5 - 1)
    image[:, 1] = 9
    normalize.measure([image[:3], image[3:] / 255])
    torch.testing.assert_close(normalize(image), normalize(image / 255))
    torch.testing.assert_close(normalize.deviation[0, 0, 0], image[:, 0].float().std(correction=0))
    assert not normalize(image)[:, 1].any()


# ---------------------------------------------------------------------- pooling


def moved(x: Tensor, y: Tensor) -> float:
    """Measure the distance of two sets of features, 0 to about 1.4."""
    return float((x - y).norm() / (x.norm() * y.norm()).sqrt())


def test_pooling_makes_features_less_sensitive_to_shifts_and_global_pooling_insensitive() -> None:
    """Digits on a wide black border, shifted by a pixel: how far do the features move?"""
    digits = one_batch(Digits()).image[:200].float() / 255
    canvas = torch.zeros(200, 1, 16, 16)
    canvas[..., 4:12, 4:12] = digits
    found = {}
    conv = build(["conv 16 3 padding=1", "relu"], (1, 16, 16))
    features = sequential(conv)
    for pool in ("avg_pool 1", "max_pool 2", "max_pool 4", "avg_pool 4", "global_avg_pool", "global_max_pool"):
        pooled = torch.nn.Sequential(features, build([pool], (16, 16, 16))[0].module)
        with torch.no_grad():
            found[pool] = moved(pooled(canvas), pooled(canvas.roll(1, 3)))
    assert found["avg_pool 1"] > 0.45, found
    assert found["avg_pool 1"] > found["max_pool 2"] > found["max_pool 4"] > found["global_max_pool"], found
    assert found["max_pool 4"] < 0.75 * found["avg_pool 1"], found
    assert found["avg_pool 4"] < 0.5 * found["avg_pool 1"], found
    assert max(found["global_avg_pool"], found["global_max_pool"]) < 1e-5, found


def test_pooling_over_the_whole_image_loses_position(tmp_path: Path) -> None:
    """A bright pixel on the left or on the right: with its place kept it is learned, with one number a map never."""
    random = np.random.default_rng(0)
    column, row = random.integers(2, 14, 512), random.integers(2, 14, 512)
    image = torch.zeros(512, 1, 16, 16)
    image[torch.arange(512), 0, row, column] = 1
    batch = ImageBatch(image, torch.from_numpy((column > 7).astype(np.int64)))
    accuracy = {}
    for last in ("max_pool 8", "global_max_pool"):
        flat = [] if last.startswith("global") else ["flatten"]
        model = ConvNet(1, 16, 16, 2, layers=["conv 8 3 padding=1", "relu", last, *flat])
        model.measure([batch])
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(150):
            optimizer.zero_grad()
            model.sample_losses(model(batch), batch.label).mean().backward()  # type: ignore[arg-type, no-untyped-call]
            optimizer.step()
        accuracy[last] = float((model(batch).argmax(1) == batch.label).float().mean())
    assert accuracy["max_pool 8"] > 0.99, accuracy
    assert accuracy["global_max_pool"] < 0.6, accuracy


# ---------------------------------------------------------------------- what a run shows


def test_a_run_prints_its_layers_and_logs_their_activations(tmp_path: Path) -> None:
    layers = "[conv 4 3, relu, flatten]"
    argv = ("fit", "--model", "convnet", "--model.layers", layers, "--trainer.max_epochs", "1", "--name", "r")
    out = command(*argv, cwd=tmp_path).ok().out
    assert "conv 4 3   4 x 6 x 6  40          9,360" in out, out
    assert "linear 10" in out
    events = EventAccumulator(str(tmp_path / "logs/convnet/r"))
    events.Reload()
    assert {f"val/activations/{name}" for name in ("conv1", "relu1", "flatten1")} <= {*events.Tags()["histograms"]}
    assert "val/activations/text_summary" in events.Tags()["tensors"]


def test_a_test_writes_a_page_of_what_the_layers_respond_to(tmp_path: Path) -> None:
    command("--model", "convnet", "--trainer.max_epochs", "1", "--name", "r", cwd=tmp_path).ok()
    page = (tmp_path / "logs/convnet/r/patches.html").read_text(encoding="utf-8")
    assert "conv1: 5 x 5 pixels" in page and "conv2: 10 x 10 pixels" in page
    assert page.count("<img") == 2


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("layers", "[conv 4 3, max_pool 9]", "layers[1] 'max_pool 9': a window of 9 x 9 is larger than its input"),
        ("layers", "[conv 4 3]", "layers[1] 'linear 10': its input is an image, 4 x 6 x 6; put flatten"),
        ("init", "kaimng", "kaiming"),
        ("logit_scale", "0", "both must be above 0"),
    ],
)
def test_a_wrong_argument_is_a_user_error(tmp_path: Path, option: str, value: str, message: str) -> None:
    command("fit", "--model", "convnet", f"--model.{option}", value, cwd=tmp_path).refused(message)


def test_images_that_can_not_be_halved_twice_need_a_list_of_layers() -> None:
    with pytest.raises(UserError, match="images of 3 x 8 pixels can't be halved twice"):
        ConvNet(**{**SIZE, "height": 3})
    assert ConvNet(**{**SIZE, "height": 3}, layers=["conv 4 3 padding=1", "relu", "flatten"]).head.in_features == 96


def test_another_size_of_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"images of \(1, 8, 4\); this model was made for 8 x 8 pixels"):
        ConvNet(**SIZE).check_batch(ImageBatch(torch.zeros(2, 1, 8, 4)))


# ---------------------------------------------------------------------- the package's weights


def few_scenes() -> Scenes:
    """Make ten pictures a class to train on."""
    data = Scenes(train_size=60, val_size=8, test_size=150, size=32, batch_size=30)
    data.batch_type = ImageBatch
    data.prepare_once()
    return data


def accuracy_after(model: ConvNet, data: Scenes) -> float:
    model.optimizer, model.lr_scheduler = Optimizer(name="adamw", lr=0.01), LRScheduler(name="one_cycle")
    seed_everything(0, verbose=False)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    run = Trainer(max_epochs=6, limit_val_batches=0, enable_checkpointing=False, **quiet)
    run.fit(model, data)
    return float(run.test(model, data, verbose=False)[0]["test/acc"])


def test_ten_pictures_a_class_learn_far_more_from_the_embedded_weights_than_from_scratch() -> None:
    data, embedded = few_scenes(), embedded_weights("convnet")
    arguments = {**embedded.arguments, "num_classes": len(data.categories)}
    torch.manual_seed(0)
    tuned, scratch = ConvNet(**arguments), ConvNet(**arguments)
    loaded, kept = tuned.load_weights(embedded, data.processor)
    assert len(loaded) > 40 and kept.keys() == {"head.weight", "head.bias"}
    assert accuracy_after(tuned, data) > accuracy_after(scratch, data) + 0.15


def test_rows_of_the_head_follow_their_categories() -> None:
    """Those of other classes stay random, also if there are as many."""
    embedded = embedded_weights("convnet")
    old = embedded.processor().categories
    one, other = ConvNet(**embedded.arguments), ConvNet(**embedded.arguments)
    loaded, _ = one.load_weights(embedded, ImageProcessor(old[::-1], 3, 32, 32))
    assert torch.equal(one.head.weight, embedded.state_dict["head.weight"].flip(0)) and "head.bias" in loaded
    _, kept = other.load_weights(embedded, ImageProcessor([f"new {name}" for name in old], 3, 32, 32))
    assert kept == dict.fromkeys(("head.weight", "head.bias"), "no categories in common")


def test_the_embedded_network_is_small_and_says_how_good_it_is() -> None:
    file = WEIGHTS / "convnet.safetensors"
    assert file.stat().st_size <= 4_000_000
    with safe_open(file, "pt") as opened:
        assert float(opened.metadata()["test/acc"]) >= 0.91


def test_the_embedded_network_predicts() -> None:
    model = ConvNet.from_pretrained()
    assert model.require_processor().categories[0] == "airplane" and not model.training
    (prediction,) = model.predict([Image.new("RGB", (40, 32), (90, 120, 250))])
    assert 0 < prediction.probability <= 1


def test_the_embedded_network_is_fine_tuned_in_python(tmp_path: Path) -> None:
    data, weights = few_scenes(), embedded_weights("convnet").state_dict
    model = ConvNet.from_pretrained(num_classes=len(data.categories), finetune=FineTune("head", unfreeze_at=3))
    trainer(tmp_path, max_epochs=1).fit(model, data)
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, weights.get(name, value))} == {
        *("head.weight", "head.bias")
    }
    assert not torch.equal(ConvNet.from_pretrained(num_classes=10).head.weight, weights["head.weight"])
    assert ConvNet.from_pretrained(finetune=FineTune("head")).finetune.trainable == "head"


@pytest.mark.parametrize("given", [(), ("--data.size", "40")])
def test_the_command_trains_on_from_the_embedded_weights_in_their_own_form(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    few = ("--data.train_size", "24", "--data.val_size", "8", "--data.test_size", "8", *given)
    argv = ("fit", "--model", "convnet", "--data", "scenes", *few, "--finetune", "embedded")
    said = command(*argv, "--trainer.max_epochs", "1", cwd=tmp_path).ok().out
    assert "whitening 3" in said and "no categories in common" in said, said
    assert ("read at 32 pixels, as the weights were trained on" in said) != bool(given), said
    (settings,) = tmp_path.rglob("config.yaml")
    assert f"size: {given[-1] if given else 32}\n" in settings.read_text(encoding="utf-8")


def test_layers_are_frozen_as_those_of_a_backbone() -> None:
    model = ConvNet(3, 32, 32, 6, EMBEDDED, finetune=FineTune("last_stage", unfreeze_at=2, body_lr=0.1))
    assert model.layers[-4:] == ["body.batch_norm5", "body.conv6", "body.batch_norm6", "head"]
    rows = {row[0]: row[-1] for row in model.summary()}
    assert rows["layer"] == "training" and rows["gelu"] == rows["max_pool 2"] == ""
    assert rows["whitening 3"] == "frozen for 2 epochs" and rows["linear 6"] == "trained"
    assert [row[-1] for row in model.summary() if row[0].startswith("conv 256")][-1] == "trained, rate x 0.1"
    assert model.summary()[-1][-1] == "trained" and len(ConvNet(**SIZE).summary()[0]) == 4


def test_the_last_stage_begins_after_the_last_halving() -> None:
    for layers, last in (
        (None, "linear1"),
        (["conv 4 3", "relu", "max_pool 2", "flatten"], "conv1"),
        (["conv 4 3", "relu", "conv 4 3 stride=2", "relu", "flatten"], "conv2"),
        (["conv 4 3", "conv 4 3", "flatten", "linear 8"], "conv1"),
    ):
        model = ConvNet(**SIZE, layers=layers, finetune=FineTune("last_stage"))
        first = len(model.layers) - sum(model.training_plan(name) == "trained" for name in model.layers)
        assert model.layers[first] == f"body.{last}"
    assert ConvNet(**SIZE, layers=["relu", "flatten"], finetune=FineTune("last_stage")).layers == ["head"]


def test_frozen_layers_do_not_move_and_a_fixed_scale_stays(tmp_path: Path) -> None:
    data, embedded = few_scenes(), embedded_weights("convnet")
    arguments = {**embedded.arguments, "num_classes": len(data.categories), "finetune": {"trainable": "last_stage"}}
    model = ConvNet(**arguments)
    with pytest.raises(UserError, match="freezes layers that nothing was loaded into"):
        trainer(tmp_path, max_epochs=1).fit(model, data)
    model.load_weights(embedded, data.processor)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, data)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in moved if "running" not in name and "tracked" not in name} == {
        *("body.batch_norm5.bias", "body.conv6.weight", "body.batch_norm6.bias", "head.weight", "head.bias")
    }
    assert {name for name in moved if "running" in name} == {
        f"body.batch_norm{i}.running_{what}" for i in (5, 6) for what in ("mean", "var")
    }
    assert not model.body.batch_norm6.weight.requires_grad and model.body.conv1.weight.requires_grad
    run.save_checkpoint(tmp_path / "one.ckpt")
    assert ConvNet.load_from_checkpoint(tmp_path / "one.ckpt").pretrained
