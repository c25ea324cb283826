"""The book: its sources without Sphinx, and, where the extra [docs] is installed, its pages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from lightning_nn import lessons
from lightning_nn.lessons.catalogue import LANGUAGES, Language
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Sphinx, of its extensions and of jieba
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_need_nothing_from_outside(language: Language, tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo", "latex2mathml"):
        pytest.importorskip(package, reason='the book needs: pip install -e ".[docs]"')
    book.build(language, tmp_path, reference=False)
    page = (tmp_path / language / "course" / language / "momentum.html").read_text(encoding="utf-8")
    assert "<math" in page and "$$" not in page
    fetched = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//', page)
    assert not fetched
    search = (tmp_path / language / "searchindex.js").read_text(encoding="utf-8")
    word = "动量" if language == "zh" else "momentum"
    assert word in search or word.encode("unicode_escape").decode() in search
