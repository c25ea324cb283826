"""Style transfer by commands: photographs, refusals, interruption, a run that diverges, and what is printed."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_nn import StyleTransfer, catalog
from lightning_nn.cli.request import parse
from lightning_nn.cli.resume import predict_command
from lightning_nn.runs.run_folder import Run
from tests.cases import CASES, two_photographs
from tests.commands import command, ranks, results, weights
from tests.contract import trainer
from tests.tiny.register import registered

RUN = ("fit", "--model", "style_transfer", "--model.size", "32", "--name", "r")
CONTENT, STYLE = ("--data.content", "content.png"), ("--data.style", "style.png")
STEPS = ("--trainer.max_epochs", "-1", "--trainer.max_steps")
FOLDER = Path("logs/style_transfer/r")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    two_photographs(tmp_path)
    return tmp_path


def pixels(file: Path) -> np.ndarray[Any, Any]:
    with Image.open(file) as image:
        return np.asarray(image).astype(float)


def test_content_alone_begins_with_noise_and_no_style_is_said(folder: Path) -> None:
    done = command(*RUN, *CONTENT, *STEPS, "12", cwd=folder).ok()
    assert "no style: the content is reconstructed" in done.out and "none" in done.out and "25%" not in done.out
    assert results(folder / FOLDER)["train/loss"] > 1e-6
    assert "--out picture.png" in done.out


def test_a_refusal_leaves_no_run(folder: Path) -> None:
    command(*RUN, *CONTENT, *STYLE, "--model.loss.style_weights", "[1, 2]", cwd=folder).refused(
        "2 weights; there are 1"
    )
    command(*RUN, *CONTENT, *STYLE, "--model.loss.style_scale", "0.1", cwd=folder).refused(
        "style 1 has only 3 x 2 pixels"
    )
    command(*RUN, *CONTENT, *STYLE, "--model.size", "16", "--model.scales", "1", *STEPS, "1", cwd=folder).ok()


def test_two_processes_are_refused(folder: Path) -> None:
    two = ("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--optimizer.name", "adam")
    for done in ranks(*RUN, *CONTENT, *STYLE, *two, cwd=folder):
        assert done.code == 2 and "a picture is made by one; use --trainer.devices 1" in done.err, done.err


@pytest.mark.parametrize(("steps", "optimizer"), [("9", "sgd"), ("40", "sgd"), ("9", "adam")])
def test_a_run_that_diverges_keeps_the_best_picture(folder: Path, steps: str, optimizer: str) -> None:
    wild = ("--optimizer.name", optimizer, "--optimizer.lr", "1e6", *STEPS, steps)
    done = command(*RUN, *CONTENT, *STYLE, *wild, cwd=folder).refused("the loss has risen", f"{FOLDER / 'picture.png'}")
    assert ("take --optimizer.name adam" in done.err) == (optimizer != "adam")
    command(*RUN[:-1], "start", *CONTENT, *STYLE, "--optimizer.lr", "1e-9", *STEPS, "1", cwd=folder).ok()
    best, start = (pixels(folder / "logs/style_transfer" / name / "picture.png") for name in ("r", "start"))
    assert abs(best - start).max() <= 1, "the first picture was the best"


def test_a_last_step_that_is_not_finite_is_no_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = StyleTransfer.on_after_backward

    def spoil(self: Any) -> None:
        scale(self)
        if self.trainer.global_step == 4:
            self.picture.grad.fill_(float("nan"))

    monkeypatch.setattr(StyleTransfer, "on_after_backward", spoil)
    adam = ("--optimizer.name", "adam", *STEPS, "5")
    command(*RUN, *CONTENT, *STYLE, *adam, cwd=folder).refused("no longer of finite numbers")
    assert pixels(folder / FOLDER / "picture.png").mean() > 20
    assert not (folder / FOLDER / "checkpoints" / "last.ckpt").exists()


def test_ctrl_c_keeps_the_picture_and_it_says_how_it_was_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = StyleTransfer.training_step

    def interrupted(self: Any, *args: Any) -> Any:
        if self.trainer.global_step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    monkeypatch.setattr(StyleTransfer, "training_step", interrupted)
    options = ("--data.steps", "5", "--trainer.max_epochs", "4", "--seed_everything", "3")
    done = command(*RUN, *CONTENT, *STYLE, *options, cwd=folder)
    assert done.code == 130 and f"picture {FOLDER / 'picture.png'}" in done.err
    saved = weights(folder / FOLDER / "checkpoints" / "last.ckpt")["picture"]
    np.testing.assert_array_equal(
        pixels(folder / FOLDER / "picture.png").transpose(2, 0, 1), saved.clamp(0, 255).round()[0]
    )
    assert [file.name for file in (folder / FOLDER / "progress").iterdir()] == ["picture-000005.png"]
    events = EventAccumulator(str(folder / FOLDER))
    events.Reload()
    assert events.Tags()["images"] == ["train/picture"]
    assert {"train/loss", "train/content/gelu4_2", "train/style/gelu1_1"} <= {*events.Tags()["scalars"]}
    monkeypatch.setattr(StyleTransfer, "training_step", step)
    command("predict", "--model", "style_transfer", "--ckpt_path", "last", "--out", "again.png", cwd=folder).ok()
    for file in (folder / FOLDER / "picture.png", folder / "again.png"):
        with Image.open(file) as image:
            about = json.loads(image.text["settings"])  # type: ignore[attr-defined]
        assert (about["names"], about["styles"], about["size"]) == (["content.png"], ["style.png"], 32)
        assert (about["optimizer"]["name"], about["optimizer"]["lr"]) == ("lbfgs", 1.0)
        assert (about["steps"], about["seed"]) == (8, 3), file


@pytest.mark.parametrize("finished", [True, False])
def test_the_best_of_a_run_without_validation_is_its_last_state(folder: Path, finished: bool) -> None:
    command(*RUN, *CONTENT, *STYLE, *STEPS, "2", cwd=folder).ok()
    picture = folder / FOLDER / "picture.png"
    for file in (folder / FOLDER / "results.json", picture):
        file.unlink()
    if finished:
        command("--ckpt_path", "best", cwd=folder).ok()
        assert picture.is_file() and results(folder / FOLDER)["epochs"] == 0
    done = command("predict", "--ckpt_path", "best", "--out", "again.png", cwd=folder).ok()
    assert "last of the newest run, which was not validated" in done.err
    assert (folder / "again.png").is_file()


def test_pictures_of_a_folder_are_predicted_into_a_table_and_listed_in_order(folder: Path) -> None:
    (folder / "contents").mkdir()
    for number in range(2):
        Image.open(folder / "content.png").rotate(180 * number).save(folder / "contents" / f"{number}.png")
    done = command(*RUN, "--data.content", "contents", *STYLE, *STEPS, "2", cwd=folder).ok()
    (line,) = [each for each in done.out.splitlines() if each.startswith("predict ")]
    argv = shlex.split(line)
    command(*argv[argv.index("predict", 1) :], cwd=folder).ok()
    assert len(list((folder / "pictures-image").iterdir())) == 2
    for number in (10, 3):
        (folder / FOLDER / f"picture-{number}.png").touch()
    assert [file.name for file in Run(folder / FOLDER).pictures] == [
        "picture.png",
        "picture-2.png",
        "picture-3.png",
        "picture-10.png",
    ]


def test_export_says_that_a_picture_is_finished(folder: Path) -> None:
    command(*RUN, *CONTENT, *STYLE, *STEPS, "1", cwd=folder).ok()
    command("export", "--model", "style_transfer", "--ckpt_path", "last", "--out", "a.onnx", cwd=folder).refused(
        "it is a finished picture, which predict --out FILE.png writes"
    )


@pytest.fixture
def tiny() -> Iterator[None]:
    with registered():
        yield


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*Total length of.*")
@pytest.mark.filterwarnings("ignore:.*defined a `validation_step` but.*")
@pytest.mark.parametrize("name", CASES)
def test_the_predict_command_that_is_printed_works(name: str, folder: Path, tiny: None) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    data = case.data(folder)
    model = case.model(catalog.MODELS[name].load(), data, quiet=True)
    run = trainer(folder, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    run.fit(model, datamodule=data)
    run.save_checkpoint(folder / "net.ckpt")
    line = predict_command(Path("net.ckpt"), model, parse(["--model", name]))
    argv = shlex.split(line.replace("PICTURE", "picture.jpg"))
    Image.new("RGB", (32, 24), "red").save(folder / "picture.jpg")
    command(*argv[argv.index("predict", 1) :], cwd=folder).ok()
