"""Random choices by `Random.random` alone, whose sequence is the same in every version of Python."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


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
