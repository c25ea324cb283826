"""Sentences with choices in them."""

from __future__ import annotations

import re
from random import Random

from lightning_nn.data.bulletins import lexicon
from lightning_nn.data.bulletins.random_choice import pick

Template = tuple["str | tuple[Template, ...]", ...]  # literal text and choices, in turn


def compile_template(text: str) -> Template:
    """Parses the notation of the lexicon: `[a|b]` and the names in `SLOTS` become choices, other `{name}` stay."""
    parts: list[str | tuple[Template, ...]] = []
    for token in re.split(r"(\[[^\]]*\]|\{\w+\})", text):
        if token.startswith("["):
            parts.append(tuple(compile_template(option) for option in token[1:-1].split("|")))
        elif token.startswith("{") and token[1:-1] in lexicon.SLOTS:
            parts.append(tuple(compile_template(option) for option in lexicon.SLOTS[token[1:-1]]))
        elif token:
            parts.append(token)
    return tuple(parts)


def expand(template: Template, random: Random) -> str:
    """One reading of a template; `{name}` of what is bound still stands."""
    out = ""
    for part in template:
        out += part if isinstance(part, str) else expand(pick(part, random), random)
    return out
