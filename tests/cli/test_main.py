"""The command line as a user meets it: help, settings, what a run leaves behind, and messages about user errors."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import Trainer

from lightning_nn import Digits, SoftmaxClassifier, catalog
from lightning_nn.cli.main import waiting
from lightning_nn.cli.verbs import VERBS, overview
from tests.commands import ROOT, command, environment, process, results, same_bits, write_reviews

QUICK = ("--model", "softmax", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false")


class Trained:
    """A finished run of softmax on digits, and the folder in which it was started."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.said = command(*QUICK, "--name", "first", cwd=cwd).ok()
        self.run = cwd / "logs" / "softmax" / "first"
        self.best, self.last = (self.run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize(
    ("is_terminal", "shown", "left"), [(True, "loading ...", "loading ...\r\x1b[K"), (False, "", "")]
)
def test_a_terminal_says_what_takes_so_long_until_it_is_done(
    is_terminal: bool, shown: str, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(KeyError), waiting("loading"):
        assert stream.getvalue() == shown
        raise KeyError
    assert stream.getvalue() == left


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_general_help_is_one_screen_and_loads_nothing_heavy(argv: tuple[str, ...], tmp_path: Path) -> None:
    code = f"""
import sys
from lightning_nn.cli.main import main, waiting
code = main({list(argv)!r})
heavy = {{"torch", "numpy", "pytorch_lightning", "jsonargparse", "jieba", "sklearn", "rich"}} & set(sys.modules)
print(*sorted(heavy), file=sys.stderr)
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), f"the general help loads {done.stderr}"
    lines = done.stdout.splitlines()
    assert len(lines) <= 45, f"{len(lines)} lines"
    assert max(map(len, lines)) <= 80, max(lines, key=len)


def test_general_help_names_everything_there_is() -> None:
    text = overview()
    missing = [name for name in (*catalog.MODELS, *catalog.DATA, *VERBS) if not re.search(rf"^  {name} ", text, re.M)]
    assert not missing, f"the help leaves out {missing}"
    for name, row in catalog.MODELS.items():
        assert re.search(rf"^  {name} .*{re.escape(row.line)}.* {row.data}$", text, re.M), name
    assert text.count("\n  train.py ") == 3, "three examples are promised"


@pytest.mark.parametrize("argv", [("--model", "softmax", "--help"), ("fit", "--model=softmax", "-h")])
def test_help_of_a_model_is_its_own_and_its_datas(argv: tuple[str, ...], tmp_path: Path) -> None:
    text = command(*argv, cwd=tmp_path).ok().out
    for option in ("--model.hidden", "--data.batch_size", "--optimizer.lr", "--lr_scheduler.name", "--checkpoint.min"):
        assert option in text, f"{option} is not in the help"
    assert not re.search(r"--trainer\.[a-z]", text), "the trainer's arguments are a help of their own"
    assert "--model softmax --help trainer" in text, "it does not say how to get the trainer's"
    assert "number of neurons in each hidden layer" in " ".join(text.split())
    assert not (tmp_path / "logs").exists(), "help left a folder"


def flat(name: str, value: Any, text: str) -> dict[str, Any]:
    """Return the options of a group, and of groups within it, by dotted name; a help shows what is a group."""
    if not isinstance(value, dict) or f"--{name}." not in text:
        return {name: value}
    return {option: leaf for key, inner in value.items() for option, leaf in flat(f"{name}.{key}", inner, text).items()}


@pytest.mark.parametrize("model", catalog.MODELS)
def test_help_shows_defaults_as_the_recipe_sets_them(model: str, tmp_path: Path) -> None:
    text = " ".join(command("--model", model, "--help", cwd=tmp_path).ok().out.split())
    recipes = [ROOT / "conf" / f"{name}.yaml" for name in (model, f"{model}-{catalog.MODELS[model].data}")]
    said: dict[str, Any] = {}  # by the last recipe that says it
    for recipe in filter(Path.is_file, recipes):
        for group, values in yaml.safe_load(recipe.read_text(encoding="utf-8")).items():
            if group != "trainer":
                said |= flat(group, values, text)
    for option, value in said.items():
        shown = re.search(rf"--{re.escape(option)},? .*?default: (.*?)\)( --|$| [A-Z]| [a-z ]+: --)", text)
        assert shown, f"--{option} is not in the help"
        assert yaml.safe_load(shown[1]) == value, f"--{option}: {shown[1]} shown, the recipe says {value}"


def test_help_of_the_trainer(tmp_path: Path) -> None:
    text = command("--model", "softmax", "--help", "trainer", cwd=tmp_path).ok().out
    assert "--trainer.max_epochs" in text
    assert "--model.hidden" not in text
    assert re.search(r"--trainer\.max_epochs.*?default:\s+20\)", text, re.S), "the recipe's 20 epochs are not shown"


def test_help_of_predict(tmp_path: Path) -> None:
    text = command("predict", "--help", cwd=tmp_path).ok().out
    for option in ("--data.text", "--data.file", "--out", "--explain", "--ckpt_path"):
        assert option in text, option


# ---------------------------------------------------------------------- user errors

SLIPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown command": ("tset --model softmax", ("tset", "'test'")),
    "unknown model": ("--model sofmax", ("sofmax", "'softmax'")),
    "unknown model, none near": ("--model zzzz", ("zzzz", "logistic", "softmax", "lstm", "han")),
    "unknown data": ("--model softmax --data digit", ("digit", "'digits'")),
    "unknown data without a model": ("predict --data digit", ("digit", "'digits'")),
    "a pair that does not fit": ("--model han --data digits", ("han", "text", "digits", "image", "bulletins")),
    "no model": ("--trainer.max_epochs 3", ("--model", "softmax", "han")),
    "no model in fit": ("fit", ("--model", "softmax")),
    "misspelt --model": ("--modle softmax", ("--model",)),
    "no value behind --model": ("--model", ("--model", "value")),
    "no value behind --ckpt_path": ("test --ckpt_path --model softmax", ("--ckpt_path", "value")),
    "an empty value": ("--model softmax --ckpt_path=", ("--ckpt_path", "value")),
    "an empty value behind": ("--model softmax --finetune ''", ("--finetune", "value")),
    "an option of other data": ("--model han --data.path x.csv", ("--data.path", "--data text")),
    "an option of two other data sets": ("--model softmax --data.path x", ("--data cifar10 or images",)),
    "a seed below 0": ("--model softmax --seed_everything -1", ("--seed_everything", "-1")),
    "a seed too large": ("--model softmax --seed_everything 5000000000", ("--seed_everything", "4294967295")),
    "unknown option": ("--model softmax --optimizer.lrr 0.1", ("--optimizer.lrr", "'--optimizer.lr'")),
    "unknown option with =": ("--model softmax --data.batchsize=3", ("--data.batchsize", "'--data.batch_size'")),
    "option of another model": ("--model softmax --model.hidden_size 5", ("--model.hidden_size", "--model.hidden")),
    "unknown trainer option": (
        "--model softmax --trainer.max_epohcs 5",
        ("--trainer.max_epohcs", "'--trainer.max_epochs'"),
    ),
    "wrong type": ("--model softmax --optimizer.lr fast", ("optimizer.lr", "fast", "float")),
    "wrong choice": ("--model softmax --optimizer.name sdg", ("optimizer.name", "sdg", "adamw")),
    "wrong type of a list": ("--model softmax --model.hidden many", ("model.hidden", "many")),
    "wrong value of the model": ("--model logistic --data.classes [1,2,3]", ("2 classes", "3", "--model softmax")),
    "wrong value of the data": ("--model softmax --data.batch_size 0", ("batch_size", "0", "at least 1")),
    "wrong trainer value": ("--model softmax --trainer.accelerator abacus", ("abacus",)),
    "learning rate below 0": ("--model softmax --optimizer.lr -1", ("lr", "-1")),
    "too many processes": ("--model softmax --trainer.devices 0 --trainer.accelerator cpu", ("devices",)),
    "no time between checkpoints": ("--model softmax --checkpoint.minutes 0", ("--checkpoint.minutes", "above 0")),
    "a metric there is not": ("--model softmax --checkpoint.monitor val/accuracy", ("val/accuracy", "val/acc")),
    "a metric that is no validation's": (
        "--model softmax --early_stopping.patience 1 --early_stopping.monitor train/loss",
        ("--early_stopping.monitor", "val/loss"),
    ),
    "smoothing above 1": ("--model softmax --loss.label_smoothing 2", ("--loss.label_smoothing", "below 1")),
    "a distance below 0": ("--model softmax --loss.r_drop -1", ("--loss.r_drop", "0 or above")),
    "passes that are the same": (
        "--model softmax --loss.r_drop 1",
        ("--loss.r_drop 0", "SoftmaxClassifier", "dropout"),
    ),
    "weights of too few classes": ("--model softmax --loss.class_weights [1,2]", ("2 weights", "10 classes")),
    "a negative weight": (
        "--model logistic --data.classes [3,8] --loss.class_weights [1,-2]",
        ("--loss.class_weights", "above 0"),
    ),
    "a layer without neurons": ("--model softmax --model.hidden [0]", ("hidden", "at least 1")),
    "a layer beyond memory": ("--model softmax --model.hidden [10000000000]", ("memory",)),
    "a number for a list": ("--model softmax --model.hidden 64", ("--model.hidden is 64", "list of int")),
    "a name for a number": ("--model softmax --data.batch_size al", ("--data.batch_size is al", "'all'")),
    "nothing to train": ("--model softmax --trainer.max_epochs 0", ("max_epochs", "nothing to train")),
    "more processes than cores": ("--model softmax --trainer.devices 9999", ("devices", "cores")),
    "no patience": ("--model softmax --early_stopping.patience -1", ("patience", "-1")),
    "a floor above 1": ("--model softmax --lr_scheduler.floor 7", ("--lr_scheduler.floor", "7")),
    "test with an option of training": ("test --ckpt_path x.ckpt --finetune y.ckpt", ("--finetune", "test")),
    "no such configuration": ("--model softmax -c nothere.yaml", ("nothere.yaml",)),
    "a value without an option": ("--model softmax 3", ("3",)),
    "test without a checkpoint": ("test --model softmax", ("--ckpt_path",)),
    "predict without a run": ("predict --data.text a", ("logs", "train")),
    "predict without input": ("predict --ckpt_path last", ("--data.text", "--data.file")),
    "unknown option of predict": ("predict --data.txt a", ("--data.txt", "'--data.text'")),
    "resume and finetune at once": (
        "--model softmax --ckpt_path last --finetune x.ckpt",
        ("--ckpt_path", "--finetune"),
    ),
    "what it is called elsewhere": ("--model softmax --lr 0.1", ("unknown option --lr;", "'--optimizer.lr'")),
    "epochs": ("--model softmax --epochs 3", ("'--trainer.max_epochs'",)),
    "batch size": ("--model softmax --batch_size 3", ("'--data.batch_size'",)),
    "GPUs": ("--model softmax --trainer.gpus 1", ("'--trainer.devices'",)),
    "resuming as it once was": ("--model softmax --trainer.resume_from_checkpoint x", ("'--ckpt_path'",)),
    "a group of the data's": ("--model softmax --data images --data.splits 0.2", ("is a group", "--data.splits.val")),
    "a misspelt option of a group": ("--model han --data text --data.min_cuont 3", ("'--data.vocabulary.min_count'",)),
    "a share of the samples": ("--model softmax --data images --data.val_fraction 0.2", ("'--data.splits.val'",)),
    "a group": ("--model softmax --optimizer adam", ("--optimizer", "--optimizer.name", "-c FILE")),
    "no accumulation": (
        "--model softmax --trainer.accumulate_grad_batches 0",
        ("accumulate_grad_batches", "1 or above"),
    ),
    "a name of files alone": ("--model softmax --data_name digits", ("--data_name", "'--data'")),
    "a logger that is not installed": ("--model softmax --trainer.logger WandbLogger", ("wandb",)),
    "a logger that there is not": ("--model softmax --trainer.logger Foo", ("--trainer.logger is Foo",)),
    "a logger without its folder": ("--model softmax --trainer.logger CSVLogger", ("CSVLogger", "save_dir")),
    "processes from within": ("--model softmax --trainer.strategy ddp_spawn", ("ddp_spawn", "--trainer.strategy ddp")),
    "the same, with more to say": (
        "--model softmax --trainer.strategy ddp_fork_find_unused_parameters_true",
        ("--trainer.strategy ddp_find_unused_parameters_true",),
    ),
    "the folder of pictures as other data has it": (
        "--model fast_style --data.path photos",
        ("--data.path", "'--data.content'"),
    ),
    "weights of larger images than the default data has": (
        "--model convnet --finetune embedded",
        ("--data digits", "32 pixels", "--data images"),
    ),
    "a module that there is not": ("--import nothere --model mine", ("--import nothere", "no module")),
    "a file that there is not": ("--import nothere.py --model mine", ("nothere.py", "no such file")),
    "nothing to finetune from": ("--model softmax --finetune x.ckpt", ("x.ckpt",)),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_said_in_a_line(slip: str, tmp_path: Path) -> None:
    line, words = SLIPS[slip]
    command(*shlex.split(line), cwd=tmp_path).refused(*words)
    assert not list(tmp_path.rglob("results.json")), "a command that was refused left results"


def test_processes_of_an_interactive_python_are_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    two = ("--trainer.accelerator", "cpu", "--trainer.devices", "2")
    command("--model", "softmax", *two, cwd=tmp_path).refused("2 processes", "--trainer.devices 1")
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("text", ["optimizer:\n  lr: 1\n  lr: 2\n", "seed_everything: 1\nseed_everything: 2\n"])
def test_a_recipe_that_says_two_things_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    command("--model", "softmax", "-c", "my.yaml", cwd=tmp_path).refused("my.yaml", "twice")


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_a_cache_that_cannot_be_made_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "home/.cache/lightning_nn"))
    write_reviews(tmp_path / "reviews.csv")
    line = ("--model", "lstm", "--data", "text", "--data.path", "reviews.csv")
    command(*line, cwd=tmp_path).refused("LIGHTNING_NN_CACHE")


@pytest.mark.parametrize(("file", "package"), [("a.xlsx", "openpyxl"), ("a.parquet", "pyarrow")])
def test_a_table_whose_package_is_missing_is_refused_before_torch_is_imported(
    file: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).touch()
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "lightning_nn.cli.console", None)  # an import of it would fail
    line = f"--model han --data text --data.path={file}"
    command(*line.split(), cwd=tmp_path).refused(file, f"pip install {package}")


@pytest.mark.parametrize("model", ["han", "lstm"])
def test_texts_of_one_sentence_call_for_a_recipe_of_their_own(model: str, tmp_path: Path) -> None:
    rows = [f"{'质量很好' if k % 2 else '质量太差'}第{k}次,{k % 2}" for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    line = f"--model {model} --data text --data.path a.csv --trainer.fast_dev_run true"
    recipe = f"-c {model}-text-short.yaml"
    hint = f"most documents are one sentence, as titles are: {recipe}"
    assert hint in command(*line.split(), cwd=tmp_path).ok().out
    assert "most documents" not in command(*f"{line} {recipe}".split(), cwd=tmp_path).ok().out


def test_no_hint_without_a_real_likeness(tmp_path: Path) -> None:
    for option in ("--frobnicate", "--trainer.zzz", "--x"):
        refused = command("--model", "softmax", option, "3", cwd=tmp_path).refused(f"unknown option {option}", "--help")
        assert "did you mean" not in refused.err, refused.err


def test_an_option_that_is_given_twice_is_said(tmp_path: Path) -> None:
    twice = ("--optimizer.lr", "0.5", "--optimizer.lr=0.25", "-c", "a.yaml", "-c", "b.yaml")
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("trainer: {max_epochs: 3}\n", encoding="utf-8")
    said = command("--model", "softmax", *twice, "--print_config", cwd=tmp_path).ok()
    assert said.err == "--optimizer.lr is given 2 times; the last one counts: 0.25\n"
    assert yaml.safe_load(said.out)["optimizer"]["lr"] == 0.25


def test_passes_that_are_the_same_are_found_before_a_run_is_made(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    silent = "--model han --data text --data.path reviews.csv --model.dropout 0 --model.word_dropout 0"
    command(*silent.split(), cwd=tmp_path).refused("--loss.r_drop", "raise --model.dropout, or set --loss.r_drop 0")
    assert not (tmp_path / "logs").exists()


def test_a_slip_in_a_process_of_its_own(tmp_path: Path) -> None:
    result = process("--model", "sofmax", cwd=tmp_path)
    result.refused("'softmax'")
    assert not result.out, "an error belongs on standard error"


def test_broken_configuration_files(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("model: [1, 2\n", encoding="utf-8")
    (tmp_path / "typo.yaml").write_text("optimizer:\n  lrr: 1\n", encoding="utf-8")
    (tmp_path / "latin.yaml").write_bytes(b"model:\n  init: \xe9\n")
    command(*QUICK, "-c", "broken.yaml", cwd=tmp_path).refused("broken.yaml")
    command(*QUICK, "-c", "typo.yaml", cwd=tmp_path).refused("typo.yaml", "lrr", "'optimizer.lr'")
    (tmp_path / "type.yaml").write_text("optimizer:\n  lr: fast\n", encoding="utf-8")
    (tmp_path / "text.yaml").write_text("just text\n", encoding="utf-8")
    command(*QUICK, "-c", "type.yaml", cwd=tmp_path).refused("type.yaml", "fast", "float")
    command(*QUICK, "-c", "text.yaml", cwd=tmp_path).refused("text.yaml", "by group")
    command(*QUICK, "-c", "latin.yaml", cwd=tmp_path).refused("latin.yaml")


def test_logs_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without write permission meets this; root can write everywhere, so `mkdir` refuses here."""

    mkdir = Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if "logs" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    command(*QUICK, cwd=tmp_path).refused("logs", "Permission denied", "--folder")


def test_logs_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file", encoding="utf-8")
    command(*QUICK, cwd=tmp_path).refused("logs", "--folder")


def test_a_run_is_never_overwritten(trained: Trained) -> None:
    before = trained.best.read_bytes()
    command(*QUICK, "--name", "first", cwd=trained.cwd).refused("first", "--name", "last.ckpt")
    assert trained.best.read_bytes() == before


# ---------------------------------------------------------------------- settings


def settings(*argv: str, cwd: Path) -> dict[str, Any]:
    """Return the settings that --print_config prints."""
    out: dict[str, Any] = yaml.safe_load(command("--model", "softmax", *argv, "--print_config", cwd=cwd).ok().out)
    return out


def test_print_config_is_a_recipe(tmp_path: Path) -> None:
    first = settings("--optimizer.lr", "0.05", "--model.hidden", "[8,8]", "--seed_everything", "3", cwd=tmp_path)
    assert (first["optimizer"]["lr"], first["model"]["hidden"], first["seed_everything"]) == (0.05, [8, 8], 3)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(first), encoding="utf-8")
    assert settings("-c", "mine.yaml", cwd=tmp_path) == first
    assert not (tmp_path / "logs").exists()


def test_command_line_over_file_over_recipe_over_code(tmp_path: Path) -> None:
    (tmp_path / "extra.yaml").write_text("trainer:\n  max_epochs: 7\noptimizer:\n  lr: 0.3\n", encoding="utf-8")
    code, recipe = settings(cwd=tmp_path), yaml.safe_load((ROOT / "conf/softmax.yaml").read_text(encoding="utf-8"))
    assert code["optimizer"] | {"name": "sgd", "lr": 0.1, "momentum": 0.9} == code["optimizer"], "the topic's defaults"
    assert code["trainer"]["max_epochs"] == recipe["trainer"]["max_epochs"] == 20, "the recipe over Lightning's default"
    extra = settings("-c", "extra.yaml", cwd=tmp_path)
    assert (extra["trainer"]["max_epochs"], extra["optimizer"]["lr"]) == (7, 0.3)
    both = settings("-c", "extra.yaml", "--optimizer.lr", "0.4", cwd=tmp_path)
    assert (both["trainer"]["max_epochs"], both["optimizer"]["lr"]) == (7, 0.4)


@pytest.mark.parametrize(("value", "kind"), [("3", int), ("3.0", float), ("0.5", float)])
def test_a_whole_number_stays_one_whatever_order_typing_keeps(
    value: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Trainer.__init__.__annotations__, "limit_train_batches", float | int | None)
    limit = settings("--trainer.limit_train_batches", value, cwd=tmp_path)["trainer"]["limit_train_batches"]
    assert (limit, type(limit)) == (float(value), kind)


def test_settings_that_an_optimizer_lacks_come_from_no_recipe(tmp_path: Path) -> None:
    argv = ("--model", "convnet", "--data", "cifar10", "--optimizer.name")
    recipe, none = {"momentum": 0.85, "kernel_lr": 0.12, "weight_decay": 0.0013}, {"momentum": 0.0, "kernel_lr": 0.2}
    for name, expected in (
        ("muon", recipe),
        ("muon_adamw", {**recipe, "momentum": 0.0}),
        ("sgd", {**recipe, "kernel_lr": 0.2}),
        ("adamw", {**recipe, **none}),
        ("lbfgs", {**none, "weight_decay": 0.0}),
    ):
        found = yaml.safe_load(command(*argv, name, "--print_config", cwd=tmp_path).ok().out)["optimizer"]
        assert {**found, **expected} == found, name
    refused = command(*argv, "adamw", "--optimizer.momentum", "0.9", cwd=tmp_path)
    refused.refused("--optimizer.momentum is 0.9, but adamw has none: leave it out")


@pytest.mark.parametrize(
    "options",
    [
        "--data.batch_size 1 --trainer.limit_train_batches 20 --optimizer.lr 0.01",
        "--data.batch_size all --optimizer.nesterov true --trainer.max_epochs 20",
        "--optimizer.name adam --optimizer.lr 0.01 --lr_scheduler.name cosine --lr_scheduler.warmup 0.1",
        "--optimizer.name adamw --optimizer.weight_decay 0.1 --lr_scheduler.name one_cycle --lr_scheduler.warmup 5",
        "--loss.class_weights balanced --loss.label_smoothing 0.1 --early_stopping.patience 1",
    ],
)
def test_ways_to_train(options: str, tmp_path: Path) -> None:
    command(*QUICK, "--name", "r", *options.split(), cwd=tmp_path).ok()
    assert results(tmp_path / "logs/softmax/r")["test/acc"] > 0.2, "chance is 0.1"


# ---------------------------------------------------------------------- what a run leaves


def test_a_run_and_its_results(trained: Trained) -> None:
    kept = results(trained.run)
    metrics = {f"{split}/{name}" for split in ("val", "test") for name in ("loss", "acc", "f1")}
    facts = {"best_epoch", "epochs", "seconds", "samples_per_second", "peak_memory_mb", "parameters", "seed"}
    missing = (metrics | facts | {"versions", "commit", "commands", "model", "data"}) - kept.keys()
    assert not missing, f"results.json lacks {missing}"
    assert (kept["model"], kept["data"], kept["seed"], kept["parameters"]) == ("softmax", "digits", 0, 64 * 10 + 10)
    assert kept["test/acc"] > 0.8, kept
    assert {"python", "torch", "pytorch-lightning", "numpy"} <= kept["versions"].keys()
    names = {path.name for path in trained.run.iterdir()}
    assert {"config.yaml", "checkpoints", "results.json"} <= names, names
    assert any(name.startswith("events.out.tfevents") for name in names), names
    assert {path.name for path in trained.best.parent.iterdir()} == {"best.ckpt", "last.ckpt"}


def test_the_best_epoch_is_the_best_by_validation(trained: Trained) -> None:
    kept, checkpoint = results(trained.run), torch.load(trained.best, weights_only=True)
    assert kept["best_epoch"] == checkpoint["epoch"] + 1, "epochs are counted from 1, as the bar does"
    said = json.loads(command("validate", "--ckpt_path", str(trained.best), cwd=trained.cwd).ok().out)
    assert {k: v for k, v in said.items() if k.startswith("val/")} == {k: kept[k] for k in said if k.startswith("val/")}


def test_the_closing_table_shows_the_figures(trained: Trained) -> None:
    kept, out = results(trained.run), trained.said.out
    for name in ("val/acc", "val/f1", "test/acc", "test/f1"):
        assert re.search(rf"{name}\s+{kept[name]:.4f}", out), f"{name} {kept[name]:.4f} is not in\n{out}"
    table = out[out.index("test/loss") :]
    assert max(map(len, table.split("\n\n")[0].splitlines())) <= 80


def test_the_next_commands_work_as_they_are_shown(trained: Trained, tmp_path: Path) -> None:
    shown = [
        shlex.split(line[line.index(c) :]) for line in trained.said.out.splitlines() for c in COMMANDS if c in line
    ]
    kinds = {"predict" if "predict" in argv else argv[0] for argv in shown}
    assert kinds == {"tensorboard", "python", "predict"}, (
        f"tensorboard, resume and predict are promised; shown: {shown}"
    )
    picture = tmp_path / "three.png"
    save_picture(picture)
    cwd = Path(shutil.copytree(trained.cwd, tmp_path / "copy"))
    for argv in shown:
        if argv[0] == "tensorboard":
            folder = cwd / argv[argv.index("--logdir") + 1]
            assert list(folder.glob("**/events.out.tfevents*")), f"no events under {folder}"
        else:
            assert argv[:2] == ["python", "train.py"], argv
            argv = [{"N": "3", "PICTURE": str(picture), "FILE": str(picture)}.get(word, word) for word in argv[2:]]
            command(*argv, cwd=cwd).ok()


COMMANDS = ("tensorboard --logdir", "python train.py")


def save_picture(file: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8), 200).save(file)


