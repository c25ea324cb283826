"""The verb `lesson`: the listing, a lesson, its files, and what a person gets wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from lightning_nn import lessons
from lightning_nn.lessons.catalogue import CHAPTERS
from tests.commands import ROOT, command


def test_the_list_names_every_lesson_and_ticks_those_that_ran(tmp_path: Path) -> None:
    assert "✓" not in command("lesson", cwd=tmp_path).ok().out
    table = tmp_path / "logs/lessons/recurrence/table.csv"
    table.parent.mkdir(parents=True)
    table.touch()
    out = command("lesson", "--language", "zh", cwd=tmp_path).ok().out
    assert [line.split()[1] for line in out.splitlines() if "✓" in line] == ["recurrence"]
    assert all(name in out for name in lessons.names())
    assert all(chapter.title.zh in out for chapter in CHAPTERS)


def test_listing_imports_no_torch() -> None:
    code = "import sys; from lightning_nn.cli.main import main; main(['lesson']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_lesson_shows_table_claims_and_files(tmp_path: Path) -> None:
    out = command("lesson", "recurrence", "--folder", "runs", "--set", "steps=30", cwd=tmp_path).ok().out
    assert "holds: 1 is equal to 1" in out and "gap of gradients" in out and "--set steps=30" in out
    folder = tmp_path / "runs/lessons/recurrence"
    assert sorted(file.name for file in folder.iterdir()) == ["figure.png", "table.csv"]
    assert len(out.splitlines()) <= 40


def test_a_lesson_speaks_chinese(tmp_path: Path) -> None:
    out = command("lesson", "recurrence", "--language", "zh", cwd=tmp_path).ok().out
    assert "循环层" in out and "成立：" in out and "权重个数" in out


def test_a_guess_is_asked_first_and_judged(tmp_path: Path) -> None:
    out = command("lesson", "recurrence", "--guess", cwd=tmp_path, stdin=b"x\n9\n2\n").ok().out
    assert out.count("choose 1 to 3") == 3
    assert "you chose 41,600; the run says 416" in out
    command("lesson", "recurrence", "--guess", cwd=tmp_path).refused("standard input")


def test_an_answer_runs(tmp_path: Path) -> None:
    out = command("lesson", "recurrence", "--answer", "1", cwd=tmp_path).ok().out
    assert "reversed sequence" in out and "holds: " in out
    command("lesson", "recurrence", "--answer", "9", cwd=tmp_path).refused("no exercise 9", "1, 2")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["recurence"], ["no lesson", "did you mean 'recurrence'"]),
        (["recurrence", "--set", "step=3"], ["no knob 'step'", "did you mean 'steps'"]),
        (["recurrence", "--set", "steps=3"], ["steps is 3", "20 to 500"]),
        (["recurrence", "--set", "steps"], ["KNOB=VALUE"]),
        (["recurrence", "--seed", "-1"], ["--seed"]),
        (["recurrence", "--sed", "1"], ["unknown option --sed", "'--seed'"]),
        (["recurrence", "--language", "fr"], ["--language"]),
        (["recurrence", "--model", "han"], ["--model han has no effect on lesson"]),
        (["recurrence", "gates"], ["gates"]),
        (["--set", "steps=3"], ["name the lesson"]),
    ],
)
def test_what_is_wrong_is_named(argv: list[str], words: list[str], tmp_path: Path) -> None:
    command("lesson", *argv, cwd=tmp_path).refused(*words)
    assert not (tmp_path / "logs").exists()


def test_an_interrupted_lesson_leaves_no_file(tmp_path: Path) -> None:
    with mock.patch("lightning_nn.lessons.lesson.Lesson.png", side_effect=KeyboardInterrupt):
        assert command("lesson", "recurrence", cwd=tmp_path).code == 130
    assert not list(tmp_path.rglob("*.*"))
