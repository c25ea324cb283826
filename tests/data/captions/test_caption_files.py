"""Files of captions as people have them, and their faults."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_nn.data.captions.files import CaptionLine, find_caption_files, read_captions
from lightning_nn.errors import UserError


def read(file: Path) -> list[CaptionLine]:
    """The captions of a file without faults."""
    lines = list(read_captions(file, "en", "utf-8"))
    assert all(isinstance(line, CaptionLine) for line in lines), lines
    return lines  # type: ignore[return-value]


def faults(file: Path) -> list[str]:
    return [str(line) for line in read_captions(file, "en", "utf-8") if isinstance(line, UserError)]


# ---------------------------------------------------------------------- tables


def test_each_object_of_json_is_read_by_its_own_names(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "caption": "a dog"},
        {"caption": "a cat", "image": "b.png"},
        {"id": 3, "Image": "c.png", "rating": "good", "Caption": "a cow"},
        {"caption": None, "image": "d.png"},
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps(rows), encoding="utf-8")
    for name in ("c.jsonl", "c.json"):
        found = [line[:2] for line in read(tmp_path / name)]
        assert found == [("a.png", "a dog"), ("b.png", "a cat"), ("c.png", "a cow"), ("d.png", "")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "b.png", "text": "a cat", "split": "val"}, "columns image = image, caption = text, split = "),
        ({"image": "b.png", "caption": "a cat"}, "columns image = image, caption = caption; the first "),
        ({"image": "b.png", "split": "val"}, "no column of captions in image, split; call it caption (c"),
        ({"image": ["b.png"], "caption": "a", "split": "val"}, "'image' is ['b.png']; expected a text or a number"),
        (
            {"image": "b.png", "caption": '["a" b]', "split": "val"},
            "'[\"a\" b]' begins like a list of captions, but is",
        ),
    ],
    ids=str,
)
def test_an_object_with_other_columns_is_a_fault(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = [{"image": "a.png", "caption": "a dog", "split": "train"}, row]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (fault,) = faults(tmp_path / "c.jsonl")
    assert fault.startswith(f"c.jsonl:2: {message}"), fault


def test_a_split_is_a_known_one_or_none(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    cells = ["训练集", "Dev", "restval", "none", "", "trian"]
    file.write_text("image,caption,split\n" + "".join(f"p.png,a dog,{cell}\n" for cell in cells), encoding="utf-8")
    *good, empty, misspelt = read_captions(file, "en", "utf-8")
    assert [line.split for line in good if isinstance(line, CaptionLine)] == ["train", "val", "train", None]
    assert str(empty) == "c.csv:6: the split is ''; there are: train, val, test, none"
    assert str(misspelt) == "c.csv:7: the split is 'trian'; did you mean 'train'?"


def test_two_columns_of_captions_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("image,caption,caption\np.png,a dog,a cat\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"c.csv:1: 2 columns are called 'caption'; rename all but one"):
        read(tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv.gz", "image,caption\na.png,a dog\n"),
        ("c.token.gz", "a.png#0\ta dog\n"),
        ("c.json.gz", json.dumps([{"image": "a.png", "caption": "a dog"}])),
        ("c.tsv", "a.png\ta dog\n"),
        ("c.tsv", "image\tcaption\na.png\ta dog\n"),
    ],
)
def test_text_may_be_packed_or_without_a_header(name: str, text: str, tmp_path: Path) -> None:
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert [line[:2] for line in read(tmp_path / name)] == [("a.png", "a dog")]
    if name.endswith(".gz"):
        assert find_caption_files(tmp_path)[0] == {"": tmp_path / name}


def test_a_number_sign_in_a_caption_is_none_after_a_picture(tmp_path: Path) -> None:
    for name, text in {
        "c.tsv": "a.png\tjersey #5 runs\n",
        "c.csv": "a.png,jersey #5 runs\n",
        "c.jsonl": '{"image": "a.png", "caption": "jersey #5 runs"}\n',
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert [line[:2] for line in read(tmp_path / name)] == [("a.png", "jersey #5 runs")]


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        (r"['a \u dog' 'it\'s']", ["a u dog", "it's"]),
        ("['a \n dog', 'b\\n\\xe9']", ["a \n dog", "b é"]),
    ],
)
def test_a_list_in_a_cell_may_hold_any_escape(tmp_path: Path, cell: str, captions: list[str]) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"image": "a.png", "caption": cell}), encoding="utf-8")
    assert [line.caption for line in read(tmp_path / "c.jsonl")] == captions


def test_a_list_nested_without_end_is_a_bad_row(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "caption": "a dog"}, {"image": "a.png", "caption": '["a",' + "[" * 100_000}]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert "begins like a list of captions, but is none" in str(
        [*read_captions(tmp_path / "c.jsonl", "en", "utf-8")][1]
    )


FIVE = ["A dog .", "The dog, far away", 'A "lucky" dog', "Somebody's dog", "狗"]


def as_cells(cells: list[str], name: str = "caption") -> str:
    """A table with these cells in one row."""
    stream = io.StringIO()
    csv.writer(stream).writerows(
        [["image", *([name] if len(cells) == 1 else [f"{name}_{i}" for i in range(5)])], ["a.png", *cells]]
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", as_cells([json.dumps(FIVE)])),
        ("c.csv", as_cells([str(FIVE)], "raw")),
        ("c.csv", as_cells([str(FIVE).replace("', ", "'\n ").replace('", ', '"\n ')], "sentences")),
        ("c.csv", as_cells(FIVE)),
        ("c.csv", as_cells(FIVE, "comment")),
        ("c.json", json.dumps([{"image": "a.png", "caption": FIVE, "image_id": 7}])),
        ("c.jsonl", json.dumps({"file_name": "a.png", "captions": FIVE})),
        ("c.json", json.dumps({"a.png": FIVE})),
        ("c.json", json.dumps({"images": [{"filename": "a.png", "sentences": FIVE}]})),
        ("c.json", json.dumps({"data": [{"image_name": "a.png", "sentences": [{"raw": text} for text in FIVE]}]})),
    ],
)
def test_a_list_of_captions_is_several_captions(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [line[:2] for line in read(tmp_path / name)] == [("a.png", text) for text in FIVE]


def test_brackets_in_a_caption_are_no_list(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("image,caption\na.png,[sic] a dog [1]\nb.png,[0; 1]\n", encoding="utf-8")
    assert [line.caption for line in read(tmp_path / "c.csv")] == ["[sic] a dog [1]", "[0; 1]"]


def test_splits_may_be_the_keys_of_json(tmp_path: Path) -> None:
    whole = {"train": [{"image_path": "a.png", "report": "a dog"}], "val": [{"image_path": "b.png", "report": "a cat"}]}
    (tmp_path / "c.json").write_text(json.dumps(whole), encoding="utf-8")
    assert [(line.picture, line.split) for line in read(tmp_path / "c.json")] == [("a.png", "train"), ("b.png", "val")]


def test_commas_of_a_caption_after_the_name_of_a_picture_are_text(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("image,caption\na.png,A dog, seen from afar, runs\nb.png,A cat, asleep\n", encoding="utf-8")
    good, bad = read_captions(file, "en", "utf-8", "a.png".__eq__)
    assert isinstance(good, CaptionLine) and good.caption == "A dog, seen from afar, runs"
    assert str(bad) == (
        "captions.txt:3: 3 columns, expected 2: a cell is missing, or one contains the separator; put captions with "
        "commas into quotation marks, double those inside, or put tabs between the columns"
    )


def test_a_header_that_can_not_be_read_is_refused_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes("图片,标题\na.png,a dog\nb.png,a cat\n".encode("gb18030"))
    with pytest.raises(UserError, match=r"c.csv:1: bytes that are not utf-8; .*--data\.encoding gb18030"):
        list(read_captions(tmp_path / "c.csv", "en", "utf-8", lambda name: name.endswith(".png")))


def test_captions_in_columns_without_names_are_not_one_caption(tmp_path: Path) -> None:
    text = "image,caption\n" + "".join(f"{name}.png,A dog,A cat,A cow\n" for name in "abcde")
    (tmp_path / "c.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"2 columns have a name, but each row has 4; name the others, too"):
        list(read_captions(tmp_path / "c.csv", "en", "utf-8", lambda name: name.endswith(".png")))


# ---------------------------------------------------------------------- JSON


def karpathy(**changes: Any) -> dict[str, Any]:
    image = {"filename": "a.png", "split": "train", "sentences": [{"raw": "a dog"}]}
    return {"images": [{**image, **changes}]}


def coco(caption: Any = "a dog", **changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.png", **changes}],
        "annotations": [{"image_id": 1, "caption": caption}],
    }


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ({"images": ["a"], "annotations": []}, "images[0]: expected an object, got 'a'"),
        ({"images": ["a"]}, "images[0]: expected an object, got 'a'"),
        (karpathy(sentences=[{"tokens": 5}]), "images[0]: 'sentences' is {'tokens': 5}; expected a text or a number"),
        (karpathy(sentences=[["a dog"]]), "images[0]: 'sentences' is ['a dog']; expected a text or a number"),
        (karpathy(filename=["a"]), "images[0]: 'filename' is ['a']; expected a text or a number"),
        (karpathy(split=3), "images[0]: the split is '3'; there are: train, val, test, none"),
        (karpathy(split="trian"), "images[0]: the split is 'trian'; did you mean 'train'?"),
        (coco(file_name=None), "images[0]: 'file_name' is None; expected a text"),
        (coco(id=[1]), "images[0]: 'id' is [1]; expected a text or a number"),
        (coco(id=2), "annotations[0]: image_id 1 is of no image in this file"),
        (coco(caption={"a": "dog"}), "annotations[0]: 'caption' is {'a': 'dog'}; expected a text or a number"),
        ({**coco(), "annotations": [{"caption": "a dog"}]}, "annotations[0]: no 'image_id'; there are: caption"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_named_with_its_place(whole: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(whole), encoding="utf-8")
    assert faults(tmp_path / "c.json")[0] == f"c.json: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "c.json: JSON nested too deeply"),
        (json.dumps({**coco(), "annotations": {}}), "c.json: images[0]: no column of captions in id, file_name; call"),
        ('{"images": [', "c.json: the JSON ends at column 12 before it is complete: is the file cut off?"),
        ("5", "c.json: expected an object on each line, or a list of objects, got 5"),
    ],
    ids=["nested", "annotations", "truncated", "number"],
)
def test_json_that_holds_no_captions_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read(tmp_path / "c.json")
    assert str(error.value).startswith(message) and "\n" not in str(error.value), error.value


def test_a_caption_of_null_is_empty_and_no_word(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(coco(None)), encoding="utf-8")
    (tmp_path / "k.json").write_text(json.dumps(karpathy(sentences=[{"raw": None}])), encoding="utf-8")
    assert [line.caption for name in ("c.json", "k.json") for line in read(tmp_path / name)] == ["", ""]


def test_coco_may_say_the_split_and_leave_an_image_without_captions(tmp_path: Path) -> None:
    whole = coco(split="val")
    whole["images"] += [{"id": "x", "file_name": "b.png", "split": "test"}]
    (tmp_path / "c.json").write_text(json.dumps(whole), encoding="utf-8")
    assert read(tmp_path / "c.json") == [
        CaptionLine("a.png", "a dog", "c.json: annotations[0]", "val"),
        CaptionLine("b.png", None, "c.json: images[1]", "test"),
    ]


# ---------------------------------------------------------------------- official folders


def flickr8k(folder: Path) -> None:
    """As Flickr8k_text.zip unpacks."""
    token = "1.jpg#0\tA dog .\n1.jpg#1\tA dog runs .\n"
    files = {
        "CrowdFlowerAnnotations.txt": "1.jpg\t1.jpg#2\t1\t3\t0\n",
        "ExpertAnnotations.txt": "1.jpg\t2.jpg#2\t1\t1\t1\n",
        "Flickr8k.lemma.token.txt": token.replace("runs", "run"),
        "Flickr8k.token.txt": token,
        "Flickr_8k.devImages.txt": "2.jpg\n",
        "Flickr_8k.testImages.txt": "3.jpg\n",
        "Flickr_8k.trainImages.txt": "1.jpg\n",
        "readme.txt": "If you publish work based on this data set, please cite:\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def coco2017(folder: Path) -> None:
    """As annotations_trainval2017.zip unpacks; the captions lie behind a megabyte of images."""
    (folder / "annotations").mkdir()
    images = [{"id": i, "file_name": f"{i:012}.jpg", "license": 3, "height": 427, "width": 640} for i in range(20_000)]
    head = {"info": {"description": "COCO 2017 Dataset"}, "licenses": [], "images": images}
    for kind, entry in {
        "captions": {"image_id": 1, "id": 37, "caption": "A dog runs."},
        "instances": {"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 18},
        "person_keypoints": {"image_id": 1, "keypoints": [0, 0, 0]},
    }.items():
        for split in ("train", "val"):
            text = json.dumps({**head, "annotations": [entry]})
            (folder / "annotations" / f"{kind}_{split}2017.json").write_text(text, encoding="utf-8")


def flickr8k_cn(folder: Path) -> None:
    (folder / "flickr8kzhc.caption.txt").write_text("1.jpg#zhc#0 两只狗。\n", encoding="utf-8")
    (folder / "other.token").write_text("1.jpg#0\tA dog .\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "captions", "lists"),
    [
        (
            flickr8k,
            {"": "Flickr8k.token.txt"},
            {s: f"Flickr_8k.{n}Images.txt" for s, n in (("train", "train"), ("val", "dev"), ("test", "test"))},
        ),
        (coco2017, {split: f"annotations/captions_{split}2017.json" for split in ("train", "val")}, {}),
        (flickr8k_cn, {"": "flickr8kzhc.caption.txt"}, {}),
    ],
)
def test_the_files_of_captions_are_found_in_published_folders(
    make: Callable[[Path], None], captions: dict[str, str], lists: dict[str, str], tmp_path: Path
) -> None:
    make(tmp_path)
    found = find_caption_files(tmp_path)
    names = [{split: file.relative_to(tmp_path).as_posix() for split, file in each.items()} for each in found[:2]]
    assert names == [captions, lists]
