"""A stranger's checkpoint, or the config.yaml beside it, can do nothing that its reader did not ask for."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning import Trainer

from lightning_nn import HAN, SoftmaxClassifier, TextData, UserError, catalog
from lightning_nn.cli.parser import SETTINGS
from lightning_nn.runs.saved_settings import TRAINER, names, read_config, trusted
from tests.commands import Result, command, environment, write_reviews

QUICK = ("--model", "softmax", "--model.hidden", "[4]", "--trainer.max_epochs", "1", "--trainer.limit_train_batches")
QUICK += ("2", "--trainer.enable_progress_bar", "false", "--name", "r")
RUN = Path("logs/softmax/r")
LAST = RUN / "checkpoints/last.ckpt"
MODULE = "lightning_nn_stranger"  # the module that no file may import
BUILT_IN = {name: each.default for name, each in signature(Trainer).parameters.items()}


class Trap(NamedTuple):
    """A folder with a run in it, and the file that appears when something of a stranger runs."""

    cwd: Path
    mark: Path

    def stranger(self, change: Callable[[dict[str, Any]], object], config: str | None = None) -> None:
        """Changes the run's checkpoint, and the config.yaml beside it."""
        checkpoint = torch.load(self.cwd / LAST, weights_only=True)
        change(checkpoint)
        torch.save(checkpoint, self.cwd / LAST)
        if config is not None:
            (self.cwd / RUN / "config.yaml").write_text(config, encoding="utf-8")

    def shut(self) -> None:
        """Fails if something of the stranger was imported or run."""
        assert MODULE not in sys.modules, "a module that a file names was imported"
        assert not self.mark.exists(), "what a file names was run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("trained")
    command("fit", *QUICK, cwd=cwd).ok()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(cwd / "a.png")
    return cwd


