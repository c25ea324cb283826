"""Names of folders and tables that are splits, and names that look like splits and are classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_nn.data.tables.folders import find_named_splits
from lightning_nn.errors import UserError


def found(*names: str) -> dict[str, str]:
    return {split: path.name for split, path in find_named_splits(Path(), map(Path, names)).items()}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "Validation", "TESTING"),
        ("training_set", "validation_set", "test_set"),
        ("TrainSet", "ValSet", "TestSet"),
        ("trainset", "devset", "testset"),
        ("train_data", "dev-data", "test data"),
        ("train_corpus", "valid_corpus", "test_corpus"),
        ("train1", "val1", "test1"),
        ("train2017", "val2017", "test2017"),
        ("imgs_train", "imgs_val", "imgs_test"),
        ("seg_train", "seg_dev", "seg_test"),
        ("训练集", "验证集", "测试集"),
        ("训练数据", "开发数据", "测试数据"),
        ("asl_alphabet_train", "asl_alphabet_val", "asl_alphabet_test"),
        ("train.csv", "dev.csv", "test.csv"),
        ("cnews.train.txt", "cnews.val.txt", "cnews.test.txt"),
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("train_data.csv.gz", "val_data.csv.gz", "test_data.csv.gz"),
    ],
)
def test_splits_are_found_by_the_words_of_their_names(names: tuple[str, str, str]) -> None:
    assert found("cats", *names, "vocab.txt") == dict(zip(("train", "val", "test"), names, strict=True))


@pytest.mark.parametrize(
    "name",
    ["test_tube", "val_dosta", "dev_board", "training_shoes", "TrainStation", "trains", "validity", "testosterone",
     "train_test", "trainval", "retrain", "bus", "车", "测试员"],
)  # fmt: skip
def test_a_class_that_is_called_like_a_split_is_none(name: str) -> None:
    assert found("train", name) == {"train": "train"}
    assert found("bus", name) == {}


def test_the_exact_name_comes_before_others_and_two_alike_are_refused() -> None:
    assert found("train", "train_2", "test1", "train_x", "test_x") == {"train": "train", "test": "test1"}
    for first, second in (("train1", "train2"), ("dev", "val"), ("a_train", "b_train")):
        with pytest.raises(UserError, match=f"{first} and {second} both could be (train|val); keep one"):
            found(first, second, "a_test", "b_test")
