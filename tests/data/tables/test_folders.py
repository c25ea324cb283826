"""Splits and classes in folders as archives hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightning_nn.data.tables.folders import find_classes, find_splits
from lightning_nn.errors import UserError


def read(root: Path, *files: str) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Write files, and return the number of files in each class of each split, and the notes."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    notes: list[str] = []
    places = find_splits(root, (".png",), "image", notes)
    found = find_classes(root, places, (".png",), "image", notes)
    return {split: {name: len(files) for name, files in classes.items()} for split, classes in found.items()}, notes


def both(place: str) -> list[str]:
    return [f"{place}/cats/1.png", f"{place}/dogs/1.png", f"{place}/dogs/2.png"]


BOTH = {"cats": 1, "dogs": 2}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("pack/train_corpus", "pack/test_corpus/answer"),
        ("archive/训练集", "archive/测试集"),
        ("fruit_train", "fruit_test"),
    ],
)
def test_split_folders_are_found_and_wrapping_folders_looked_through(tmp_path: Path, train: str, test: str) -> None:
    assert read(tmp_path, *both(train), *both(test), "__MACOSX/x.png", "@eaDir/x.png") == (
        {"train": BOTH, "test": BOTH},
        [],
    )


def test_a_single_folder_of_classes_is_looked_through(tmp_path: Path) -> None:
    files = [*both("flower_photos"), "flower_photos/LICENSE.txt"]
    assert read(tmp_path, *files)[0] == {"train": BOTH}
    (tmp_path / "flower_photos" / "loop").symlink_to("..")
    assert read(tmp_path)[0] == {"train": BOTH}


def test_a_wrapped_class_is_one_and_a_split_with_one_class_is_no_wrapper(tmp_path: Path) -> None:
    files = [*both("train"), "test/cats/more/3.png", "train/dogs2/dogs2/1.png"]
    assert read(tmp_path, *files)[0] == {"train": {**BOTH, "dogs2": 1}, "test": {"cats": 1}}


def test_a_test_split_without_class_folders_is_left_out_and_noted(tmp_path: Path) -> None:
    found, notes = read(tmp_path, *both("train"), "test1/test1/1.png", "val/1.png")
    assert found == {"train": BOTH}
    assert notes == [
        f"left out, unlabelled: the images of {tmp_path / place} are not in class folders"
        for place in ("test1/test1", "val")
    ]


def test_a_folder_of_an_unlabelled_split_is_no_class(tmp_path: Path) -> None:
    found, notes = read(tmp_path, *both("train"), "test/images/1.png", "val/pictures/pictures/1.png")
    assert found == {"train": BOTH}
    assert [note.partition(": ")[0] for note in notes] == ["left out, unlabelled"] * 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    os.mkfifo(tmp_path / "cats" / "0.png")
    found, notes = read(tmp_path, *both("."))
    assert found == {"train": BOTH}
    assert notes == [
        "skipped, not images in a class by location and suffix: 1 (pipe, socket or device), such as "
        f"{tmp_path / 'cats' / '0.png'}"
    ]


def test_images_of_a_kind_that_is_not_read_are_named(tmp_path: Path) -> None:
    (note,) = read(tmp_path, *both("."), "cats/2.HEIC")[1]
    assert "1 (.heic)" in note and "convert them to JPEG or PNG" in note
    with pytest.raises(UserError, match=r"birds: 1 \(\.heic\), such as .*3.heic, and no image of a kind that is read"):
        read(tmp_path, "birds/3.heic")


def test_classes_called_like_splits_are_classes(tmp_path: Path) -> None:
    names = ("train", "bus", "test_tube", "val_dosta", "dev_board", "training_shoes")
    assert read(tmp_path, *(f"{name}/1.png" for name in names))[0] == {"train": dict.fromkeys(names, 1)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            [*both("archive1"), *both("archive2")],
            "archive1: no image of its own, only folders of them, such as cats, dogs; if",
        ),
        (
            [*both("train_a"), *both("test_b")],
            "test_b: no image of its own.* splits train, val and test",
        ),
        ([*both("train"), *both("test/x"), "test/cats/1.png"], "x: no image of its own"),
        (
            ["train1/cat.1.png", "test1/1.png"],
            "test1: a split of the data, but .* has no train folder",
        ),
        (["cats/1.png", "dogs/1.png", "test_set/1.png"], "into train/, or rename test_set if it is a class"),
        ([*both("train1"), *both("train2")], "train1 and train2 both could be train"),
        ([*both("train"), "bus/1.png"], "train has class folders, as the training split, but bus beside it"),
        (both("test"), "test: a split of the data, but"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, *files)
