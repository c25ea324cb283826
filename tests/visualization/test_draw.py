from __future__ import annotations

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from rich.cells import cell_len

from lightning_nn.metrics.calibration import Bin
from lightning_nn.tasks.artifacts import (
    Activations,
    Artifact,
    Attention,
    Calibration,
    Captions,
    ConfusionMatrix,
    Explanation,
    GateExplanation,
    Gates,
    ImageGrid,
    Legend,
    Masks,
    Mistake,
    Mistakes,
    Patches,
    Table,
)
from lightning_nn.visualization.draw import draw
from lightning_nn.visualization.mistakes import line
from lightning_nn.visualization.palette import IGNORED_COLOUR, palette
from lightning_nn.visualization.segmentation import colour_table, overlay

EVIL = "</article><script>alert(1)</script>|\x1b[2J"
IMAGE = np.full((12, 20, 3), 200, np.uint8)
MASK = np.zeros((12, 20), np.uint8)
MASK[:6, :10], MASK[6:, 10:] = 2, 255
EXPLANATION = Explanation([["a", "b"]], [[0.4, 0.6]], [1.0], EVIL, 0.5)
MISTAKES = [
    Mistake("train.csv:7", "a b", "good", EVIL, 0.9, 0.1, EXPLANATION),
    Mistake(f"{'folder/' * 9}{EVIL}.png", "", "猫", "狗", 0.8, 0.2, IMAGE),
    Mistake("x.csv:1", f"=1+{EVIL}" * 9, EVIL, "bad", 0.7, 0.2),
]