@pytest.fixture
def trap(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    mark = tmp_path / "was-run"
    (tmp_path / "path").mkdir()
    code = f"import os\nos.mkdir({str(mark)!r})\nfrom pytorch_lightning.callbacks import Callback as Touch\n"
    (tmp_path / f"path/{MODULE}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    yield Trap(Path(shutil.copytree(trained, tmp_path / "cwd")), mark)
    sys.modules.pop(MODULE, None)


VERBS: dict[str, tuple[str, ...]] = {
    "resume": ("--ckpt_path", str(LAST), "--trainer.max_epochs", "2"),
    "fit": ("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2"),
    "validate": ("validate", "--ckpt_path", str(LAST)),
    "test": ("test", "--ckpt_path", "last"),
    "predict": ("predict", "--ckpt_path", str(LAST), "--data.file", "a.png"),
    "finetune": (*QUICK[:-2], "--finetune", str(LAST), "--name", "tuned"),
}
CLASS: dict[str, Any] = {"class_path": f"{MODULE}.Touch"}
FORMS: dict[str, Any] = {
    "class": CLASS,
    "string": f"{MODULE}.Touch",
    "list": [CLASS],
    "text": str([CLASS]),
    "json": json.dumps(CLASS),
    "nested": {"init_args": {"callbacks": [{"x": CLASS}]}, **CLASS},
    "key": {f"{MODULE}.Touch" + "x" * 100_000: CLASS},
}
DOORS = ("settings", "run", "config.yaml")


def shell(mark: Path) -> dict[str, Any]:
    """A class of an installed package that evaluates the text that it is given, as another's argument."""
    does = {"signature": "x", "expr": f"__import__('os').mkdir({str(mark)!r})"}
    hook = {"class_path": "sympy.Lambda", "init_args": does}
    return {"class_path": "pytorch_lightning.callbacks.LambdaCallback", "init_args": {"on_fit_start": hook}}


def through(trap: Trap, door: str, groups: dict[str, Any]) -> None:
    """Puts settings into the run, where they are kept otherwise."""
    kept = yaml.safe_load((trap.cwd / RUN / "config.yaml").read_text(encoding="utf-8"))
    merged = {**kept, **{k: {**kept.get(k, {}), **v} if isinstance(v, dict) else v for k, v in groups.items()}}
    if door == "config.yaml":
        trap.stranger(lambda c: None, yaml.safe_dump(merged))
    elif door == "run":
        (trap.cwd / RUN / "config.yaml").unlink()
        trap.stranger(lambda c: c["lightning_nn"].update(run={**merged, "data": "digits"}))
    else:
        (trap.cwd / RUN / "config.yaml").unlink()  # which counts for more
        trap.stranger(lambda c: c["lightning_nn"]["settings"].update(groups))


def done(said: Result, verb: str) -> Result:
    """A resume was refused, anything else done, and nothing but what is fit for a terminal was said."""
    if verb in ("resume", "fit"):
        said.refused()
    else:
        said.ok()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said.out + said.err)
    assert all(len(line) < 1000 for line in said.err.splitlines()), "a line without end"
    return said


# ---------------------------------------------------------------------- nothing runs


@pytest.mark.parametrize(
    ("form", "option"), [("class", "callbacks"), ("text", "callbacks"), ("string", "logger"), ("class", "profiler")]
)
@pytest.mark.parametrize(("door", "verb"), [*((door, "resume") for door in DOORS), ("settings", "test")])
def test_no_class_that_a_file_names_is_made(door: str, verb: str, form: str, option: str, trap: Trap) -> None:
    through(trap, door, {"trainer": {option: FORMS[form]}})
    said = command(*VERBS[verb], cwd=trap.cwd)
    trap.shut()
    if option == "profiler":
        assert "trainer.profiler" in said.ok().err, "it does not affect training"
    else:
        assert f"trainer.{option}" in done(said, verb).err


@pytest.mark.parametrize(("door", "verb"), [("settings", verb) for verb in VERBS] + [(d, "fit") for d in DOORS[1:]])
def test_installed_packages_alone_are_no_shell(door: str, verb: str, trap: Trap) -> None:
    through(trap, door, {"trainer": {"callbacks": [shell(trap.mark)]}})
    done(command(*VERBS[verb], cwd=trap.cwd), verb)
    trap.shut()


GROUPS = ("model", "data", *SETTINGS, "trainer", "seed_everything", MODULE)


@pytest.mark.parametrize(
    ("form", "verb"),
    [*(("class", verb) for verb in VERBS), *((f, v) for f in FORMS if f != "class" for v in ("test", "finetune"))],
)
def test_no_group_takes_a_class_through_any_door(form: str, verb: str, trap: Trap) -> None:
    evil = FORMS[form]
    num_classes = {"model": SoftmaxClassifier, "data": catalog.DATA["digits"].load(), **SETTINGS, "trainer": Trainer}
    groups: dict[str, Any] = {g: dict.fromkeys(signature(each).parameters, evil) for g, each in num_classes.items()}
    groups |= {"seed_everything": evil, MODULE: evil, "trainer.logger": evil, "\x1b[2J\u202e" * 50: evil}

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"].update({"init": evil, f"x{form}": evil})
        checkpoint["datamodule_hyper_parameters"].update(groups["data"])
        checkpoint["lightning_nn"]["settings"].update({k: v for k, v in groups.items() if isinstance(v, dict)})
        checkpoint["lightning_nn"]["run"] = {**groups, "data": "digits"}

    trap.stranger(change, yaml.safe_dump(groups))
    said = command(*VERBS[verb], cwd=trap.cwd)
    trap.shut()
    done(said, verb if verb == "finetune" else "resume")  # a model can't be made without its own arguments
    assert ("more of the run are not loaded" in said.err) == (verb in ("finetune", "predict", "test", "validate"))


@pytest.mark.parametrize("group", ["hyper_parameters", "datamodule_hyper_parameters"])
@pytest.mark.parametrize("form", FORMS)
def test_load_from_checkpoint_takes_no_class(form: str, group: str, trap: Trap) -> None:
    trap.stranger(lambda c: c[group].update(hidden=FORMS[form]))
    if group == "hyper_parameters":
        with pytest.raises(UserError, match=r"model\.hidden can't be loaded"):
            SoftmaxClassifier.load_from_checkpoint(trap.cwd / LAST)
        SoftmaxClassifier.load_from_checkpoint(trap.cwd / LAST, hidden=[4])
    else:
        SoftmaxClassifier.load_from_checkpoint(trap.cwd / LAST)
    trap.shut()


RAW = {
    "tag": "trainer:\n  callbacks: !!python/object/apply:os.mkdir [{mark}]\n",
    "name": "trainer:\n  callbacks: !!python/name:{module}.Touch\n",
    "module": "!!python/module:{module}: 1\n",
    "alias": "x: &x [{{class_path: {module}.Touch}}]\ntrainer: {{callbacks: *x, logger: *x}}\n",
    "merge": "x: &x {{class_path: {module}.Touch}}\ntrainer: {{callbacks: {{<<: *x}}}}\n",
    "itself": "trainer: &t {{callbacks: *t, max_epochs: *t}}\nmodel: *t\n",
    "dotted": "trainer.callbacks.class_path: {module}.Touch\n",
    "group": "trainer: {module}.Touch\n",
    "deep": "trainer: " + "[" * 5000,
    "many": "a: &a [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1 or ''}, *a{i - 1 or ''}]\n" for i in range(1, 60))
    + "trainer: {{devices: *a59, callbacks: *a59}}\n",
    "number": "seed_everything: " + "9" * 10_000 + "\n",
    "text": "{module}.Touch\n",
    "keys": "? [1, 2]\n: 3\n3: 4\n2020-01-01: {{1: 2}}\ntrainer: {{1: 2, null: 3, callbacks: x}}\n",
}  # fmt: skip