def test_fit_alone_does_not_test(tmp_path: Path) -> None:
    command("fit", *QUICK, "--name", "r", cwd=tmp_path).ok()
    kept = results(tmp_path / "logs/softmax/r")
    assert not [name for name in kept if name.startswith("test/")], kept
    assert "val/acc" in kept


def test_the_same_seed_gives_the_same_bits_and_another_does_not(trained: Trained, tmp_path: Path) -> None:
    for run, seed in (("same", "0"), ("other", "1")):
        command(*QUICK, "--name", run, "--seed_everything", seed, cwd=tmp_path).ok()
    checkpoints = [tmp_path / "logs/softmax" / run / "checkpoints/last.ckpt" for run in ("same", "other")]
    assert same_bits(trained.last, checkpoints[0]), "the same seed, other weights"
    assert not same_bits(trained.last, checkpoints[1]), "another seed, the same weights"


def test_results_of_a_process_of_its_own(tmp_path: Path) -> None:
    result = process(*QUICK[:4], "--name", "mine", cwd=tmp_path).ok()
    kept = results(tmp_path / "logs/softmax/mine")
    assert kept["commands"] == ["train.py --model softmax --trainer.max_epochs 2 --name mine"]
    assert "Traceback" not in result.err
    noise = [line for line in result.err.splitlines() if re.search(r"weights_only|Tip:|GPU available|LeafSpec", line)]
    assert not noise, f"messages nobody can act on: {noise}"


