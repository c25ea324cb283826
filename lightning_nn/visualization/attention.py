"""Attention over documents, as a page for the browser, a Markdown table and lines for the terminal.

A word's shade is sqrt(p_s) p_w, from the weights of its sentence and of the word, as in the paper's figures (Yang et
al. 2016, section 3.5), so that strong words of weak sentences stay pale but visible. Texts are untrusted: all are
escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from lightning_nn.runs.saved_settings import names
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Explanation
from lightning_nn.visualization.pages import TAIL, head, html_text, markdown_text

STRONGEST = 5  # words named beside a document
SENTENCES = 20  # of a document in a Markdown table, those of the largest weights; the page has all
FAINT = 0.1  # share of the strongest shade below which a word is neither named nor shaded in a terminal

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


class ShadedWord(NamedTuple):
    """A word as it is shown.

    Attributes:
        text: the word, sanitized.
        gap: text before it: a space between Latin words, nothing between Chinese ones.
        weight: within its sentence, 0 to 1.
        shade: 0 to 1; the strongest word of the document has 1.
        unknown: whether the model's vocabulary lacks it.
    """

    text: str
    gap: str
    weight: float
    shade: float
    unknown: bool = False


class ShadedSentence(NamedTuple):
    """A sentence as it is shown.

    Attributes:
        weight: within its document, 0 to 1.
        words: its words.
    """

    weight: float
    words: list[ShadedWord]


def shade(explanation: Explanation) -> list[ShadedSentence]:
    """Return the sentences of a document, with the shade of each word."""
    pairs = list(zip(explanation.sentence_weights, explanation.word_weights, explanation.sentences, strict=False))
    most = max((w * s**0.5 for s, weights, _ in pairs for w in weights), default=0.0) or 1.0
    sentences = []
    for weight, weights, words in pairs:
        shaded: list[ShadedWord] = []
        for w, word in zip(weights, words, strict=False):
            text = sanitize(word)
            gap = _gap(shaded[-1].text, text) if shaded else ""
            shaded.append(ShadedWord(text, gap, w, w * weight**0.5 / most, word in explanation.unknown))
        sentences.append(ShadedSentence(weight, shaded))
    return sentences


def strongest(sentences: list[ShadedSentence], most: int = STRONGEST) -> list[ShadedWord]:
    """Return the most strongly shaded words, each once, strongest first, without those below `FAINT`."""
    words = sorted((w for s in sentences for w in s.words if w.text and w.shade >= FAINT), key=lambda w: -w.shade)
    named: dict[str, ShadedWord] = {}
    for word in words:
        named.setdefault(word.text, word)
    return list(named.values())[:most]


def _gap(before: str, after: str) -> str:
    """Return the gap between two words: a space if they are written apart."""
    if not before or not after or _is_wide(before[-1]) or _is_wide(after[0]):
        return ""
    return "" if after[0] in ",.;:!?%)]}'’”" or before[-1] in "([{‘“" else " "


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


# ---------------------------------------------------------------------- page

_STYLE = """
ol { list-style: none; margin: .75rem 0 0; padding: 0; }
li { display: grid; grid-template-columns: 7rem minmax(0, 1fr); column-gap: .75rem; padding: .2rem 0; }
.weight { display: grid; grid-template-columns: 1fr 3.25rem; column-gap: .4rem; align-items: center; height: 1.75rem;
  color: var(--soft); font-size: .8rem; font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.bar { height: .6rem; border-radius: .15rem; background: linear-gradient(var(--bar), var(--bar)) left / var(--s) 100%
  no-repeat, var(--line); }
.text { overflow-wrap: anywhere; }
.w, .key { border-radius: .2rem; padding: .1em 0; background: rgb(var(--word) / var(--w));
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.bar, .w, .key { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.key { padding: .1em .6em; color: var(--text); }
.unknown { text-decoration: underline dotted; text-underline-offset: .2em; }
@media (max-width: 30rem) { li { grid-template-columns: 3.75rem minmax(0, 1fr); column-gap: .5rem; }
  .weight { grid-template-columns: 1fr; height: auto; align-content: start; line-height: 1.3; padding-top: .3rem; } }
"""


def page(explanations: list[Explanation], title: str) -> str:
    """Write a page of documents with each word shaded by its weight: self-contained HTML, without scripts.

    Args:
        explanations: the documents.
        title: of the page.
    """
    keys = " ".join(f'<span class="key" style="--w:{w}">{name}</span>' for name, w in _KEYS.items())
    unknown = _UNKNOWN * any(explanation.unknown for explanation in explanations)
    intro = f"""<p class="soft">The bar is the share of a sentence in the document, in percent. A word is shaded by its
own share in its sentence times the root of the sentence's: {keys}. Point at a word for its share.{unknown}</p>
"""
    articles = "".join(_article(number, e) for number, e in enumerate(explanations, 1))
    return head(title, intro, _STYLE) + (articles or "<p>No documents.</p>") + TAIL


_KEYS = {"weak": 0.15, "middling": 0.5, "strong": 1}
_UNKNOWN = """ The model does not know a word with a <span class="unknown">dotted line</span>: for it, all such
words are one."""


def _article(number: int, explanation: Explanation) -> str:
    sentences = shade(explanation)
    words = ", ".join(f"{html_text(w.text)} {w.weight:.0%}" for w in strongest(sentences))
    rows = "".join(_row(sentence) for sentence in sentences)
    language = _language(explanation)
    return f"""<article aria-labelledby="d{number}">
<h2 id="d{number}">{number}. {html_text(explanation.category)} {_percent(explanation.probability)}</h2>
<p class="soft">{_verdict(explanation)}</p>
<p class="soft">Strongest words: <span{language}>{words or "none"}</span></p>
<ol{language}>
{rows}</ol>
</article>
"""


def _row(sentence: ShadedSentence) -> str:
    percent = f"{sentence.weight:.1%}"
    words = "".join(map(_word, sentence.words))
    return (
        f'<li><span class="weight"><span class="bar" style="--s:{percent}" aria-hidden="true"></span>'
        f'<span>{percent}</span></span><span class="text" dir="auto">{words}</span></li>\n'
    )


def _word(word: ShadedWord) -> str:
    shaded = word.shade >= 0.005
    classes = " ".join(["w"] * shaded + ["unknown"] * word.unknown)
    attributes = f' class="{classes}"' * bool(classes) + f' style="--w:{word.shade:.2f}"' * shaded
    return f'{word.gap}<span{attributes} title="{word.weight:.1%}">{html_text(word.text)}</span>'


def _verdict(explanation: Explanation) -> str:
    if explanation.truth is None:
        return "The true class is not known."
    if explanation.truth == explanation.category:
        return f'<span class="right">✓ right</span>: {html_text(explanation.truth)}'
    return f'<span class="wrong">✗ wrong</span>: it is {html_text(explanation.truth)}'


def _language(explanation: Explanation) -> str:
    """Return a lang attribute, if the script shows the language, so that glyphs and a screen reader's voice fit."""
    text = "".join(word for sentence in explanation.sentences for word in sentence)
    return ' lang="zh"' if _CJK.search(text) and not _KANA_OR_HANGUL.search(text) else ""


def _percent(value: float) -> str:
    return f"{value:.1%}"


# ---------------------------------------------------------------------- Markdown


def table(explanation: Explanation) -> str:
    """Write a document as a Markdown table: its sentences of the largest weights in their order, strong words bold."""
    sentences = shade(explanation)
    heaviest = sorted(range(len(sentences)), key=lambda i: -sentences[i].weight)[:SENTENCES]
    truth = "" if explanation.truth is None else f", truth: {markdown_text(explanation.truth)}"
    rows = [
        f"**{markdown_text(explanation.category)}** {explanation.probability:.1%}{truth}",
        "",
        "| share | words | top 3 |",
        "|-:|:-|:-|",
    ]
    for sentence in [sentences[i] for i in sorted(heaviest)]:
        words = "".join(
            f"{w.gap}<strong>{markdown_text(w.text)}</strong>" if w.shade >= 0.3 else f"{w.gap}{markdown_text(w.text)}"
            for w in sentence.words
        )
        named = ", ".join(f"{markdown_text(w.text)} {w.weight:.0%}" for w in strongest([sentence], 3))
        rows.append(f"| {sentence.weight:.0%} | {words} | {named} |")
    if len(sentences) > SENTENCES:
        rows += ["", f"The heaviest {SENTENCES} of {len(sentences)} sentences."]
    return "\n".join(rows)


# ---------------------------------------------------------------------- terminal


def terminal(explanation: Explanation, width: int = 80) -> TerminalExplanation:
    """Return a document for `rich.console.Console.print`: shaded in a terminal with colours, else with words by weight.

    Args:
        explanation: the document.
        width: largest width, in columns.
    """
    return TerminalExplanation(explanation, width)


class TerminalExplanation:
    """A document as lines of a terminal; see `terminal`."""

    def __init__(self, explanation: Explanation, width: int) -> None:
        self.explanation, self.width = explanation, width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sentences = shade(self.explanation)
        colours = console.is_terminal and console.color_system is not None and not console.no_color
        width = min(self.width, options.max_width)
        yield self._title()
        grid = Table.grid(padding=(0, 1), pad_edge=False)
        grid.add_column(width=min(14, max(6, width // 5)), no_wrap=True)
        grid.add_column(overflow="fold")
        for sentence in sentences:
            for row in _lines(sentence, colours, options.ascii_only, width):
                grid.add_row(*row)
        yield from console.render(grid, options.update(width=width))
        words = ", ".join(f"{w.text} {w.weight:.0%}" for w in strongest(sentences))
        yield Text(f"strongest words: {words or 'none'}", style="dim" if colours else "", overflow="fold")
        if unknown := list(dict.fromkeys(w.text for s in sentences for w in s.words if w.unknown and w.text)):
            yield Text(f"not in the vocabulary: {names(unknown)}", style="dim" if colours else "", overflow="fold")

    def _title(self) -> Text:
        title = Text(overflow="fold")
        title.append(sanitize(self.explanation.category), style="bold")
        title.append(f"  {_percent(self.explanation.probability)}")
        truth = self.explanation.truth
        if truth is not None:
            right = truth == self.explanation.category
            title.append("  right" if right else f"  wrong: it is {sanitize(truth)}", style="green" if right else "red")
        return title


def _lines(sentence: ShadedSentence, colours: bool, ascii_only: bool, width: int) -> Iterator[tuple[Text, Text]]:
    """Yield a sentence as a row of weight and text; without colours, a second row lists its words by weight."""
    bar = ("#" if ascii_only else "█") * round(sentence.weight * 8) if width >= 60 else ""
    yield Text(f"{sentence.weight:4.0%} {bar}"), _shaded(sentence.words, colours)
    if not colours and len(sentence.words) > 1 and (named := strongest([sentence], 3)):
        yield Text(""), Text("= " + ", ".join(f"{w.text} {w.weight:.0%}" for w in named), overflow="fold")


def _shaded(words: list[ShadedWord], colours: bool) -> Text:
    text = Text(overflow="fold")
    for word in words:
        text.append(word.gap)
        text.append(word.text, style=_style(word.shade) if colours and word.shade >= FAINT else None)
    return text


def _style(shade: float) -> Style:
    """Return black on pale sand to strong orange, by shade: readable on dark and light terminals alike."""
    pale, strong = (225, 213, 190), (255, 130, 0)
    red, green, blue = (round(p + (s - p) * shade) for p, s in zip(pale, strong, strict=True))
    return Style(color="#000000", bgcolor=f"#{red:02x}{green:02x}{blue:02x}", bold=shade > 0.6)