@pytest.mark.parametrize("raw", RAW)
def test_yaml_is_plain_data_or_refused(raw: str, trap: Trap) -> None:
    trap.stranger(lambda c: None, RAW[raw].format(mark=trap.mark, module=MODULE))
    done(command(*VERBS["resume"], cwd=trap.cwd), "resume")
    trap.shut()


# ---------------------------------------------------------------------- by name, with a check


CLASSES: dict[str, type] = {"model": HAN, "data": TextData, **SETTINGS}


def take(name: str, value: Any) -> bool:
    """Tell whether a setting is taken."""
    saved = trusted([{name: value}], CLASSES, BUILT_IN)
    assert bool(saved.taken) != bool(saved.left_out), saved
    return bool(saved.taken)


def test_every_option_has_its_check() -> None:
    assert not BUILT_IN.keys() - TRAINER.keys(), "options of this Lightning without a check"
    of_classes = [f"{group}.{name}" for group, each in CLASSES.items() for name in signature(each).parameters]
    for name in [*of_classes, *(f"trainer.{name}" for name in TRAINER), "seed_everything", "trainer", "model", "x"]:
        for form in ("class", "list", "nested", "key"):
            assert not take(name, FORMS[form]), f"{name} takes {form}"
    for name in (*(f"trainer.{name}" for name in TRAINER), "seed_everything"):
        for form in ("string", "text", "json"):
            assert not take(name, FORMS[form]), f"{name} takes {FORMS[form]}"


def test_what_lightning_has_built_in_is_not_remarked() -> None:
    saved = trusted([{"trainer": {**BUILT_IN, "of_the_next_version": 3}}], {}, {**BUILT_IN, "of_the_next_version": 3})
    assert not saved.left_out


