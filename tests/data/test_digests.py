from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_nn import Bulletins, Digits, Images, SoftmaxClassifier, TextData, UserError
from lightning_nn.data.images.labeled_images import ImageSource
from lightning_nn.data.module import DataModule
from lightning_nn.data.text.vocabulary import TextVocabulary
from tests.contract import trainer
from tests.tiny.register import registered
from tests.tiny.segmentation import MaskSource, Segmenter, TinyMasks

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:Total length of `list` across ranks is zero.*"
)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))


ROWS = [f"第{i}句话在这里。\t{'甲乙'[i % 2]}\n" for i in range(40)]


def texts(path: Path, rows: list[str], **options: Any) -> TextData:
    path.write_text("".join(rows), encoding="utf-8")
    return TextData(str(path), **{"vocabulary": TextVocabulary("chars", min_count=1), **options})


def folder(path: Path, rows: dict[str, list[str]], **options: Any) -> TextData:
    """Texts with a file for each split."""
    path.mkdir(exist_ok=True)
    for split, some in rows.items():
        (path / f"{split}.tsv").write_text("".join(some), encoding="utf-8")
    return TextData(str(path), **{"vocabulary": TextVocabulary("chars", min_count=1), **options})


def images(path: Path, colors: dict[str, list[int]]) -> Images:
    for name, some in colors.items():
        for i, color in enumerate(some):
            (path / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 4), (color,) * 3).save(path / name / f"{i:03d}.png")
    return Images(str(path), size=4)


def swapped(rows: list[str]) -> list[str]:
    """The same rows, each class in another order: every label stands where it stood."""
    return [rows[i + 2 if i % 4 < 2 else i - 2] for i in range(len(rows))]


def test_rows_permuted_within_their_label_are_other_splits(tmp_path: Path) -> None:
    """A digest of labels would not see that what was trained on is tested."""
    first, other = texts(tmp_path / "a.tsv", ROWS), texts(tmp_path / "b.tsv", swapped(ROWS))
    assert np.array_equal(first.labels("train"), other.labels("train"))
    assert np.array_equal(first.labels("test"), other.labels("test"))
    assert first.split_digest != other.split_digest
    assert texts(tmp_path / "c.tsv", ROWS).split_digest == first.split_digest


def test_images_permuted_within_their_class_are_other_splits(tmp_path: Path) -> None:
    colors = {"a": list(range(20)), "b": list(range(100, 120))}
    first = images(tmp_path / "one", colors)
    other = images(tmp_path / "two", {name: some[::-1] for name, some in colors.items()})
    assert np.array_equal(first.labels("train"), other.labels("train"))
    assert first.split_digest != other.split_digest
    assert images(tmp_path / "three", colors).split_digest == first.split_digest


def test_there_is_a_digest_where_all_splits_are_given_and_it_sees_each(tmp_path: Path) -> None:
    splits = {"train": ROWS[:20], "val": ROWS[20:30], "test": ROWS[30:]}
    first = folder(tmp_path / "data", splits)
    assert set(first.provided_splits) == set(splits) and first.split_digest
    for split in splits:
        shorter = folder(tmp_path / split, {**splits, split: splits[split][:-2]})
        assert shorter.split_digest != first.split_digest
        train = {"split_digest": shorter.split_digest, "train_digest": first.state_dict()["train_digest"]}
        assert (shorter.state_dict() == train) == (split != "train")


def test_labels_are_contents(tmp_path: Path) -> None:
    flipped = [*ROWS[:-2], ROWS[-2].replace("甲", "乙"), ROWS[-1].replace("乙", "甲")]
    assert texts(tmp_path / "a.tsv", ROWS).split_digest != texts(tmp_path / "b.tsv", flipped).split_digest
    assert Digits(classes=[0, 1]).split_digest != Digits(classes=[1, 0]).split_digest


def test_how_a_text_is_read_does_not_change_what_it_is(tmp_path: Path) -> None:
    """Segmenter, vocabulary, limits, spaces and encoding: the same documents in other ids."""
    first = texts(tmp_path / "a.tsv", ROWS)
    (tmp_path / "gb.tsv").write_text("".join(ROWS).replace("\n", "\r\n"), encoding="gb18030", newline="")
    others = [
        texts(tmp_path / "b.tsv", ROWS, vocabulary=TextVocabulary("jieba", min_count=3), max_words=2),
        texts(tmp_path / "c.tsv", [f" {row}" for row in ROWS]),
        TextData(str(tmp_path / "gb.tsv"), vocabulary=TextVocabulary("chars"), encoding="gb18030"),
    ]
    assert {data.split_digest for data in others} == {first.split_digest}


