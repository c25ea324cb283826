"""Bulletins: what their docstring derives holds for what is generated."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from lightning_nn.data.synthetic.bulletins import lexicon
from lightning_nn.data.synthetic.bulletins.generator import (
    BAYES_ACCURACY,
    CATEGORIES,
    MENTIONS_ACCURACY,
    Bulletin,
    Template,
    compile_template,
    generate,
)
from lightning_nn.data.text.segmenter import Segmenter, split_sentences

NAME = f"[{''.join(lexicon.SURNAMES)}](?:{'|'.join(lexicon.GIVEN_NAMES)})"
BOUND = {
    "city": "|".join(lexicon.CITIES),
    "place": "|".join(lexicon.PLACES),
    "half": "|".join(lexicon.PARTS_OF_DAY),
    "day": r"今天|当天|\d+月\d+日",
    **{role: f"(?:{'|'.join(titles)})?{NAME}" for role, titles in lexicon.TITLES.items()},
    "host": "|".join(lexicon.HOSTS),
    "source": "|".join(lexicon.SOURCES),
    "trouble": "|".join(lexicon.TROUBLES),
    "many": "|".join(lexicon.CROWD_SIZES),
    **{owner + "off": "|".join(lexicon.OFF) for owner in ("", "other_")},
    **{owner + "past": "|".join(lexicon.PAST) for owner in ("", "other_")},
    **{owner + "future": "|".join(lexicon.FUTURE) for owner in ("", "other_")},
    "event": r"〈(?P<event>\d)〉",
    "other": r"〈(?P<other>\d)〉",
}


@cache
def bulletins(size: int = 3000, seed: int = 5) -> list[Bulletin]:
    return list(generate(size, seed))


@cache
def wordings() -> dict[str, int]:
    """Everything that can stand for an event, with its category."""
    return {
        prefix.format(person=person, organiser=organiser) + subject + kind: label
        for label, groups in enumerate(lexicon.TOPICS.values())
        for group in groups
        for prefix in lexicon.PREFIXES
        for person in (group.people if "{person}" in prefix else [""])
        for organiser in (
            [body + verb for body in group.organisers for verb in lexicon.ORGANISING]
            if "{organiser}" in prefix
            else [""]
        )
        for subject in group.subjects
        for kind in group.kinds
    }


@cache
def longest_wording() -> int:
    return max(map(len, wordings()))


@cache
def mark(sentence: str) -> str:
    """The sentence with 〈category〉 for each event, the longest reading first."""
    known, longest = wordings(), longest_wording()
    out, i = "", 0
    while i < len(sentence):
        for length in range(min(longest, len(sentence) - i), 3, -1):
            if (label := known.get(sentence[i : i + length])) is not None:
                out, i = f"{out}〈{label}〉", i + length
                break
        else:
            out, i = out + sentence[i], i + 1
    return out


@cache
def affirmations() -> re.Pattern[str]:
    """Matches marked sentences that say that an event takes place now, in whatever group."""
    patterns = [pattern(compile_template(text)) for text in lexicon.DECIDING + lexicon.DECIDING_PAIRS]
    return re.compile("|".join(p.replace("?P<event>", "").replace("?P<other>", "?:") for p in patterns))


def pattern(template: Template, bound: dict[str, str] = BOUND) -> str:
    out = ""
    for part in template:
        if isinstance(part, str):
            out += re.sub(r"\\\{(\w+)\\\}", lambda m: f"(?:{bound[m[1]]})", re.escape(part))
        else:
            out += f"(?:{'|'.join(pattern(option, bound) for option in part)})"
    return out


def read(bulletin: Bulletin) -> list[tuple[int, int]]:
    """The oracle: position and category of each sentence that settles it, from the text alone."""
    found = []
    for position, sentence in enumerate(split_sentences(bulletin.text)):
        if match := affirmations().fullmatch(mark(sentence)):
            found.append((position, int(next(group for group in match.groups() if group))))
    return found


def test_same_bytes_on_every_machine() -> None:
    digest = hashlib.sha256("\n".join(map(repr, map(tuple, generate(200, 0)))).encode()).hexdigest()
    assert digest == "ca69023641bb460f50937af06097d0798358117a161f7ba13a8cab6509ce9529"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(-(2**70), 2**70), size=st.integers(1, 30), longer=st.integers(0, 5))
def test_a_longer_stream_begins_with_a_shorter_one(seed: int, size: int, longer: int) -> None:
    short = list(generate(size, seed))
    assert list(generate(size + longer, seed))[:size] == short
    assert len(short) == size


def test_another_seed_gives_other_documents() -> None:
    both = {b.text for b in generate(200, 0)} & {b.text for b in generate(200, 1)}
    assert not both


@pytest.mark.seconds
def test_sentences_are_those_a_splitter_finds() -> None:
    for bulletin in bulletins():
        assert bulletin.text == "".join(bulletin.sentences)
        assert tuple(split_sentences(bulletin.text)) == bulletin.sentences
        assert not any(re.search("[。！？；\n]", sentence[:-1]) for sentence in bulletin.sentences), bulletin
        assert not re.search(r"[{}\[\]|]", bulletin.text), bulletin.text


@pytest.mark.seconds
def test_three_to_twelve_sentences_of_which_one_or_two_decide() -> None:
    sizes = Counter(len(b.sentences) for b in bulletins())
    assert (min(sizes), max(sizes)) == (3, 12), sizes
    for bulletin in bulletins():
        assert len(bulletin.deciding) in (1, 2), bulletin
        assert list(bulletin.deciding) == sorted(set(bulletin.deciding)), bulletin
        assert len(bulletin.deciding) < len(bulletin.sentences) / 2, bulletin


def test_categories_come_alike() -> None:
    counts = Counter(b.label for b in bulletins())
    # 5 standard deviations of a count of 3,000 with chance 1/10
    assert all(abs(counts[label] - 300) < 5 * (3000 * 0.09) ** 0.5 for label in range(len(CATEGORIES))), counts


def test_an_event_belongs_to_one_category() -> None:
    names = Counter(
        name
        for groups in lexicon.TOPICS.values()
        for name in [s + k for group in groups for s in group.subjects for k in group.kinds]
    )
    assert not [name for name, count in names.items() if count > 1]
    assert len(names) > 600, len(names)


@pytest.mark.seconds
def test_the_text_settles_the_category_and_bayes_is_what_noise_leaves() -> None:
    right = 0
    for bulletin in bulletins():
        found = read(bulletin)
        assert tuple(position for position, _ in found) == bulletin.deciding, bulletin
        assert len({label for _, label in found}) == 1, bulletin
        right += found[0][1] == bulletin.label
    n = len(bulletins())
    error = (BAYES_ACCURACY * (1 - BAYES_ACCURACY) / n) ** 0.5
    assert abs(right / n - BAYES_ACCURACY) < 4 * error, (right / n, BAYES_ACCURACY)


@pytest.mark.seconds
def test_who_counts_mentions_is_lost_among_them() -> None:
    right = 0
    for bulletin in bulletins():
        mentioned = Counter(re.findall(r"〈(\d)〉", "".join(map(mark, bulletin.sentences))))
        most = max(mentioned.values())
        right += min(int(label) for label, count in mentioned.items() if count == most) == bulletin.label
    n = len(bulletins())
    error = (MENTIONS_ACCURACY * (1 - MENTIONS_ACCURACY) / n) ** 0.5
    assert abs(right / n - MENTIONS_ACCURACY) < 4 * error, (right / n, MENTIONS_ACCURACY)


@pytest.mark.seconds
@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_bag_of_words_stays_15_points_below_bayes(unit: str) -> None:
    def texts(some: list[Bulletin]) -> list[str]:
        return [" ".join(segmenter(b.text)) if unit == "words" else b.text for b in some]

    segmenter = Segmenter("jieba")
    if unit == "words":
        vectors = TfidfVectorizer(token_pattern=r"\S+")
    else:
        vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=2)
    train, test = bulletins()[:2000], bulletins()[2000:]
    model = LogisticRegression(max_iter=300).fit(vectors.fit_transform(texts(train)), [b.label for b in train])
    accuracy = model.score(vectors.transform(texts(test)), [b.label for b in test])
    assert 0.2 < accuracy < BAYES_ACCURACY - 0.15, accuracy


def test_sentences_vary() -> None:
    counts = Counter(sentence for b in bulletins() for sentence in b.sentences)
    total = counts.total()
    assert len(counts) > 0.5 * total, len(counts) / total
    sentence, most = counts.most_common(1)[0]
    assert most < 0.01 * total, (sentence, most / total)
    assert len({b.text for b in bulletins()}) == len(bulletins())


EVENT_SENTENCES = lexicon.DECIDING + lexicon.MISLEADING + lexicon.DECIDING_PAIRS + lexicon.MISLEADING_PAIRS


def skeletons() -> list[tuple[str, re.Pattern[str]]]:
    bound = BOUND | {"event": r"〈\d〉", "other": r"〈\d〉", "surname": ".", "date": r"\d+月\d+日", "weekday": "星期."}
    bound |= dict.fromkeys(("reporter", "photographer", "editor"), NAME)
    bound["temperature"] = "|".join(t for season in lexicon.TEMPERATURES for t in season)
    texts = EVENT_SENTENCES + lexicon.OPENERS + lexicon.NEUTRAL + lexicon.CLOSERS
    return [(text, re.compile(pattern(compile_template(text), bound))) for text in texts]


def test_no_sentence_skeleton_is_worn_out() -> None:
    known, some = skeletons(), bulletins()[:1000]
    counts = Counter(
        next(text for text, compiled in known if compiled.fullmatch(mark(sentence)))
        for bulletin in some
        for sentence in bulletin.sentences
    )
    worst = counts.most_common(30)
    assert worst[0][1] < 0.08 * len(some), worst[0]
    assert sum(count for _, count in worst) < 0.25 * counts.total(), sum(count for _, count in worst) / counts.total()


@pytest.mark.parametrize("text", EVENT_SENTENCES)
def test_an_event_follows_no_的_that_its_own_wording_would_stack_upon(text: str) -> None:
    assert not re.search(r"的\{(event|other)\}", text)


def test_some_sentence_on_an_event_always_fits() -> None:
    """Those that clash with none and echo none are more than the 2 or 5 that a bulletin may take of a list."""
    words = {word for sides in lexicon.CLASHES for side in sides for word in side} | set(lexicon.ONCE)
    for texts, most in (
        *((lexicon.DECIDING, 2), (lexicon.DECIDING_PAIRS, 2)),
        *((lexicon.MISLEADING, 5), (lexicon.MISLEADING_PAIRS, 2)),
    ):
        free = [text for text in texts if not any(word in str(compile_template(text)) for word in words)]
        assert len(free) >= most, (free, most)


def test_a_person_has_one_part_and_the_title_stands_once() -> None:
    titles = "|".join(title for some in lexicon.TITLES.values() for title in some)
    for bulletin in bulletins():
        people = Counter(re.findall(f"(?:{titles})({NAME})", bulletin.text))
        assert max(people.values(), default=1) == 1, bulletin
        assert len({name[0] for name in people}) == len(people), bulletin


def test_that_day_is_said_only_after_its_date() -> None:
    for bulletin in bulletins():
        before, that_day, _ = bulletin.text.partition("当天")
        assert not that_day or re.search(r"\d+月\d+日", before), bulletin
        assert not ("当天" in bulletin.text and "今天" in bulletin.text), bulletin
