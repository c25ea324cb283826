"""Predict on the tables that people train on, from files and as they come, and what is said beside the answers."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_nn.cli.streams import PromptInput
from tests.commands import Result, command, environment, process, reviews, start

LSTM = shlex.split(
    "--model lstm --data text --data.path reviews.csv --data.text_column review --data.label_column category "
    "--data.batch_size 16 --data.vocabulary.segmenter chars --name r --model.embedding_size 16 --model.hidden_size 8 "
    "--optimizer.lr 0.02 --trainer.max_epochs 4 --trainer.enable_progress_bar false"
)
GOOD, BAD = "质量很好，非常满意。", "质量太差，非常失望。"
LABELS = {"好评": "+1", "差评": "-1"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on a table with other columns and categories of signs, and return the folder."""
    cwd = tmp_path_factory.mktemp("run")
    with (cwd / "reviews.csv").open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "review", "category"])
        rows.writerows([n, text, LABELS[label]] for n, (text, label) in enumerate(reviews(200)))
    command(*LSTM, cwd=cwd).ok()
    return cwd


def predict(run: Path, *argv: str, stdin: bytes = b"") -> Result:
    return command("predict", *argv, cwd=run, stdin=stdin)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_the_table_of_training_comes_back_with_the_predictions_behind(run: Path) -> None:
    done = predict(run, "--data.file", "reviews.csv", "--out", "out.csv").ok()
    before = rows_of((run / "reviews.csv").read_text(encoding="utf-8"))
    after = rows_of((run / "out.csv").read_text(encoding="utf-8"))
    assert list(after[0]) == ["id", "review", "category", "predicted_category", "probability", "error"]
    assert [{name: row[name] for name in before[0]} for row in after] == before
    right = [row["predicted_category"] == row["category"] for row in after]
    assert sum(right) / len(right) > 0.9, "the label or the id was read with the text"
    assert {row["predicted_category"] for row in after} == {"+1", "-1"}
    assert "text: review of reviews.csv, as in training" in done.err and "'predicted_category'" in done.err
    assert "200 predictions in out.csv" in done.err


def test_lines_of_json_and_rows_on_standard_input(run: Path) -> None:
    lines = [{"n": 1, "review": GOOD}, {"n": 2, "review": None}, {"n": 3, "review": BAD}]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    done = predict(run, "--data.file", "-", "--data.format", "jsonl", "--format", "jsonl", stdin=stdin).ok()
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["category"] for row in rows] == ["+1", None, "-1"] and rows[1]["probability"] is None
    assert [{name: row[name] for name in ("n", "review")} for row in rows] == lines
    assert rows[0]["error"] is None and "no text" in rows[1]["error"]
    rows = rows_of(predict(run, "--data.file", "-", "--data.format", "csv", stdin=f"review\n{BAD}\n".encode()).ok().out)
    assert [(row["review"], row["category"]) for row in rows] == [(BAD, "-1")]


