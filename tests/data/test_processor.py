"""A processor's state comes from a checkpoint, which anyone may have written: each value is checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lightning_nn import ConvNet, UserError, catalog
from lightning_nn.data.captions.processor import CaptionProcessor
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.photos.processor import ContentProcessor, PhotoProcessor
from lightning_nn.data.segmentation.source import MaskProcessor
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.runs.checkpoint import Checkpoint
from tests.tasks.test_weights import saved

BLANK = Image.new("RGB", (5, 4))
PROCESSORS = {
    "image": (ImageProcessor(["a", "b"], 3, 8, 8, scale=255), BLANK),
    "mask": (MaskProcessor(["a", "b"], 3, 8, 8, scale=255), BLANK),
    "caption": (CaptionProcessor(["<unk>", "<s>", "</s>", "a"], 3, 8, 8, scale=255), BLANK),
    "content": (ContentProcessor(["a"], scale=255), BLANK),
    "style": (PhotoProcessor(["a"], ["b"]), "a"),
    "text": (TextProcessor(["a", "b"], ["<unk>", "x"], "chars", [], 9, 9), "x y"),
}
HOSTILE: list[Any] = [None, 10**9, 10**30, -5, 0, 7, True, 2.5, math.nan, "", "8", "keep", "inside", "x" * 10_000]
HOSTILE += [[], {}, [1], ["a", 3], [["a"]], {"a": 1}, ["a", "a"], ["\udc80", "\x1b[2J"]]


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_strangers_state_makes_a_working_processor_or_an_error_in_a_line(kind: str) -> None:
    good, raw = PROCESSORS[kind]
    state: dict[str, Any] = {"colours": None, **good.state_dict()} if kind == "mask" else good.state_dict()
    for name in [*state, "unknown", "max_pixels"]:
        for value in HOSTILE:
            try:
                made = catalog.processor(kind, {**state, name: value})
                made.encode([raw])
                assert json.dumps(made.row_labels()) and name != "unknown"
            except UserError as error:
                assert "\n" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("height", 10**9, r"height is 1000000000; expected a whole number of 1 to 65,535"),
        ("width", "8", r"width is '8'; expected a whole number"),
        ("channels", 7, r"channels is 7; expected 1 or 3"),
        ("fit", "fill", r"fit is 'fill'; expected crop or squash or keep"),
        ("scale", "x", r"scale is 'x'; expected None or 1 or 255 or 65535"),
        ("categories", [3], r"categories is \[3\]; expected a list of texts"),
    ],
)
def test_the_error_says_what_was_got_and_expected(name: str, value: Any, expected: str) -> None:
    state = PROCESSORS["image"][0].state_dict()
    with pytest.raises(UserError, match=rf"^the checkpoint's processor can't be loaded: {expected}"):
        catalog.processor("image", {**state, name: value})
    with pytest.raises(UserError, match=expected):
        ImageProcessor(**{**state, name: value})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("words", [3], r"words is \[3\]; expected a list of texts"),
        ("language", "fr", "language is 'fr'; expected en or zh"),
        ("tokens", "syllables", "tokens is 'syllables'; expected words or"),
    ],
)
def test_captions_are_spelled_with_words_in_a_known_language(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        catalog.processor("caption", {**PROCESSORS["caption"][0].state_dict(), name: value})


@pytest.mark.parametrize("categories", [[], ["a"], ["a", "b", "c", "d"]])
def test_a_processor_of_another_number_of_classes_is_refused_with_its_file(categories: list[str]) -> None:
    model = ConvNet(3, 8, 8, 3)
    model.processor = ImageProcessor(categories, 3, 8, 8)
    message = rf"^mine.ckpt .*its processor has {len(categories)} categories, not 3; model.load_weights"
    with pytest.raises(UserError, match=message):
        ConvNet.from_checkpoint(Checkpoint.of(saved(model), "mine.ckpt"))


@pytest.mark.parametrize("name", ["a.png", "./a.png"])
def test_a_single_file_is_one_input_however_it_is_written(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    BLANK.save("a.png")
    options = SimpleNamespace(text=None, files=[name], max_pixels=100)
    assert [*ImageProcessor(["a"], 3, 8, 8).inputs(options)] == [Path("a.png")]  # type: ignore[arg-type]
