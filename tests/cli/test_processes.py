"""One process decides which checkpoint is meant and hands it to the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lightning_nn.cli.checkpoint import find_checkpoint
from tests.commands import ranks

ASK = """
import time
from pathlib import Path
from lightning_nn.cli.checkpoint import find_checkpoint
from lightning_nn.runs.run_folder import is_first_process

first, newer = is_first_process(), Path("logs/softmax/b/checkpoints/last.ckpt")
while not first and not newer.exists():  # another run saves in between
    time.sleep(0.05)
Path(f"said-{first}").write_text(str(find_checkpoint("logs", None, "last")))
if first:
    newer.parent.mkdir(parents=True)
    newer.touch()
"""


def save(cwd: Path, run: str, seconds: float = 0) -> Path:
    """A checkpoint's file of a given age."""
    file = cwd / "logs/softmax" / run / "checkpoints/last.ckpt"
    file.parent.mkdir(parents=True)
    file.touch()
    os.utime(file, (time.time() - seconds,) * 2)
    return file


def test_a_process_that_was_started_takes_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CKPT", "nothing that counts")
    logs, first = str(tmp_path / "logs"), save(tmp_path, "a", seconds=60)
    assert find_checkpoint(logs, None, "last") == first
    newer = save(tmp_path, "b")
    with monkeypatch.context() as patch:
        patch.setenv("LOCAL_RANK", "1")
        assert find_checkpoint(logs, None, "last") == first
    assert find_checkpoint(logs, None, "last") == newer, "the first process looks each time"


def test_processes_of_torchrun_agree(tmp_path: Path) -> None:
    save(tmp_path, "a", seconds=60)
    for done in ranks(script=ASK, cwd=tmp_path):
        done.ok()
    said = {(tmp_path / f"said-{first}").read_text("utf-8") for first in (True, False)}
    assert said == {"logs/softmax/a/checkpoints/last.ckpt"}
