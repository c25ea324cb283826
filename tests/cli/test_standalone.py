"""`predict.py` of a model folder: one file that predicts what the model does, without this package and torch."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lightning_nn import HAN, LSTMClassifier
from lightning_nn.cli.export import _PROGRAMS
from lightning_nn.cli.standalone.source import standalone_source
from tests.commands import ROOT, command, write_reviews

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
    ("model", "kind", "segmenter"), [("han", HAN, "jieba"), ("lstm", LSTMClassifier, "chars"), ("lstm", None, "words")]
)
def test_texts_are_classified_as_by_the_model(tmp_path: Path, model: str, kind: Any, segmenter: str) -> None:
    write_reviews(tmp_path / "reviews.csv")
    small = f"--model.embedding_size 4 --model.hidden_size 4 --data.vocabulary.segmenter {segmenter}"
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


def test_what_a_person_gets_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(standalone_source(_PROGRAMS["text"]), encoding="utf-8")
    for argv, words in (((), "give a text, or --file FILE"), (("好",), "config.json")):
        done = run_alone(tmp_path, "predict.py", *argv)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("kind", _PROGRAMS)
def test_each_name_of_a_program_is_defined_once_and_none_is_of_this_package(kind: str) -> None:
    source = standalone_source(_PROGRAMS[kind])
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            bound = [name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            names += [name.id for name in bound if isinstance(name.ctx, ast.Store)]
    assert sorted(names) == sorted({*names}) and "lightning_nn" not in source
