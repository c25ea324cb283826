"""Generator of Chinese bulletins whose category is decided by the meaning of a sentence and not by its words.

A bulletin mentions events of two to four categories: 羽毛球公开赛, 商业银行股东大会, ... One of them takes place now,
and one or two sentences say so; the others are canceled, past, planned, rumored or denied. The rest is neutral. So

    虽然下着小雨，羽毛球公开赛并没有取消，今天照常举行。         is about 体育, and
    因为下着小雨，羽毛球公开赛今天没能照常举行，只得取消。       is not.

The best possible accuracy follows from how a bulletin is generated:

1.  The sentences determine the category: no sentence that says an event takes place is ambiguous (a test parses them
    back). With probability `NOISE` the label is then redrawn, uniformly from all K categories. For every model the best
    prediction is the category that the sentences determine, correct with probability

        BAYES_ACCURACY = 1 - NOISE (K - 1) / K.

2.  A model that sees the mentions but not their meaning can't tell them apart. The generator draws the categories of a
    bulletin and the number of mentions of each first, then the true one, uniformly; the wording of a mention depends on
    its category alone. Hence, given all mentions, each of the k categories is equally likely, and the best prediction
    is correct with probability

        MENTIONS_ACCURACY = (1 - NOISE) E[1 / k] + NOISE / K.

3.  The sentences around the mentions are drawn independently of the category, so their words alone carry no
    information about it. A bag of words therefore stays near `MENTIONS_ACCURACY`; n-grams that span a mention and its
    surroundings see a little more. Measured with logistic regression (C 1) on TF-IDF, 7,000 bulletins of seed 1 to
    train and 1,000 of seed 2 to test: words 33.7%, characters and their pairs 38.7%, one to three words 37.9%.

Document i depends on (seed, i) alone. All choices come from `random.Random.random`, whose sequence Python keeps the
same on every machine and in every version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import NamedTuple, TypeVar

from lightning_nn.data.synthetic.bulletins import lexicon

T = TypeVar("T")

CATEGORIES: tuple[str, ...] = tuple(lexicon.TOPICS)
NOISE = 0.02
PLANS: tuple[tuple[int, ...], ...] = (
    *((1, 1), (1, 1), (2, 1), (2, 2)),
    *((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1), (2, 2, 1)),
    *((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (2, 1, 1, 1), (2, 1, 1, 1), (2, 2, 1, 1)),
)
"""Plans: the number of mentions of each category of a bulletin; one plan is drawn uniformly."""

BAYES_ACCURACY: float = 1 - NOISE * (len(CATEGORIES) - 1) / len(CATEGORIES)
MENTIONS_ACCURACY: float = (1 - NOISE) * sum(1 / len(p) for p in PLANS) / len(PLANS) + NOISE / len(CATEGORIES)

_PAIRED = 0.25  # probability that a sentence has a second mention
_OPENED, _CLOSED = 0.6, 0.4
_DATED = 0.3  # probability that the day is a date, then 当天, instead of 今天


class Bulletin(NamedTuple):
    """A document and the reason for its label.

    Attributes:
        text: the sentences, joined.
        label: 0 to 9, index into `CATEGORIES`.
        sentences: 3 to 12 sentences, each ending in 。 or ？ and containing neither before its end.
        deciding: positions of the one or two sentences that determine the category, ascending.
    """

    text: str
    label: int
    sentences: tuple[str, ...]
    deciding: tuple[int, ...]


def generate(size: int, seed: int) -> Iterator[Bulletin]:
    """Generate a stream of bulletins.

    Args:
        size: number of bulletins.
        seed: of the stream; document i depends on (seed, i) alone, so a longer stream begins with the shorter one.

    Yields:
        One bulletin after another.
    """
    for i in range(size):
        yield _bulletin(Random(f"{seed}/{i}"))


def pick(options: Sequence[T], random: Random) -> T:
    """Draw one of the options uniformly."""
    return options[int(len(options) * random.random())]


def sample(size: int, count: int, random: Random) -> list[int]:
    """Draw `count` different numbers below `size`, in random order."""
    chosen: list[int] = []
    while len(chosen) < count:
        number = int(size * random.random())
        if number not in chosen:
            chosen.append(number)
    return chosen


def shuffle(items: list[T], random: Random) -> None:
    """Shuffle the items in place."""
    for i in range(len(items) - 1, 0, -1):
        j = int((i + 1) * random.random())
        items[i], items[j] = items[j], items[i]


def shuffled(items: Sequence[T], random: Random) -> list[T]:
    """Return a shuffled copy of the items."""
    copy = list(items)
    shuffle(copy, random)
    return copy


Template = tuple["str | tuple[Template, ...]", ...]  # literal texts and choices


def compile_template(text: str) -> Template:
    """Parse the notation of the lexicon: `[a|b]` and the names in `SLOTS` become choices, other `{name}` stay."""
    pieces: list[str | tuple[Template, ...]] = []
    for token in re.split(r"(\[[^\]]*\]|\{\w+\})", text):
        if token.startswith("["):
            pieces.append(tuple(compile_template(option) for option in token[1:-1].split("|")))
        elif token.startswith("{") and token[1:-1] in lexicon.SLOTS:
            pieces.append(tuple(compile_template(option) for option in lexicon.SLOTS[token[1:-1]]))
        elif token:
            pieces.append(token)
    return tuple(pieces)


def expand(template: Template, random: Random) -> str:
    """Draw one expansion of a template; bound names stay as `{name}`."""
    out = ""
    for piece in template:
        out += piece if isinstance(piece, str) else expand(pick(piece, random), random)
    return out


_DECIDING, _MISLEADING, _DECIDING_PAIRS, _MISLEADING_PAIRS, _OPENERS, _NEUTRAL, _CLOSERS = (
    tuple(compile_template(text) for text in texts)
    for texts in (
        lexicon.DECIDING,
        lexicon.MISLEADING,
        lexicon.DECIDING_PAIRS,
        lexicon.MISLEADING_PAIRS,
        lexicon.OPENERS,
        lexicon.NEUTRAL,
        lexicon.CLOSERS,
    )
)


class _Sentence(NamedTuple):
    """A sentence whose names are not filled in yet.

    Attributes:
        text: the sentence, with `{name}` for each bound name.
        names: names bound for this sentence alone.
        decides: whether it determines the category.
    """

    text: str
    names: dict[str, str]
    decides: bool


def _bulletin(random: Random) -> Bulletin:
    plan = pick(PLANS, random)
    categories = sample(len(CATEGORIES), len(plan), random)
    true = pick(categories, random)
    # One event per category: a second mention refers to the same event.
    events = {c: _event(lexicon.TOPICS[CATEGORIES[c]], random) for c in categories}
    mentions = [c for c, count in zip(categories, plan, strict=True) for _ in range(count)]
    size = min(12, max(len(mentions) + 1 + int(6 * random.random()), 5 if 2 in plan else 3))

    bound, afterwards = _context(random)
    written = [
        _Sentence(expand(template, random), _names(pair, events, random), decides)
        for template, pair, decides in _frames(mentions, true, random)
    ]
    ordered = _arrange(written, size, random)
    label = true if random.random() >= NOISE else int(len(CATEGORIES) * random.random())
    sentences = tuple(_tell(ordered, bound, afterwards))
    return Bulletin("".join(sentences), label, sentences, tuple(i for i, s in enumerate(ordered) if s.decides))


def _frames(mentions: list[int], true: int, random: Random) -> list[tuple[Template, tuple[int, ...], bool]]:
    """Choose a sentence for each mention: template, the one or two categories in it, whether it decides."""
    others = [c for c in mentions if c != true]
    shuffle(others, random)
    frames: list[tuple[Template, tuple[int, ...], bool]] = []

    def add(templates: list[Template], pair: tuple[int, ...], decides: bool) -> None:
        # Each list has enough sentences that fit any context.
        fitting = next(
            template
            for template in templates
            if not any(
                _echoes(template, said) or (set(about) & set(pair) and _clash(template, said))
                for said, about, _ in frames
            )
        )
        templates.remove(fitting)
        frames.append((fitting, pair, decides))

    single, pairs = (shuffled(t, random) for t in (_DECIDING, _DECIDING_PAIRS))
    for _ in range(len(mentions) - len(others)):
        if others and random.random() < _PAIRED:
            add(pairs, (true, others.pop()), True)
        else:
            add(single, (true,), True)
    single, pairs = (shuffled(t, random) for t in (_MISLEADING, _MISLEADING_PAIRS))
    while others:
        first = others.pop()
        if others and others[-1] != first and random.random() < _PAIRED:
            add(pairs, (first, others.pop()), False)
        else:
            add(single, (first,), False)
    return frames


@cache
def _echoes(one: Template, other: Template) -> bool:
    return any(word in str(one) and word in str(other) for word in lexicon.ONCE)


@cache
def _clash(one: Template, other: Template) -> bool:
    """Return whether two sentences on the same event may contradict each other."""
    first, second = (str(template).replace("other_", "") for template in (one, other))

    def holds(text: str, words: tuple[str, ...]) -> bool:
        return any(word in text for word in words)

    return any(
        (holds(first, left) and holds(second, right)) or (holds(second, left) and holds(first, right))
        for left, right in lexicon.CLASHES
    )


def _arrange(written: list[_Sentence], size: int, random: Random) -> list[_Sentence]:
    """Order the sentences among neutral ones: an event comes first, after the opener if there is one."""
    room = size - len(written)
    opened = room > 0 and random.random() < _OPENED
    closed = room > opened and random.random() < _CLOSED
    chosen = sorted(sample(len(_NEUTRAL), room - opened - closed, random), reverse=True)
    rest = [*written]
    shuffle(rest, random)
    leading = next(s for s in rest if not s.text.startswith(lexicon.LATER))
    rest.remove(leading)
    kinds = [True] * len(rest) + [False] * len(chosen)
    shuffle(kinds, random)

    ordered = [_neutral(pick(_OPENERS, random), random)] if opened else []
    ordered.append(leading)
    for mentions in kinds:
        ordered.append(rest.pop() if mentions else _neutral(_NEUTRAL[chosen.pop()], random))
    if closed:
        ordered.append(_neutral(pick(_CLOSERS, random), random))
    return ordered


def _neutral(template: Template, random: Random) -> _Sentence:
    return _Sentence(expand(template, random), {}, False)


def _tell(ordered: list[_Sentence], bound: dict[str, str], afterwards: dict[str, str]) -> Iterator[str]:
    """Fill in the names; those in `afterwards` are replaced after their first use."""
    for sentence in ordered:
        yield sentence.text.format(**bound, **sentence.names)
        bound = bound | {name: later for name, later in afterwards.items() if f"{{{name}}}" in sentence.text}


def _context(random: Random) -> tuple[dict[str, str], dict[str, str]]:
    """Draw what is constant in a bulletin (place, time, people), and the names that change after their first use."""
    month = 1 + int(12 * random.random())
    date = f"{month}月{1 + int(28 * random.random())}日"
    dated = random.random() < _DATED
    surnames = [lexicon.SURNAMES[i] for i in sample(len(lexicon.SURNAMES), 7, random)]
    roles = (*lexicon.TITLES, "reporter", "photographer", "editor")
    people = {role: name + pick(lexicon.GIVEN_NAMES, random) for role, name in zip(roles, surnames, strict=False)}
    bound = {
        **people,
        **{role: pick(titles, random) + people[role] for role, titles in lexicon.TITLES.items()},
        "surname": surnames[-1],
        "city": pick(lexicon.CITIES, random),
        "place": pick(lexicon.PLACES, random),
        "date": date,
        "day": date if dated else "今天",
        "half": pick(lexicon.PARTS_OF_DAY, random),
        "weekday": "星期" + pick("一二三四五六日", random),
        "temperature": pick(lexicon.TEMPERATURES[(0, 1, 2, 1)[month % 12 // 3]], random),
        "host": pick(lexicon.HOSTS, random),
        "source": pick(lexicon.SOURCES, random),
        "trouble": pick(lexicon.TROUBLES, random),
        "many": pick(lexicon.CROWD_SIZES, random),
    }
    return bound, {**{role: people[role] for role in lexicon.TITLES}, **({"day": "当天"} if dated else {})}


class _Event(NamedTuple):
    """An event of a bulletin, the people and organizers named with it, and its fate if it does not take place now."""

    name: str
    person: str
    organiser: str
    off: str
    past: str
    future: str


def _event(groups: Sequence[lexicon.Group], random: Random) -> _Event:
    names = [(group, subject + kind) for group in groups for subject in group.subjects for kind in group.kinds]
    group, name = pick(names, random)
    return _Event(
        name,
        pick(group.people, random),
        pick(group.organisers, random) + pick(lexicon.ORGANISING, random),
        *(pick(words, random) for words in (lexicon.OFF, lexicon.PAST, lexicon.FUTURE)),
    )


def _names(pair: tuple[int, ...], events: dict[int, _Event], random: Random) -> dict[str, str]:
    """Draw the wording of each mention, independently of its role."""
    wordings = {}
    for slot, owner, category in zip(("event", "other"), ("", "other_"), pair, strict=False):
        event = events[category]
        prefix = pick(lexicon.PREFIXES, random).format(person=event.person, organiser=event.organiser)
        wordings[slot] = prefix + event.name
        wordings |= {owner + "off": event.off, owner + "past": event.past, owner + "future": event.future}
    return wordings
