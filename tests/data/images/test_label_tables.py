"""Tables of files and labels, as competitions and programs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_nn.data.images.data_module import Images
from lightning_nn.data.splits import Splits
from lightning_nn.errors import UserError


def put(root: Path, *names: str) -> None:
    """Write pictures, each of one gray that is its place in `names`."""
    for gray, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), gray).save(root / name)


def table(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def read(path: Path, **arguments: Any) -> tuple[dict[str, dict[str, list[int]]], list[str]]:
    """Return the grays of each class of each split, and the notes."""
    data = Images(str(path), size=4, color="gray", **arguments)
    data.prepare_once()
    found: dict[str, dict[str, list[int]]] = {}
    for split, source in data.sources.items():
        batch = source[np.arange(len(source))]
        for gray, label in zip(batch.image[:, 0, 0, 0].tolist(), batch.label.tolist(), strict=True):
            found.setdefault(split, {}).setdefault(data.processor.categories[label], []).append(gray)
    return found, data.notes


def all_of(found: dict[str, dict[str, list[int]]]) -> dict[str, list[int]]:
    names = {name for classes in found.values() for name in classes}
    return {name: sorted(gray for classes in found.values() for gray in classes.get(name, [])) for name in names}


NUMBERS = range(8)
EXPECTED = {"cat": [0, 2, 4, 6], "dog": [1, 3, 5, 7]}
LABELS = ["cat", "dog"] * 4

FORMS = {  # names of the files, name of the table, text of the table
    "dog breeds: id without suffix": (
        [f"train/a{i}.jpeg".replace("jpeg", "png") for i in NUMBERS],
        "labels.csv",
        "id,breed\n" + "".join(f"a{i},{LABELS[i]}\n" for i in NUMBERS),
    ),
    "names in a folder of the same name": (
        [f"train/train/{i}.png" for i in NUMBERS],
        "train.csv",
        "Image,Id\n" + "".join(f"{i}.png,{LABELS[i]}\n" for i in NUMBERS),
    ),
    "paths, other columns, a known name": (
        [f"images/{i}.png" for i in NUMBERS],
        "metadata.csv",
        "index,image,age,label\n" + "".join(f"x{i},images/{i}.png,{i % 3},{LABELS[i]}\n" for i in NUMBERS),
    ),
    "backslashes, absolute, another case": (
        [f"images/Img{i}.PNG" for i in NUMBERS],
        "all.csv",
        "path;class\n" + "".join(f"C:\\data\\images\\img{i}.png;{LABELS[i]}\n" for i in NUMBERS),
    ),
    "parts that are no classes": (
        [f"images_part_{1 + i // 4}/{i}x.png" for i in NUMBERS],
        "metadata.tsv",
        "name\tlabel\n" + "".join(f"{i}x\t{LABELS[i]}\n" for i in NUMBERS),
    ),
    "no header": (
        [f"images/{i}.png" for i in NUMBERS],
        "list.csv",
        "".join(f"{i}.png,{LABELS[i]}\n" for i in NUMBERS),
    ),
    "separated by a space": (
        [f"images/a {i}.png" for i in NUMBERS],
        "train.txt",
        "".join(f"images/a {i}.png {LABELS[i]}\n" for i in NUMBERS),
    ),
    "JSON lines of an image folder": (
        [f"{i}.png" for i in NUMBERS],
        "metadata.jsonl",
        "".join(json.dumps({"file_name": f"{i}.png", "label": LABELS[i]}) + "\n" for i in NUMBERS),
    ),
}


@pytest.mark.parametrize("given", ["folder", "table"])
@pytest.mark.parametrize("form", FORMS)
def test_the_class_of_each_file_is_read_from_a_table(tmp_path: Path, form: str, given: str) -> None:
    names, file, text = FORMS[form]
    root = tmp_path / "data"
    put(root, *names)
    path = table(root, file, text)
    found, notes = read(root if given == "folder" else path)
    assert all_of(found) == EXPECTED
    assert any(note.startswith(f"labels by {file}: the column") for note in notes)


def test_tables_and_columns_of_splits_give_the_splits(tmp_path: Path) -> None:
    names = [f"{split}/{i}.png" for split in ("train", "val", "test") for i in range(4)]
    put(tmp_path / "a", *names)
    for split in ("train", "val"):
        table(tmp_path / "a", f"{split}.csv", "id,label\n0,cat\n1,dog\n2,cat\n3,dog\n")
    table(tmp_path / "a", "test.csv", "id\n0\n1\n2\n3\n")
    table(tmp_path / "a", "sample_submission.csv", "id,label\n0,cat\n1,cat\n2,cat\n3,cat\n")
    found, notes = read(tmp_path / "a", splits=Splits(val=0.25, test=0.5))
    assert sorted(found["val"]["cat"] + found["val"]["dog"]) == [4, 5, 6, 7], "names of the own split come first"
    assert sorted(gray for split in ("train", "test") for some in found[split].values() for gray in some) == [
        0,
        1,
        2,
        3,
    ]
    assert any("test.csv has no column of labels" in note for note in notes)
    assert any("4 images below" in note and "not in the tables" in note for note in notes)

    put(tmp_path / "b", *names)
    rows = [f"{name},{'dog' if i % 2 else 'cat'},{name.split('/')[0]}_set\n" for i, name in enumerate(names)]
    rows.append("none.png,cat,none\n")
    table(tmp_path / "b", "birds.csv", "filepaths,labels,data set\n" + "".join(rows))
    found, notes = read(tmp_path / "b")
    assert "left out, 1 of 13 rows of birds.csv are of no split" in notes
    assert found == {
        split: {"cat": [4 * i, 4 * i + 2], "dog": [4 * i + 1, 4 * i + 3]}
        for i, split in enumerate(("train", "val", "test"))
    }


def test_a_column_without_names_of_splits_gives_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"{i}.png" for i in NUMBERS))
    rows = "".join(f"{i}.png,{LABELS[i]},{'coco' if i < 4 else 'voc'}\n" for i in NUMBERS)
    table(tmp_path, "labels.csv", f"file,label,dataset\n{rows}")
    assert all_of(read(tmp_path)[0]) == EXPECTED


def test_a_title_above_a_table_is_no_row(tmp_path: Path) -> None:
    put(tmp_path, *(f"{i}.png" for i in NUMBERS))
    rows = "".join(f"{i}.png,{LABELS[i]}\n" for i in NUMBERS)
    table(tmp_path, "labels.csv", f"My pictures\nfile,label\n{rows}")
    assert all_of(read(tmp_path)[0]) == EXPECTED
    table(tmp_path, "labels.csv", f"My pictures\n{rows}")
    with pytest.raises(UserError, match=r"labels.csv:1: 1 column, expected 2.*; remove it if it is a title"):
        read(tmp_path)


def test_a_val_split_without_labels_stops_the_start(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{i}.png" for split in ("train", "val") for i in range(4)))
    table(tmp_path, "train.csv", "id,label\n0,cat\n1,dog\n2,cat\n3,dog\n")
    table(tmp_path, "val.csv", "id\n0\n1\n")
    with pytest.raises(UserError, match=r"val.csv: no column of labels; add one"):
        read(tmp_path)
    (tmp_path / "val.csv").unlink()
    (tmp_path / "train.csv").unlink()
    for i in range(4):
        (tmp_path / f"train/{i % 2}").mkdir(exist_ok=True)
        (tmp_path / f"train/{i}.png").rename(tmp_path / f"train/{i % 2}/{i}.png")
    with pytest.raises(UserError, match=r"val: its images are not in class folders, and no table labels them"):
        read(tmp_path)


def test_tables_in_the_folders_of_splits_are_read(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{i}.png" for split in ("train", "validation", "test") for i in range(4)))
    for split in ("train", "validation", "test"):
        table(tmp_path, f"{split}/metadata.csv", "file_name,label\n0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n")
    found, _ = read(tmp_path)
    assert found == {
        split: {"cat": [4 * i, 4 * i + 2], "dog": [4 * i + 1, 4 * i + 3]}
        for i, split in enumerate(("train", "val", "test"))
    }


def test_a_split_without_class_folders_is_labelled_by_the_table_beside_it(tmp_path: Path) -> None:
    put(tmp_path, *(f"train/{name}/images/{name}_{i}.png" for name in ("n01", "n02") for i in range(4)))
    put(tmp_path, *(f"val/images/val_{i}.png" for i in range(4)), "test/images/test_0.png")
    table(tmp_path, "val/val_annotations.txt", "".join(f"val_{i}.png\tn0{1 + i % 2}\t0\t0\t9\t9\n" for i in range(4)))
    found, notes = read(tmp_path)
    assert found["val"] == {"n01": [0, 2], "n02": [1, 3]}
    assert any("left out, unlabelled" in note and "test" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("id,label\n9,cat\n8,dog\n", {}, "labels.csv: no image below .* is called as in the column 'id', such as '9'"),
        ("id,a,b\n0,1,0\n1,0,1\n", {}, "which column is the class. There are: id, a, b; use --data.label_column"),
        ("id,a\n0,x\n1,y\n", {"label_column": "b"}, "--data.label_column is 'b', which is not a column"),
        ("id,a\n0,x\n1,y\n", {"file_column": "ids"}, "--data.file_column is 'ids', .* did you mean 'id'"),
        ("id,label\n0,cat\n1,dog\n0,dog\n", {}, "labels.csv:4: '0' is 'dog', but 'cat' at labels.csv:2"),
        ("id,label\n0,cat\n1,dog\n2,dog\n5,dog\n6,cat\n", {}, "2 of 5 rows name no image .* labels.csv:5, '5'"),
        ("id,label\n0,cat\n1,dog,\n2,dog\n", {}, "labels.csv:3: 3 columns, expected 2"),
        ("id\n0\n1\n", {}, "labels.csv: a single column, 'id'"),
        ("", {}, "labels.csv is empty"),
        ('""\n""\n', {}, "labels.csv is empty"),
        ("id,label,split\n0,cat,train\n1,dog,holdout\n", {}, "labels.csv:3: the split is 'holdout'; there are: train"),
        (
            "id,label,split\n0,cat,train\n0,cat,test\n1,dog,train\n",
            {},
            "labels.csv:3: '0' is of test, but of train at labels.csv:2",
        ),
    ],
)
def test_a_table_that_can_not_be_read_is_refused(
    tmp_path: Path, text: str, arguments: dict[str, str], message: str
) -> None:
    put(tmp_path, *(f"images/{i}.png" for i in range(4)))
    with pytest.raises(UserError, match=message):
        read(table(tmp_path, "labels.csv", text), **arguments)


def test_a_table_in_gbk_in_a_folder_names_its_encoding(tmp_path: Path) -> None:
    put(tmp_path, *(f"images/{i}.png" for i in range(8)))
    rows = "".join(f"{i}.png,{'猫狗'[i % 2]}\n" for i in range(8))
    (tmp_path / "labels.csv").write_bytes(f"文件,类别\n{rows}".encode("gbk"))
    with pytest.raises(UserError, match=r"labels.csv:1: .* use --data.encoding gb18030"):
        read(tmp_path)
    assert all_of(read(tmp_path, encoding="gb18030")[0]) == {"猫": [0, 2, 4, 6], "狗": [1, 3, 5, 7]}


def test_names_that_mean_two_images_are_refused_and_lost_rows_counted(tmp_path: Path) -> None:
    put(tmp_path / "a", "x/0.png", "y/0.png", "x/1.png")
    path = table(tmp_path / "a", "labels.csv", "id,label\n0,cat\n1,dog\n")
    with pytest.raises(UserError, match=r"labels.csv:2: '0' may be .*x/0.png or .*y/0.png"):
        read(path)
    put(tmp_path / "b", *(f"{i}.png" for i in range(10)))
    rows = "".join(f"{i},{'dog' if i % 2 else 'cat'}\n" for i in range(9))
    _, notes = read(table(tmp_path / "b", "labels.csv", f"id,label\n{rows}9,\n10,cat\n"))
    assert any("1 of 11 rows of labels.csv name no image, the first: labels.csv:12" in note for note in notes)
    assert any("1 of 11 rows of labels.csv have no label" in note for note in notes)
