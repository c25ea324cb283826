"""Templates: sentences with choices in them."""

from __future__ import annotations

import re
from random import Random

from lightning_nn.data.bulletins import lexicon
from lightning_nn.data.bulletins.random_choice import pick

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
