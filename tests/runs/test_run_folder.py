from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lightning_nn.errors import UserError
from lightning_nn.runs.run_folder import Run, is_first_process
from tests.commands import ROOT, command, environment

HOLD = """
import sys
from lightning_nn.runs.run_folder import Run
run = Run.new("logs", "softmax", sys.argv[1] if len(sys.argv) > 1 else None)
print(run.folder.name, flush=True)
sys.stdin.read()
"""
SOFTMAX = ("--model", "softmax", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false")


def holder(cwd: Path, *name: str) -> subprocess.Popen[str]:
    """Another process that has begun a run and has written nothing yet."""
    pipe = subprocess.PIPE
    started = subprocess.Popen(
        [sys.executable, "-c", HOLD, *name], cwd=cwd, env=environment(), stdin=pipe, stdout=pipe, text=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_of_two_with_one_name_the_second_is_refused_before_the_first_has_written(tmp_path: Path) -> None:
    first = holder(tmp_path, "a")
    try:
        command(*SOFTMAX, "--name", "a", cwd=tmp_path).refused("another process is training", "--name")
        command(*SOFTMAX, "--name", "b", cwd=tmp_path).ok()
    finally:
        first.kill()
        first.communicate()
    command(*SOFTMAX, "--name", "a", cwd=tmp_path).ok()  # the first one crashed: the same command begins anew
    command(*SOFTMAX, "--name", "a", cwd=tmp_path).refused("holds a run already", "--name", "--ckpt_path")


def test_of_many_that_begin_at_once_one_gets_the_name(tmp_path: Path) -> None:
    won: list[Run] = []
    refused: list[UserError] = []
    ready = threading.Barrier(8)

    def begin() -> None:
        ready.wait()
        try:
            won.append(Run.new(str(tmp_path), "softmax", "a"))
        except UserError as error:
            refused.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)


def test_runs_without_a_name_get_folders_of_their_own(tmp_path: Path) -> None:
    runs = [Run.new(str(tmp_path), "softmax", None) for _ in range(3)]
    assert len({run.folder for run in runs}) == 3


def test_a_run_is_not_resumed_while_it_trains(tmp_path: Path) -> None:
    command(*SOFTMAX, "--name", "a", cwd=tmp_path).ok()
    run = Run(tmp_path / "logs/softmax/a")
    run.claim()
    last = run.last.read_bytes()
    go_on = ("--ckpt_path", "last", "--trainer.max_epochs", "2")
    command(*go_on, cwd=tmp_path).refused("another process is training")
    assert run.last.read_bytes() == last
    del run
    command(*go_on, cwd=tmp_path).ok()


def test_a_run_without_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    argv = (*SOFTMAX, "--trainer.enable_checkpointing", "false", "--name", "a")
    command(*argv, cwd=tmp_path).ok()
    command(*argv, cwd=tmp_path).refused("holds a run already")


def test_a_rehearsal_leaves_no_folder(tmp_path: Path) -> None:
    command(*SOFTMAX, "--trainer.fast_dev_run", "true", "--name", "a", cwd=tmp_path).ok()
    assert not (tmp_path / "logs/softmax/a").exists()


@pytest.mark.parametrize("name", ["a/b", ".."])
def test_a_name_is_one_folder(name: str, tmp_path: Path) -> None:
    command(*SOFTMAX, "--name", name, cwd=tmp_path).refused("--name", name)


@pytest.mark.parametrize(("value", "first"), [("0", True), ("3", False), ("", True), ("x", True), ("-1", True)])
@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID"])
def test_a_rank_that_is_no_number_is_nobodys(
    name: str, value: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert is_first_process() is first


def test_the_commit_of_a_repository_around_an_installed_package_is_not_ours(tmp_path: Path) -> None:
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "theirs"], check=True)
    site = tmp_path / ".venv" / "site-packages"
    shutil.copytree(ROOT / "lightning_nn", site / "lightning_nn", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import lightning_nn.runs.run_folder as r; print(r.__file__, r.commit())"
    env = environment({"PYTHONPATH": str(site)})
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == [str(site / "lightning_nn" / "runs" / "run_folder.py"), "None"], done
