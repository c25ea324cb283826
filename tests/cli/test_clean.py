"""The verb `clean`: what is listed, what is removed, and what is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lightning_nn.data import cache
from lightning_nn.runs.run_folder import Run
from tests.commands import command
from tests.runs.test_comparison import write_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, the second 40 days old and larger, and a cache of three entries."""
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    for name, size in (("text-1", 3_000_000), ("text-2", 1_000_000), ("scenes-1", 500_000)):
        cache.entry(name, lambda place, size=size: (place / "words.bin").write_bytes(b"x" * size))  # type: ignore[misc]
    write_run(tmp_path / "logs/han/new")
    old = write_run(tmp_path / "logs/lstm/old")
    (old / "checkpoints").mkdir()
    (old / "checkpoints/last.ckpt").write_bytes(b"x" * 2_000_000)
    long_ago = time.time() - 40 * 86_400
    for file in (*old.rglob("*"), tmp_path / "cache/text-2/checksums.json"):
        os.utime(file, (long_ago, long_ago))
    return tmp_path


def test_runs_and_caches_are_listed_with_size_and_age(folder: Path) -> None:
    lines = command("clean", cwd=folder).ok().out.splitlines()
    assert lines[0] == "runs in logs: 2, 2.0 MB"
    old, new = (str(Path("logs") / run) for run in ("lstm/old", "han/new"))
    assert [line.split()[:4] for line in lines[2:4]] == [[old, "2.0", "MB", "40"], [new, "0.0", "MB", "today"]]
    assert [line.split() for line in lines if line.startswith("text")] == [["text", "2", "4.0", "MB", "today"]]
    assert f"clean {old}" in lines[-2]


def test_only_what_is_old_is_listed(folder: Path) -> None:
    out = command("clean", "--older", "30", cwd=folder).ok().out
    assert "runs in logs: 1" in out and "old" in out and "new" not in out.replace("newest", "") and "scenes" not in out


def test_what_is_named_is_removed_and_nothing_else(folder: Path) -> None:
    out = command("clean", "logs/han/new", "--cache", "text", cwd=folder).ok().out
    assert [line.split()[0] for line in out.splitlines()] == ["removed"] * 3
    assert sorted(path.name for path in (folder / "cache").iterdir() if path.is_dir()) == ["scenes-1"]
    assert not (folder / "logs/han/new").exists() and (folder / "logs/lstm/old/checkpoints/last.ckpt").is_file()


def test_what_is_younger_is_spared(folder: Path) -> None:
    command("clean", "logs/han/new", "logs/lstm/old", "--cache", "all", "--older", "30", cwd=folder).ok()
    assert (folder / "logs/han/new").is_dir() and not (folder / "logs/lstm/old").exists()
    assert sorted(entry.folder.name for entry in cache.entries()) == ["scenes-1", "text-1"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("logs/han/new", "--cache", "txt"), ("txt", "'text'")),
        (("logs/han/new", "logs"), ("logs is no run",)),
        (("logs/han/new", "logs/han/nothing"), ("nothing is no run",)),
        (("--older", "week"), ("week", "number of days")),
        (("logs/han/new", "--data", "text"), ("--data text", "no effect")),
    ],
)
def test_a_slip_removes_nothing(folder: Path, argv: tuple[str, ...], words: tuple[str, ...]) -> None:
    command("clean", *argv, cwd=folder).refused(*words)
    assert (folder / "logs/han/new/results.json").is_file() and len(cache.entries()) == 3


def test_a_run_that_trains_is_not_removed(folder: Path) -> None:
    run = Run(folder / "logs/han/new")
    run.claim()
    command("clean", "logs/han/new", cwd=folder).refused("another process is training")
    run.release()
    command("clean", "logs/han/new", cwd=folder).ok()
    assert not run.folder.exists()
