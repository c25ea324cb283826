from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lightning_nn
from lightning_nn import catalog
from lightning_nn.errors import UserError, nearest
from tests.commands import ROOT

HEAVY = ("torch", "pytorch_lightning", "numpy", "sklearn", "jieba", "matplotlib", "PIL", "tensorboard", "rich")


@pytest.mark.parametrize(
    "module", ["lightning_nn", "lightning_nn.catalog", "lightning_nn.errors", "lightning_nn.cli.main"]
)
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.split(), run.stderr) == (0, [], "")


@pytest.mark.parametrize("name", lightning_nn.__all__)
def test_public_names_have_docstrings_to_work_by(name: str) -> None:
    documented = getattr(lightning_nn, name)
    text = inspect.getdoc(documented) or ""
    assert len(text.split()) >= 20, f"{name}: {text!r}"
    arguments = [] if issubclass(documented, Exception) else inspect.signature(documented).parameters
    assert not [a for a in arguments if f"{a}:" not in text], f"{name} leaves arguments out"


def test_public_names_are_sorted_listed_and_typed() -> None:
    assert set(lightning_nn.__all__) <= set(dir(lightning_nn))
    tree = ast.parse(Path(str(lightning_nn.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = [(node.module, name.name, name.asname) for node in block.body for name in node.names]  # type: ignore[attr-defined]
    homes = lightning_nn._homes()
    assert sorted(typed) == sorted((homes[name], name, name) for name in lightning_nn.__all__)


def test_all_public_names_come_by_a_star() -> None:
    names: dict[str, Any] = {}
    exec("from lightning_nn import *", names)
    assert names.keys() >= set(lightning_nn.__all__)
    assert names["HAN"].name == "han"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'lightning_nn' has no attribute 'HAM'"):
        lightning_nn.HAM  # noqa: B018


# ---------------------------------------------------------------------- the catalog


@pytest.mark.parametrize("name", catalog.MODELS)
def test_a_model_of_the_catalog_is_public_and_fits_its_data(name: str) -> None:
    entry = catalog.MODELS[name]
    cls = entry.load()
    assert cls.name == name
    assert getattr(lightning_nn, cls.__name__) is cls
    assert entry.fits(catalog.DATA[entry.data])
    assert len(entry.line) <= 45


@pytest.mark.parametrize("name", catalog.DATA)
def test_a_data_set_of_the_catalog_is_public_and_its_reader_known(name: str) -> None:
    entry = catalog.DATA[name]
    cls = entry.load()
    assert getattr(lightning_nn, cls.__name__) is cls
    assert set(entry.batch_types) <= catalog.PROCESSORS.keys()
    decided = {"num_classes", "vocabulary_size", "pictures"}  # a network for any content is made without it
    assert entry.batch_types == ("content",) or not decided.isdisjoint(cls.describes)
    assert len(entry.line) <= 45


def test_names_that_are_not_there() -> None:
    with pytest.raises(UserError, match=r"unknown model 'hann'; did you mean 'han'?"):
        catalog.find(catalog.MODELS, "hann", "model")
    with pytest.raises(UserError, match="unknown data set 'zzz'; there are: digits, cifar10, "):
        catalog.find(catalog.DATA, "zzz", "data set")
    assert nearest("x", []) == ""
    assert nearest("x", ["a", "b", "a"]) == "; there are: a, b"


# Stops at the first import of Lightning, which takes seconds.
AT_LIGHTNING = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pytorch_lightning":
            print("healed" if "lightning_nn.compat" in sys.modules else "too late", flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "use",
    [
        "from lightning_nn.cli.main import main; main(['--model', 'softmax', '--print_config'])",
        "import lightning_nn.runs.checkpoint",
        "import lightning_nn.callbacks.statistics",
    ],
)
def test_torchvision_is_healed_before_lightning_asks_for_it(use: str) -> None:
    """Beside a CPU build of torch, torchvision dies on import otherwise, and Lightning imports it."""
    done = subprocess.run([sys.executable, "-c", AT_LIGHTNING + use], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "healed\n"), done