# ---------------------------------------------------------------------- test, validate, predict


@pytest.mark.parametrize("which", ["best", "last", "path"])
@pytest.mark.parametrize("verb", ["validate", "test"])
def test_figures_of_a_checkpoint(verb: str, which: str, trained: Trained) -> None:
    where = str(trained.best.relative_to(trained.cwd)) if which == "path" else which
    said = json.loads(command(verb, "--model", "softmax", "--ckpt_path", where, cwd=trained.cwd).ok().out)
    split = "val" if verb == "validate" else "test"
    assert {f"{split}/{name}" for name in ("loss", "acc", "f1")} <= said.keys(), said
    if which != "last":
        kept = results(trained.run)
        assert [said[f"{split}/{n}"] for n in ("loss", "acc")] == [kept[f"{split}/{n}"] for n in ("loss", "acc")]


def test_figures_of_less_than_the_run_are_not_the_runs(trained: Trained) -> None:
    before = trained.run.joinpath("results.json").read_text(encoding="utf-8")
    for options in ("--trainer.fast_dev_run true", "--trainer.limit_test_batches 1", "--trainer.precision bf16-true"):
        command("test", "--ckpt_path", "best", *options.split(), cwd=trained.cwd).ok()
        assert trained.run.joinpath("results.json").read_text(encoding="utf-8") == before, options


