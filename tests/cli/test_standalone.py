"""`predict.py` of a model folder: one file that predicts what the model does, without this package and torch."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from lightning_nn import HAN, LSTMClassifier
from lightning_nn.cli.export import _PROGRAMS
from lightning_nn.cli.standalone.source import standalone_source
from tests.commands import ROOT, command, write_described, write_reviews

QUICK = "--name r --trainer.max_epochs 2 --trainer.enable_progress_bar false --trainer.logger false"
TEXTS = [
    "质量很好，非常满意。",
    "质量太差。不值这个价钱！！",
    "It's “good” &amp; cheap<br>no. 3.5 ok…",
    "ＡＢＣ。" * 90,
    "好",
]
ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "lightning_nn", "pytorch_lightning", "sklearn", "onnx"):
            raise AssertionError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(cwd: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *argv], cwd=cwd, input=stdin, capture_output=True, encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("model", "kind", "segmenter", "ngrams"),
    [("han", HAN, "jieba", 2), ("lstm", LSTMClassifier, "chars", 3), ("lstm", None, "words", 1)],
)
def test_texts_are_classified_as_by_the_model(
    tmp_path: Path, model: str, kind: Any, segmenter: str, ngrams: int
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    small = f"--model.embedding_size 4 --model.hidden_size 4 --data.vocabulary.segmenter {segmenter}"
    small += f" --model.embedding.ngrams {ngrams} --model.embedding.ngram_rows 50"
    fit = f"fit --model {model} --data text --data.path reviews.csv {small} {QUICK}"
    command(*shlex.split(fit), cwd=tmp_path).ok()
    said = command("export", "--out", "out", "--format", "onnx", cwd=tmp_path).ok().out
    assert "out/model.onnx: the same as the model to " in said and "python out/predict.py" in said
    assert "python out/predict.py --help" in (tmp_path / "out/README.md").read_text(encoding="utf-8")

    for file in (tmp_path / "out").iterdir():
        assert str(ROOT).encode() not in file.read_bytes(), f"a path of this machine in {file.name}"
    trained = (kind or LSTMClassifier).from_pretrained(tmp_path / "out")
    trained.all_classes = True
    done = run_alone(tmp_path, "out/predict.py", *TEXTS[1:], "--file", "-", "--all_classes", stdin=f"\n{TEXTS[0]}\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    expected = trained.predict([*TEXTS[1:], TEXTS[0]])
    for row, one in zip(rows, expected, strict=True):
        assert (row["category"], row["probability"]) == (one.category, pytest.approx(one.probability, abs=1e-4))
        assert sum(row["classes"].values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with class folders, masks, and pictures of many kinds to predict on, one of them damaged."""
    cwd = tmp_path_factory.mktemp("photographs")
    random, turned = np.random.default_rng(0), Image.Exif()
    turned[ExifTags.Base.Orientation] = 6

    def picture(size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(random.integers(0, 256, (9, 7, 3), np.uint8)).resize(size)

    for name in ("colour/a", "colour/b", "deep/a", "deep/b", "new", "streets/images", "streets/masks"):
        (cwd / name).mkdir(parents=True)
    for i in range(8):
        for kind in "ab":
            picture((90, 60)).save(cwd / f"colour/{kind}/{i}.jpg")
            deep = np.asarray(picture((60, 50)).convert("L"), np.uint16) * 257
            Image.fromarray(deep if i % 2 else deep // 257 * 200).save(cwd / f"deep/{kind}/{i}.png")
        picture((48, 40)).save(cwd / f"streets/images/{i}.png")
        Image.fromarray(random.integers(0, 3, (40, 48), np.uint8)).save(cwd / f"streets/masks/{i}.png")
    picture((210, 150)).save(cwd / "new/1.jpg", exif=turned)
    clear = picture((70, 95))
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(cwd / "new/2.png")
    Image.fromarray(np.asarray(picture((66, 44)).convert("L"), np.uint16) * 250).save(cwd / "new/3.png")
    picture((40, 40)).convert("P").save(cwd / "new/4.gif")
    (cwd / "new/5.jpg").write_bytes((cwd / "colour/a/0.jpg").read_bytes()[:300])
    picture((33, 120)).convert("CMYK").save(cwd / "new/6.jpg")
    return cwd


def compare(cwd: Path, model: str, train: str, options: str = "") -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the rows of predict and those of the folder's own program for the pictures in `new`."""
    shutil.rmtree(cwd / "logs", ignore_errors=True)
    command(*shlex.split(f"fit --model {model} {train} {QUICK}"), cwd=cwd).ok()
    ask = ("--model", model, "--ckpt_path", "last")
    said = command("export", *ask, "--out", model, "--format", "onnx", cwd=cwd).ok().out
    assert f"{model}/model.onnx: the same as the model to " in said and f"python {model}/predict.py" in said
    command("predict", *ask, "--data.file", "new", *shlex.split(options), "--out", "p.jsonl", cwd=cwd).ok()
    expected = [json.loads(line) for line in (cwd / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    done = run_alone(cwd, f"{model}/predict.py", *(row["input"] for row in expected), *shlex.split(options))
    assert done.returncode == 0 and "error: 1 of 6 inputs can't be read: new/5.jpg" in done.stderr, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == [row["input"] for row in expected] and len(rows) == 6
    pairs = list(zip(expected, rows, strict=True))
    assert all(one["error"] == row["error"] for one, row in pairs if "error" in row)
    return [pair for pair in pairs if "error" not in pair[1]]


@pytest.mark.parametrize(("fit", "folder"), [("crop", "colour"), ("squash", "deep")])
def test_pictures_are_classified_as_by_the_model(photographs: Path, fit: str, folder: str) -> None:
    data = f"--data images --data.path {folder} --data.size 24 --data.fit {fit} --optimizer.lr 0.1"
    for one, row in compare(photographs, "softmax", data, "--all_classes"):
        assert row["classes"] == pytest.approx({name: one[name] for name in "ab"}, abs=1e-3)
        assert (row["category"], row["probability"]) == (one["category"], pytest.approx(one["probability"], abs=1e-3))


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="can't convert networks of any size")
@pytest.mark.parametrize("colours", [False, True])
def test_masks_are_those_of_the_model_with_its_colours(photographs: Path, colours: bool) -> None:
    (photographs / "classes.txt").write_text("sky 1 2 3\nroad 4 5 6\ncar 7 8 9\n", encoding="utf-8")
    named = "--data.classes classes.txt" * colours
    for one, row in compare(
        photographs, "fcn", f"--data segmentation --data.path streets {named} --model.first_channels 2"
    ):
        expected, found = (Image.open(photographs / each["mask"]) for each in (one, row))
        assert row["mask"].startswith("masks/") and found.mode == "P" and found.getpalette() == expected.getpalette()
        assert (np.asarray(found) == np.asarray(expected)).mean() > 0.999
        shares = {part.rpartition(" ")[0]: part.rpartition(" ")[2] for part in one["classes"].split(", ")}
        assert shares == {name: f"{share:.0%}" for name, share in row["classes"].items() if share >= 0.005}


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="can't convert networks of any size")
def test_masks_replace_no_picture_and_no_other_mask(photographs: Path, tmp_path: Path) -> None:
    options = "--data segmentation --data.path streets --model.first_channels 2"
    shutil.rmtree(photographs / "logs", ignore_errors=True)
    command(*shlex.split(f"fit --model fcn {options} {QUICK}"), cwd=photographs).ok()
    out = str(tmp_path / "fcn")
    command("export", "--model", "fcn", "--ckpt_path", "last", "--out", out, "--format", "onnx", cwd=photographs).ok()
    same = ("streets/images/1.png", "streets/images/1.png")
    refused = run_alone(photographs, f"{out}/predict.py", *same, "--out", "streets/images")
    assert refused.returncode == 2 and "is the folder of streets/images/1.png" in refused.stderr, refused.stderr
    done = run_alone(photographs, f"{out}/predict.py", *same, "--out", str(tmp_path / "m"))
    assert done.returncode == 0 and sorted(path.name for path in (tmp_path / "m").iterdir()) == ["1-2.png", "1.png"]
    missing = run_alone(photographs, f"{out}/predict.py", "no.png")
    assert (missing.returncode, missing.stderr) == (2, "error: 1 of 1 inputs can't be read: no.png: no such file\n")


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("show_and_tell", "--model.lstm_layers 2 --data.language zh --data.vocabulary.tokens chars"),
        ("multimodal_rnn", "--model.multimodal_size 8"),
    ],
)
def test_captions_are_those_of_the_model_by_any_search(tmp_path: Path, model: str, options: str) -> None:
    write_described(tmp_path / "described")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "noise.png")
    if "zh" in options:
        table = tmp_path / "described/captions.csv"
        table.write_text(
            table.read_text(encoding="utf-8").replace("a red square", "红色方块").replace("a blue square", "蓝色方块"),
            encoding="utf-8",
        )
    small = "--model.embedding_size 8 --model.hidden_size 8 --data.size 32 --data.vocabulary.min_count 1"
    data = f"--data captions --data.path described/captions.csv {small} --optimizer.lr 0.02 --model.search.longest 9"
    command(*shlex.split(f"fit --model {model} {data} {options} {QUICK}"), cwd=tmp_path).ok()
    ask = ("--model", model, "--ckpt_path", "last")
    command("export", *ask, "--out", "m.onnx", cwd=tmp_path).refused("two networks", "--out m --format onnx")
    said = command("export", *ask, "--out", "m", "--format", "onnx", cwd=tmp_path).ok().out
    for network in ("encoder", "step"):
        assert f"m/{network}.onnx: the same as the model to " in said
    assert "input state_0, float32 sentences x " in said
    files = ["noise.png", *(f"described/{number}.png" for number in range(20))]
    for search in ({}, {"beam": 1}, {"beam": 5, "length_norm": 0.7, "longest": 4}):
        asked = [f"--model.search.{name}={value}" for name, value in search.items()]
        command("predict", *ask, "--data.file", *files, *asked, "--out", "p.jsonl", cwd=tmp_path).ok()
        own = [f"--{name}={value}" for name, value in search.items()]
        done = run_alone(tmp_path, "m/predict.py", *files, *own)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        written = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [(row["input"], row["caption"]) for row in rows] == [(row["input"], row["caption"]) for row in written]
        for row, one in zip(rows, written, strict=True):
            assert row["log_probability"] == pytest.approx(one["log_probability"], abs=1e-3)
    refused = run_alone(tmp_path, "m/predict.py", files[0], "--beam", "0")
    assert refused.returncode == 2 and "beam and longest must be at least 1" in refused.stderr


def test_what_a_person_gets_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(standalone_source(_PROGRAMS["text"]), encoding="utf-8")
    for argv, words in (((), "give a text, or --file FILE"), (("好",), "config.json")):
        done = run_alone(tmp_path, "predict.py", *argv)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("kind", _PROGRAMS)
def test_each_name_of_a_program_is_defined_once_and_none_is_imported_of_this_package(kind: str) -> None:
    source = standalone_source(_PROGRAMS[kind])
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            bound = [name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            names += [name.id for name in bound if isinstance(name.ctx, ast.Store)]
    assert sorted(names) == sorted({*names})
    modules = [
        getattr(node, "module", None) or node.names[0].name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert modules and not [module for module in modules if module.startswith("lightning_nn")]
