"""Options that make a run hard to resume: it ends with the same bits, or is refused before it starts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_nn.data.loader import Loader
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.task import Task
from tests.cli.test_resume import interrupt_at, scalars
from tests.commands import (
    command,
    process,
    results,
    same_bits,
    weights,
    write_described,
    write_pictures,
    write_street,
)

RUN = Path("logs/softmax/r")
LAST, BEST = RUN / "checkpoints/last.ckpt", RUN / "checkpoints/best.ckpt"
SOFTMAX = shlex.split(
    "--model softmax --model.hidden [8] --data.batch_size 128 --trainer.enable_progress_bar false --name r"
)  # 9 steps an epoch


def options(text: str) -> list[str]:
    """Return options of the trainer: `--trainer.max_steps 3` for `max_steps 3`."""
    words = shlex.split(text)
    return [f"--trainer.{word}" if i % 2 == 0 and "." not in word else word for i, word in enumerate(words)]


def options_of(text: str) -> list[str]:
    """Return options that are given with their group: `early_stopping.patience 1`."""
    words = shlex.split(text)
    return [f"--{word}" if i % 2 == 0 else word for i, word in enumerate(words)]


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("convnet", "data images data.path pictures data.size 32 data.balanced true data.augment.mixup 0.5"),
        ("fcn", "data segmentation data.path street data.augment.window 32 data.augment.rotate 20"),
        ("show_and_tell", "data captions data.path described data.vocabulary.min_count 1 data.augment.translate 2"),
    ],
)
def test_pictures_of_ones_own_end_with_the_same_bits(
    model: str, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    write_pictures(tmp_path / "pictures")
    write_street(tmp_path / "street")
    write_described(tmp_path / "described")
    where = options_of(own.replace("data.path ", f"data.path {tmp_path}/"))
    argv = ("fit", "--model", model, *where, "--data.batch_size", "4", "--name", "r", *options("max_epochs 2"))
    for folder in (first, whole):
        folder.mkdir()
    command(*argv, cwd=whole).ok()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", 2, Task)
        assert command(*argv, cwd=first).code == 130
    last = Path("logs", model, "r/checkpoints/last.ckpt")
    assert torch.load(first / last, weights_only=True)["global_step"] == 2, "in the middle of an epoch"
    command("fit", "--ckpt_path", "last", "--model", model, cwd=first).ok()
    assert same_bits(first / last, whole / last)


@pytest.mark.parametrize("more", ["", "limit_val_batches 0", "val_check_interval 4"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_steps_are_counted_on_from_the_end_of_an_epoch(more: str, epochs: int, tmp_path: Path) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    for folder, steps in ((first, 9 * epochs), (whole, 25)):
        folder.mkdir()
        command("fit", *SOFTMAX, *options(f"max_steps {steps} max_epochs 3 {more}"), cwd=folder).ok()
    command("fit", "--ckpt_path", "last", "--trainer.max_steps", "25", cwd=first).ok()
    assert torch.load(first / LAST, weights_only=True)["global_step"] == 25
    assert same_bits(first / LAST, whole / LAST)


@pytest.mark.parametrize("call", [5, 8])
def test_a_run_limited_by_steps_is_stopped_and_resumed(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    argv = ("fit", *SOFTMAX, *options("max_steps 25 max_epochs -1"))
    command(*argv, cwd=whole).ok()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "validation_step", call)
        assert command(*argv, cwd=first).code == 130
    command("fit", "--ckpt_path", "last", cwd=first).ok()
    assert same_bits(first / LAST, whole / LAST)


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_validation_within_an_optimizer_step_keeps_its_gradients(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    argv = ("fit", *SOFTMAX, *options("max_epochs 2 accumulate_grad_batches 4 val_check_interval 5"))
    command(*argv, cwd=whole).ok()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "validation_step", 4)
        assert command(*argv, cwd=first).code == 130
    held = torch.load(first / RUN / f"checkpoints/{which}.ckpt", weights_only=True)
    assert (held["global_step"], len(held["lightning_nn_gradients"])) == (1, 4)
    more = () if which == "last" else ("--name", "again")
    command("fit", "--ckpt_path", which, *more, cwd=first).ok()
    last = LAST if which == "last" else LAST.parent.parent.parent / "again/checkpoints/last.ckpt"
    assert same_bits(first / last, whole / LAST)


def test_weights_of_double_precision_are_not_rounded(tmp_path: Path) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    for folder, epochs in ((first, 1), (whole, 2)):
        folder.mkdir()
        command("fit", *SOFTMAX, *options(f"precision 64-true max_epochs {epochs}"), cwd=folder).ok()
    command("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=first).ok()
    assert same_bits(first / LAST, whole / LAST)


def test_metrics_of_an_epoch_survive_a_stop_in_its_last_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    argv = ("fit", *SOFTMAX, *options("max_epochs 3 log_every_n_steps 1"))
    command(*argv, cwd=whole).ok()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "validation_step", 8)
        assert command(*argv, cwd=first).code == 130
    command("fit", "--ckpt_path", "last", cwd=first).ok()
    for name in ("train/loss", "train/acc", "val/loss"):
        assert scalars(first / RUN, name) == pytest.approx(scalars(whole / RUN, name), abs=1e-6)
        assert len(scalars(first / RUN, name)) == 3


def test_the_end_of_a_limited_epoch_is_no_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command("fit", *SOFTMAX, *options("max_epochs 1 limit_train_batches 4"), cwd=tmp_path).ok()
    monkeypatch.setattr(Loader, "load_state_dict", refuse_another_number)
    command("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=tmp_path).ok()


def refuse_another_number(self: Loader, state: dict[str, Any]) -> None:
    """Fail as `Loader.load_state_dict` does in the middle of an epoch that two processes shared."""
    raise AssertionError(f"a place within an epoch was restored: {state}")


# ---------------------------------------------------------------------- runs that do not end by epochs


def shown_command(text: str) -> list[str]:
    """Return the arguments of the shown command that resumes a run."""
    shown = re.search(r"train\.py (.*--(?:early_stopping|trainer)\.\S+ \S+)", text)
    assert shown, text
    return shlex.split(shown[1])


def test_patience_that_ran_out_before_min_epochs_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    argv = ("fit", *SOFTMAX, *options_of("early_stopping.patience 1 early_stopping.min_delta 1"))
    argv = (*argv, *options("max_epochs 8 min_epochs 5"))
    done = command(*argv, cwd=whole).ok()
    assert results(whole / RUN)["epochs"] == 5
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", 30)
        assert command(*argv, cwd=first).code == 130
    command("fit", "--ckpt_path", "last", cwd=first).ok()
    assert same_bits(first / LAST, whole / LAST)
    command("fit", "--ckpt_path", "last", cwd=first).refused("stopped early", "--early_stopping.patience 8")
    command(*shown_command(done.out), cwd=whole).ok()
    assert results(whole / RUN)["epochs"] > 5


def test_a_stop_that_min_epochs_put_off_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric improves after patience ran out: the run still ends at its minimal number of epochs."""
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    argv = ("fit", *SOFTMAX, *options("max_epochs 8 min_epochs 4"))
    argv = (*argv, *options_of("early_stopping.patience 1 early_stopping.monitor val/loss"))
    scores = iter([1.0, 2.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05] * 2)

    def report(self: Classifier, split: str) -> None:
        if split == "val":
            score = 9.0 if self.trainer.sanity_checking else next(scores)
            self.log_dict({"val/loss": score, "val/acc": score, "val/f1": score})

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "_report", report)
        patch.setattr(Classifier, "confusion", lambda *_: torch.zeros(10, 10, dtype=torch.int64))
        command(*argv, "--trainer.logger", "false", cwd=whole).ok()
        assert results(whole / RUN)["epochs"] == 4
        scores = iter([1.0, 2.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
        with monkeypatch.context() as interrupted:
            interrupt_at(interrupted, "training_step", 20)
            assert command(*argv, "--trainer.logger", "false", cwd=first).code == 130
        command("fit", "--ckpt_path", "last", cwd=first).ok()
    assert same_bits(first / LAST, whole / LAST)


def test_a_run_that_used_up_its_time_says_how_to_go_on(tmp_path: Path) -> None:
    argv = ("fit", *SOFTMAX, *options("max_epochs 100000 max_time 00:00:00:01"))
    done = command(*argv, cwd=tmp_path).ok()
    assert "--trainer.max_time 00:00:00:" in done.out, done.out
    assert "--trainer.max_epochs" not in done.out
    before = torch.load(tmp_path / LAST, weights_only=True)["global_step"]
    command("fit", "--ckpt_path", "last", cwd=tmp_path).refused("max_time", "--trainer.max_time 00:00:00:")
    command(*shown_command(done.out), cwd=tmp_path).ok()
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] > before


# ---------------------------------------------------------------------- options that make no sense


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("val_check_interval 10", ["--trainer.val_check_interval 10", "9 batches", "check_val_every_n_epoch null"]),
        ("val_check_interval 6 limit_train_batches 5", ["--trainer.val_check_interval 6", "5 batches"]),
        ("accumulate_grad_batches 0", ["--trainer.accumulate_grad_batches is 0", "1"]),
        ("accumulate_grad_batches -2", ["--trainer.accumulate_grad_batches is -2", "1"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_run_begins(option: str, words: list[str], tmp_path: Path) -> None:
    command("fit", *SOFTMAX, *options(option), cwd=tmp_path).refused(*words)
    assert not (tmp_path / LAST).exists()


# ---------------------------------------------------------------------- the user's own callbacks


def own(folder: Path, name: str, **arguments: object) -> list[str]:
    """Write a file that names a callback of Lightning, and return the options `-c FILE`."""
    callbacks = [{"class_path": f"pytorch_lightning.callbacks.{name}", "init_args": arguments}]
    (folder / "own.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}), encoding="utf-8")
    return ["-c", "own.yaml"]


@pytest.mark.parametrize("call", [5, 14, 18])
def test_a_persons_own_early_stopping_goes_on(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    for folder in (first, whole):
        given = own(folder, "EarlyStopping", monitor="val/loss", patience=2, min_delta=5.0)
    argv = ("fit", *SOFTMAX, *options("max_epochs 6"), *given)
    command(*argv, cwd=whole).ok()
    assert results(whole / RUN)["epochs"] == 3
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", call)
        assert command(*argv, cwd=first).code == 130
    command("fit", "--ckpt_path", "last", cwd=first).refused("trainer.callbacks", "-c")
    command("fit", "--ckpt_path", "last", *given, cwd=first).ok()
    assert same_bits(first / LAST, whole / LAST)


@pytest.mark.parametrize("monitor", ["val/nothing", "train/nothing"])
def test_a_metric_that_a_persons_own_early_stopping_misses(monitor: str, tmp_path: Path) -> None:
    given = own(tmp_path, "EarlyStopping", monitor=monitor)
    command("fit", *SOFTMAX, *options("max_epochs 2"), *given, cwd=tmp_path).refused(monitor)


@pytest.mark.parametrize("call", [14, 18, 23, 27, 32])
def test_weight_averaging_goes_on(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, whole = tmp_path / "first", tmp_path / "whole"
    first.mkdir()
    whole.mkdir()
    for folder in (first, whole):
        given = own(folder, "StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=2, annealing_epochs=2)
    argv = ("fit", *SOFTMAX, *options("max_epochs 4"), *given)
    command(*argv, cwd=whole).ok()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", call)
        assert command(*argv, cwd=first).code == 130
    command("fit", "--ckpt_path", "last", *given, cwd=first).ok()
    ours, theirs = weights(first / LAST), weights(whole / LAST)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_gradients_of_each_process_are_kept(tmp_path: Path) -> None:
    """Every validation falls within an optimizer step, and so does the best checkpoint."""
    two = options("accelerator cpu devices 2 strategy ddp accumulate_grad_batches 4 val_check_interval 5 max_epochs 2")
    process("fit", *SOFTMAX, *two, "--data.batch_size", "64", cwd=tmp_path, timeout=400).ok()
    held = torch.load(tmp_path / BEST, weights_only=True)["lightning_nn_gradients"]
    assert all(len(each) == 2 and not torch.equal(each[0], each[1]) for each in held.values())
    process("fit", "--ckpt_path", "best", "--name", "again", cwd=tmp_path, timeout=400).ok()
    assert same_bits(tmp_path / "logs/softmax/again/checkpoints/last.ckpt", tmp_path / LAST)
