"""Pages of the course: both languages say the same, and their blocks are those of today's sources and results."""

from __future__ import annotations

import re
import shlex

import pytest

from lightning_nn import lessons
from lightning_nn.cli.verbs import own_options
from lightning_nn.lessons.catalogue import LANGUAGES
from lightning_nn.lessons.lesson import load
from tests.lessons.pages import COURSE, code_blocks, commands, make, page

NAMES = lessons.names()
BOTH = [(name, language) for name in NAMES for language in LANGUAGES]
HEADINGS = {
    "en": ["Question", "Idea", "Equation", "Code", "Result", "What to see", "Try", "Exercises", "Read on"],
    "zh": ["问题", "想法", "公式", "代码", "结果", "看什么", "试一试", "练习", "延伸阅读"],
}


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_a_page_has_the_headings_of_all_pages(name: str, language: str) -> None:
    assert re.findall(r"^## (.*)$", page(name, language), re.M) == HEADINGS[language]


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_the_blocks_of_a_page_are_todays(name: str, language: str) -> None:
    text = page(name, language)
    kinds = [match[1].split()[0] for match in make.BLOCK.finditer(text)]
    assert {"code", "table", "claims"} <= set(kinds)
    assert len(kinds) == text.count("<!-- end -->") == len(re.findall(r"^<!-- (?!end)", text, re.M))
    assert make.fill(text, load(name), language) == text, "run python docs/course/make.py --pages"


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_show_the_same_code_figures_and_formulas(name: str) -> None:
    english, chinese = page(name, "en"), page(name, "zh")
    assert code_blocks(english) == code_blocks(chinese)
    for pattern in (r"!\[[^]]*\]\(([^)]*)\)", r"^\$\$\n(.*?)^\$\$"):
        found = re.findall(pattern, english, re.S | re.M)
        assert found and found == re.findall(pattern, chinese, re.S | re.M)


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_a_page_is_short_and_its_links_lead_to_files(name: str, language: str) -> None:
    text = page(name, language)
    assert len(re.sub(make.BLOCK, "", text).splitlines()) >= 50 and len(text.splitlines()) <= 150
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    links = [link for link in re.findall(r"\]\(([^)#]+)", prose) if "://" not in link]
    assert not [link for link in links if not (COURSE / language / link).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_page_are_ones_that_the_lesson_has(name: str) -> None:
    lesson = load(name)
    answered = set()
    for line in commands(page(name, "en")):
        program, script, verb, *rest = shlex.split(line)
        assert (program, script) == ("python", "train.py")
        if verb != "lesson":
            continue
        options = own_options("lesson", rest)
        assert options is not None and options.lesson in NAMES
        for knob, value in options.set:
            load(options.lesson).value(knob, value)
        answered |= {options.answer} - {None} if options.lesson == name else set()
    assert answered == set(lesson.answers)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_lists_all_lessons(language: str) -> None:
    text = make.READMES[language].read_text(encoding="utf-8")
    assert make.fill_readme(text, language) == text, "run python docs/course/make.py --pages"
    assert all(f"docs/course/{language}/{name}.md" in text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_small(name: str) -> None:
    data = (COURSE / "figures" / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) <= 60_000


def test_all_figures_together_are_small() -> None:
    assert sum(file.stat().st_size for file in (COURSE / "figures").rglob("*.png")) <= 2_500_000


@pytest.mark.parametrize("name", [name for name in NAMES if make.stored(name).get("frames")])
def test_frames_are_of_todays_values_and_small(name: str) -> None:
    lesson, frames = load(name), make.stored(name)["frames"]
    assert make.has_frames(lesson), f"run python docs/course/make.py {name}"
    files = {make.frame_file(name, knob, number) for knob, drawn in frames.items() for number in range(len(drawn))}
    assert files == set((COURSE / "figures" / name).iterdir())
    assert all(file.stat().st_size <= 60_000 for file in files)
    for knob, drawn in frames.items():
        held = {frame["value"]: frame["holds"] == frame["claims"] for frame in drawn}
        assert held.get(lesson.defaults[knob], True)


def test_every_page_result_and_figure_belongs_to_a_lesson() -> None:
    files = [*COURSE.glob("en/*.md"), *COURSE.glob("zh/*.md"), *COURSE.glob("results/*"), *COURSE.glob("figures/*.png")]
    assert {file.stem for file in files} == set(NAMES)


def test_each_term_of_the_glossary_has_one_translation() -> None:
    text = (COURSE / "glossary.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    terms = rows[1:]
    assert len(terms) >= 120 and all(len(row) == 2 and all(row) for row in terms)
    for column in zip(*terms, strict=True):
        assert len(set(column)) == len(column)
    assert [english.lower() for english, _ in terms] == sorted(english.lower() for english, _ in terms)
