"""Every lesson: what it says holds, in the stored result, at test size, and (slow) in full with three seeds."""

from __future__ import annotations

import json
import re
from unittest import mock

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text as Label

from lightning_nn import lessons
from lightning_nn.errors import UserError
from lightning_nn.lessons.catalogue import LANGUAGES, entries, following
from lightning_nn.lessons.lesson import Claim, Lesson, Result, load, show
from tests.lessons.pages import make, stored_result

NAMES = lessons.names()
QUICK = ("local_minimum", "recurrence")
MOST_TAKE_SECONDS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.seconds) for name in NAMES]
IN_FIGURES = {
    "sgd",
    "adam",
    "muon",
    "lstm",
    "tanh",
    "relu",
    "leaky",
    "gelu",
    "sigmoid",
    "softmax",
    "softplus",
}  # of code


def untranslated(lesson: Lesson, texts: set[str]) -> set[str]:
    """Return what is a word in English and has none in Chinese."""
    return {text for text in texts if re.search(r"[a-z]{4}", text) and lesson.words(text, "zh") == text}


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_result_is_of_todays_source_and_satisfies_the_claims(name: str) -> None:
    lesson, result = load(name), stored_result(name)
    assert result.size == "full" and result.knobs == lesson.defaults
    assert not [claim for claim in lesson.claims(result) if not claim.holds]
    assert 1 <= lesson.right_choice(result) <= len(lesson.choices)


@pytest.mark.parametrize("name", NAMES)
def test_the_claims_of_all_three_seeds_hold(name: str) -> None:
    claims = {seed: [Claim(*claim) for claim in rows] for seed, rows in make.stored(name)["claims"].items()}
    assert set(claims) == {"0", "1", "2"}
    assert not [(seed, claim) for seed, rows in claims.items() for claim in rows if not claim.holds]
    assert claims["0"] == load(name).claims(stored_result(name))


@pytest.mark.parametrize("name", MOST_TAKE_SECONDS)
def test_a_lesson_runs_at_test_size(name: str) -> None:
    lesson, before = load(name), torch.random.get_rng_state()
    result = lesson.run(0, "test")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not [(claim.name, claim.sentence()) for claim in lesson.claims(result) if not claim.holds]
    again = Result.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert again.rows == result.rows
    assert list(again.arrays) == list(result.arrays)
    with mock.patch.object(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer):  # the stored result's is rendered
        assert lesson.png(result)


@pytest.mark.parametrize("name", MOST_TAKE_SECONDS)
def test_the_answers_hold(name: str) -> None:
    lesson = load(name)
    assert list(lesson.answers) == list(range(1, len(lesson.answers) + 1)) and len(lesson.answers) >= 2
    for number in lesson.answers:
        claims = lesson.answer(number)
        assert not [claim for claim in claims if not claim.holds]
        assert not untranslated(lesson, {claim.name for claim in claims})


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_result_fails(name: str) -> None:
    """Rows and arrays turned around, or without any effect: a claim that holds whatever comes shows nothing."""
    lesson, result = load(name), stored_result(name)
    columns = list(result.rows[0])
    turned = [
        {column: back[column] if number else row[column] for number, column in enumerate(columns)}
        for row, back in zip(result.rows, reversed(result.rows), strict=True)
    ]
    rng = np.random.default_rng(0)
    mixed = {key: rng.permutation(values.ravel()).reshape(values.shape) for key, values in result.arrays.items()}
    level = [
        {
            column: value if isinstance(value, str) or not number else 1.0
            for number, (column, value) in enumerate(row.items())
        }
        for row in result.rows
    ]
    flat = {key: np.ones_like(values) for key, values in result.arrays.items()}

    def fails(rows: list[dict[str, bool | int | float | str]], arrays: dict[str, np.ndarray]) -> bool:  # type: ignore[type-arg]
        broken = Result(rows, arrays, name, result.seed, result.size, result.knobs)
        return not all(claim.holds for claim in lesson.claims(broken))

    assert fails(turned, mixed)
    assert fails(level, flat)


