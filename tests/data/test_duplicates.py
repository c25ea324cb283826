from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_nn import Bulletins, Digits, Images, SoftmaxClassifier, TextData
from lightning_nn.data.duplicates import duplicates, matches, recall_trained, remember_trained
from lightning_nn.data.module import DataModule
from lightning_nn.data.splits import Splits
from lightning_nn.data.text.vocabulary import TextVocabulary
from tests.contract import trainer

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=20)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@given(HASHES, HASHES)
def test_matches_are_those_of_a_search_through_all(samples: list[int], known: list[int]) -> None:
    expected = [known.index(sample) if sample in known else -1 for sample in samples]
    assert matches(np.array(samples, np.uint64), np.array(known, np.uint64)).tolist() == expected


def test_duplicates_of_all_pairs_of_splits_are_in_a_line() -> None:
    splits = {"train": [1, 2, 2, 3], "val": [9, 2], "test": [2, 9, 8, 2]}
    hashes = {split: np.array(numbers, np.uint64) for split, numbers in splits.items()}
    assert duplicates(hashes, lambda split, number: f"{split}:{number}") == (
        "duplicates across splits: 1 of 2 val samples stand in train (val:1 is train:1); "
        "2 of 4 test samples stand in train (test:0 is train:1); 3 of 4 test samples stand in val (test:0 is val:1)"
    )
    assert duplicates({"train": hashes["train"]}, lambda *_: "") == duplicates({}, lambda *_: "") == ""


def duplicates_of(data: DataModule) -> list[str]:
    data.prepare_once()
    return [note for note in data.notes if "duplicates" in note]


def test_documents_in_several_splits_are_named_by_file_and_line(tmp_path: Path) -> None:
    rows = [(f"第{i}句话\n在这里。", "甲乙"[i % 2]) for i in range(20)]
    with (tmp_path / "train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    for split, texts in {"val": [" ", "第98句", "第99句", "第7句话 在这里。"], "test": ["第96句", "第97句"]}.items():
        lines = ["text\tlabel", *(f"{text}\t甲" for text in texts)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines), encoding="utf-8")
    data = TextData(str(tmp_path), vocabulary=TextVocabulary("chars", min_count=1))
    assert duplicates_of(data) == [
        "duplicates across splits: 1 of 3 val samples stand in train (val.tsv:5 is train.csv:16)"
    ]
    data.evaluate_only("val")
    assert duplicates_of(data) == []


def test_documents_of_folders_are_named_by_their_files(tmp_path: Path) -> None:
    names = [os.fsdecode("é\n\udc80".encode("utf-8", "surrogateescape")), *"bcde"]
    for label in "甲乙":
        (tmp_path / label).mkdir()
        for name in names:
            (tmp_path / label / f"{name}.txt").write_text("到处都一样。", encoding="utf-8")
    (note,) = duplicates_of(
        TextData(str(tmp_path), vocabulary=TextVocabulary("chars"), splits=Splits(val=0.2, test=0.2))
    )
    assert len(re.findall(r"\([甲乙]/\S+\.txt is [甲乙]/\S+\.txt\)", note)) == 3


def test_images_in_several_splits_are_named_by_their_files(tmp_path: Path) -> None:
    for split, colors in {"train": [1, 2, 3, 4, 5], "test": [7, 4], "val": [8]}.items():
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            for color in colors:
                shade = (color * 9 + 100 * (label == "b"),) * 3
                Image.new("RGB", (4, 4), shade).save(tmp_path / split / label / f"{color}.png")
    (note,) = duplicates_of(Images(str(tmp_path), size=4))
    same = f"{tmp_path / 'test/a/4.png'} is {tmp_path / 'train/a/4.png'}"
    assert note == f"duplicates across splits: 2 of 4 test samples stand in train ({same})"


@pytest.mark.parametrize(
    "data", [Digits(), Bulletins(train_size=300, val_size=60, test_size=60, vocabulary=TextVocabulary("chars"))]
)
def test_data_that_comes_along_has_no_duplicates(data: DataModule) -> None:
    assert duplicates_of(data) == []


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_a_training_keeps_the_hashes_of_its_samples(tmp_path: Path, cache: Path) -> None:
    data, digest = Digits(classes=[0, 1]), Digits(classes=[0, 1]).state_dict()["train_digest"]
    assert recall_trained(digest) is None
    trainer(tmp_path).test(SoftmaxClassifier(64, 2), datamodule=data, verbose=False)
    assert recall_trained(digest) is None, "nothing was trained"
    trainer(tmp_path, max_epochs=1).fit(SoftmaxClassifier(64, 2), datamodule=data)
    kept = recall_trained(digest)
    assert kept is not None and kept.tolist() == sorted(set(data.sources["train"].fingerprints().tolist()))


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_a_cache_that_cannot_be_written_is_no_reason_not_to_train(tmp_path: Path, cache: Path) -> None:
    cache.write_text("no folder", encoding="utf-8")
    trainer(tmp_path, max_epochs=1).fit(SoftmaxClassifier(64, 2), datamodule=Digits(classes=[0, 1]))


def test_damaged_hashes_of_a_training_are_none_and_are_stored_again(tmp_path: Path) -> None:
    remember_trained("0" * 32, np.arange(3, dtype=np.uint64))
    (file,) = (tmp_path / "cache/trained").iterdir()
    file.write_bytes(b"x" + file.read_bytes()[1:])
    assert recall_trained("0" * 32) is None
    remember_trained("0" * 32, np.arange(3, dtype=np.uint64))
    assert recall_trained("0" * 32) is not None


def test_what_a_checkpoint_calls_a_digest_reads_no_other_file(tmp_path: Path) -> None:
    remember_trained("0" * 32, np.arange(3, dtype=np.uint64))
    assert recall_trained("0" * 32) is not None
    (tmp_path / "cache/secret").write_bytes(b"12345678")
    for name in ("../secret", str(tmp_path / "cache/secret"), "0" * 31, "", None, ["0" * 32], "0" * 32 + "\n"):
        assert recall_trained(name) is None