def test_fingerprints_are_of_the_samples_in_their_order(tmp_path: Path) -> None:
    data, other = texts(tmp_path / "a.tsv", ROWS), texts(tmp_path / "b.tsv", ROWS[10:])
    for each in (data, other):
        each.prepare_once()
    known = {}
    for split in ("train", "val", "test"):
        source = data.sources[split]
        assert source.fingerprints().dtype == np.uint64 and len(source.fingerprints()) == len(source)
        known.update(zip(source.fingerprints().tolist(), (ROWS[i] for i in source.indices), strict=True))
    assert len(known) == 40
    source = other.sources["train"]
    assert [known[f] for f in source.fingerprints().tolist()] == [ROWS[10:][i] for i in source.indices]


def test_fingerprints_of_images_are_kept_beside_them_and_are_those_of_their_pixels(tmp_path: Path) -> None:
    data = images(tmp_path / "one", {"a": list(range(10)), "b": list(range(100, 110))})
    data.prepare_once()
    source = data.sources["val"]
    assert isinstance(source, ImageSource)
    plain = ImageSource(source.images, np.zeros(len(source.images), np.int64), source.indices)
    assert np.array_equal(source.fingerprints(), plain.fingerprints())
    assert len(set(source.fingerprints().tolist())) == len(source) == 2


def test_without_labels_there_is_a_digest_too() -> None:
    one, same, other = (TinyMasks(samples=8, splits="train,val") for _ in range(3))
    other.prepare_once()
    source = other.sources["val"]
    assert isinstance(source, MaskSource)
    source.masks[0, 0, 0] = 2
    assert one.split_digest == same.split_digest != other.split_digest


def test_a_checkpoint_keeps_the_digests(tmp_path: Path) -> None:
    data, run = Digits(classes=[0, 1]), trainer(tmp_path, max_epochs=1)
    run.fit(SoftmaxClassifier(64, 2), datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    kept = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert kept["Digits"] == {"split_digest": data.split_digest, "train_digest": data.digest(["train"])}
    assert kept["Digits"]["train_digest"] != kept["Digits"]["split_digest"]


@pytest.mark.parametrize(
    "data", [Digits(), Bulletins(train_size=300, val_size=9, test_size=9, vocabulary=TextVocabulary("chars"))]
)
def test_a_digest_is_made_once(data: DataModule, monkeypatch: pytest.MonkeyPatch) -> None:
    data.prepare_once()
    first = data.state_dict()
    with monkeypatch.context() as patch:
        for source in data.sources.values():
            patch.setattr(type(source), "fingerprints", lambda _: pytest.fail("hashed again"))
        assert data.state_dict() == first


# ---------------------------------------------------------------------- splits that are not there


def test_a_split_that_is_missing_is_none(tmp_path: Path) -> None:
    data, model = TinyMasks(samples=8, splits="train"), Segmenter(1, 3)
    assert data.val_dataloader() == data.test_dataloader() == data.predict_dataloader() == []
    run = trainer(tmp_path, max_epochs=2)
    run.fit(model, datamodule=data)
    assert {name for name in run.callback_metrics if not name.startswith("train/")} == set()
    assert run.validate(model, datamodule=data, verbose=False) == []
    assert run.test(model, datamodule=data, verbose=False) == []


def test_a_run_without_a_train_split_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no train split in this data, only val and test"):
        trainer(tmp_path).fit(Segmenter(1, 3), datamodule=TinyMasks(samples=16, splits="val,test"))
    (tested,) = trainer(tmp_path).test(Segmenter(1, 3), datamodule=TinyMasks(splits="test"), verbose=False)
    assert tested.keys() == {"test/loss", "test/miou"}


def test_a_data_set_learns_what_batches_its_model_reads(tmp_path: Path) -> None:
    data = TinyMasks(samples=8, splits="train")
    trainer(tmp_path, max_epochs=1).fit(Segmenter(1, 3), datamodule=data)
    assert data.batch_type is Segmenter.batch_type


def test_only_one_split_is_loaded_to_be_evaluated(tmp_path: Path) -> None:
    colors = {"a": list(range(10)), "b": list(range(100, 110))}
    whole = images(tmp_path / "whole", colors)
    whole.evaluate_only("test")
    whole.prepare_once()
    assert {split: len(source) for split, source in whole.sources.items()} == {"test": 20}
    assert "test: all 20 samples, as the data has no test split" in whole.notes
    assert [row[0] for row in whole.summary[1:]] == ["test"]
    parts = images(tmp_path / "parts" / "train", colors)
    images(tmp_path / "parts" / "test", {"a": [50], "b": [150, 151]})
    parts = Images(str(tmp_path / "parts"), size=4)
    parts.evaluate_only("test")
    parts.prepare_once()
    assert {split: len(source) for split, source in parts.sources.items()} == {"test": 3}
    assert not any("all 3 samples" in note for note in parts.notes)
    assert parts.class_counts == [0, 0] and parts.val_dataloader() == []
    assert parts.state_dict()["train_digest"] == TinyMasks(splits="").digest(["train"])
