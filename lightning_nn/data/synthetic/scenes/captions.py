"""Captions of scenes, written by a grammar in English and Chinese, and the truth of any caption of that grammar.

A caption names the most visible object and, where there are more, a second one, from left to right, each with place,
size, colour and kind. The second is that at the place farthest from the first, the left one before the right one and
of several there the most visible, so that a picture leaves little doubt which one is meant. Every such claim can be
checked against the layout: a caption is wholly true if all its claims hold, each of a different object, and if it names
at least two objects, or all where there are fewer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import NamedTuple

from lightning_nn.data.captions.processor import Language
from lightning_nn.data.synthetic.scenes.layout import COLOURS, KINDS, Floats, SceneObject

CAPTIONS = 3  # of each scene
DRAWS = 3  # random numbers that a caption needs
_NAMED = 2  # objects in a caption, unless there are fewer

_LARGE = 0.5  # square root of the area from which an object is large: between those of large and of small ones
_THIRD = 1 / 3
_MARGIN = 0.06  # by which places overlap: an object near the border of two may be said to be at either


class Grammar(NamedTuple):
    """Captions of a language: phrases with a joint between them.

    Attributes:
        phrases: patterns of an object with its measure word, size, colour, kind and place.
        joint: between two phrases.
        kinds: measure word and noun of each kind.
        colours: word of each colour.
        sizes: words for large and for small.
        places: words for left, middle and right.
        space: between words where they are written.
    """

    phrases: tuple[str, ...]
    joint: str
    kinds: Mapping[str, tuple[str, str]]
    colours: Mapping[str, str]
    sizes: Mapping[bool, tuple[str, ...]]
    places: tuple[str, str, str]
    space: str


GRAMMARS: Mapping[Language, Grammar] = {
    "en": Grammar(
        phrases=("{place} {measure} {size} {colour} {kind}",),
        joint=" and ",
        kinds={kind: ("a", kind) for kind in KINDS},
        colours={colour: colour for colour in COLOURS},
        sizes={True: ("large", "big"), False: ("small", "little")},
        places=("on the left", "in the middle", "on the right"),
        space=" ",
    ),
    "zh": Grammar(
        phrases=("{place} 有 {measure} {colour} 的 {size} {kind}", "{place} 是 {measure} {colour} 的 {size} {kind}"),
        joint=" ",
        kinds={
            "house": ("一座", "房子"),
            "tree": ("一棵", "树"),
            "car": ("一辆", "汽车"),
            "mushroom": ("一朵", "蘑菇"),
            "balloon": ("一只", "热气球"),
            "kite": ("一只", "风筝"),
        },
        colours=dict(zip(COLOURS, ("红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉色", "白色"), strict=True)),
        sizes={True: ("大",), False: ("小",)},
        places=("左边", "中间", "右边"),
        space="",
    ),
}


def describe(objects: Sequence[SceneObject], draws: Floats, language: Language) -> list[str]:
    """Write the captions of a scene, words separated by spaces in both languages.

    Args:
        objects: the most visible first, at least one.
        draws: (captions, DRAWS), random numbers in [0, 1).
        language: "en" or "zh".
    """
    grammar, named = GRAMMARS[language], _named(objects)
    captions = []
    for phrase, *sizes in draws.tolist():
        pattern = _choose(grammar.phrases, phrase)
        phrases = [_phrase(grammar, pattern, thing, size) for thing, size in zip(named, sizes, strict=False)]
        captions.append(grammar.joint.join(phrases))
    return captions


def _named(objects: Sequence[SceneObject]) -> list[SceneObject]:
    """Choose the first object and the other one whose place is farthest from its own, in their order from the left."""
    place = _place(objects[0])
    others = sorted(objects[1:], key=lambda thing: (-abs(_place(thing) - place), _place(thing)))
    return sorted([objects[0], *others][:_NAMED], key=lambda thing: thing.x)


def _place(thing: SceneObject) -> int:
    return int(3 * thing.x)


def _phrase(grammar: Grammar, pattern: str, thing: SceneObject, draw: float) -> str:
    measure, kind = grammar.kinds[thing.kind]
    return pattern.format(
        measure=measure,
        kind=kind,
        colour=grammar.colours[thing.colour],
        size=_choose(grammar.sizes[is_large(thing)], draw),
        place=grammar.places[_place(thing)],
    )


def _choose(choices: tuple[str, ...], draw: float) -> str:
    return choices[int(len(choices) * draw)]


def is_large(thing: SceneObject) -> bool:
    """Tell whether an object is the large one of its scene."""
    return thing.size * KINDS[thing.kind].area ** 0.5 >= _LARGE


def truth(caption: str, objects: Sequence[SceneObject], language: Language) -> bool:
    """Decide whether a caption is wholly true of a scene: see this file's first lines.

    Args:
        caption: any text; one that the grammar can't write is not true.
        objects: of the scene, in any order.
        language: "en" or "zh".
    """
    grammar, whole, part = _parser(language)
    text = grammar.space.join(caption.lower().split())
    if not whole.fullmatch(text):
        return False
    claims = [match.groupdict() for match in part.finditer(text)]
    if not min(_NAMED, len(objects)) <= len(claims) <= len(objects):
        return False
    return any(
        all(_holds(grammar, claim, thing) for claim, thing in zip(claims, some, strict=True))
        for some in permutations(objects, len(claims))
    )


def _holds(grammar: Grammar, claim: Mapping[str, str | None], thing: SceneObject) -> bool:
    """Tell whether all that a phrase claims is true of an object."""
    said = {name.rstrip("0123456789"): word for name, word in claim.items() if word is not None}
    place = grammar.places.index(said["place"])
    return (
        grammar.kinds[thing.kind] == (said["measure"], said["kind"])
        and grammar.colours[thing.colour] == said["colour"]
        and said["size"] in grammar.sizes[is_large(thing)]
        and place * _THIRD - _MARGIN <= thing.x <= (place + 1) * _THIRD + _MARGIN
    )


@cache
def _parser(language: Language) -> tuple[Grammar, re.Pattern[str], re.Pattern[str]]:
    """Compile the grammar: a whole caption, and one phrase with a group for each word that claims something."""
    grammar = GRAMMARS[language]
    measures, kinds = zip(*grammar.kinds.values(), strict=True)
    words = {
        "measure": measures,
        "kind": kinds,
        "colour": grammar.colours.values(),
        "size": [word for some in grammar.sizes.values() for word in some],
        "place": grammar.places,
    }
    phrases = []
    for i, pattern in enumerate(grammar.phrases):
        groups = {name: f"(?P<{name}{i}>{'|'.join(dict.fromkeys(some))})" for name, some in words.items()}
        phrases.append(pattern.format(**groups) if grammar.space else pattern.replace(" ", "").format(**groups))
    phrase = f"(?:{'|'.join(phrases)})"
    plain = re.sub(r"\?P<\w+>", "?:", phrase)
    joint = grammar.joint if grammar.space else grammar.joint.replace(" ", "")
    return grammar, re.compile(f"{plain}(?:{joint}{plain})*"), re.compile(phrase)
