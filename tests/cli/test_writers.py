"""Predictions with any fields, written to a terminal, a table, JSON lines, image files and a page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rich.cells import cell_len

from lightning_nn.cli.writers import article, cell, choose_form, json_text, terminal_line, writer
from lightning_nn.data.processor import Record
from lightning_nn.data.segmentation.classes import read_class_table
from lightning_nn.errors import UserError
from lightning_nn.sanitize import is_formula
from lightning_nn.tasks.artifacts import Legend
from lightning_nn.tasks.segmentation import MaskPrediction
from lightning_nn.tasks.stylization import StyledImage
from lightning_nn.visualization.segmentation import legend_csv, overlay

MASK = np.arange(12, dtype=np.uint8).reshape(3, 4)
MASK[0, 0] = 255
PICTURE = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


class Segmented(NamedTuple):
    mask: NDArray[np.uint8]
    styled: NDArray[np.uint8]
    classes: list[str]
    share: float


class Captioned(NamedTuple):
    caption: str
    score: float
    words: int


SEGMENTED = Segmented(MASK, PICTURE, ["cat", "dog"], 0.25)


def written(out: Path, *pairs: tuple[Any, Any]) -> Path:
    with writer(out, choose_form(out, None), "Predictions") as write:
        for raw, prediction in pairs:
            write(raw if isinstance(raw, Record) else Record(raw, {"input": raw}), prediction)
    return out


def test_a_table_has_the_fields_of_whatever_was_predicted(tmp_path: Path) -> None:
    file = written(
        tmp_path / "out.csv", ("a.png", Captioned("a dog", -0.5, 3)), ("b.png", Captioned("=x", float("nan"), 1))
    )
    assert file.read_text(encoding="utf-8-sig").splitlines() == [
        "input,caption,score,words",
        "a.png,a dog,-0.5000,3",
        "b.png,'=x,nan,1",
    ]


def test_images_become_files_named_after_their_inputs(tmp_path: Path) -> None:
    inputs = [tmp_path / "one" / "cat.jpg", tmp_path / "two" / "cat.png", "a text"]
    file = written(tmp_path / "out.csv", *((raw, SEGMENTED) for raw in inputs))
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    masks = [Path(row["mask"]) for row in rows]
    assert [mask.relative_to(tmp_path).as_posix() for mask in masks] == [
        "out-mask/cat.png",
        "out-mask/cat-2.png",
        "out-mask/000003.png",
    ]
    assert rows[0]["classes"] == '["cat", "dog"]' and rows[0]["share"] == "0.2500"
    for mask in masks:
        with Image.open(mask) as image:
            assert image.format == "PNG" and image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), MASK)
    with Image.open(rows[0]["styled"]) as image:
        np.testing.assert_array_equal(np.asarray(image), PICTURE)


def test_json_lines_lose_nothing(tmp_path: Path) -> None:
    text = "\x1b[2J\u202eö\x7f\ud800\U000e0001"
    content = written(tmp_path / "a.jsonl", (text, Captioned("冠军", float("inf"), 3))).read_text(encoding="utf-8")
    (first,) = map(json.loads, content.splitlines())
    second = json.loads(written(tmp_path / "out.jsonl", (Path("cat.png"), SEGMENTED)).read_text(encoding="utf-8"))
    assert first == {"input": text, "caption": "冠军", "score": None, "words": 3}
    assert "冠军" in content and not any(c in content for c in "\x1b\u202e\x7f\U000e0001")
    assert second["mask"] == str(tmp_path / "out-mask" / "cat.png") and second["classes"] == ["cat", "dog"]


@pytest.mark.seconds
@given(st.text())
def test_any_text_is_a_line_of_json_and_a_line_of_a_terminal(text: str) -> None:
    line = json_text({"input": text, "category": text})
    assert json.loads(line) == {"input": text, "category": text} and len(line.splitlines()) == 1
    shown = terminal_line(text, Captioned(text, 0.5, 1), 40)
    assert len(shown.splitlines()) <= 1 and cell_len(shown) <= 40


def test_arrays_and_numbers_of_numpy_are_written_as_pythons() -> None:
    line = json_text({"box": np.array([1.5, np.nan]), "k": np.int64(3), "p": np.float32(0.5)})
    assert json.loads(line) == {"box": [1.5, None], "k": 3, "p": 0.5}
    assert [cell(v) for v in (np.int64(3), np.float32(0.5), True, None, (1, 2))] == [
        "3",
        "0.5000",
        "True",
        "",
        "[1, 2]",
    ]


class Overlaid(NamedTuple):
    mask: NDArray[np.uint8]
    image: NDArray[np.uint8]


def test_a_mask_is_laid_over_the_image_it_is_of(tmp_path: Path) -> None:
    file = written(tmp_path / "out.csv", (tmp_path / "cat.jpg", Overlaid(MASK, PICTURE)))
    (row,) = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    assert row.keys() == {"input", "mask", "overlay"}
    with Image.open(row["overlay"]) as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(PICTURE, MASK))


class Named(NamedTuple):
    mask: NDArray[np.uint8]
    image: NDArray[np.uint8]
    legend: Legend


def test_a_mask_has_the_colours_of_its_legend_which_lies_beside_it(tmp_path: Path) -> None:
    legend = Legend(["sky", "stairs, steep"], [(128, 128, 128), (128, 0, 0)])
    mask = (MASK > 0).astype(np.uint8)
    file = written(tmp_path / "out.csv", *((tmp_path / name, Named(mask, PICTURE, legend)) for name in ("a", "b")))
    row, _ = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    assert row.keys() == {"input", "mask", "overlay"}
    with Image.open(row["mask"]) as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.array(legend.colours)[mask])
    with Image.open(row["overlay"]) as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(PICTURE, mask, legend))
    table = read_class_table(tmp_path / "out-mask/classes.csv")
    assert table.names == legend.categories and list(table.colours) == legend.colours
    lines = (tmp_path / "out-mask/classes.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["value,name,r,g,b", "0,sky,128,128,128", '1,"stairs, steep",128,0,0']
    assert ",'=x\x09," in legend_csv(Legend(["=x\t\x07"], []))


@pytest.mark.parametrize("sign", "=+-@＝＋－＠\t\r")
def test_a_spreadsheet_takes_no_text_for_a_formula_and_numbers_stay_numbers(sign: str, tmp_path: Path) -> None:
    class Shared(NamedTuple):
        category: str
        shares: dict[str, float]

    text = f"{sign}1+A1"
    assert is_formula(text) and is_formula(f"\n{text}") and not is_formula(f"a{sign}")
    file = written(tmp_path / "a.csv", (Record(text, {text: text}, text), Shared(text, {f"{sign}cmd": -0.5})))
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header, row = csv.reader(stream)
    assert header == [f"'{text}", "category", f"'{sign}cmd", "error"]
    assert row == [f"'{text}", "", "", f"'{text}"]
    file = written(tmp_path / "b.csv", ("a", Shared(text, {"b": -0.5})))
    with file.open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.reader(stream))[1] == ["a", f"'{text}", "-0.5000"]
    assert cell(-0.5) == "-0.5000" and cell(-3) == "-3"


@pytest.mark.parametrize("number", ["-1", "+1", "-1.5", "+.5e-3", "-1,234.5", "-3%", "-", "+"])
def test_a_number_and_a_sign_alone_are_no_formula(number: str) -> None:
    assert not is_formula(number)


def test_all_texts_are_guarded_in_csv_which_is_said_and_can_be_switched_off(tmp_path: Path) -> None:
    row = Record("=a", {"id": "-1", "n": -2, "=b": "=a", "t": "\x1b=c"}, "")
    said: list[str] = []
    rows = {
        "on.csv": ["id,n,'=b,t,caption,score,words,error", "-1,-2,'=a,'=c,'=x,0.5000,1,"],
        "off.csv": ["id,n,=b,t,caption,score,words,error", "-1,-2,=a,=c,=x,0.5000,1,"],
    }
    for name, expected in rows.items():
        with writer(tmp_path / name, "csv", "", guard=name == "on.csv", say=said.append) as write:
            write(row, Captioned("=x", 0.5, 1))
        assert (tmp_path / name).read_text(encoding="utf-8-sig").splitlines() == expected
    (remark,) = said
    assert "4 texts" in remark and "--guard_formulas false" in remark
    line = written(tmp_path / "a.jsonl", (row, Captioned("=x", 0.5, 1))).read_text(encoding="utf-8")
    own = {"id": "-1", "n": -2, "=b": "=a", "t": "\x1b=c"}
    assert json.loads(line) == {**own, "caption": "=x", "score": 0.5, "words": 1, "error": None}


def test_the_columns_of_the_input_come_first_as_they_are(tmp_path: Path) -> None:
    text = "  two\r\nlines\rand a third, \u200d"
    cells = {"id": 7, "caption": text, "share": 0.123456789, "ok": True, "tags": ["a"]}
    said: list[str] = []
    with writer(tmp_path / "a.csv", "csv", "", say=said.append) as write:
        write(Record("x", cells, ""), Captioned("a dog", 0.5, 1))
        write(Record("x", {"id": 8, "new": 1}, ""), Captioned("a cat", 0.5, 1))
        write(Record("", {"id": 9}, "a.csv:4: no text"), Captioned("a bug", 0.5, 1))
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbfid,"), "Excel would not read Chinese"
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "caption", "share", "ok", "tags", "predicted_caption", "score", "words", "error"]
    assert rows == [
        ["7", text, "0.123456789", "true", '["a"]', "a dog", "0.5000", "1", ""],
        ["8", "", "", "", "", "a cat", "0.5000", "1", ""],
        ["9", "", "", "", "", "", "", "", "a.csv:4: no text"],
    ]
    assert "'caption'" in said[0] and "'predicted_caption'" in said[0] and "new" in said[1]


def test_a_dictionary_is_a_column_for_each_key(tmp_path: Path) -> None:
    class Shares(NamedTuple):
        category: str
        shares: dict[str, float]

    pair = ("x", Shares("b", {"category": 0.25, "-1": 0.75}))
    assert written(tmp_path / "a.csv", pair).read_text(encoding="utf-8-sig").splitlines() == [
        "input,category,predicted_category,-1",
        "x,b,0.2500,0.7500",
    ]
    row = json.loads(written(tmp_path / "a.jsonl", pair).read_text(encoding="utf-8"))
    assert row == {"input": "x", "category": "b", "predicted_category": 0.25, "-1": 0.75}
    assert terminal_line(*pair, 80) == "b  0.250  -1 0.750  x"


def test_an_input_that_can_not_be_read_is_shown_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = (Record("", {}, "a.csv:4: <b>"), Captioned("a bug", 0.5, 1))
    page = written(tmp_path / "a.html", bad).read_text(encoding="utf-8")
    assert "a.csv:4: &lt;b&gt;" in page and "a bug" not in page
    with writer(None, "terminal", "") as write:
        write(*bad)
    assert capsys.readouterr().out == "error  a.csv:4: <b>\n"


def test_a_name_that_is_not_utf_8_is_a_row_of_its_own_in_every_form(tmp_path: Path) -> None:
    names = [bytes([0xD5, 0xD5, last]) for last in (0xC6, 0xC7)]
    shown = [rf"\xd5\xd5\x{name[-1]:02x}.png" for name in names]
    raws = [tmp_path / f"{os.fsdecode(name)}.png" for name in names]
    try:
        for raw in raws:
            Image.fromarray(PICTURE).save(raw)
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    pairs = [(raw, Captioned("a dog", 0.5, 1)) for raw in raws]
    rows = list(csv.reader(written(tmp_path / "a.csv", *pairs).read_text(encoding="utf-8-sig").splitlines()))
    assert [row[0] for row in rows[1:]] == [f"{tmp_path}/{name}" for name in shown]
    lines = written(tmp_path / "a.jsonl", *pairs).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["input"] for line in lines] == list(map(str, raws)), "which finds the file again"
    page = written(tmp_path / "a.html", *pairs).read_text(encoding="utf-8")
    assert [f"<figcaption>{name}</figcaption>" in page for name in shown] == [True, True]
    assert all(terminal_line(raw, pairs[0][1], 400).endswith(name) for raw, name in zip(raws, shown, strict=True))
    masks = written(tmp_path / "m.csv", *((raw, SEGMENTED) for raw in raws)).read_text(encoding="utf-8-sig")
    assert len(list(csv.reader(masks.splitlines()))) == 3 and len(list((tmp_path / "m-mask").iterdir())) == 2


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.html"])
def test_a_picture_that_is_gone_or_damaged_ends_no_page(tmp_path: Path, name: str) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    Image.fromarray(PICTURE).save(tmp_path / "cat.png")
    files = [tmp_path / each for each in ("damaged.png", "gone.png", "cat.png")]
    text = written(tmp_path / name, *((file, Captioned(file.stem, 0.5, 1)) for file in files)).read_text("utf-8")
    assert all(file.name in text and file.stem in text for file in files)


def test_a_terminal_is_told_the_size_of_an_image() -> None:
    assert terminal_line(Path("cat.png"), SEGMENTED, 80) == "4x3 image  4x3 image  ['cat', 'dog']  0.250  cat.png"


def test_a_page_shows_images_and_escapes_everything(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "cat.png")
    evil = "</p><script>alert(1)</script>\x1b[2J"
    pairs = [(evil, Captioned(evil, 0.5, 1)), (tmp_path / "cat.png", SEGMENTED)]
    text = written(tmp_path / "out.html", *pairs).read_text(encoding="utf-8")
    assert "<script>" not in text and "\x1b" not in text
    assert text.count("<img") == text.count('src="data:image/png;base64,') == 3, "input, mask, picture"
    assert "http" not in text.replace("http-equiv", "") and text.rstrip().endswith("</html>")
    assert "score 0.5000" in text and not list(tmp_path.glob("out-*"))


def test_a_picture_is_headed_by_its_name_and_not_by_its_settings(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "cat.png")
    text = article(tmp_path / "cat.png", StyledImage(PICTURE, '{"model": "fast_style"}'))
    assert "<h2>cat.png</h2>" in text and "fast_style" not in text


def test_a_page_of_masks_names_the_classes_that_occur_with_their_colours(tmp_path: Path) -> None:
    mask = np.array([[0, 2], [2, 255]], np.uint8)
    legend = Legend(["sky", "car", "<b>road"], [(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    text = article("raw", MaskPrediction("sky 50%", mask, np.zeros((2, 2, 3), np.uint8), legend))
    named = re.findall(r'rgb\((\d+ \d+ \d+)\)">■</span> (\S+)', text)
    assert named == [("1 2 3", "sky"), ("7 8 9", "&lt;b&gt;road"), ("160 160 160", "ignored")], text


def test_a_large_image_is_shrunk_for_a_page(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1200, 3000, 3), np.uint8)).save(tmp_path / "large.png")
    assert 'width="512" height="205"' in article(tmp_path / "large.png", Captioned("night", 0.5, 1))


def test_a_page_shows_every_picture_that_a_prediction_was_made_on(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "exif.png", exif=b"garbage garbage")
    Image.fromarray(np.arange(0, 3000, 250, dtype=np.uint16).reshape(3, 4)).save(tmp_path / "deep.png")
    for name in ("exif.png", "deep.png"):
        assert 'src="data:image/' in article(tmp_path / name, Captioned("night", 0.5, 1)), name


def test_without_predictions_a_table_has_its_header(tmp_path: Path) -> None:
    assert written(tmp_path / "out.csv").read_text(encoding="utf-8-sig") == "input\n"


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.html"])
def test_a_file_is_whole_or_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="unreadable"), writer(tmp_path / name, "csv", "") as write:
        write(Record("a", {"input": "a"}), Captioned("a", 0.5, 1))
        raise UserError("unreadable")
    assert not list(tmp_path.iterdir())


def test_an_image_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out-mask").write_text("a file where the folder would be", encoding="utf-8")
    with pytest.raises(UserError, match="out-mask"):
        written(tmp_path / "out.csv", ("a", SEGMENTED))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("out", "given_form", "form"),
    [
        ("a.csv", None, "csv"),
        ("a.JSONL", None, "jsonl"),
        ("a.html", None, "html"),
        ("a.tsv", None, "csv"),
        ("a.csv", "jsonl", "jsonl"),
        (None, "html", "html"),
        (None, None, "csv"),
    ],
)
def test_the_form_is_as_asked_or_by_the_name(out: str | None, given_form: Any, form: str) -> None:
    assert choose_form(None if out is None else Path(out), given_form) == form
