"""Examples in the docstrings of public classes, with the names of this package and torch imported."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_nn
from lightning_nn import layers
from tests.commands import write_reviews

CLASSES = {name: getattr(lightning_nn, name) for name in lightning_nn.__all__ if not name.endswith("Batch")}
CLASSES |= {
    name: cls for name, cls in vars(layers).items() if isinstance(cls, type) and issubclass(cls, torch.nn.Module)
}
OPTIONS = doctest.IGNORE_EXCEPTION_DETAIL  # of an error, only the class


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the files that examples name."""
    cwd = tmp_path_factory.mktemp("examples")
    write_reviews(cwd / "reviews.csv")
    random, captions = np.random.default_rng(0), ["image,caption"]
    for kind in ("sky", "sea"):
        for i in range(10):
            for file in (cwd / "pictures" / kind / f"{i}.png", cwd / "streets/images" / f"{kind}{i}.png"):
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(file)
            mask = cwd / "streets/masks" / f"{kind}{i}.png"
            mask.parent.mkdir(exist_ok=True)
            Image.fromarray(random.integers(0, 2, (40, 40), np.uint8)).save(mask)
            captions.append(f"pictures/{kind}/{i}.png,the {kind} is wide and blue")
    (cwd / "captions.csv").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return cwd


@pytest.mark.seconds
@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_has_an_example_that_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = {**CLASSES, **{each: getattr(lightning_nn, each) for each in lightning_nn.__all__}, "torch": torch}
    (example,) = doctest.DocTestFinder(recurse=False).find(CLASSES[name], name, globs=names)
    assert 1 <= len(example.examples) <= 5, f"{name} has {len(example.examples)} lines of examples"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert not result.failed, "".join(said)