@pytest.mark.parametrize("name", MOST_TAKE_SECONDS)
def test_a_figure_has_no_words(name: str) -> None:
    lesson = load(name)
    labels = [label.get_text() for label in lesson.figure(stored_result(name)).findobj(Label)]
    words = {
        word for label in labels for word in re.findall(r"[^\W\d_]{4,}|[\u3400-\u9fff]", re.sub(r"\\\w+", "", label))
    }
    assert words <= IN_FIGURES


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_short_and_has_words_in_both_languages(name: str) -> None:
    lesson, result = load(name), stored_result(name)
    assert 1 <= len(result.rows) <= 12
    assert not untranslated(lesson, {*result.rows[0], *(claim.name for claim in lesson.claims(result))})


@pytest.mark.parametrize("name", NAMES)
def test_every_text_stands_in_both_languages(name: str) -> None:
    lesson = load(name)
    texts = [lesson.statement, lesson.see, lesson.question, *lesson.choices, *lesson.answers.values()]
    texts += [knob.about for knob in lesson.knobs.values()]
    assert all(text.into(language).strip() for text in texts for language in LANGUAGES)
    assert all(re.search(r"[\u4e00-\u9fff]", text.zh) for text in (lesson.statement, lesson.see, lesson.question))
    assert lesson.knobs and all(len(knob.frames) in (0, *range(5, 10)) for knob in lesson.knobs.values())
    for knob, row in lesson.knobs.items():
        for value in (lesson.defaults[knob], *row.frames):
            assert lesson.value(knob, value) == value


def test_lessons_follow_each_other() -> None:
    names = list(entries())
    assert [following(name) for name in names] == [*names[1:], None]


def test_run_takes_knobs_and_returns_plain_data() -> None:
    result = lessons.run("recurrence", seed=3, size="test", steps=30)
    assert (result.seed, result.knobs, result.rows[-1]["steps"]) == (3, {"steps": 30}, 30)
    assert result._repr_png_().startswith(b"\x89PNG")
    assert "steps" in str(result)
    assert result.to_csv().splitlines()[0].startswith("steps,weights")


def test_other_seeds_give_other_results_and_the_same_seed_the_same() -> None:
    first, again, other = (lessons.run("recurrence", seed, "test").to_json() for seed in (0, 0, 1))
    assert first == again
    assert first["arrays"] != other["arrays"]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"step": 30}, "did you mean 'steps'"),
        ({"steps": 1}, "a whole number from 20 to 500"),
        ({"steps": "many"}, "steps is many"),
        ({"steps": "nan"}, "steps is nan"),
    ],
)
def test_a_knob_names_its_range(knobs: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lessons.run("recurrence", **knobs)


def test_a_misspelt_lesson_and_a_missing_exercise_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'momentum'"):
        lessons.run("momentun")
    with pytest.raises(UserError, match="no exercise 7; there are: 1, 2"):
        load("momentum").answer(7)


@pytest.mark.parametrize(
    ("claim", "en", "zh"),
    [
        (Claim("x", 0.1, "<=", 0.12), "holds: 0.1 is at most 0.12", "成立：0.1 不大于 0.12"),
        (Claim("x", 0.2, "<=", 0.12), "fails: 0.2 is not at most 0.12", "不成立：0.2 大于 0.12"),
        (Claim("x", float("nan"), ">=", 1), "fails: nan is not at least 1", "不成立：nan 小于 1"),
        (Claim("x", 3, "==", 3), "holds: 3 is equal to 3", "成立：3 等于 3"),
    ],
)
def test_a_claim_says_its_numbers(claim: Claim, en: str, zh: str) -> None:
    assert (claim.sentence("en"), claim.sentence("zh")) == (en, zh)


def test_numbers_are_shown_with_three_digits() -> None:
    assert [show(value) for value in (0.12345, 12345.6, 3, 41600, 1e-12, 0.0, "sgd", True)] == [
        "0.123", "12,346", "3", "41,600", "1e-12", "0", "sgd", "True",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_claims_hold_in_full(name: str, seed: int) -> None:
    lesson = load(name)
    assert not [claim for claim in lesson.claims(lesson.run(seed)) if not claim.holds]