def test_a_label_behind_a_tab_is_not_read_with_the_text(run: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(f"{GOOD}\t+1\n{BAD}\t-1\n", encoding="utf-8")
    predict(run, "--data.file", str(tmp_path / "train.txt")).refused("which column", "--data.text_column")
    done = predict(run, "--data.file", str(tmp_path / "train.txt"), "--data.text_column", "1").ok()
    assert [row["column_1"] for row in rows_of(done.out)] == [GOOD, BAD]
    done = predict(run, "--data.file", str(tmp_path / "train.txt"), "--data.format", "text").ok()
    assert [row["input"] for row in rows_of(done.out)] == [f"{GOOD}\t+1", f"{BAD}\t-1"]


def test_each_class_has_a_column(run: Path) -> None:
    (row,) = rows_of(predict(run, "--data.text", GOOD, "--all_classes").ok().out)
    assert list(row) == ["input", "category", "probability", "+1", "-1"]
    assert row["+1"] == row["probability"] and abs(float(row["+1"]) + float(row["-1"]) - 1) < 2e-4
    found = json.loads(predict(run, "--data.text", GOOD, "--all_classes", "--format", "jsonl").ok().out)
    assert found["category"] == "+1" and found["+1"] == found["probability"] and found["+1"] + found["-1"] > 0.999
    page = predict(run, "--data.text", GOOD, "--all_classes", "--format", "html").ok().out
    assert "-1 0." in page


def test_all_inputs_that_can_not_be_read_are_an_error_and_leave_no_file(run: Path) -> None:
    (run / "new.csv").write_text("review,n\n,1\n ,2\n", encoding="utf-8")
    predict(run, "--data.file", "new.csv", "--out", "none.csv").refused("none of 2 inputs", "new.csv:2: no text")
    assert not (run / "none.csv").exists()
    predict(run, "--data.file", "new.csv", "--explain").refused("none of 2")


def test_unknown_words_are_warned_of_with_the_data_of_training(run: Path) -> None:
    said = predict(run, "--data.text", "The soup was cold.").ok().err
    assert "content words are unknown to this model" in said and "reviews.csv (T, h, e, s, o, ...)" in said
    assert "warning" not in predict(run, "--data.text", GOOD).ok().err
    (run / "en.txt").write_text("The soup was cold and the staff rude.\n" * 2000, encoding="utf-8")
    said = predict(run, "--data.file", "en.txt", "--out", "en.csv").ok().err
    assert said.count("warning") == 1 and "in 1,024 of 1,024 texts most content words are unknown" in said
    assert "most content words are unknown in 2,000 of all 2,000 texts" in said
    (run / "mixed.txt").write_text(f"{GOOD}\n" * 40 + "The soup was cold.\n" * 3, encoding="utf-8")
    said = predict(run, "--data.file", "mixed.txt", "--out", "mixed.csv", "--format", "csv").ok().err
    assert said.count("content words") == 1 and "warning: in 3 of 43 texts most content words are unknown" in said


def test_the_newest_run_is_named_before_anything_else(run: Path) -> None:
    for argv in (
        ["predict", "--data.text", GOOD],
        ["test", "--ckpt_path", "best"],
        ["validate", "--ckpt_path", "last"],
    ):
        first = command(*argv, cwd=run).ok().err.splitlines()[0]
        which = "last" if "last" in argv else "best"
        assert f"logs/lstm/r/checkpoints/{which}.ckpt (lstm, {which} of the newest run, of 20" in first
    named = ("--ckpt_path", "logs/lstm/r/checkpoints/best.ckpt")
    first = predict(run, "--data.text", GOOD, *named).ok().err.splitlines()[0]
    assert first == "predicted by logs/lstm/r/checkpoints/best.ckpt (lstm)"


def test_help_of_predict_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from lightning_nn.cli.main import main; "
        "assert main(['predict', '--help']) == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--data.text_column" in done.stdout and "--all_classes" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="waits for a pipe")
@pytest.mark.parametrize("form", ["text", "csv"])
def test_a_line_in_is_answered_before_the_next(form: str, run: Path) -> None:
    argv = ["predict", "--data.file", "-", "--data.format", form]
    (stdin, question), (answer, stdout) = os.pipe(), os.pipe()
    started = start(*argv, cwd=run, stdin=stdin, stdout=stdout)
    os.close(stdin)
    os.close(stdout)
    received = b""
    if form == "csv":
        os.write(question, b"id,review\n")
    for number, text in enumerate((GOOD, BAD, GOOD), 1):
        os.write(question, f"{'7,' * (form == 'csv')}{text}\n".encode())
        while received.count(b"\n") < number + 1:  # and the header
            assert select.select([answer], [], [], 120)[0], f"no answer to line {number}"
            received += os.read(answer, 1 << 16) or pytest.fail(str(started.result()))
    os.close(question)
    started.result(60).ok()
    os.close(answer)
    assert [row["category"] for row in rows_of(received.decode())] == ["+1", "-1", "+1"]


@pytest.mark.skipif(os.name == "nt", reason="waits for a pipe")
def test_input_that_has_come_does_not_wait() -> None:
    reader, end = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        lines = PromptInput(stream)
        assert lines.waits()
        os.write(end, b"a\nb\nhalf")
        assert not lines.waits()
        assert [lines.readline(), lines.readline()] == [b"a\n", b"b\n"] and lines.waits()
        os.write(end, b"\n")
        os.close(end)
        assert not lines.waits() and list(lines) == [b"half\n"] and not lines.waits()
    assert [*PromptInput(io.BytesIO(b"a\n\nb"))] == [b"a\n", b"\n", b"b"]
    assert io.TextIOWrapper(PromptInput(io.BytesIO("一\n".encode("utf-16"))), "utf-16").read() == "一\n"


def test_many_lines_of_a_pipe_come_in_batches(run: Path) -> None:
    done = process("predict", "--data.file", "reviews.csv", cwd=run).ok()
    assert len(rows_of(done.out)) == 200