GOOD = {
    "model.dropout": [0, 0.5],
    "model.character_vectors": [True],
    "data.path": [None, "评论 文件.csv", "C:\\x"],
    "data.batch_size": ["all", 8],
    "data.encoding": ["gb18030", "utf-8"],
    "loss.class_weights": [None, "balanced", [1, 0.5]],
    "checkpoint.mode": [None, "min"],
    "seed_everything": [0, True],
    "trainer.devices": ["auto", 2, "2", "-1", "0,1", [0, 1]],
    "trainer.max_time": [None, "00:01:00:00", {"minutes": 3}, "{'minutes': 3, 'seconds': 5}"],
    "trainer.val_check_interval": [None, 0.5, 3, "00:00:10:00"],
    "trainer.strategy": ["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_spawn", "fsdp"],
    "trainer.precision": [None, 16, "bf16-mixed", "64-true"],
    "trainer.deterministic": [True, "warn"],
    "trainer.logger": [None, True, False],
    "trainer.callbacks": [None, []],
}
BAD = {
    "model.dropout": [True, "0.5", None, [0.5], 10**30],
    "model.nothing": [1],
    "data.path": [1, ["a"], "a\0b", "\ud800", "x" * 5000],
    "data.batch_size": ["some", 1.5, True],
    "data.encoding": ["../x", "a.b", "x" * 50],
    "loss.class_weights": ["x", ["1"], [[1]], {"a": 1}],
    "optimizer.name": ["torch.optim.Adam", 1],
    "seed_everything": ["0", 1.0],
    "trainer.devices": ["os.system", [[0]], "0;1"],
    "trainer.max_time": [5, {"eons": 3}, {"minutes": "3"}, "{'minutes': x}"],
    "trainer.strategy": ["x.Strategy", None, "ddp\n"],
    "trainer.logger": ["CSVLogger", 1],
    "trainer.callbacks": [[None], "[]", {}],
    "trainer.default_root_dir": ["/tmp"],
    "trainer.model_registry": ["x"],
}


@pytest.mark.parametrize(("values", "taken"), [(GOOD, True), (BAD, False)], ids=["good", "bad"])
def test_values_are_checked(values: dict[str, list[Any]], taken: bool) -> None:
    wrong = [(name, value) for name, each in values.items() for value in each if take(name, value) != taken]
    assert not wrong


def test_names_in_a_line_are_few_short_and_harmless() -> None:
    saved = trusted([{f"trainer.{i}\x1b[2J\n" + "x" * 10_000: 1 for i in range(100)}], {}, BUILT_IN)
    line = names(saved.left_out)
    assert len(line) < 600 and line.isprintable() and line.endswith("and 92 more"), line


@pytest.mark.parametrize("text", ["[1]", "a: [", "x" * 2_000_000, "just text"])
def test_a_damaged_config_names_itself(text: str) -> None:
    with pytest.raises(UserError, match=r"config\.yaml is damaged"):
        read_config(text, "config.yaml")
    assert read_config("", "config.yaml") == {}


def test_the_boundary_stands_on_plain_python() -> None:
    code = "import sys, lightning_nn.runs.saved_settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert not {"torch", "jsonargparse", "pytorch_lightning"} & {*done.stdout.split()}


# ---------------------------------------------------------------------- a person's own runs go on