def test_figures_are_shown_where_they_cannot_be_kept(trained: Trained, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run, tmp_path / "r"))
    (run / "results.json").write_text("{", encoding="utf-8")
    said = command("test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), cwd=tmp_path).ok()
    assert "could not be read and is replaced" in said.err
    assert results(run)["test/acc"] == json.loads(said.out)["test/acc"]
    (run / "results.json").unlink()
    (run / "results.json").mkdir()
    failed = command("test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), cwd=tmp_path)
    assert failed.code == 2 and "results.json" in failed.err, failed
    assert json.loads(failed.out)["test/acc"] == json.loads(said.out)["test/acc"]


def test_a_checkpoint_is_named_from_its_own_folder(trained: Trained, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run, tmp_path / "logs/softmax/r"))
    epochs = results(run)["epochs"] + 1
    argv = ("--ckpt_path", "last.ckpt", "--trainer.max_epochs", str(epochs))
    command(*argv, cwd=run / "checkpoints").ok()
    assert results(run)["epochs"] == epochs
    assert not (run / "checkpoints/logs").exists(), "a run of its own was begun"


@pytest.mark.parametrize(
    ("verb", "heeded", "not_heeded"),
    [
        ("fit", ("--finetune", "--name", "--seed_everything"), ("--data.text",)),
        ("validate", ("--ckpt_path", "--trainer.limit_val_batches"), ("--finetune", "--name", "--optimizer")),
        ("test", ("--ckpt_path", "--trainer.limit_test_batches"), ("--finetune", "--name", "--optimizer")),
    ],
)
def test_help_of_a_verb_names_what_it_heeds(
    verb: str, heeded: tuple[str, ...], not_heeded: tuple[str, ...], tmp_path: Path
) -> None:
    text = command(verb, "--help", cwd=tmp_path).ok().out
    assert f"train.py {verb} " in text.splitlines()[0]
    assert max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)
    assert not [option for option in heeded if option not in text]
    assert not [option for option in not_heeded if f"{option} " in text]


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_help_of_an_evaluation_shows_no_options_of_training(verb: str, tmp_path: Path) -> None:
    text = command(verb, "--model", "lstm", "--data", "text", "--help", cwd=tmp_path).ok().out
    assert "--data.path" in text and "--trainer.…" in text
    for option in ("--model.", "--optimizer.", "--loss.", "--early_stopping.", "--data.vocabulary."):
        assert option not in text, f"{option} has no effect on {verb}"


