"""The files that every test leaves: a table of all samples, a page of the mistakes, scores of each class."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.commands import Result, command, results, reviews, write_pictures, write_street

SMALL = ("--model.embedding_size", "16", "--optimizer.lr", "0.02", "--data.vocabulary.segmenter", "chars")
QUIET = ("--trainer.max_epochs", "4", "--trainer.enable_progress_bar", "false", "--name", "r")
RUN = Path("logs/han/r")


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Train on reviews of which four of the test split have the wrong label; return the folder and what was said."""
    cwd = tmp_path_factory.mktemp("texts")
    rows = [(f"=1+1 {text}", {"好评": "=好评"}.get(label, label)) for text, label in reviews(100)]
    wrong = [(text, {"=好评": "差评", "差评": "=好评"}[label]) for text, label in rows[80:84]]
    for split, some in {"train": rows[:60], "val": rows[60:80], "test": [*wrong, *rows[84:]]}.items():
        lines = ["text,label", *(f'"{text}",{label}' for text, label in some)]
        (cwd / "parts").mkdir(exist_ok=True)
        (cwd / f"parts/{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTNING_NN_CACHE", str(cwd / "cache"))
        argv = ("--model", "han", "--data", "text", "--data.path", "parts", *SMALL, *QUIET, "--data.batch_size", "8")
        return cwd, command(*argv, cwd=cwd).ok()


@pytest.fixture
def copy(trained: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "copy/cache"))
    return Path(shutil.copytree(trained[0], tmp_path / "copy"))


def test_each_test_sample_has_a_row_with_its_line_and_no_formula(trained: tuple[Path, Result]) -> None:
    rows = read(trained[0] / RUN / "predictions.csv")
    assert [row["line"] for row in rows] == [str(line) for line in range(2, 22)]
    assert {row["file"] for row in rows} == {"test.csv"} and all(row["text"].startswith("'=1+1") for row in rows)
    assert {row["truth"] for row in rows} == {"'=好评", "差评"}
    for row in rows:
        shares = [float(row[name]) for name in ("p(=好评)", "p(差评)")]
        assert sum(shares) == pytest.approx(1, abs=2e-6) and max(shares) == float(row["probability"])
    kept = results(trained[0] / RUN)
    assert sum(float(row["loss"]) for row in rows) / len(rows) == pytest.approx(kept["test/loss"], abs=1e-5)
    assert sum(int(row["right"]) for row in rows) / len(rows) == pytest.approx(kept["test/acc"])


def test_the_terminal_shows_the_classes_and_the_most_confident_mistakes(trained: tuple[Path, Result]) -> None:
    lines = trained[1].out.splitlines()
    start = lines.index("4 of 20 test samples are wrong; the model is surest of these:")
    mistakes = lines[start + 1 : start + 5]
    assert all(cell_len(line) <= 80 and "test.csv:" in line for line in mistakes), mistakes
    shares = [float(line.split("%")[0]) for line in mistakes]
    assert shares == sorted(shares, reverse=True)
    scores = results(trained[0] / RUN)["test/classes"]
    assert scores["差评"] == pytest.approx({"precision": 0.8, "recall": 0.8, "f1": 0.8, "samples": 10})
    assert any(line.split() == ["差评", "0.800", "0.800", "0.800", "10"] for line in lines), trained[1].out
    assert f"samples      {RUN}/predictions.csv" in lines and f"mistakes     {RUN}/mistakes.html" in lines


def test_the_report_shows_the_run_and_can_be_in_chinese(trained: tuple[Path, Result], copy: Path) -> None:
    text = (trained[0] / RUN / "report.html").read_text(encoding="utf-8")
    assert f"report       {RUN}/report.html" in trained[1].out.splitlines()
    assert "<td>data.batch_size</td><td>64</td><td>8</td>" in text and "<td>trainer.accelerator</td>" not in text
    assert "4 of 20 test samples are wrong" in text and text.count("<svg") > 4 and "<td>val/" not in text
    for command_line in ("train.py --model han --data text", "--trainer.max_epochs 8", "predict --ckpt_path"):
        assert command_line in text, command_line
    tested = command("test", "--ckpt_path", "last", "--language", "zh", cwd=copy).ok()
    chinese = (copy / json.loads(tested.out)["folder"] / "report.html").read_text(encoding="utf-8")
    assert "20 个测试样本中有" in chinese and "<td>data.batch_size</td><td>64</td><td>8</td>" in chinese
    assert "language" not in (copy / RUN / "config.yaml").read_text(encoding="utf-8")


