"""A person's own model and data set get the command line: registered in a module that the person names."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lightning_nn import Digits, SoftmaxClassifier, UserError, catalog
from lightning_nn.data.labeled_module import LabeledDataModule
from lightning_nn.tasks.classification import Classifier
from tests.commands import ROOT, command, process, results

MINE = '''
"""A small network of one's own, and digits by other names."""

from lightning_nn import Digits, SoftmaxClassifier, catalog


class Mine(SoftmaxClassifier):
    """A network of my own.

    Args:
        features: of an image.
        num_classes: K.
        neurons: neurons of its layer.
    """

    name = "mine"

    def __init__(self, features: int, num_classes: int, neurons: int = 4) -> None:
        super().__init__(features, num_classes, [neurons])


class Fours(Digits):
    """Fours and nines.

    Args:
        batch_size: samples in a batch.
    """

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__([4, 9], batch_size)


class Plain(SoftmaxClassifier):
    """A network that nothing can be said of."""

    name = "plain"

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__(features, num_classes)


catalog.register("mine", Mine, "image", data="fours")
catalog.register("plain", Plain, "image", data="fours")
catalog.register("fours", Fours, "image", "fours and nines")
'''
QUICK = ("--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false")


@pytest.fixture
def cwd(tmp_path: Path) -> Iterator[Path]:
    """A folder with the module; the catalog is left as it was."""
    (tmp_path / "mine_models.py").write_text(MINE, encoding="utf-8")
    before = dict(catalog.MODELS), dict(catalog.DATA)
    yield tmp_path
    for table, rows in zip((catalog.MODELS, catalog.DATA), before, strict=True):
        table.clear()
        table.update(rows)
    sys.modules.pop("mine_models", None)


@pytest.mark.parametrize("module", ["mine_models.py", "mine_models"])
def test_all_verbs_know_an_own_model(module: str, cwd: Path) -> None:
    own = ("--import", module)
    assert "  mine " in command(*own, "--help", cwd=cwd).ok().out
    shown = command(*own, "--model", "mine", "--help", cwd=cwd).ok().out
    assert "--model.neurons" in shown and "neurons of its layer" in shown and "--data.batch_size" in shown
    said = command(*own, "--model", "mine", "--model.neurons", "5", "--name", "r", *QUICK, cwd=cwd).ok()
    run = cwd / "logs/mine/r"
    assert results(run)["test/acc"] > 0.5
    (going_on,) = re.findall(r"^resume +python train\.py (.*)$", said.out, re.M)
    command(*shlex.split(going_on), *QUICK[2:], cwd=cwd).ok()
    tested = json.loads(command("test", *own, "--ckpt_path", "best", cwd=cwd).ok().out)
    assert tested["test/acc"] > 0.5
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (kept["model_name"], kept["data_name"], kept["model"]) == ("mine", "fours", {"neurons": 5})


def test_a_topic_written_by_the_document_is_trained_tested_and_predicts(cwd: Path) -> None:
    topic = ROOT / "tests/tiny/stripes.py"
    own = ("--import", str(topic))
    command(*own, "--model", "prototypes", "--data.balanced", "true", "--name", "r", *QUICK, cwd=cwd).ok()
    assert results(cwd / "logs/prototypes/r")["test/acc"] == 1
    Image.fromarray(np.full((6, 6), 200, np.uint8) * (np.arange(6) % 2 == 0)).save(cwd / "down.png")
    said = command("predict", *own, "--ckpt_path", "best", "--data.file", "down.png", cwd=cwd).ok()
    assert said.out.splitlines()[1].startswith("down.png,down,")
    sys.modules.pop("stripes", None)


@pytest.mark.parametrize(("base", "missing"), [(LabeledDataModule, "prepare"), (Classifier, "forward")])
def test_what_a_topic_must_define_is_named_when_it_is_made(base: type, missing: str) -> None:
    defined = {name: lambda self, *_: None for name in base.__abstractmethods__ if name != missing}  # type: ignore[attr-defined]
    made = type("Mine", (base,), {**defined, "name": "mine"})
    with pytest.raises(TypeError, match=f"abstract.*{missing}"):
        made(2)


def test_a_model_without_arguments(cwd: Path) -> None:
    command("fit", "--import", "mine_models", "--model", "plain", "--name", "r", *QUICK, cwd=cwd).ok()
    run = ("--import", "mine_models", "--ckpt_path", "last", "--trainer.max_epochs", "2")
    assert results(cwd / "logs/plain/r")["epochs"] == 1
    command(*run, cwd=cwd).ok()
    assert results(cwd / "logs/plain/r")["epochs"] == 2


def test_no_file_brings_a_module_with_it(cwd: Path) -> None:
    run = ["--model", "mine", *QUICK, "--name", "r"]
    code = f"import mine_models; from lightning_nn.cli.main import main; raise SystemExit(main({run}))"
    process(script=code, cwd=cwd).ok()
    last = "logs/mine/r/checkpoints/last.ckpt"
    assert torch.load(cwd / last, weights_only=True)["lightning_nn"]["model"] == "mine"
    command("test", "--ckpt_path", last, cwd=cwd).refused("'mine'", "--import MODULE")
    command("-c", "logs/mine/r/config.yaml", cwd=cwd).refused("unknown model 'mine'")
    assert "mine_models" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("han", SoftmaxClassifier, "image", "", "digits"), "there is a 'han' already"),
        (("digits", SoftmaxClassifier, "image"), "there is a 'digits' already"),
        (("../x", Digits, "image"), "is no name"),
        (("other", SoftmaxClassifier, "image", "", "digits"), r"SoftmaxClassifier.name must be 'other'"),
        (("other", "lightning_nn.Other", "image"), "module:Class"),
        (("other", Digits, ()), "no batch type"),
    ],
)
def test_what_cannot_be_registered(arguments: tuple[object, ...], message: str, cwd: Path) -> None:
    with pytest.raises(UserError, match=message):
        catalog.register(*arguments)  # type: ignore[arg-type]
    assert "other" not in {**catalog.MODELS, **catalog.DATA}


def test_a_class_is_imported_when_it_is_used(cwd: Path) -> None:
    catalog.register("later", "nowhere:Later", ("image", "text"), "not there yet")
    assert catalog.MODELS["softmax"].fits(catalog.DATA["later"])
    with pytest.raises(ModuleNotFoundError):
        catalog.DATA["later"].load()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"x = 1\n\ndef f(:\n", "line 3: invalid syntax"), (b"x = '\xe9'\n", "utf-8")],
)
@pytest.mark.parametrize("module", ["broken_module.py", "broken_module"])
def test_a_module_that_is_no_python_is_named_with_its_line(
    tmp_path: Path, module: str, content: bytes, reason: str
) -> None:
    (tmp_path / "broken_module.py").write_bytes(content)
    command("--import", module, "--model", "mine", cwd=tmp_path).refused("broken_module.py", reason)
    assert "broken_module" not in sys.modules