def test_nothing_is_logged_of_steps_where_that_is_asked(tmp_path: Path) -> None:
    command(*QUICK, "--trainer.log_every_n_steps", "0", "--name", "r", cwd=tmp_path).ok()
    assert results(tmp_path / "logs/softmax/r")["test/acc"] > 0


def test_finetuning_heeds_what_is_said_as_the_recipe_has_it(tmp_path: Path) -> None:
    command(*QUICK, "--model.init", "xavier", "--name", "a", cwd=tmp_path).ok()
    tuned = (*QUICK, "--finetune", "logs/softmax/a/checkpoints/last.ckpt")
    for name, options, init in (("b", (), "xavier"), ("c", ("--model.init", "kaiming"), "kaiming")):
        command(*tuned, *options, "--name", name, cwd=tmp_path).ok()
        kept = yaml.safe_load((tmp_path / f"logs/softmax/{name}/config.yaml").read_text(encoding="utf-8"))
        assert kept["model"]["init"] == init


@pytest.mark.parametrize("option", ["--optimizer.lr 0.3", "--model.hidden [8]", "--loss.label_smoothing 0.5"])
def test_what_a_checkpoint_decides_cannot_be_said_otherwise(option: str, trained: Trained) -> None:
    command("test", "--ckpt_path", "best", *option.split(), cwd=trained.cwd).refused(option.split()[0], "best.ckpt")


