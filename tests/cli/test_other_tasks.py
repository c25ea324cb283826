"""The command line for tasks other than classification: masks and captions, from a module outside the package."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.cases import image_files
from tests.commands import command, results, same_bits
from tests.tiny.register import registered

RUN = ("--trainer.max_epochs", "6", "--trainer.enable_progress_bar", "false", "--name", "r")
CHECKPOINTS = "checkpoints"
HEADLINE = {"tiny_segmenter": "miou", "tiny_captioner": "exact"}
LEARNED = {"tiny_segmenter": ("miou", 0.9), "tiny_captioner": ("acc", 0.7)}
models = pytest.mark.parametrize("model", HEADLINE)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train a run of each model, and return its folder by model."""
    folder = tmp_path_factory.mktemp("trained")
    for model in HEADLINE:
        command("--model", model, *RUN, cwd=folder).ok()
    return {model: folder / "logs" / model / "r" for model in HEADLINE}


@models
def test_it_learns_and_what_it_measures_is_kept(model: str, trained: dict[str, Path]) -> None:
    run = trained[model]
    kept = results(run)
    metric = HEADLINE[model]
    assert kept["model"] == model
    assert {f"{split}/{name}" for split in ("val", "test") for name in ("loss", metric)} <= kept.keys()
    learned, least = LEARNED[model]
    assert kept[f"test/{learned}"] > least
    assert {file.name for file in (run / CHECKPOINTS).iterdir()} == {"best.ckpt", "last.ckpt"}


@models
def test_a_second_evaluation_measures_the_same(model: str, trained: dict[str, Path], tmp_path: Path) -> None:
    best = str(trained[model] / CHECKPOINTS / "best.ckpt")
    for verb, split in (("test", "test"), ("validate", "val")):
        found = command(verb, "--ckpt_path", best, cwd=tmp_path).ok().out
        metrics = json.loads(found[found.index("{") :])
        metric = f"{split}/{HEADLINE[model]}"
        assert metrics[metric] == results(trained[model])[metric] and metrics["samples"] == 10


@models
def test_masks_and_captions_are_shown_in_tensorboard(model: str, trained: dict[str, Path]) -> None:
    board = EventAccumulator(str(trained[model]), size_guidance={"images": 0})
    board.Reload()
    images = board.Tags()["images"]
    assert any(tag.startswith("val/") for tag in images), images
    width = Image.open(io.BytesIO(board.Images(images[0])[0].encoded_image_string)).width
    assert width > 16


@models
def test_a_run_goes_on_in_the_middle_of_an_epoch(model: str, trained: dict[str, Path], tmp_path: Path) -> None:
    command("--model", model, *RUN, "--trainer.max_steps", "8", cwd=tmp_path).ok()
    command("--ckpt_path", "last", "--trainer.max_steps", "-1", cwd=tmp_path).ok()
    run = tmp_path / "logs" / model / "r"
    last = Path(CHECKPOINTS) / "last.ckpt"
    assert same_bits(run / last, trained[model] / last), "batches were left out or came in another order"
    same = [key for key in results(run) if key.startswith(("val/", "test/"))]
    assert {key: results(run)[key] for key in same} == {key: results(trained[model])[key] for key in same}


def predict(run: Path, out: str, folder: Path) -> Path:
    images = folder / "images"
    images.mkdir()
    image_files(images)
    argv = ("--ckpt_path", str(run / CHECKPOINTS / "best.ckpt"), "--data.file", "images", "--out", out)
    command("predict", *argv, cwd=folder).ok()
    return folder / out


