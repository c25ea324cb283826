"""The book: its sources without Sphinx, and, where the extra [docs] is installed, its pages."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lightning_nn import lessons
from lightning_nn.lessons.catalogue import LANGUAGES, Language, entries
from lightning_nn.lessons.lesson import load
from tests.commands import ROOT


def _import_make() -> Any:
    spec = importlib.util.spec_from_file_location("book_make", ROOT / "docs" / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


book = _import_make()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sources_hold_every_page_and_no_link_out_of_the_book(language: Language, tmp_path: Path) -> None:
    book.write_sources(language, tmp_path, reference=False)
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert all(f"course/{language}/{name}\n" in index for name in lessons.names())
    assert all(entry.title.into(language) in index for entry in entries().values())
    for page in tmp_path.rglob("*.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]*)\)", prose)]
        assert not [link for link in links if link and "://" not in link and not (page.parent / link).exists()], page


def test_the_other_language_is_the_same_page_of_the_other_book() -> None:
    page = ROOT / "docs/course/en/momentum.md"
    text = book.adapt("# Momentum\n\n[中文](../zh/momentum.md)\n", page, "en")
    assert '<a href="../../../zh/course/zh/momentum.html">中文</a>' in text


def test_files_outside_of_the_book_are_named() -> None:
    page = ROOT / "docs/course/en/momentum.md"
    text = "[`settings.py`](../../../lightning_nn/settings.py), [saddle](saddle.md), [a](https://a.b)"
    assert book.adapt(text, page, "en") == "`settings.py`, [saddle](saddle.md), [a](https://a.b)"


def test_a_line_of_chinese_that_goes_on_is_one_line() -> None:
    page = ROOT / "docs/course/zh/momentum.md"
    text = "- 坡度不变，速度越来越快；\n  坡度变了，就慢下来。\n- 用 `mu`\n  来选。\n\n新的一段"
    assert book.adapt(text, page, "zh") == text.replace("；\n  ", "；")


def test_a_word_of_a_formula_is_one_name() -> None:
    pytest.importorskip("latex2mathml", reason='the book needs: pip install -e ".[docs]"')
    from mathml import formula

    assert "<mi>best</mi>" in formula(r"\mathrm{best}(j) = \mathrm{d} x", "inline")
    assert "<mi>x</mi>" in formula(r"\mathrm{best}(j) = \mathrm{d} x", "inline")


@pytest.mark.parametrize("name", lessons.names())
def test_a_slider_can_start_at_the_default(name: str) -> None:
    lesson = load(name)
    assert all(not knob.frames or lesson.defaults[key] in knob.frames for key, knob in lesson.knobs.items())


def test_a_slider_has_the_frames_that_are_stored_and_starts_at_the_default() -> None:
    frames = [{"value": 0.5, "holds": 1, "claims": 4}, {"value": 0.9, "holds": 4, "claims": 4}]
    text = book.slider("momentum", "mu", frames, "zh")
    assert re.search(r'<input [^>]*type="range" min="0" max="1" step="1" value="1">', text)
    box = re.search(r'data-frames="([^"]*)" hidden>', text)
    assert box is not None
    assert json.loads(html.unescape(box[1])) == [
        {"file": "../../_static/frames/momentum/mu-0.png", "text": "mu = 0.5 (4 条论断中 1 条成立)"},
        {"file": "../../_static/frames/momentum/mu-1.png", "text": "mu = 0.9 (4 条论断中 4 条成立)"},
    ]
    assert '<label for="frame-mu">' in text and 'id="frame-mu"' in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_frame_of_a_slider_is_a_file_of_the_book(language: Language, tmp_path: Path) -> None:
    book.write_sources(language, tmp_path, reference=False)
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (tmp_path / "course" / language).glob("*.md")}
    with_sliders = [name for name in lessons.names() if 'class="frames"' in pages[name]]
    assert "momentum" in with_sliders
    for name in with_sliders:
        before, after = pages[name].split('<div class="frames"', 1)
        assert before.endswith(f"({'../figures/' + name + '.png'})\n\n")
        frames = json.loads(html.unescape(re.search(r'data-frames="([^"]*)"', after)[1]))  # type: ignore[index]
        files = [tmp_path / "course" / language / frame["file"] for frame in frames]
        assert 5 <= len(files) <= 9 and all(file.is_file() for file in files)
    assert (tmp_path / "_static" / "frames.js").is_file() and (tmp_path / "_static" / "book.css").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Sphinx, of its extensions and of jieba
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_need_nothing_from_outside(language: Language, tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo", "latex2mathml"):
        pytest.importorskip(package, reason='the book needs: pip install -e ".[docs]"')
    book.build(language, tmp_path, reference=False)
    page = (tmp_path / language / "course" / language / "momentum.html").read_text(encoding="utf-8")
    assert "<math" in page and "$$" not in page
    assert 'class="frames"' in page and re.search(r'<script defer="defer" src="[^":]*/frames\.js', page)
    fetched = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//', page)
    assert not fetched
    search = (tmp_path / language / "searchindex.js").read_text(encoding="utf-8")
    scripts = re.findall(
        r'<script[^>]*src="_static/(\w+)\.js', (tmp_path / language / "search.html").read_text("utf-8")
    )
    if language == "zh":
        assert scripts.index("search") < scripts.index("searchtools") < scripts.index("language_data")
    word = "动量" if language == "zh" else "momentum"
    assert word in search or word.encode("unicode_escape").decode() in search