class Tags(HTMLParser):
    """The images of a page and whatever it leaves open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("artifact", "images", "texts", "pages"),
    [
        (ConfusionMatrix(torch.eye(2, dtype=torch.int64), ["a", EVIL]), ["confusion"], ["report"], []),
        (Attention([EXPLANATION]), [], ["attention"], ["attention.html"]),
        (Gates([GateExplanation([["a"]], {"forward": [0.5]}, "forget", "x", 0.9)]), [], [], ["gates.html"]),
        (Gates([]), [], [], []),
        (Attention([]), [], [], []),
        (Mistakes(MISTAKES, 3, 9), ["mistakes"], ["mistakes"], ["mistakes.html"]),
        (Mistakes(MISTAKES[:1], 1, 9), [], ["mistakes"], ["mistakes.html"]),
        (Mistakes([], 0, 9), [], ["mistakes"], ["mistakes.html"]),
        (Calibration([Bin(0.9, 0.8, 5)], [Bin(0.95, 0.8, 5)], 0.1, 0.15, 1.5), [], ["calibration"], []),
        (ImageGrid("augmented", [IMAGE] * 5, [EVIL] * 5), ["augmented"], [], []),
        (ImageGrid("augmented", [], []), [], [], []),
        (Masks([IMAGE] * 2, [MASK] * 2, [MASK] * 2, Legend(["a", "b", EVIL])), ["masks"], [], []),
        (Masks([IMAGE], [MASK], [], Legend(["a"])), ["masks"], [], []),
        (Masks([], [], [], Legend(["a"])), [], [], []),
        (Captions([IMAGE] * 2, [EVIL, "b"], [[EVIL], []]), ["captions"], ["captions"], ["captions.html"]),
        (Captions([IMAGE], ["a"], []), ["captions"], ["captions"], ["captions.html"]),
        (Captions([], [], []), [], [], []),
        (Activations({EVIL: torch.randn(2, 3, 4, 4)}), [], ["activations"], []),
        (Patches({EVIL: torch.zeros(2, 3, 1, 5, 5, dtype=torch.uint8)}), [], [], ["patches.html"]),
        (Patches({}), [], [], []),
    ],
)
def test_every_artifact_is_drawn(artifact: Artifact, images: list[str], texts: list[str], pages: list[str]) -> None:
    drawing = draw(artifact, "val", "Tiny")
    assert [list(part) for part in drawing[:3]] == [images, texts, pages]
    assert [each.shape for each in drawing.histograms.values()] == [(2, 3, 4, 4)] * isinstance(artifact, Activations)
    for image in drawing.images.values():
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 2, "nothing is drawn"
    for text in (*drawing.texts.values(), *drawing.pages.values()):
        assert "<script" not in text and "\x1b" not in text
    for page in drawing.pages.values():
        assert Tags(page).open == [], "markup in a text opened or closed a tag"


def test_the_table_of_activations_says_how_they_are_distributed() -> None:
    values = {"relu1": torch.tensor([0.0, 0.0, 1.0, 3.0])}
    assert draw(Activations(values)).texts["activations"].splitlines()[2:] == ["| relu1 | 1 | 1.22 | 50% |"]


def test_the_page_of_mistakes_has_the_words_with_their_weights_the_image_or_the_text() -> None:
    page = draw(Mistakes(MISTAKES, 3, 1200), "test", "HAN").pages["mistakes.html"]
    assert "<title>Mistakes: HAN, 3 test samples</title>" in page and "3 of 1,200 samples are wrong" in page
    assert 'title="60.0%">b</span>' in page and "train.csv:7" in page
    assert len(Tags(page).images) == 1 and "=1+" in page
    assert page.index("90.0%") < page.index("80.0%") < page.index("70.0%")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_fits(mistake: Mistake) -> None:
    for width in (60, 80):
        shown = line(mistake, width)
        assert cell_len(shown) <= width and shown.isprintable(), shown
    assert line(MISTAKES[1], 80).startswith("80.0%  狗, not 猫  …") and ".png" in line(MISTAKES[1], 80)
    assert line(MISTAKES[0], 200).endswith("not good  train.csv:7  a b")


def test_titles_say_model_split_and_number() -> None:
    assert "<title>Attention: HAN, 2 validation documents</title>" in next(
        iter(draw(Attention([EXPLANATION] * 2), "val", "HAN").pages.values())
    )
    assert "<title>Captions: 1 image</title>" in draw(Captions([IMAGE], ["a"], [])).pages["captions.html"]


def test_the_page_of_captions_carries_its_images() -> None:
    page = draw(Captions([IMAGE, IMAGE], ["a dog", "a cat"], [["a hound"], []]), "test").pages["captions.html"]
    images = Tags(page).images
    assert len(images) == 2 and all(source.startswith("data:image/") for source in images)
    assert "http" not in page.replace("http-equiv", "") and "a hound" in page


def test_captions_are_numbered_as_their_images_are() -> None:
    rows = draw(Captions([IMAGE] * 2, ["a dog", "a|cat"], [["one", "two"], []])).texts["captions"].splitlines()
    assert rows[2:] == ["| 1 | a dog | one<br>two |", "| 2 | a&#124;cat |  |"]


def test_a_mask_lies_in_the_colours_of_its_classes_over_the_image() -> None:
    shown = overlay(IMAGE, MASK, opacity=1.0)
    assert (shown[0, 0] == palette(3)[2]).all() and (shown[0, 15] == palette(1)[0]).all()
    ignored = shown[6:, 10:].reshape(-1, 3)
    assert {tuple(c) for c in ignored.tolist()} == {IGNORED_COLOUR, (200, 200, 200)}, "stripes of grey and image"
    assert (overlay(IMAGE, MASK, opacity=0.0)[:6] == 200).all()


def test_a_class_has_its_colour_whatever_the_number_of_classes() -> None:
    np.testing.assert_array_equal(palette(5), palette(21)[:5])
    assert len(np.unique(palette(60), axis=0)) == 60
    assert colour_table().shape == (256, 3) and colour_table().dtype == np.uint8
    near = np.abs(np.diff(palette(21).astype(int), axis=0)).sum(1).min()
    assert near > 100, f"neighbouring classes are {near} apart"


def test_colours_of_a_legend_are_kept_everywhere() -> None:
    legend = Legend(["a", "b", "c"], [(1, 2, 3), (0, 250, 0), (128, 0, 0)])
    assert colour_table(legend)[:3].tolist() == [[1, 2, 3], [0, 250, 0], [128, 0, 0]]
    np.testing.assert_array_equal(colour_table(legend)[3:], colour_table()[3:])
    assert (overlay(IMAGE, MASK, legend, opacity=1.0)[0, 0] == (128, 0, 0)).all()
    page = draw(Masks([IMAGE], [MASK], [MASK], legend, "worst", ["one"])).pages["worst.html"]
    assert "rgb(128 0 0)" in page and "rgb(1 2 3)" in page
    shown = draw(Masks([IMAGE], [MASK], [], legend)).images["masks"]
    assert (shown == (128, 0, 0)).all(2).any(), "the square of the legend"


def test_the_legend_names_only_classes_that_occur() -> None:
    few = draw(Masks([IMAGE], [np.zeros_like(MASK)], [], Legend([str(k) for k in range(200)]))).images["masks"]
    all_of_them = np.arange(240, dtype=np.uint8).reshape(12, 20) % 200
    many = draw(Masks([IMAGE], [all_of_them], [], Legend([str(k) for k in range(200)]))).images["masks"]
    assert few.shape[0] < 250 < 1000 < many.shape[0]


def test_images_of_any_shape_make_a_grid() -> None:
    shapes = [(8, 8, 3), (30, 10, 3), (10, 300, 3), (900, 1200, 3)]
    grid = draw(ImageGrid("grid", [np.zeros(shape, np.uint8) for shape in shapes], [])).images["grid"]
    assert 300 < grid.shape[0] < 900 and 300 < grid.shape[1] < 600, grid.shape
    assert re.match("uint8", str(grid.dtype))


def test_a_table_is_csv_whose_texts_are_no_formulas() -> None:
    rows = [["=1+1.png", ["=a dog"], "@dog runs", -0.5], ["a.png", ["a, b"], "a dog", 2.0]]
    drawing = draw(Table("predictions", ["file", "truths", "caption", "cider"], rows))
    written = list(csv.reader(drawing.pages["predictions.csv"].removeprefix("\ufeff").splitlines()))
    assert written[0] == ["file", "truths", "caption", "cider"]
    assert written[1] == ["'=1+1.png", '["=a dog"]', "'@dog runs", "-0.500000"]
    assert written[2] == ["a.png", '["a, b"]', "a dog", "2.000000"]
