"""Notes on the classes at the start of a run, in folders, tables and pictures alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_nn.data.images.data_module import Images
from lightning_nn.data.labeled_module import LabeledDataModule, note_on_classes, note_on_pixels, warning_of_missing
from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.vocabulary import TextVocabulary


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))


COUNTS = {
    "train": {"neg": 6, "pos": 6, "unsup": 12},
    "val": {"neg": 2, "pos": 2, "unsup": 1},
    "test": {"neg": 3, "pos": 3},
}
MISSING = "warning: test never shows a class of train: unsup (12 of 24 samples of train, 50.0%); "


def pictures(root: Path) -> LabeledDataModule:
    for split, counts in COUNTS.items():
        for name, n in counts.items():
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                noise = np.random.default_rng(len(name) * 1000 + len(split) * 100 + i).integers(
                    0, 255, (4, 4), np.uint8
                )
                Image.fromarray(noise).save(root / split / name / f"{i}.png")
    return Images(str(root), size=4)


def folders(root: Path) -> LabeledDataModule:
    for split, counts in COUNTS.items():
        for name, n in counts.items():
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                (root / split / name / f"{i}.txt").write_text(f"{split} {name} {i}", encoding="utf-8")
    return TextData(str(root), vocabulary=TextVocabulary("chars", min_count=1))


def tables(root: Path) -> LabeledDataModule:
    root.mkdir()
    for split, counts in COUNTS.items():
        rows = [f"{split} {name} {i}\t{name}\n" for name, n in counts.items() for i in range(n)]
        (root / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    return TextData(str(root), vocabulary=TextVocabulary("chars", min_count=1))


@pytest.mark.parametrize("build", [pictures, folders, tables])
def test_a_class_that_a_given_split_never_shows_is_warned_of(build, tmp_path):
    data = build(tmp_path / "data")
    data.prepare_once()
    assert data.notes[0] == "3 categories: neg (6 in train), pos (6), unsup (12)"
    assert [note for note in data.notes if note.startswith("warning: ") and "never shows" in note] == [
        MISSING + "take what is no class out of train, or add such samples to test"
    ]


def test_an_evaluation_counts_what_it_reads(tmp_path):
    data = pictures(tmp_path / "data")
    data.evaluate_only("test")
    data.prepare_once()
    assert data.notes == ["3 categories: neg (3 in test), pos (3), unsup (0)"]


def test_equal_counts_are_said_once_and_many_classes_are_counted():
    assert note_on_classes(["a", "狗"], [1200, 1200], "train") == "2 categories: a, 狗 (1,200 each in train)"
    names, counts = [f"class number {i}" for i in range(1000)], [*range(1, 1001)]
    note = note_on_classes(names, counts, "train")
    assert note.startswith("1,000 categories: class number 0 (1 in train), class number 1 (2), ")
    assert note.endswith(", ... (995 more, of 1 to 1,000)")
    assert len(note_on_classes(["x" * 999, "y"], [1, 2], "train")) < 80


def test_classes_of_pixels_are_named_with_their_shares() -> None:
    note = note_on_pixels(["sky", "road", "car"], [40, 35, 25], "train")
    assert note == "3 categories, of the pixels of train: sky 40.0%, road 35.0%, car 25.0%"
    (warning,) = warning_of_missing(["sky", "car"], [30, 10], [5, 0], "val", "pixels")
    assert "car (10 of 40 pixels of train, 25.0%)" in warning