def test_a_run_with_ordinary_options_goes_on_with_all_of_them(tmp_path: Path) -> None:
    options = shlex.split(
        "--trainer.accelerator cpu --trainer.devices 1 --trainer.precision 32-true --trainer.limit_val_batches 0.5 "
        "--trainer.gradient_clip_val 1 --trainer.gradient_clip_algorithm value --trainer.max_time '{minutes: 5}' "
        "--trainer.val_check_interval 1.0 --trainer.deterministic warn --trainer.logger false --trainer.min_epochs 1 "
        "--trainer.accumulate_grad_batches 2 --trainer.num_sanity_val_steps 0 --trainer.profiler simple "
        "--loss.class_weights balanced --optimizer.lr 1e-5 --seed_everything 7"
    )
    command("fit", *QUICK, *options, cwd=tmp_path).ok()
    config = tmp_path / RUN / "config.yaml"
    before = yaml.safe_load(config.read_text(encoding="utf-8"))
    on = command("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=tmp_path).ok()
    assert "not loaded" not in on.err, on.err
    before["trainer"]["max_epochs"] = 2
    assert yaml.safe_load(config.read_text(encoding="utf-8")) == before
    config.unlink()
    assert "not loaded" not in command("--ckpt_path", "last", "--trainer.max_epochs", "3", cwd=tmp_path).ok().err


@pytest.mark.parametrize(
    ("option", "began"),
    [
        ("trainer.callbacks", "--trainer.callbacks+=pytorch_lightning.callbacks.LearningRateMonitor"),
        ("trainer.logger", "--trainer.logger pytorch_lightning.loggers.CSVLogger --trainer.logger.save_dir csv"),
    ],
)
def test_a_run_that_began_with_an_object_goes_on_when_its_person_says_so(
    option: str, began: str, tmp_path: Path
) -> None:
    command("fit", *QUICK, *began.split(), cwd=tmp_path).ok()
    on = ("fit", "--ckpt_path", "last", "--trainer.max_epochs")
    refused = command(*on, "2", cwd=tmp_path).refused(option, f"--{option} null", str(RUN / "config.yaml"))
    shown = re.search(r"train\.py (.*)$", refused.err, re.M)
    assert shown, refused.err
    command(*shlex.split(shown[1]), cwd=tmp_path).ok()
    kept = yaml.safe_load((tmp_path / RUN / "config.yaml").read_text(encoding="utf-8"))["trainer"]
    assert "class_path" in str(kept[option.partition(".")[2]]) and kept["max_epochs"] == 2
    assert "not loaded" not in command(*on, "3", *began.split(), cwd=tmp_path).ok().err
    assert "not loaded" not in command("test", "--ckpt_path", "last", cwd=tmp_path).ok().err
    assert "not loaded" not in command(*on, "4", f"--{option}", "null", cwd=tmp_path).ok().err
    command(*on, "5", cwd=tmp_path).ok()


# ---------------------------------------------------------------------- what a terminal sees


def test_a_path_that_a_file_names_is_said_before_it_is_read(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    small = "--model lstm --data text --data.path reviews.csv --data.vocabulary.segmenter chars --name r"
    command(
        "fit",
        *small.split(),
        "--model.embedding_size",
        "4",
        "--model.hidden_size",
        "4",
        "--trainer.max_epochs",
        "1",
        cwd=tmp_path,
    ).ok()
    last = "logs/lstm/r/checkpoints/last.ckpt"
    said = command("test", "--ckpt_path", last, cwd=tmp_path).ok().err
    assert f"reading reviews.csv, the --data.path of {last}\nsplit " in said, said
    own = command("test", "--ckpt_path", last, "--data.path", "reviews.csv", cwd=tmp_path).ok().err
    assert "reading" not in own, "the person said it"
    checkpoint = torch.load(tmp_path / last, weights_only=True)
    checkpoint["datamodule_hyper_parameters"]["path"] = "x\x1b[2J\u202e\n.csv"
    torch.save(checkpoint, tmp_path / "mine.ckpt")
    for argv in (("test",), ("fit", "--trainer.max_epochs", "2")):
        said = command(*argv, "--ckpt_path", "mine.ckpt", cwd=tmp_path).refused("x").err
        assert "reading x .csv, the --data.path of mine.ckpt\n" in said, said


def test_names_of_tensors_are_harmless(trap: Trap) -> None:
    evil = "x\x1b]0;owned\x07\u202e\x9b2J\nerror: y"
    weights = torch.load(trap.cwd / LAST, weights_only=True)["state_dict"]
    more = {**copy.deepcopy(weights), evil: torch.zeros(1)}
    trap.stranger(lambda c: c.update(state_dict=more))
    for verb in VERBS:
        said = command(*VERBS[verb], cwd=trap.cwd)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said.out + said.err), verb
        assert sum(line.startswith("error: ") for line in (said.out + said.err).splitlines()) <= 1, "a line of its own"
        assert said.code == (0 if verb == "finetune" else 2)
    with pytest.raises(UserError) as error:
        SoftmaxClassifier.load_from_checkpoint(trap.cwd / LAST)
    assert str(error.value).isprintable()
