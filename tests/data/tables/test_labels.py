from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data.tables.labels import Labels, are_numbers, check_single
from lightning_nn.data.tables.rows import DOUBTFUL, SPELLINGS, ReadingReport
from lightning_nn.data.text.data_module import TextData
from lightning_nn.data.text.documents import TextFiles
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.errors import UserError


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1", "1.0", " 1 ", "1.00", 1, 1.0, "１"], "1"),
        (["-1", "-1.0", -1.0], "-1"),
        (["+1", "+1.0"], "+1"),
        (["01"], "01"),
        (["1.5", 1.5], "1.5"),
        (["True", "true", "TRUE", True], "True"),
        (["体 育", " 体\t育 ", "体　育"], "体 育"),
        (["ＮＢＡ", "NBA"], "NBA"),
        (["x", ["x"], '["x"]', "['x']", {"choices": ["x"]}, '{"choices": ["x"]}', ["x", "x"]], "x"),
    ],
)
def test_labels_of_one_meaning_are_one(values: list[Any], read: str) -> None:
    labels = Labels(ReadingReport())
    assert [labels.read(value, "a.csv:2") for value in values] == [read] * len(values)


def test_other_spellings_are_counted_once() -> None:
    report = ReadingReport()
    labels = Labels(report)
    for value in ("1", "1.0", "1.0", "True", "true"):
        labels.read(value, "a.csv:2")
    assert report.counts == {SPELLINGS: (2, ["1.0 as 1", "true as True"])}


@pytest.mark.parametrize("value", ["", " ", "nan", "NaN", r"\N", None, float("nan"), float("inf"), [], "[]", "<NA>"])
def test_what_means_no_label_is_none(value: Any) -> None:
    with pytest.raises(UserError, match=r"^a\.csv:2: .*; add one or remove the row"):
        Labels(ReadingReport()).read(value, "a.csv:2")


def test_none_is_no_label_beside_numbers_and_doubtful_beside_words() -> None:
    assert are_numbers(["1", "0.5", None, "None", "nan", ""]) and not are_numbers(["1", "x"]) and not are_numbers([])
    with pytest.raises(UserError, match="the label 'None' means none"):
        Labels(ReadingReport(), numbers=True).read("None", "a.csv:2")
    report = ReadingReport()
    labels = Labels(report)
    assert [labels.read("None", "a.csv:2"), labels.read("None", "a.csv:3")] == ["None", "None"]
    assert report.counts == {DOUBTFUL: (2, ["a.csv:2", "a.csv:3"])}


def test_several_labels_are_refused() -> None:
    for value in (["x", "y"], '["x", "y"]', "['x', 'y']", '{"choices": ["x", "y"]}'):
        with pytest.raises(UserError, match=r"^a\.csv:2: 2 labels, 'x' and 'y': a document has one label"):
            Labels(ReadingReport()).read(value, "a.csv:2")


def test_combined_labels_are_refused_and_names_with_commas_are_not() -> None:
    names = ["Arts, crafts", "Food, drink", "Arts, theatre", "Sports"]
    check_single((f"a.csv:{number}", name) for number, name in enumerate(names, 2))
    combined = ["food", "food,price", "price,room", "room", "food,room,price"]
    for separator in (",", ";", "|", "、"):
        with pytest.raises(UserError, match=r"^a\.csv:3: the label 'food.price' combines labels .*multi-label"):
            check_single((f"a.csv:{number}", name.replace(",", separator)) for number, name in enumerate(combined, 2))


def test_labels_that_may_be_one_and_categories_of_one_document_are_noted(tmp_path: Path) -> None:
    rows = [("01", 8), ("1", 8), ("NA", 8), ("体育（一）", 8), ("体育(一)", 8), ("once", 1)]
    lines = [f"文字{label}第{number}个,{label}\n" for label, count in rows for number in range(count)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    data = TextData(str(tmp_path / "a.csv"), vocabulary=TextVocabulary(min_count=1, segmenter="chars"))
    data.prepare_once()
    zeros = "labels that differ only in case, width, spaces or zeros in front: "
    assert zeros + "01, 1" in data.notes
    assert any(note.startswith(zeros + "体育") for note in data.notes)
    assert "categories with a single document: once (a.csv:42)" in data.notes
    assert any(note.startswith("warning: 8 documents with a label such as None") for note in data.notes)


def test_numbers_written_as_floats_in_one_split_are_those_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n一,0.0\n二,1.0\n", encoding="utf-8")
    (tmp_path / "test.jsonl").write_text('{"text": "三", "label": 1}\n', encoding="utf-8")
    records = TextFiles(tmp_path).records()
    assert [record.label for split in records.values() for record in split] == ["0", "1", "1"]
