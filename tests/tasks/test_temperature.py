"""The temperature of a classifier: fitted on validation, kept in the checkpoint, used by predict."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_nn import ConvNet, ImageBatch
from lightning_nn.metrics.calibration import fit_temperature
from tests.commands import command, results, write_street

RUN = ("--model", "softmax", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false", "--name", "r")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on digits, and return the folder."""
    cwd = tmp_path_factory.mktemp("calibrated")
    command(*RUN, cwd=cwd).ok()
    return cwd


def best(cwd: Path) -> Path:
    return cwd / "logs/softmax/r/checkpoints/best.ckpt"


def test_the_checkpoint_keeps_the_temperature_as_a_number(trained: Path) -> None:
    kept = torch.load(best(trained), weights_only=True)["lightning_nn"]["temperature"]
    assert type(kept) is float and kept != 1.0


def test_a_test_measures_the_calibration_error_with_it_and_without(trained: Path) -> None:
    kept = results(trained / "logs/softmax/r")
    assert 0 <= kept["test/ece"] < kept["test/ece_raw"] < 1, kept
    again = json.loads(command("test", "--ckpt_path", "best", cwd=trained).ok().out)
    assert again["test/ece"] == pytest.approx(kept["test/ece"])
    assert "val/ece" not in kept


def predicted(cwd: Path, *options: str) -> list[dict[str, float]]:
    """Predict on a picture of noise; return the probability of each class."""
    noise = torch.randint(0, 256, (8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    Image.fromarray(noise.numpy()).save(cwd / "noise.png")
    argv = ("predict", "--ckpt_path", "best", "--data.file", "noise.png", "--all_classes", *options)
    rows = csv.DictReader(io.StringIO(command(*argv, cwd=cwd).ok().out))
    return [{name: float(value) for name, value in row.items() if name.isdigit()} for row in rows]


def test_predict_gives_calibrated_probabilities_and_raw_ones_on_request(trained: Path) -> None:
    temperature = torch.load(best(trained), weights_only=True)["lightning_nn"]["temperature"]
    (calibrated,), (raw,) = predicted(trained), predicted(trained, "--calibrated", "false")
    assert predicted(trained, "--calibrated", "true") == [calibrated] != [raw]
    scores = Tensor([*raw.values()]).log() / temperature
    torch.testing.assert_close(Tensor([*calibrated.values()]), scores.softmax(0), atol=2e-3, rtol=0)
    assert max(calibrated, key=lambda name: calibrated[name]) == max(raw, key=lambda name: raw[name])


def test_a_model_without_classes_has_no_probabilities_to_calibrate(tmp_path: Path) -> None:
    write_street(tmp_path / "street")
    options = ("--data.path", "street", "--model.body", "small", "--trainer.max_steps", "1", "--name", "r")
    command("fit", "--model", "fcn", "--data", "segmentation", *options, cwd=tmp_path).ok()
    picture = ("--data.file", "street/images/0.png", "--calibrated", "false")
    command("predict", "--ckpt_path", "last", *picture, cwd=tmp_path).refused("--calibrated", "classes")


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, 1000.0, "1", None, [1.0], True])
def test_a_stranger_can_give_no_other_temperature(trained: Path, tmp_path: Path, value: Any) -> None:
    content = torch.load(best(trained), weights_only=True)
    content["lightning_nn"]["temperature"] = value
    torch.save(content, tmp_path / "strange.ckpt")
    command("test", "--ckpt_path", "strange.ckpt", cwd=tmp_path).refused("strange.ckpt", "temperature")


def test_it_is_that_of_the_validation_and_of_log_probabilities() -> None:
    model = ConvNet(1, 8, 8, 3, init="xavier").eval()
    batch = ImageBatch(torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 3)
    metrics = model.split_metrics("val")
    model.update(metrics, batch)
    model.compute_metrics(metrics)
    outcomes = model.outcomes("val")
    assert outcomes is not None
    raw = model.probabilities(model.logits(batch))
    torch.testing.assert_close(outcomes.probability, raw)
    assert model.calibrated_probabilities(model.logits(batch)).equal(raw), "the same bits at temperature 1"
    model.temperature = fit_temperature(raw.log(), batch.label)
    torch.testing.assert_close(model.calibrated_probabilities(model.logits(batch)), model.predict_step(batch))
    torch.testing.assert_close(model.predict_step(batch), (raw.log() / model.temperature).softmax(1))
    model.calibrated = False
    assert model.predict_step(batch).equal(raw)
