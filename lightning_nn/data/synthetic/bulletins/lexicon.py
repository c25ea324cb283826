"""Lexicon of the bulletins, read from `lexicon.yaml`, which explains its notation in Chinese and English.

Each list of it is a constant here, in capitals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE = Path(__file__).with_name("lexicon.yaml")


class Group(NamedTuple):
    """Events of one kind.

    Attributes:
        subjects: combined with any of `kinds`: 羽毛球 + 公开赛.
        kinds: kinds of event.
        people: who takes part.
        organisers: who runs it.
    """

    subjects: tuple[str, ...]
    kinds: tuple[str, ...]
    people: tuple[str, ...]
    organisers: tuple[str, ...]


def _words(value: str | list[str]) -> tuple[str, ...]:
    """Return a list of sentences, or the words between the spaces of a text."""
    return tuple(value.split() if isinstance(value, str) else value)


def _load() -> dict[str, Any]:
    with FILE.open(encoding="utf-8") as file:
        return dict(yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # in C, if PyYAML was built so


_LISTS = _load()

TOPICS: dict[str, tuple[Group, ...]] = {
    topic: tuple(Group(**{kind: _words(words) for kind, words in group.items()}) for group in groups)
    for topic, groups in _LISTS["topics"].items()
}
SURNAMES, GIVEN_NAMES = _words(_LISTS["surnames"]), _words(_LISTS["given_names"])
TITLES = {role: _words(titles) for role, titles in _LISTS["titles"].items()}
CITIES, PLACES = _words(_LISTS["cities"]), _words(_LISTS["places"])
PARTS_OF_DAY = _words(_LISTS["parts_of_day"])
TEMPERATURES = tuple(map(_words, _LISTS["temperatures"].values()))  # of winter, of spring and autumn, of summer
HOSTS, SOURCES = _words(_LISTS["hosts"]), _words(_LISTS["sources"])
TROUBLES, CROWD_SIZES = _words(_LISTS["troubles"]), _words(_LISTS["crowd_sizes"])
OFF, PAST, FUTURE = _words(_LISTS["off"]), _words(_LISTS["past"]), _words(_LISTS["future"])
SLOTS = {name: _words(options) for name, options in _LISTS["slots"].items()}
PREFIXES, ORGANISING = _words(_LISTS["prefixes"]), _words(_LISTS["organising"])
DECIDING, DECIDING_PAIRS = _words(_LISTS["deciding"]), _words(_LISTS["deciding_pairs"])
MISLEADING, MISLEADING_PAIRS = _words(_LISTS["misleading"]), _words(_LISTS["misleading_pairs"])
CLASHES = tuple((_words(left), _words(right)) for left, right in _LISTS["clashes"])
ONCE, LATER = _words(_LISTS["once"]), _words(_LISTS["later"])
OPENERS, NEUTRAL, CLOSERS = _words(_LISTS["openers"]), _words(_LISTS["neutral"]), _words(_LISTS["closers"])
