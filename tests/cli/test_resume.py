"""Resuming a run: stopped anywhere, resumed in a new process, it ends as if it had not been stopped."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from lightning_nn.callbacks.checkpoints import LastCheckpoint
from lightning_nn.tasks.classification import Classifier
from lightning_nn.tasks.task import Task
from tests.commands import ROOT, Result, command, process, results, same_bits, start, weights, write_reviews

SOFTMAX = ("--model", "softmax", "--model.hidden", "[8]", "--data.batch_size", "128")
HAN = shlex.split(
    "--model han --data text --data.path reviews.csv --data.batch_size 8 --model.embedding_size 8 "
    "--model.hidden_size 4 --model.attention_size 4 --optimizer.lr 0.01 --lr_scheduler.name one_cycle"
)
COMMON = ("--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "false", "--name", "r")
PARTS = ("--data.path", "parts", "--data.vocabulary.segmenter", "chars")
SEEN = ("--data.allow_seen", "true")
MODELS = {"softmax": SOFTMAX, "han": HAN}  # 9 and 6 steps an epoch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train an uninterrupted run `r` of each model, and return its folder by model."""
    made = {}
    for model, options in MODELS.items():
        cwd = made[model] = tmp_path_factory.mktemp(model)
        write_reviews(cwd / "reviews.csv")
        command(*options, *COMMON, cwd=cwd).ok()
    return made


@pytest.fixture
def copy(whole: dict[str, Path], tmp_path: Path) -> Path:
    """Copy the finished run of softmax."""
    return Path(shutil.copytree(whole["softmax"], tmp_path / "copy"))


