"""Survival of a full disk, a run killed between two steps or while it writes, a loss that is not finite."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands import command, process, same_bits

SOFTMAX = ("--model", "softmax", "--data.batch_size", "128", "--trainer.enable_progress_bar", "false", "--name", "r")
LAST = Path("logs/softmax/r/checkpoints/last.ckpt")

KILLED = """
import os, signal, sys
import torch
from lightning_nn.cli.main import main
from lightning_nn.tasks.classification import Classifier

where, count = sys.argv[1], int(sys.argv[2])
calls = 0

def now():
    global calls
    calls += 1
    return calls == count

def die():
    os.kill(os.getpid(), signal.SIGKILL)

if where == "step":
    step = Classifier.training_step
    def training_step(self, *args):
        if now():
            die()
        return step(self, *args)
    Classifier.training_step = training_step
else:
    save = torch.save
    def half(checkpoint, file, *args, **kwargs):
        if now():
            import io
            whole = io.BytesIO()
            save(checkpoint, whole)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            os.fsync(file.fileno())
            die()
        save(checkpoint, file, *args, **kwargs)
    torch.save = half

sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(("where", "count"), [("step", 14), ("write", 4)])
def test_a_killed_run_leaves_a_checkpoint_to_go_on_with(where: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    argv = (*SOFTMAX, "--trainer.max_epochs", "3")
    killed = process(where, str(count), *argv, cwd=tmp_path, script=tmp_path / "killed.py")
    assert killed.code == -signal.SIGKILL, killed
    steps = torch.load(tmp_path / LAST, weights_only=True)["global_step"]
    assert steps == 9, f"the last whole checkpoint was after epoch 0, step 9; this one is of step {steps}"
    command("test", "--ckpt_path", "best", cwd=tmp_path).ok()
    command("--ckpt_path", "last", cwd=tmp_path).ok()
    (tmp_path / "whole").mkdir()
    command(*argv, cwd=tmp_path / "whole").ok()
    assert same_bits(tmp_path / LAST, tmp_path / "whole" / LAST), "the resumed run ended elsewhere"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 640 vs 534"),
    ],
    ids=["the disk says so", "torch says so"],
)
@pytest.mark.parametrize("nth", [1, 3, 4])
def test_a_full_disk_keeps_the_old_checkpoint(
    error: Exception, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written = torch.save, 0

    def full(checkpoint: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal written
        written += 1
        if written >= nth:
            file.write(b"half of a checkpoint")
            raise error
        save(checkpoint, file, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        words = ["ckpt", "No space" if isinstance(error, OSError) else "enforce fail"]
        command(*SOFTMAX, "--trainer.max_epochs", "3", cwd=tmp_path).refused(*words)
    left = sorted(path.name for path in (tmp_path / LAST).parent.glob("*"))
    assert left == {1: [], 3: ["best.ckpt", "last.ckpt"], 4: ["best.ckpt", "last.ckpt"]}[nth], f"left behind: {left}"
    if nth > 1:
        command("--ckpt_path", "last", cwd=tmp_path).ok()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    command(*SOFTMAX, "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    good = torch.load(tmp_path / LAST, weights_only=True)
    spoilt = {
        **good,
        "state_dict": {k: torch.full_like(v, 3e38) if "weight" in k else v for k, v in good["state_dict"].items()},
    }
    torch.save(spoilt, tmp_path / LAST)
    stopped = command("--ckpt_path", "last", "--trainer.max_epochs", "4", cwd=tmp_path)
    stopped.refused("finite", "--optimizer.lr", "epoch 2")


def test_a_learning_rate_too_high_says_what_to_change(tmp_path: Path) -> None:
    argv = (*SOFTMAX, "--model.hidden", "[8]", "--optimizer.lr", "1e30", "--trainer.max_epochs", "5")
    stopped = command(*argv, cwd=tmp_path)
    stopped.refused("finite", "--optimizer.lr", "1e+30", "gradient_clip_val")
    for file in (tmp_path / LAST).parent.glob("*.ckpt"):
        values = torch.load(file, weights_only=True)["state_dict"].values()
        assert all(bool(v.isfinite().all()) for v in values if v.is_floating_point()), f"{file.name} is spoilt"


def test_a_run_that_diverges_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """One step over the whole set: the weights are finite, their validation is not."""
    argv = (*SOFTMAX, "--optimizer.momentum", "0", "--trainer.max_epochs")
    command(*argv, "1", cwd=tmp_path).ok()
    good = (tmp_path / LAST).read_bytes()
    spoilt = command(*argv, "2", "--data.batch_size", "all", "--optimizer.lr", "3e38", "--name", "s", cwd=tmp_path)
    spoilt.refused("finite", "--optimizer.lr")
    assert (tmp_path / LAST).read_bytes() == good
    assert not list(tmp_path.glob("logs/softmax/s/checkpoints/*.ckpt")), "a diverged model was kept"
