"""Words of a document shaded by a value, as a terminal and a page show them. Texts are untrusted: all are escaped."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from lightning_nn.data.text.segmenter import word_gap
from lightning_nn.runs.saved_settings import names
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Explanation, GateExplanation, GradientExplanation

FAINT = 0.1  # share of the strongest shade below which a word is neither named nor shaded in a terminal

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


class ShadedWord(NamedTuple):
    """A word as it is shown.

    Attributes:
        text: the word, sanitized.
        gap: text before it: a space between Latin words, nothing between Chinese ones.
        weight: the value that it has, 0 to 1; below 0 if it speaks against the class.
        shade: 0 to 1; the strongest word of the document has 1.
        unknown: whether the model's vocabulary lacks it.
    """

    text: str
    gap: str
    weight: float
    shade: float
    unknown: bool = False

    @property
    def is_shaded(self) -> bool:
        """True if its shade can be seen on a page."""
        return self.shade >= 0.005

    @property
    def classes(self) -> str:
        """Its classes in the style of the page."""
        return " ".join(
            ["w"] * self.is_shaded + ["against"] * (self.is_shaded and self.weight < 0) + ["unknown"] * self.unknown
        )


def shaded_words(
    words: Sequence[str], weights: Sequence[float], shades: Sequence[float], unknown: frozenset[str]
) -> list[ShadedWord]:
    """Return words as they are shown, one after another.

    Args:
        words: of a sentence or a document.
        weights: the value of each.
        shades: of each, 0 to 1.
        unknown: those that the model's vocabulary lacks.
    """
    shaded: list[ShadedWord] = []
    for word, weight, shade in zip(words, weights, shades, strict=False):
        text = sanitize(word)
        gap = word_gap(shaded[-1].text, text) if shaded else ""
        shaded.append(ShadedWord(text, gap, weight, shade, word in unknown))
    return shaded


def first_of_each(words: Iterable[ShadedWord], most: int) -> list[ShadedWord]:
    """Return the first words that differ in their text."""
    named: dict[str, ShadedWord] = {}
    for word in words:
        named.setdefault(word.text, word)
    return list(named.values())[:most]


def is_chinese(sentences: list[list[str]]) -> bool:
    """Return whether the script shows Chinese: it gives the right glyphs, and a screen reader the right voice."""
    text = "".join(itertools.chain(*sentences))
    return bool(_CJK.search(text)) and not _KANA_OR_HANGUL.search(text)


def title_line(explanation: Explanation | GateExplanation | GradientExplanation) -> Text:
    """Return the class of a document, its probability, and whether it is right, for a terminal."""
    title = Text(overflow="fold")
    title.append(sanitize(explanation.category), style="bold")
    title.append(f"  {explanation.probability:.1%}")
    truth = explanation.truth
    if truth is not None:
        right = truth == explanation.category
        title.append("  right" if right else f"  wrong: it is {sanitize(truth)}", style="green" if right else "red")
    return title


def unknown_lines(words: Iterable[ShadedWord], colours: bool) -> list[Text]:
    """Return the line that lists the unknown words, for a terminal; none if all are known."""
    unknown = list(dict.fromkeys(word.text for word in words if word.unknown and word.text))
    return [Text(f"not in the vocabulary: {names(unknown)}", style="dim" * colours, overflow="fold")] if unknown else []


def shaded_text(words: list[ShadedWord], colours: bool) -> Text:
    """Return words for a terminal, with their shades if it has colours."""
    text = Text(overflow="fold")
    for word in words:
        text.append(word.gap)
        text.append(word.text, style=_style(word.shade, word.weight < 0) if colours and word.shade >= FAINT else None)
    return text


class TerminalLines:
    """A document as lines of a terminal, for `rich.console.Console.print`.

    Args:
        lines: makes the lines, with or without colours.
        width: largest width, in columns.
    """

    def __init__(self, lines: Callable[[bool], Iterable[Text]], width: int) -> None:
        self.lines, self.width = lines, width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colours = console.is_terminal and console.color_system is not None and not console.no_color
        for line in self.lines(colours):
            line.overflow = "fold"
            yield from console.render(line, options.update(width=min(self.width, options.max_width)))


def _style(shade: float, against: bool) -> Style:
    """Return black on pale sand to strong orange, by shade: readable on dark and light terminals alike.

    A word that speaks against the class is on pale to strong blue.
    """
    pale, strong = ((195, 212, 232), (70, 150, 255)) if against else ((225, 213, 190), (255, 130, 0))
    red, green, blue = (round(p + (s - p) * shade) for p, s in zip(pale, strong, strict=True))
    return Style(color="#000000", bgcolor=f"#{red:02x}{green:02x}{blue:02x}", bold=shade > 0.6)