def interrupt_at(
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    call: int,
    task: type[Task] = Classifier,
    number: int = signal.SIGINT,
) -> None:
    """Press Ctrl-C, or send another signal, at the given call of a hook of the model."""
    calls = 0
    original = getattr(task, hook)

    def interrupted(self: Task, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(self, *args)

    monkeypatch.setattr(task, hook, interrupted)


# ---------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(
    ("model", "hook", "call"),
    [
        ("softmax", "training_step", 1),
        ("softmax", "training_step", 14),
        ("softmax", "training_step", 18),  # the last of the second epoch
        ("softmax", "validation_step", 5),
        ("softmax", "validation_step", 8),
        ("han", "training_step", 8),
        ("han", "training_step", 12),
    ],
)
def test_stopped_by_ctrl_c_and_resumed_ends_with_the_same_bits(
    model: str, hook: str, call: int, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    with monkeypatch.context() as patch:
        interrupt_at(patch, hook, call)
        stopped = command(*MODELS[model], *COMMON, cwd=tmp_path)
    assert stopped.code == 130, stopped
    last = Path("logs", model, "r", "checkpoints", "last.ckpt")
    assert f"saved {last}" in stopped.err, stopped.err
    assert not (tmp_path / last.parent.parent / "results.json").exists()
    steps = torch.load(tmp_path / last, weights_only=True)["global_step"]
    if hook == "training_step":
        assert steps == call, f"stopped in step {call}, saved after {steps}"
    else:
        assert steps in (9, 18), "stopped after the validation"
    shown = re.search(r"^resume with: (python train\.py .*)$", stopped.err, re.M)
    assert shown, stopped.err
    command(*shlex.split(shown[1])[2:], cwd=tmp_path).ok()
    assert same_bits(tmp_path / last, whole[model] / last), "the resumed run ended elsewhere"
    ours, theirs = results(tmp_path / last.parent.parent), results(whole[model] / last.parent.parent)
    same = ("val/loss", "val/acc", "val/f1", "best_epoch", "epochs", "test/loss", "test/acc", "test/f1")
    assert {k: ours[k] for k in same} == {k: theirs[k] for k in same}
    assert scalars(tmp_path / last.parent.parent, "val/loss") == scalars(whole[model] / last.parent.parent, "val/loss")


@pytest.mark.parametrize(("hook", "call"), [("training_step", 27), ("validation_step", 11)])
def test_ctrl_c_at_the_very_end_ends_the_run(
    hook: str, call: int, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, hook, call)
        command(*SOFTMAX, *COMMON, cwd=tmp_path).ok()
    assert results(tmp_path / "logs/softmax/r")["test/acc"] == results(whole["softmax"] / "logs/softmax/r")["test/acc"]


@pytest.mark.parametrize("steps", [4, 9, 13])
def test_a_run_that_ended_by_steps_goes_on_where_it_was(steps: int, whole: dict[str, Path], tmp_path: Path) -> None:
    command(*SOFTMAX, *COMMON, "--trainer.max_steps", str(steps), cwd=tmp_path).ok()
    command("--ckpt_path", "last", "--trainer.max_steps", "-1", cwd=tmp_path).ok()
    last = Path("logs/softmax/r/checkpoints/last.ckpt")
    assert same_bits(tmp_path / last, whole["softmax"] / last), "batches were left out or came in another order"


@pytest.mark.parametrize("options", ["--trainer.val_check_interval 0.3", "--trainer.limit_val_batches 0"])
def test_epochs_are_counted_wherever_validation_comes(options: str, tmp_path: Path) -> None:
    first = (*SOFTMAX, "--trainer.max_epochs", "1", *options.split(), "--name")
    command(*first, "r", cwd=tmp_path).ok()
    command("--ckpt_path", "last", cwd=tmp_path).refused("1 of 1 epochs")
    command("--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    command(*first, "whole", "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    resumed, whole = (tmp_path / f"logs/softmax/{name}/checkpoints/last.ckpt" for name in ("r", "whole"))
    assert same_bits(resumed, whole)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(monkeypatch, "training_step", 3)
    interrupt_at(monkeypatch, "training_step", 3)
    stopped = command(*SOFTMAX, *COMMON, cwd=tmp_path)
    assert stopped.code == 130
    assert "Traceback" not in stopped.err
    assert not list(tmp_path.rglob("*.ckpt")), "no step was through that could be saved"
    assert "before a checkpoint was written" in stopped.err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is none on this platform")
@pytest.mark.parametrize("ignored", [False, True])  # as under nohup
def test_a_terminal_that_is_closed_saves_the_step_in_hand(
    ignored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.SIG_IGN if ignored else signal.default_int_handler
    before = signal.signal(signal.SIGHUP, handler)
    try:
        for hook in ("training_step", "on_before_optimizer_step"):  # a shell and the kernel may both send it
            interrupt_at(monkeypatch, hook, 14, number=signal.SIGHUP)
        done = command(*SOFTMAX, *COMMON, cwd=tmp_path)
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)
    last = torch.load(tmp_path / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)
    assert (done.code, last["global_step"]) == ((0, 27) if ignored else (130, 14)), done


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_disk_that_is_full_under_tensorboard_is_named_and_the_checkpoint_kept(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = RecordWriter.write, 0

    def full(self: RecordWriter, data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 20_000:
            raise OSError(number, os.strerror(number))
        write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", full)
        refused = command(*SOFTMAX, *COMMON, cwd=tmp_path, drawn=True)
        refused.refused("can't write to logs/softmax/r", os.strerror(number), "last.ckpt")
    command("--ckpt_path", "last", cwd=tmp_path).ok()


def test_ctrl_c_in_a_process_of_its_own(whole: dict[str, Path], tmp_path: Path) -> None:
    argv = [*SOFTMAX, "--trainer.max_epochs", "100000", "--trainer.enable_progress_bar", "false", "--name", "r"]
    run = start(*argv, cwd=tmp_path)
    last = tmp_path / "logs/softmax/r/checkpoints/last.ckpt"
    deadline = time.monotonic() + 100
    while not last.exists() and run.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    run.process.send_signal(signal.SIGINT)
    code, out, err = run.result(60)
    assert code == 130, f"{code}\n{out}\n{err}"
    assert "Traceback" not in err
    assert f"resume with: python {ROOT / 'train.py'} --model softmax" in err, "called from elsewhere"
    epoch = torch.load(last, weights_only=True)["epoch"]
    command("--ckpt_path", "last", "--trainer.max_epochs", str(epoch + 2), cwd=tmp_path).ok()


# ---------------------------------------------------------------------- resume


def test_a_finished_run_says_so_and_how_to_go_on(copy: Path) -> None:
    refused = command("--ckpt_path", "last", cwd=copy)
    refused.refused("finished", "3 of 3 epochs", "--trainer.max_epochs")
    shown = re.search(r"(train\.py .*)", refused.err)
    assert shown, refused.err
    command(*shlex.split(shown[1])[1:], cwd=copy).ok()
    assert results(copy / "logs/softmax/r")["epochs"] > 3


@pytest.mark.parametrize(
    "end", ["--trainer.max_epochs 2", "--trainer.max_steps 13", "--early_stopping.patience 1 --optimizer.lr 9"]
)
def test_a_run_that_was_killed_before_its_results_gets_them(end: str, tmp_path: Path) -> None:
    command(*SOFTMAX, *COMMON, *end.split(), cwd=tmp_path).ok()
    run = tmp_path / "logs/softmax/r"
    before = results(run)
    (run / "results.json").unlink()
    again = command("--ckpt_path", "last", cwd=tmp_path).ok()
    assert "not written its results" in again.err
    same = [key for key in before if "/" in key or key in ("best_epoch", "parameters", "sizes")]
    assert {key: results(run).get(key) for key in same} == {key: before[key] for key in same}
    refused = command("--ckpt_path", "last", cwd=tmp_path).refused("To resume: ")
    shown = re.search(r"To test it: .*train\.py (test .*)", refused.err)
    assert shown, refused.err
    command(*shlex.split(shown[1]), cwd=tmp_path).ok()


def test_the_option_to_go_on_is_that_of_the_last_epoch_not_of_the_best(tmp_path: Path) -> None:
    options = ("--trainer.max_epochs", "9", "--early_stopping.patience", "1", "--optimizer.lr", "9", "--name", "r")
    done = command(*SOFTMAX, *options, cwd=tmp_path).ok()
    assert "--early_stopping.patience 2" in done.out, done.out


def test_the_last_checkpoint_knows_the_best(whole: dict[str, Path]) -> None:
    for model, cwd in whole.items():
        run = cwd / "logs" / model / "r"
        states = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["callbacks"]
        (best,) = (state for key, state in states.items() if key.startswith("BestCheckpoint"))
        assert float(best["best_model_score"]) == results(run)["val/acc"], "a resumed run would overwrite the best"


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a softmax run of five epochs at once."""
    cwd = tmp_path_factory.mktemp("five")
    epochs = ("--trainer.max_epochs", "5", "--trainer.enable_progress_bar", "false", "--name", "r")
    command(*SOFTMAX, *epochs, cwd=cwd).ok()
    return cwd


@pytest.mark.parametrize("which", ["last", "logs/softmax/r/checkpoints/last.ckpt"])
@pytest.mark.parametrize("verb", [(), ("fit",)])
def test_more_epochs_go_on_in_the_same_folder(which: str, verb: tuple[str, ...], copy: Path, five: Path) -> None:
    command(*verb, "--model", "softmax", "--ckpt_path", which, "--trainer.max_epochs", "5", cwd=copy).ok()
    assert [path.name for path in (copy / "logs/softmax").iterdir()] == ["r"], "a new folder was made"
    kept = yaml.safe_load((copy / "logs/softmax/r/config.yaml").read_text(encoding="utf-8"))
    assert (kept["trainer"]["max_epochs"], kept["data"]["batch_size"], kept["model"]["hidden"]) == (5, 128, [8])
    assert results(copy / "logs/softmax/r")["epochs"] == 5
    last = Path("logs/softmax/r/checkpoints/last.ckpt")
    assert same_bits(copy / last, five / last), "three epochs and two more are not five"


def test_best_is_not_last(whole: dict[str, Path], tmp_path: Path) -> None:
    rising = (
        "--optimizer.lr",
        "5",
        "--trainer.max_epochs",
        "4",
        "--name",
        "r",
        "--trainer.enable_progress_bar",
        "false",
    )
    command(*SOFTMAX, *rising, cwd=tmp_path).ok()
    best, last = (
        torch.load(tmp_path / f"logs/softmax/r/checkpoints/{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert last["epoch"] == 3, f"last.ckpt holds epoch {last['epoch']} of 0 to 3"
    assert best["epoch"] + 1 == results(tmp_path / "logs/softmax/r")["best_epoch"]


def test_resuming_from_the_best_goes_on_from_that_epoch_in_a_run_of_its_own(copy: Path) -> None:
    run = copy / "logs/softmax/r"
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    before = (run / "checkpoints/last.ckpt").read_bytes()
    more = ("--trainer.max_epochs", str(best["epoch"] + 2), "--name", "again")
    command("--ckpt_path", str(run / "checkpoints/best.ckpt"), *more, cwd=copy).ok()
    assert (run / "checkpoints/last.ckpt").read_bytes() == before, "what the run had reached is lost"
    kept = results(copy / "logs/softmax/again")
    assert (kept["epochs"], kept["best_epoch"]) == (best["epoch"] + 2, best["epoch"] + 2)
    again = torch.load(copy / "logs/softmax/again/checkpoints/best.ckpt", weights_only=True)
    assert again["epoch"] == best["epoch"] + 1


def test_a_run_that_was_moved_keeps_its_best(tmp_path: Path) -> None:
    first = ("--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false", "--name", "r")
    command(*SOFTMAX, "--optimizer.lr", "0.1", *first, cwd=tmp_path).ok()
    moved = tmp_path / "moved"
    (tmp_path / "logs").rename(moved)
    run = moved / "softmax/r"
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    for key, state in last["callbacks"].items():
        if key.startswith("BestCheckpoint"):
            state["best_model_score"] = torch.tensor(2.0)  # no later epoch is better
            state["best_k_models"] = {state["best_model_path"]: torch.tensor(2.0)}
    torch.save(last, run / "checkpoints/last.ckpt")
    before = (run / "checkpoints/best.ckpt").read_bytes()
    command("--ckpt_path", str(run / "checkpoints/last.ckpt"), "--trainer.max_epochs", "4", cwd=tmp_path).ok()
    assert (run / "checkpoints/best.ckpt").read_bytes() == before, "the best so far was overwritten"


def test_a_best_checkpoint_that_was_deleted_is_not_missed_for_ever(copy: Path) -> None:
    best = copy / "logs/softmax/r/checkpoints/best.ckpt"
    last = torch.load(best.with_name("last.ckpt"), weights_only=True)
    for key, state in last["callbacks"].items():
        if key.startswith("BestCheckpoint"):
            state["best_model_score"] = state["kth_value"] = torch.tensor(2.0)  # no later epoch is better
    torch.save(last, best.with_name("last.ckpt"))
    best.unlink()
    command("--ckpt_path", "last", "--trainer.max_epochs", "5", cwd=copy).ok()
    kept = torch.load(best, weights_only=True)
    assert kept["epoch"] + 1 == results(copy / "logs/softmax/r")["best_epoch"] > 3


@pytest.mark.parametrize("stopped", [False, True])
def test_early_stopping_counts_on_after_a_resume(stopped: bool, tmp_path: Path) -> None:
    patience = "1" if stopped else "5"
    argv = ("--early_stopping.patience", patience, "--early_stopping.min_delta", "1", "--name", "r")
    command(*SOFTMAX, *argv, "--trainer.max_epochs", "3", cwd=tmp_path).ok()  # nothing is better by 1
    kept = results(tmp_path / "logs/softmax/r")
    assert kept["epochs"] == (2 if stopped else 3)
    if stopped:
        more = ("--trainer.max_epochs", "6")
        command("--ckpt_path", "last", *more, cwd=tmp_path).refused("stopped early", "--early_stopping.patience 2")
        command("--ckpt_path", "last", "--early_stopping.patience", "3", *more, cwd=tmp_path).ok()
        assert results(tmp_path / "logs/softmax/r")["epochs"] == 4
    else:
        command("--ckpt_path", "last", "--trainer.max_epochs", "9", cwd=tmp_path).ok()
        assert results(tmp_path / "logs/softmax/r")["epochs"] == 6


def test_figures_of_a_test_go_when_the_model_changes(copy: Path) -> None:
    assert "test/acc" in results(copy / "logs/softmax/r")
    command("fit", "--ckpt_path", "last", "--trainer.max_epochs", "4", cwd=copy).ok()
    assert not [key for key in results(copy / "logs/softmax/r") if key.startswith("test/")]


def test_results_name_the_command_that_started_and_the_one_that_resumed(copy: Path) -> None:
    (first,) = results(copy / "logs/softmax/r")["commands"]
    more = ("--ckpt_path", "last", "--trainer.max_epochs", "4")
    command(*more, cwd=copy).ok()
    assert first.startswith("train.py --model softmax")
    assert results(copy / "logs/softmax/r")["commands"] == [first, f"train.py {' '.join(more)}"]


def test_training_accuracy_of_an_epoch_is_whole_after_a_resume(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", 14)  # of 9 an epoch
        command(*SOFTMAX, *COMMON, cwd=tmp_path)
    command("--ckpt_path", "last", cwd=tmp_path).ok()
    for name in ("train/acc", "train/loss"):
        kept, resumed = (scalars(folder / "logs/softmax/r", name) for folder in (copy, tmp_path))
        assert kept == pytest.approx(resumed, abs=1e-6), name


def test_training_accuracy_of_the_epoch_after_a_resume_is_its_own(copy: Path, tmp_path: Path) -> None:
    command(*SOFTMAX, *COMMON, "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    command("--ckpt_path", "last", "--trainer.max_epochs", "3", cwd=tmp_path).ok()
    for name in ("train/acc", "train/loss"):
        kept, resumed = (scalars(folder / "logs/softmax/r", name) for folder in (copy, tmp_path))
        assert kept == pytest.approx(resumed, abs=1e-6), name


def scalars(run: Path, tag: str) -> list[float]:
    """Return the values that TensorBoard has of a run under a name, by step: the names of files don't tell the order of
    those that one process made in one second.
    """
    events = EventAccumulator(str(run))
    events.Reload()
    return [event.value for event in sorted(events.Scalars(tag), key=lambda event: event.step)]


def test_a_test_on_another_file_reads_all_of_it(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    command(*HAN, "--trainer.max_epochs", "1", "--name", "r", cwd=tmp_path).ok()
    own = json.loads(command("test", "--ckpt_path", "best", cwd=tmp_path).ok().out)
    write_reviews(tmp_path / "other.csv", rows=33)
    tested = command("test", "--ckpt_path", "best", "--data.path", "other.csv", *SEEN, cwd=tmp_path).ok()
    assert json.loads(tested.out)["samples"] == 33 > own["samples"]
    assert "all 33 samples" in tested.err


def test_a_model_is_tested_on_as_little_as_there_is(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    command(*HAN, "--trainer.max_epochs", "1", "--name", "r", cwd=tmp_path).ok()
    header, first, *_ = (tmp_path / "reviews.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "one.csv").write_text(f"{header}\n{first}\n", encoding="utf-8")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/test.csv").write_text(f"{header}\n{first}\n{first}\n", encoding="utf-8")
    for path, verb, samples in (("one.csv", "test", 1), ("one.csv", "validate", 1), ("parts", "test", 2)):
        tested = command(verb, "--ckpt_path", "best", "--data.path", path, *SEEN, cwd=tmp_path).ok()
        assert json.loads(tested.out)["samples"] == samples
        assert ("samples, as the data has no" in tested.err) == (path == "one.csv"), tested.err
    command(*HAN, "--data.path", "parts", cwd=tmp_path).refused("test.csv", "no train file")


def test_a_corpus_that_grew_is_not_tested_on_what_was_trained(tmp_path: Path) -> None:
    reviews = write_reviews(tmp_path / "reviews.csv", rows=80)
    command(*HAN, "--trainer.max_epochs", "1", "--name", "r", cwd=tmp_path).ok()
    before = results(tmp_path / "logs/han/r")
    old = reviews.read_text(encoding="utf-8")
    write_reviews(reviews, rows=90)
    for argv in (("test", "--ckpt_path", "best"), ("--ckpt_path", "last", "--trainer.max_epochs", "2")):
        command(*argv, cwd=tmp_path).refused("trained on", "--finetune", "--data.path")
    assert results(tmp_path / "logs/han/r") == before
    reviews.rename(tmp_path / "new.csv")
    whole = command("test", "--ckpt_path", "best", "--data.path", "new.csv", *SEEN, cwd=tmp_path).ok()
    assert json.loads(whole.out)["samples"] == 90
    (tmp_path / "moved.csv").write_text(old, encoding="utf-8")
    more = ("--trainer.max_epochs", "2", "--data.path", "moved.csv")
    command("--ckpt_path", "last", *more, cwd=tmp_path).ok()


def test_a_train_file_that_changed_is_not_gone_on_with_in_mid_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even if all splits are given: a position in an epoch refers to the samples of that time."""
    header, *lines = write_reviews(tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "parts").mkdir()
    for split, some in {"train": lines[:40], "val": lines[40:50], "test": lines[50:]}.items():
        (tmp_path / f"parts/{split}.csv").write_text("\n".join([header, *some]), encoding="utf-8")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "training_step", 3)
        assert command(*HAN, *PARTS, "--name", "r", cwd=tmp_path).code == 130
    go_on = ("fit", "--ckpt_path", "last", "--trainer.max_epochs", "1")
    others = (lines[:20], lines[:39] + lines[:1], [lines[2], lines[1], lines[0], *lines[3:40]])
    for number, other in enumerate(others):
        cwd = Path(shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-{number}")))
        (cwd / "parts/train.csv").write_text("\n".join([header, *other]), encoding="utf-8")
        command(*go_on, cwd=cwd).refused("is not what", "trained on")
    command(*go_on, cwd=tmp_path).ok()


@pytest.mark.parametrize("option", ["segmenter chars", "min_count 9", "user_dict words.txt"])
def test_how_texts_are_read_is_the_checkpoints(option: str, whole: dict[str, Path]) -> None:
    name, value = f"--data.vocabulary.{option}".split()
    command("test", "--ckpt_path", "best", name, value, cwd=whole["han"]).refused(name, "best.ckpt")


def test_a_user_dictionary_that_is_gone_is_not_missed(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    (tmp_path / "words.txt").write_text("超级好用\n", encoding="utf-8")
    words = ("--data.vocabulary.user_dict", "words.txt")
    command(*HAN, "--trainer.max_epochs", "1", *words, "--name", "r", cwd=tmp_path).ok()
    (tmp_path / "words.txt").unlink()
    command("test", "--ckpt_path", "best", cwd=tmp_path).ok()
    command("--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=tmp_path).ok()


def test_other_data_is_for_a_new_run(copy: Path) -> None:
    command("--ckpt_path", "last", "--data", "images", "--data.path", "x", cwd=copy).refused("digits", "--finetune")


def test_weights_that_do_not_fit_are_refused_before_a_run_begins(copy: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(copy / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)
    del checkpoint["state_dict"]["layers.2.bias"]
    torch.save(checkpoint, tmp_path / "mine.ckpt")
    argv = ("--ckpt_path", "mine.ckpt", "--trainer.max_epochs", "9")
    command(*argv, cwd=tmp_path).refused("mine.ckpt", "does not fit", "layers.2.bias")
    assert not (tmp_path / "logs").exists()


MEANS_SOMETHING = [
    ("lightning_nn/totals", None),
    ("callbacks/RunStatistics/seconds", -5),
    ("lightning_nn/window/total", -5),
    ("loops/fit_loop/epoch_loop.state_dict/_batches_that_stepped", -5),
    ("loops/fit_loop/epoch_loop.val_loop.batch_progress/total/started", -5),
]


@pytest.mark.parametrize("value", [None, "x", [1], -5])
@pytest.mark.parametrize(
    "place",
    [
        "callbacks/RunStatistics/seconds",
        "callbacks/StepSeed",
        "lightning_nn/processor/kind",
        "lightning_nn/processor/state/categories",
        "lightning_nn/totals",
        "lightning_nn/totals/sums",
        "lightning_nn/window/total",
        "loops/fit_loop/epoch_loop.state_dict/_batches_that_stepped",
        "loops/fit_loop/epoch_loop.val_loop.batch_progress/total/started",
        "optimizer_states",
    ],
)
def test_a_malformed_state_is_damage_and_no_traceback(place: str, value: Any, copy: Path) -> None:
    file = copy / "logs/softmax/r/checkpoints/last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["lightning_nn"]["totals"] = {"sums": {"loss": 1.0}, "weight": 1.0}
    checkpoint["lightning_nn"]["window"] = {"first": 1.0, "total": 1.0}
    *groups, last = place.split("/")
    group = checkpoint
    for name in groups:
        group = group[name]
    group[last] = value
    torch.save(checkpoint, file)
    result = command("--ckpt_path", "last", "--trainer.max_epochs", "9", cwd=copy)
    if (place, value) in MEANS_SOMETHING:
        result.ok()
    else:
        result.refused("last.ckpt")


@pytest.mark.parametrize(
    "option",
    [
        "--optimizer.lr 0.5",
        "--optimizer.name adam",
        "--lr_scheduler.name cosine",
        "--model.hidden [16]",
        "--data.batch_size 32",
        "--loss.label_smoothing 0.3",
        "--seed_everything 5",
        "--checkpoint.monitor val/loss",
    ],
)
def test_what_resuming_would_ignore_is_refused(option: str, copy: Path) -> None:
    before = (copy / "logs/softmax/r/checkpoints/last.ckpt").read_bytes()
    argv = ("--ckpt_path", "last", "--trainer.max_epochs", "9", *option.split())
    command(*argv, cwd=copy).refused(option.split()[0], "--finetune")
    assert (copy / "logs/softmax/r/checkpoints/last.ckpt").read_bytes() == before


def test_what_resuming_already_does_is_not_refused(copy: Path) -> None:
    command("--ckpt_path", "last", "--trainer.max_epochs", "4", "--data.batch_size", "128", cwd=copy).ok()


def test_a_checkpoint_without_its_run_starts_one(copy: Path, tmp_path: Path) -> None:
    shutil.copy(copy / "logs/softmax/r/checkpoints/last.ckpt", tmp_path / "mine.ckpt")
    command("--ckpt_path", "mine.ckpt", "--trainer.max_epochs", "4", "--name", "new", cwd=tmp_path).ok()
    kept = results(tmp_path / "logs/softmax/new")
    assert kept["epochs"] == 4
    assert kept["parameters"] == results(copy / "logs/softmax/r")["parameters"], "the arguments of the checkpoint"


def test_a_checkpoint_that_was_moved_goes_on_as_its_run_would(tmp_path: Path) -> None:
    own = ("--trainer.gradient_clip_val", "0.1", "--seed_everything", "5", "--trainer.accumulate_grad_batches", "2")
    command(*SOFTMAX, "--trainer.max_epochs", "2", *own, "--name", "r", cwd=tmp_path).ok()
    run, away = tmp_path / "logs/softmax/r", tmp_path / "away"
    away.mkdir()
    shutil.copy(run / "checkpoints/last.ckpt", away / "mine.ckpt")
    more = ("--trainer.max_epochs", "4")
    command("--ckpt_path", str(run / "checkpoints/last.ckpt"), *more, cwd=tmp_path).ok()
    command("--ckpt_path", "mine.ckpt", *more, "--name", "r", cwd=away).ok()
    assert same_bits(run / "checkpoints/last.ckpt", away / "logs/softmax/r/checkpoints/last.ckpt")


def test_a_class_that_a_moved_checkpoint_names_is_not_made(tmp_path: Path) -> None:
    command(*SOFTMAX, "--trainer.max_epochs", "1", "--name", "r", cwd=tmp_path).ok()
    checkpoint = torch.load(tmp_path / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)
    evil = {"callbacks": {"class_path": "pytorch_lightning.callbacks.LambdaCallback"}, "max_epochs": 1}
    checkpoint["lightning_nn"]["run"]["trainer"] = evil
    torch.save(checkpoint, tmp_path / "mine.ckpt")
    more = ("--ckpt_path", "mine.ckpt", "--trainer.max_epochs", "2", "--name", "new")
    command(*more, cwd=tmp_path).refused("trainer.callbacks", "--trainer.callbacks null")
    command(*more, "--trainer.callbacks", "null", cwd=tmp_path).ok()
    kept = yaml.safe_load((tmp_path / "logs/softmax/new/config.yaml").read_text(encoding="utf-8"))
    assert kept["trainer"]["callbacks"] is None


def test_checkpoints_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    original = LastCheckpoint._save

    def save(self: LastCheckpoint, trainer: Any) -> None:
        original(self, trainer)
        steps.append(torch.load(self.path, weights_only=True)["global_step"])

    monkeypatch.setattr(LastCheckpoint, "_save", save)
    often = ("--checkpoint.minutes", "0.0000001", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false")
    command(*SOFTMAX, *often, cwd=tmp_path).ok()
    assert sorted(set(steps)) == list(range(1, 10)), f"saved after the steps {steps}, of 9"


# ---------------------------------------------------------------------- fine-tuning


def test_finetuning_says_what_was_loaded_and_what_not(copy: Path) -> None:
    start = ("--finetune", "logs/softmax/r/checkpoints/best.ckpt", "--trainer.enable_progress_bar", "false")
    argv = ("--model", "softmax", "--model.hidden", "[8]", "--data.classes", "[3,8]", "--trainer.max_epochs", "1")
    done = command(*argv, *start, "--name", "tuned", cwd=copy).ok()
    assert re.search(r"best\.ckpt: 2 tensors loaded, 2 not", done.out), done.out
    assert re.search(r"2: 2\.weight shape .*2, 8.*10, 8", done.out), done.out
    assert results(copy / "logs/softmax/tuned")["epochs"] == 1


def test_finetuning_starts_from_the_weights_and_nothing_else(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = (*SOFTMAX, "--finetune", "best", "--trainer.enable_progress_bar", "false", "--name", "tuned")
    command(*argv, "--optimizer.lr", "1e-12", "--trainer.max_epochs", "1", cwd=copy).ok()
    before = weights(copy / "logs/softmax/r/checkpoints/best.ckpt")
    after = weights(copy / "logs/softmax/tuned/checkpoints/last.ckpt")
    apart = max(float((before[k] - after[k]).abs().max()) for k in before if k.startswith("layers"))
    assert apart < 1e-9, f"weights moved by {apart} at a learning rate of 1e-12"
    assert results(copy / "logs/softmax/tuned")["best_epoch"] == 1, "it is a run of its own"


def test_finetuning_keeps_the_form_of_a_checkpoint_that_is_older_than_an_argument(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    options = (*HAN, "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false")
    command(*options, "--model.character_vectors", "false", "--name", "r", cwd=tmp_path).ok()
    file = tmp_path / "logs/han/r/checkpoints/best.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    for key in ("character_vectors", "num_characters"):
        del checkpoint["hyper_parameters"][key]
    del checkpoint["lightning_nn"]["settings"]["loss"]["r_drop"]
    torch.save(checkpoint, file)
    assert "0 not" in command(*options, "--finetune", str(file), "--name", "same", cwd=tmp_path).ok().out
    assert "characters.weight" not in str(weights(tmp_path / "logs/han/same/checkpoints/best.ckpt").keys())
    more = command(*options, "--model.character_vectors", "true", "--finetune", str(file), "--name", "m", cwd=tmp_path)
    assert re.search(r"embedding\.characters +1: weight not in the\s+checkpoint", more.ok().out)
    tuned = "logs/han/m/checkpoints/best.ckpt"
    less = command(*options, "--model.character_vectors", "false", "--finetune", tuned, "--name", "l", cwd=tmp_path)
    assert "only in the file: embedding.word_characters, embedding.characters.weight\n" in less.ok().out


def test_finetuning_from_weights_that_do_not_fit(copy: Path) -> None:
    argv = ("--model", "softmax", "--model.hidden", "[5]", "--data.classes", "[3,8]", "--finetune", "best")
    command(*argv, "--trainer.max_epochs", "1", cwd=copy).refused("best.ckpt", "fit")


def test_resumed_run_in_a_new_process_ends_with_the_same_bits(whole: dict[str, Path], tmp_path: Path) -> None:
    done: Result = command(*SOFTMAX, *COMMON, "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    assert "3" not in re.findall(r"epochs +(\d+)", done.out)
    process("--ckpt_path", "last", "--trainer.max_epochs", "3", cwd=tmp_path).ok()
    last = Path("logs/softmax/r/checkpoints/last.ckpt")
    assert same_bits(tmp_path / last, whole["softmax"] / last)
