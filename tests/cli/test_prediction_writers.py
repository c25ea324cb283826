"""Predictions with any fields, written to a terminal, a table, JSON lines, image files and a page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rich.cells import cell_len

from lightning_nn.cli.prediction_writers import article, cell, choose_form, json_line, terminal_line, writer
from lightning_nn.errors import UserError
from lightning_nn.visualization.segmentation import overlay

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
            write(raw, prediction)
    return out


def test_a_table_has_the_fields_of_whatever_was_predicted(tmp_path: Path) -> None:
    file = written(
        tmp_path / "out.csv", ("a.png", Captioned("a dog", -0.5, 3)), ("b.png", Captioned("=x", float("nan"), 1))
    )
    assert file.read_text(encoding="utf-8").splitlines() == [
        "input,caption,score,words",
        "a.png,a dog,-0.5000,3",
        "b.png,'=x,nan,1",
    ]


def test_images_become_files_named_after_their_inputs(tmp_path: Path) -> None:
    inputs = [tmp_path / "one" / "cat.jpg", tmp_path / "two" / "cat.png", "a text"]
    file = written(tmp_path / "out.csv", *((raw, SEGMENTED) for raw in inputs))
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
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
    file = written(tmp_path / "out.jsonl", (text, Captioned("冠军", float("inf"), 3)), (Path("cat.png"), SEGMENTED))
    content = file.read_text(encoding="utf-8")
    first, second = map(json.loads, content.splitlines())
    assert first == {"input": text, "caption": "冠军", "score": None, "words": 3}
    assert "冠军" in content and not any(c in content for c in "\x1b\u202e\x7f\U000e0001")
    assert second["mask"] == str(tmp_path / "out-mask" / "cat.png") and second["classes"] == ["cat", "dog"]


@given(st.text())
def test_any_text_is_a_line_of_json_and_a_line_of_a_terminal(text: str) -> None:
    line = json_line(text, {"category": text})
    assert json.loads(line) == {"input": text, "category": text} and len(line.splitlines()) == 1
    shown = terminal_line(text, Captioned(text, 0.5, 1), 40)
    assert len(shown.splitlines()) <= 1 and cell_len(shown) <= 40


def test_arrays_and_numbers_of_numpy_are_written_as_pythons() -> None:
    line = json_line("a", {"box": np.array([1.5, np.nan]), "k": np.int64(3), "p": np.float32(0.5)})
    assert json.loads(line) == {"input": "a", "box": [1.5, None], "k": 3, "p": 0.5}
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
    (row,) = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    assert row.keys() == {"input", "mask", "overlay"}
    with Image.open(row["overlay"]) as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(PICTURE, MASK))


@pytest.mark.parametrize("sign", "=+-@＝＋－＠")
def test_a_spreadsheet_takes_no_text_for_a_formula_and_numbers_stay_numbers(sign: str) -> None:
    assert cell(f"{sign}1+1") == f"'{sign}1+1"
    assert cell(f"\x1b[31m{sign}1") == f"'{sign}1"
    assert cell(-0.5) == "-0.5000" and cell(-3) == "-3" and cell(f"a{sign}") == f"a{sign}"


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


def test_a_large_image_is_shrunk_for_a_page(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1200, 3000, 3), np.uint8)).save(tmp_path / "large.png")
    assert 'width="512" height="205"' in article(tmp_path / "large.png", Captioned("night", 0.5, 1))


def test_without_predictions_a_table_has_its_header(tmp_path: Path) -> None:
    assert written(tmp_path / "out.csv").read_text(encoding="utf-8") == "input\n"


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.html"])
def test_a_file_is_whole_or_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="unreadable"), writer(tmp_path / name, "csv", "") as write:
        write("a", Captioned("a", 0.5, 1))
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
