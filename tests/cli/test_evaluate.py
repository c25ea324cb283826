"""Training samples in an evaluation: found by contents under any file name, reported, and refused if many."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_nn import TextData
from lightning_nn.data.text.vocabulary import TextVocabulary
from tests.commands import command, results, write_reviews

LSTM = (
    *("--model", "lstm", "--data", "text", "--data.vocabulary.segmenter", "chars", "--model.embedding_size", "4"),
    *("--model.hidden_size", "4", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--name", "r"),
)
RUN = Path("logs/lstm/r")
BEST = RUN / "checkpoints/best.ckpt"
HEADER = "text,label"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run `r` on reviews.csv, and return its folder; its cache is beside it."""
    cwd = tmp_path_factory.mktemp("seen")
    write_reviews(cwd / "reviews.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_NN_CACHE", str(cwd / "cache"))
        command(*LSTM, "--data.path", "reviews.csv", cwd=cwd).ok()
    return cwd


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy that folder."""
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "copy/cache"))
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def figures(out: str) -> dict[str, Any]:
    """Return what a test prints, without the paths of the checkpoint and of the files."""
    printed: dict[str, Any] = json.loads(out)
    return {name: value for name, value in printed.items() if name not in ("checkpoint", "folder")}


def rows_of(file: Path, split: str) -> list[str]:
    """Return the lines of a CSV file that are in a split."""
    data = TextData(str(file), vocabulary=TextVocabulary("chars"))
    data.prepare_once()
    lines = file.read_text(encoding="utf-8").splitlines()[1:]
    return [lines[i] for i in data.sources[split].indices]


def write(file: Path, lines: list[str]) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return str(file)


NEW = [f"从来没有见过的第{i}句话。,{('好评', '差评')[i % 2]}" for i in range(40)]


def spelling(name: str, cwd: Path) -> str:
    """Make another path of the training file, or of a copy of it."""
    reviews = cwd / "reviews.csv"
    if name == "absolute":
        return str(reviews)
    if name == "a link":
        (cwd / "link.csv").symlink_to("reviews.csv")
        return "link.csv"
    if name == "a link to its folder":
        (cwd / "here").symlink_to(cwd)
        return "here/reviews.csv"
    if name == "a copy with other line ends":
        text = reviews.read_text(encoding="utf-8")
        (cwd / "other.csv").write_text(text, encoding="utf-8", newline="\r\n")
        return "other.csv"
    if name == "its folder":
        (cwd / "folder").mkdir()
        shutil.copy(reviews, cwd / "folder/data.csv")
        return "folder"
    return name


SPELLINGS = (
    *("./reviews.csv", "absolute", "a link", "a link to its folder", "logs/../reviews.csv"),
    *("a copy with other line ends", "its folder"),
)


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_same_data_under_another_path_is_the_same_data(name: str, copy: Path) -> None:
    own = command("test", "--ckpt_path", "best", cwd=copy).ok()
    kept = results(copy / RUN)
    tested = command("test", "--ckpt_path", "best", "--data.path", spelling(name, copy), cwd=copy).ok()
    assert figures(tested.out) == figures(own.out) and figures(own.out)["samples"] == 6
    assert "its test split is used, as without --data.path" in tested.err
    assert results(copy / RUN) == kept


def test_from_another_folder_too(copy: Path) -> None:
    own = figures(command("test", "--ckpt_path", "best", cwd=copy).ok().out)
    (copy / "elsewhere").mkdir()
    there = ("--ckpt_path", str(copy / BEST), "--data.path", "../reviews.csv")
    assert figures(command("test", *there, cwd=copy / "elsewhere").ok().out) == own
    validated = figures(command("validate", *there, cwd=copy / "elsewhere").ok().out)
    assert validated == figures(command("validate", "--ckpt_path", "best", cwd=copy).ok().out)


def test_all_of_it_is_tested_where_that_is_asked_for(copy: Path) -> None:
    tested = command(
        "test", "--ckpt_path", "best", "--data.path", "./reviews.csv", "--data.allow_seen", "true", cwd=copy
    ).ok()
    assert figures(tested.out)["samples"] == 60
    assert "48 of 60 test samples (80.0%) are training samples of logs/lstm/r/checkpoints/best.ckpt" in tested.err


@pytest.mark.parametrize("verb, split", [("test", "test"), ("validate", "val")])
def test_the_share_that_was_trained_on_is_told_and_refused_above_a_twentieth(verb: str, split: str, copy: Path) -> None:
    seen, test = rows_of(copy / "reviews.csv", "train"), rows_of(copy / "reviews.csv", "test")
    for count, share in ((0, "0.0%"), (1, "5.0%"), (2, "10.0%")):
        other = write(copy / "other.csv", [*NEW[: 20 - count - 3], *seen[:count], *test[:3]])
        argv = (verb, "--ckpt_path", "best", "--data.path", other)
        told = f"{count} of 20 {split} samples ({share}) are training samples of {BEST}"
        if count == 2:
            command(*argv, cwd=copy).refused(told, "--data.allow_seen true")
            argv = (*argv, "--data.allow_seen", "true")
        tested = command(*argv, cwd=copy).ok()
        assert tested.err.count(told) == 1 and figures(tested.out)["samples"] == 20


def test_the_training_data_otherwise_split_is_refused(copy: Path) -> None:
    """Rows permuted within their label, more rows, a changed label: all samples would be tested on."""
    lines = (copy / "reviews.csv").read_text(encoding="utf-8").splitlines()[1:]
    swapped = [lines[i + 2 if i % 4 < 2 else i - 2] for i in range(60)]
    turned = [lines[0].replace("好评", "差评"), lines[1].replace("差评", "好评"), *lines[2:]]
    for other in (swapped, [*lines, *NEW], turned):
        path = write(copy / "other.csv", other)
        command("test", "--ckpt_path", "best", "--data.path", path, cwd=copy).refused("of", "are training samples of")


def test_without_the_hashes_a_line_says_that_it_was_not_checked(copy: Path) -> None:
    shutil.rmtree(copy / "cache/trained")
    other = write(copy / "other.csv", rows_of(copy / "reviews.csv", "train")[:8])
    tested = command("test", "--ckpt_path", "best", "--data.path", other, cwd=copy).ok()
    assert figures(tested.out)["samples"] == 8
    assert f"not checked whether test samples are training samples of {BEST}" in tested.err
    own = command("test", "--ckpt_path", "best", cwd=copy).ok()
    assert "not checked" not in own.err
    same = command("test", "--ckpt_path", "best", "--data.path", "./reviews.csv", cwd=copy).ok()
    assert figures(same.out) == figures(own.out), "the digest in the checkpoint is enough"


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train and test a run on a folder in which all splits are given."""
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    lines = write_reviews(tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()[1:]
    for split, some in {"train": lines[:40], "val": lines[40:50], "test": lines[50:]}.items():
        write(tmp_path / f"parts/{split}.csv", some)
    command(*LSTM, "--data.path", "parts", cwd=tmp_path).ok()
    return tmp_path


def test_a_test_on_a_replaced_file_is_not_the_runs(parts: Path) -> None:
    kept = results(parts / RUN)
    trained = (parts / "parts/train.csv").read_text(encoding="utf-8").splitlines()[1:]
    write(parts / "parts/test.csv", [*NEW[:19], trained[0]])
    tested = command("test", "--ckpt_path", "best", cwd=parts).ok()
    assert figures(tested.out)["samples"] == 20 and "1 of 20 test samples (5.0%)" in tested.err
    assert results(parts / RUN) == kept
    write(parts / "parts/test.csv", trained[:10])
    for cache in (parts / "cache", parts / "empty"):  # its train split is available and unchanged
        os.environ["LIGHTNING_NN_CACHE"] = str(cache)
        command("test", "--ckpt_path", "best", cwd=parts).refused("10 of 10 test samples (100.0%)")
    write(parts / "parts/train.csv", trained[10:])
    os.environ["LIGHTNING_NN_CACHE"] = str(parts / "cache")
    command("test", "--ckpt_path", "best", cwd=parts).refused("10 of 10 test samples (100.0%)")
    assert results(parts / RUN) == kept


def test_duplicates_of_the_runs_own_splits_are_named_and_not_refused(parts: Path) -> None:
    trained = (parts / "parts/train.csv").read_text(encoding="utf-8").splitlines()[1:]
    write(parts / "parts/test.csv", [*NEW[:8], *trained[2:4]])
    said = command(*LSTM, "--data.path", "parts", "--name", "s", cwd=parts).ok().out
    note = "duplicates across splits: 2 of 10 test samples stand in train (test.csv:10 is train.csv:4)"
    assert said.count(note) == 1
    tested = command("test", "--ckpt_path", "logs/lstm/s/checkpoints/best.ckpt", cwd=parts).ok()
    assert tested.err.count(note) == 1
    shutil.move(parts / "parts", parts / "moved")
    moved = command("test", "--ckpt_path", "logs/lstm/s/checkpoints/best.ckpt", "--data.path", "moved", cwd=parts).ok()
    assert figures(moved.out) == figures(tested.out)


def test_pictures_under_another_path(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"pictures/{label}/{i:02}.png")
    softmax = "--model softmax --data images --data.size 8 --trainer.max_epochs 1 --name r --data.path pictures"
    command(*softmax.split(), cwd=tmp_path).ok()
    own = figures(command("test", "--ckpt_path", "best", cwd=tmp_path).ok().out)
    shutil.copytree(tmp_path / "pictures", tmp_path / "copied")
    for path in ("./pictures", "copied"):
        assert figures(command("test", "--ckpt_path", "best", "--data.path", path, cwd=tmp_path).ok().out) == own
    shutil.move(tmp_path / "copied/a/00.png", tmp_path / "copied/a/99.png")
    command("test", "--ckpt_path", "best", "--data.path", "copied", cwd=tmp_path).refused("32 of 40 test samples")


def test_to_allow_seen_samples_is_no_setting_of_a_training(copy: Path) -> None:
    allowed = ("--data.allow_seen", "true")
    command(*LSTM, "--data.path", "reviews.csv", *allowed, cwd=copy).refused("unknown option --data.allow_seen")
    command("test", "--ckpt_path", "best", "--data.allow_seen", "maybe", cwd=copy).refused("--data.allow_seen")
    checkpoint = torch.load(copy / BEST, weights_only=True)
    assert "allow_seen" not in str({**checkpoint, "state_dict": None})
    checkpoint["datamodule_hyper_parameters"]["allow_seen"] = True
    torch.save(checkpoint, copy / "mine.ckpt")
    seen = write(copy / "other.csv", rows_of(copy / "reviews.csv", "train"))
    command("test", "--ckpt_path", "mine.ckpt", "--data.path", seen, cwd=copy).refused("48 of 48")
    assert "--data.allow_seen" in command("test", "--ckpt_path", "best", "--help", cwd=copy).ok().out