def test_only_captioners_search_with_a_beam(trained: Trained) -> None:
    said = ("predict", "--ckpt_path", "best", "--data.file", "x.png", "--model.search.beam", "2")
    command(*said, cwd=trained.cwd).refused("--model.search needs a model that writes captions")


def test_predict_pictures(trained: Trained, tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    (tmp_path / "more").mkdir()
    save_picture(tmp_path / "more" / "b.png")
    one = command("predict", "--ckpt_path", "last", "--data.file", str(tmp_path / "a.png"), cwd=trained.cwd).ok()
    header, row = one.out.splitlines()
    assert header == "input,category,probability"
    assert row.split(",")[1] in "0123456789"
    folder = command("predict", "--ckpt_path", "best", "--data.file", str(tmp_path), cwd=trained.cwd).ok()
    assert len(folder.out.splitlines()) == 3, folder.out
    command("predict", "--data.text", "三", cwd=trained.cwd).refused("reads images", "--data.file")
    command("predict", "--data.file", "nothere.png", cwd=trained.cwd).refused("nothere.png")
    (tmp_path / "no.png").write_text("not a picture", encoding="utf-8")
    command("predict", "--data.file", str(tmp_path / "no.png"), cwd=trained.cwd).refused("no.png")


def test_an_image_of_a_folder_that_cannot_be_read_has_its_row_with_the_reason(trained: Trained, tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "out.csv"
    folder.mkdir()
    for name in ("a", "c"):
        save_picture(folder / f"{name}.png")
    (folder / "b.png").write_bytes(b"no image")
    ask = ("predict", "--data.file", str(folder), "--out", str(out))
    said = command(*ask, cwd=trained.cwd).ok().err
    assert "1 of 3 inputs can't be read" in said and "2 predictions" in said, said
    rows = list(csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines()))
    assert [Path(row["input"]).stem for row in rows] == ["a", "b", "c"]
    assert [bool(row["category"]) for row in rows] == [True, False, True]
    assert [bool(row["error"]) for row in rows] == [False, True, False] and "b.png" in rows[1]["error"]
    for name in ("a", "c"):
        (folder / f"{name}.png").write_bytes(b"no image")
    command(*ask, cwd=trained.cwd).refused("none of 3 inputs can be read")


def test_predict_writes_where_it_can(trained: Trained, tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    ask = ("predict", "--data.file", str(tmp_path / "a.png"), "--out")
    command(*ask, str(tmp_path / "nothere" / "out.csv"), cwd=trained.cwd).refused("out.csv")
    assert not command(*ask, str(tmp_path / "out.csv"), cwd=trained.cwd).ok().out.startswith("input")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig").startswith("input,category,probability\n")


# ---------------------------------------------------------------------- unusable checkpoints

USES = {
    "resume": ("--ckpt_path",),
    "fit": ("fit", "--ckpt_path"),
    "validate": ("validate", "--ckpt_path"),
    "test": ("test", "--ckpt_path"),
    "predict": ("predict", "--data.file", "a.png", "--ckpt_path"),
    "finetune": ("--model", "softmax", "--finetune"),
}


class Evil:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("form", ["torch", "inside", "pickle 2", "pickle 4"])
def test_a_live_pickle_is_refused_and_not_run(form: str, use: str, trained: Trained, tmp_path: Path) -> None:
    mark, file = tmp_path / "was-run", tmp_path / "evil.ckpt"
    if form.startswith("pickle"):
        file.write_bytes(pickle.dumps(Evil(mark), protocol=int(form[-1])))
    elif form == "torch":
        torch.save({"state_dict": Evil(mark)}, file)
    else:
        checkpoint = torch.load(trained.last, weights_only=True)
        torch.save({**checkpoint, "callbacks": {"x": Evil(mark)}}, file)
    command(*USES[use], str(file), cwd=tmp_path).refused(
        "evil.ckpt", "damaged or no checkpoint" if form == "pickle 4" else "could run code"
    )
    assert not mark.exists(), "the pickle ran"
    with file.open("rb") as stream:  # proof that the pickle is live
        (pickle.load if form.startswith("pickle") else partial(torch.load, weights_only=False))(stream)
    assert mark.exists()


def spoil(form: str, good: Path, file: Path) -> tuple[str, ...]:
    """Write an unusable checkpoint to a file, and return words that the message must contain."""
    checkpoint = torch.load(good, weights_only=True)
    mine = checkpoint["lightning_nn"]
    if form == "missing":
        return ("bad.ckpt",)
    if form == "empty":
        file.touch()
        return ("damaged",)
    if form == "half":
        file.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        return ("damaged",)
    if form == "text":
        file.write_text("hello, I am no checkpoint\n", encoding="utf-8")
        return ("damaged",)
    if form == "folder":
        file.mkdir()
        return ("folder",)
    if form == "flipped":
        data = bytearray(good.read_bytes())
        for position in range(len(data) // 4, len(data) // 4 + 400):
            data[position] ^= 255
        file.write_bytes(bytes(data))
        return ("bad.ckpt",)
    changed: dict[str, Any] = {
        "foreign": {"state_dict": checkpoint["state_dict"], "pytorch-lightning_version": "2.0"},
        "tensor": torch.zeros(3),
        "newer": {**checkpoint, "lightning_nn": {**mine, "format": 99}},
        "unknown model": {**checkpoint, "lightning_nn": {**mine, "model": "resnet"}},
        "hollow": {**checkpoint, "lightning_nn": {}},
        "no weights": {k: v for k, v in checkpoint.items() if k != "state_dict"},
    }
    torch.save(changed[form], file)
    return {
        "newer": ("99", "newer", "pip install"),
        "foreign": ("not written by lightning_nn",),
        "unknown model": ("resnet",),
    }.get(form, ("bad.ckpt",))


FORMS = ["missing", "empty", "half", "text", "folder", "flipped", "foreign", "tensor", "newer", "unknown model"]
FORMS += ["hollow", "no weights"]


# Weights that fit can be loaded from any model.
BROKEN = [(f, use) for f in FORMS for use in USES if use != "finetune" or f not in ("unknown model", "foreign")]


@pytest.mark.parametrize(("form", "use"), BROKEN)
def test_a_checkpoint_that_is_none(form: str, use: str, trained: Trained, tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    words = spoil(form, trained.last, tmp_path / "bad.ckpt")
    command(*USES[use], "bad.ckpt", cwd=tmp_path).refused(*words)


@pytest.mark.parametrize("use", [("--model", "logistic", "--ckpt_path"), ("test", "--model=han", "--ckpt_path")])
def test_a_checkpoint_of_another_model(use: tuple[str, ...], trained: Trained) -> None:
    command(*use, str(trained.last), cwd=trained.cwd).refused("last.ckpt", "'softmax'")


@pytest.mark.parametrize("verb", [*(verb for verb, row in VERBS.items() if row.needs_model and verb != "tune"), ""])
@pytest.mark.parametrize("which", ["last", "best"])
def test_no_run_to_go_on_with(verb: str, which: str, tmp_path: Path) -> None:
    argv = [*filter(None, [verb]), "--model", "softmax", "--ckpt_path", which]
    needed = {"predict": ["--data.file", "a.png"], "export": ["--out", "a.onnx"], "compress": ["--size", "1MB"]}
    argv += needed.get(verb, [])
    command(*argv, cwd=tmp_path).refused(which, "logs", "--model softmax")
    assert not list(tmp_path.iterdir()), "it trained from scratch"


def test_the_best_of_a_run_that_was_not_validated(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "logs/softmax/r"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(trained.last, run / "checkpoints/last.ckpt")
    (run / "config.yaml").touch()
    command("validate", "--ckpt_path", "best", cwd=tmp_path).refused("none was validated yet", "--ckpt_path last")
    (run / "results.json").write_text('{"best_epoch": null}', encoding="utf-8")
    assert "last of the newest run" in command("validate", "--ckpt_path", "best", cwd=tmp_path).ok().err
    shutil.copy(trained.last, run / "checkpoints/best.ckpt")
    assert "best of the newest run, of" in command("validate", "--ckpt_path", "best", cwd=tmp_path).ok().err


def test_output_into_a_closed_pipe(trained: Trained) -> None:
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'train.py'))} --help | head -1"
    done = subprocess.run(["bash", "-c", line], cwd=trained.cwd, env=environment(), capture_output=True, text=True)
    assert done.stdout.startswith("usage: "), done.stdout
    assert not done.stderr, done.stderr


def test_the_best_by_loss_is_the_lowest(tmp_path: Path) -> None:
    command(*QUICK, "--checkpoint.monitor", "val/loss", "--trainer.max_epochs", "3", cwd=tmp_path).ok()
    assert results(next(tmp_path.glob("logs/softmax/*")))["best_epoch"] == 3, "the loss falls for three epochs"


def test_a_run_that_ends_within_an_epoch_is_saved_and_goes_on(tmp_path: Path) -> None:
    said = command(*QUICK, "--trainer.max_steps", "3", "--name", "r", cwd=tmp_path).ok()
    assert torch.load(tmp_path / "logs/softmax/r/checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
    assert "--trainer.max_steps 6" in said.out and "predict" not in said.out, said.out
    command("--ckpt_path", "last", "--trainer.max_steps", "6", cwd=tmp_path).ok()


def test_without_a_logger_nothing_is_written_beside_the_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine: true\n", encoding="utf-8")
    said = command(*QUICK, "--trainer.logger", "false", "--name", "r", cwd=tmp_path).ok()
    assert "tensorboard" not in said.out
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "mine: true\n"
    assert (tmp_path / "logs/softmax/r/config.yaml").is_file()


@pytest.mark.parametrize(
    "part",
    [
        {"lightning_nn": {"format": "x"}},
        {"lightning_nn": {"processor": {"kind": "nope", "state": {}}}},
        {"lightning_nn": {"processor": "text"}},
        {"lightning_nn": {"settings": None}},
        {"lightning_nn": {"settings": {"optimizer": 3}}},
        {"lightning_nn": {"run": "just text"}},
        {"lightning_nn": {"run": {"data": 3}}},
        {"lightning_nn": {"run": {"data": "digits", "trainer": "just text"}}},
        {"lightning_nn": {"run": {"data": {"class_path": "os.system"}}}},
        {"hyper_parameters": 3},
        {"loops": {}},
    ],
    ids=str,
)
def test_a_checkpoint_that_is_not_whole_is_refused(trained: Trained, tmp_path: Path, part: dict[str, Any]) -> None:
    checkpoint = torch.load(next(trained.cwd.rglob("last.ckpt")), weights_only=True)
    mine = {**checkpoint["lightning_nn"], **part.get("lightning_nn", {})}
    torch.save({**checkpoint, **part, "lightning_nn": mine}, tmp_path / "odd.ckpt")
    command("--ckpt_path", "odd.ckpt", "--trainer.max_epochs", "9", cwd=tmp_path).refused("checkpoint")


def test_a_checkpoint_saved_in_python_is_tested_on_data_that_is_named(tmp_path: Path) -> None:
    data = Digits()
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(SoftmaxClassifier(64, 10), data)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    command("test", "--ckpt_path", "mine.ckpt", cwd=tmp_path).refused("mine.ckpt", "--data NAME")
    said = command("test", "--ckpt_path", "mine.ckpt", "--data", "digits", cwd=tmp_path).ok()
    assert json.loads(said.out)["samples"] == len(data.sources["test"])
    argv = ("--ckpt_path", "mine.ckpt", "--data", "digits", "--trainer.max_epochs", "2", "--name", "r")
    command(*argv, cwd=tmp_path).ok()
    assert results(tmp_path / "logs/softmax/r")["epochs"] == 2