def test_the_page_shows_what_the_model_attended_to_in_each_mistake(trained: tuple[Path, Result]) -> None:
    page = (trained[0] / RUN / "mistakes.html").read_text(encoding="utf-8")
    assert page.count("<article>") == page.count("<ol") == 4 and "4 of 20 samples are wrong" in page


def test_a_test_of_any_checkpoint_names_its_folder(trained: tuple[Path, Result], copy: Path) -> None:
    kept = {file: file.read_bytes() for file in (copy / RUN).glob("*.*")}
    shutil.copy(copy / RUN / "checkpoints/last.ckpt", copy / "mine.ckpt")
    for checkpoint, home in ((f"{RUN}/checkpoints/last.ckpt", RUN), ("mine.ckpt", Path("logs/han"))):
        told = command("test", "--ckpt_path", checkpoint, cwd=copy).ok()
        answer: dict[str, Any] = json.loads(told.out)
        folder = copy / answer["folder"]
        assert folder.parent == copy / home / "tests"
        files = {file.name for file in folder.iterdir()}
        assert {"predictions.csv", "mistakes.html", "results.json", "report.html"} <= files
        saved = results(folder)
        assert saved["checkpoint"] == checkpoint and saved["test/acc"] == answer["test/acc"]
        assert saved["command"].startswith("train.py test --ckpt_path") and saved["test/classes"].keys() == {
            "=好评",
            "差评",
        }
        assert "test samples are wrong" in told.err
    assert {file: file.read_bytes() for file in kept} == kept, "the run's own files"
    other = copy / "other.csv"
    other.write_text("text,label\n从来没有见过。,差评\n全新的一句话。,差评\n", encoding="utf-8")
    tested = command("test", "--ckpt_path", "best", "--data.path", "other.csv", cwd=copy).ok()
    rows = read(copy / json.loads(tested.out)["folder"] / "predictions.csv")
    assert [(row["file"], row["line"], row["truth"]) for row in rows] == [
        ("other.csv", "2", "差评"),
        ("other.csv", "3", "差评"),
    ]


def test_where_nothing_can_be_written_the_metrics_are_still_told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    told = command("test", "--ckpt_path", "last", cwd=copy).ok()
    assert "folder" not in json.loads(told.out) and not (copy / RUN / "tests").exists()


def test_pictures_have_their_file_and_mistakes_their_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    argv = ("--model", "softmax", "--data", "images", "--data.path", "pictures", "--data.size", "8", *QUIET)
    command(*argv, cwd=tmp_path).ok()
    rows = read(tmp_path / "logs/softmax/r/predictions.csv")
    assert len(rows) == 10 and all(Path(tmp_path, row["file"]).is_file() for row in rows) and "line" not in rows[0]
    assert all(Path(row["file"]).parent.name == row["truth"] for row in rows)
    page = (tmp_path / "logs/softmax/r/mistakes.html").read_text(encoding="utf-8")
    assert page.count("<img") == sum(row["right"] == "0" for row in rows) > 0


def test_masks_have_the_iou_of_each_picture(tmp_path: Path) -> None:
    write_street(tmp_path / "street")
    argv = ("--model", "fcn", "--data", "segmentation", "--data.path", "street", "--model.body", "small", *QUIET)
    command(*argv, cwd=tmp_path).ok()
    run = tmp_path / "logs/fcn/r"
    rows = read(run / "predictions.csv")
    assert rows and all(Path(tmp_path, row["file"]).is_file() for row in rows)
    worst = min(float(row["miou"]) for row in rows)
    assert f"mean IoU {worst:.1%}" in (run / "worst.html").read_text(encoding="utf-8")
    assert sum(float(row["loss"]) for row in rows) / len(rows) == pytest.approx(results(run)["test/loss"], abs=1e-4)