def test_captions_of_own_images_as_a_table(trained: dict[str, Path], tmp_path: Path) -> None:
    out = predict(trained["tiny_captioner"], "captions.csv", tmp_path)
    header, *rows = csv.reader(out.read_text(encoding="utf-8-sig").splitlines())
    assert header == ["input", "caption", "log_probability", "error"]
    assert [Path(row[0]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert all(set(row[1].split()) <= {"bright", "square", "bar", "left", "right"} for row in rows)
    assert all(float(row[2]) < 0 for row in rows)


def test_masks_of_own_images_as_files_beside_a_table(trained: dict[str, Path], tmp_path: Path) -> None:
    out = predict(trained["tiny_segmenter"], "masks.jsonl", tmp_path)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3
    for row in rows:
        assert row.keys() == {"input", "mask", "covered", "error"} and row["error"] is None
        with Image.open(tmp_path / row["mask"]) as image:
            mask = np.asarray(image)
        assert mask.shape == (8, 8) and (mask > 0).mean() == row["covered"]


@models
def test_a_page_has_each_image_with_its_prediction(model: str, trained: dict[str, Path], tmp_path: Path) -> None:
    page = predict(trained[model], "page.html", tmp_path).read_text(encoding="utf-8")
    assert page.count("<article>") == 3
    assert page.count("<img") == (6 if model == "tiny_segmenter" else 3)


@models
def test_help_names_the_arguments_of_a_registered_model(model: str, tmp_path: Path) -> None:
    shown = command("--model", model, "--help", cwd=tmp_path).ok().out
    assert "--model.dropout" in shown and "--data.samples" in shown and "--loss." not in shown


def test_weights_of_words_go_to_the_same_words(trained: dict[str, Path], tmp_path: Path) -> None:
    best = str(trained["tiny_captioner"] / CHECKPOINTS / "best.ckpt")
    started = command("--model", "tiny_captioner", "--finetune", best, "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    rows = started.out.partition("9 tensors loaded, 0 not\n")[2].splitlines()[1:6]
    counts = {part: count for part, count, *_ in map(str.split, rows)}
    assert (counts["image"], counts["cell"]) == ("2", "4")
    assert sum("8 of 8 words" in row for row in rows) == 2


def test_data_of_another_kind_is_refused(tmp_path: Path) -> None:
    command("--model", "tiny_segmenter", "--data", "digits", cwd=tmp_path).refused("tiny_segmenter", "tiny_masks")


def test_the_commands_that_come_next_import_a_persons_module_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks_of_mine.py").write_text("from tests.tiny.register import register\n\nregister()\n")
    image_files(tmp_path)
    own = ("--import", "tasks_of_mine.py", "--model", "tiny_captioner", "--trainer.max_epochs", "1", "--name", "r")
    with registered():
        said = command(*own, cwd=tmp_path).ok().out
    monkeypatch.delitem(sys.modules, "tasks_of_mine")
    for line in (r"^resume +python .*?((?:--import|--model) .*)$", r"^predict +python .*?(predict .*)$"):
        found = re.search(line, said, re.M)
        assert found and "--import tasks_of_mine.py" in found[1], said
    with registered():
        done = command(*shlex.split(found[1].replace("PICTURE", "0.png")), cwd=tmp_path).ok()
    monkeypatch.delitem(sys.modules, "tasks_of_mine")
    assert done.out.splitlines()[0] == "input,caption,log_probability"
    assert len(done.err.strip().splitlines()) == 1, "predict only names the checkpoint that it loads"


@pytest.mark.parametrize("splits", ["train,val", "train,test", "train"])
def test_a_data_set_may_lack_a_split(splits: str, tmp_path: Path) -> None:
    validated, tested = "val" in splits, "test" in splits
    short = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--name", "r")
    done = command("--model", "tiny_segmenter", "--data.splits", splits, *short, cwd=tmp_path).ok()
    run = tmp_path / "logs/tiny_segmenter/r"
    kept = results(run)
    assert ("val/miou" in kept, "test/miou" in kept) == (validated, tested), done.out
    assert (run / CHECKPOINTS / "last.ckpt").is_file()
    assert (run / CHECKPOINTS / "best.ckpt").is_file() == validated
    asked = command("test", "--ckpt_path", str(run / CHECKPOINTS / "last.ckpt"), cwd=tmp_path)
    assert asked.ok() if tested else asked.refused("test", "split")
