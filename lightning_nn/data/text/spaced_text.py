"""Sentences and words of text with spaces between words, such as English.

Words are those of Unicode's word boundaries (UAX #29), except that letters on both sides of a full stop are two words,
because reviews leave out the space behind it. Abbreviations are told from ends of sentences by the words around them,
as in Kiss and Strunk (2006), but from fixed lists: nothing is learned, so that a text is split alike everywhere.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

_UNSPACED = (  # Thai, Lao, Myanmar, Khmer; kana, bopomofo and Han
    "\u0e01-\u0e45\u0e81-\u0ec4\u1000-\u103f\u1780-\u17b3\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_UNSPACED_LETTER, _LETTER = re.compile(f"[{_UNSPACED}]"), re.compile(r"[^\W\d_]")

_FEW = 0.05

_MARKS = re.compile("[。！？；｡‼⁇⁈⁉]+|[.!?…]+")
_AFTER = re.compile(r"""["'”’)\]]*(\s*)["'“‘(\[¿¡]*(\w*)""")
_ADDRESS = frozenset(string.ascii_letters + string.digits + "=&/")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")

# Words before a full stop, in lower case and without full stops of their own; the last one, words that begin sentences.
_NEVER_LAST = re.compile("mr|mrs|ms|messrs|dr|drs|prof|mme|mlle|sra|srta|dra|eg|ie|cf|viz|bzw")
_BEFORE_NUMBER = re.compile(
    "no|nos|nr|vol|vols|p|pp|pg|ch|chap|fig|figs|sec|sect|art|eq|eqs|ref|est|tel|ext|ver"
    "|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
_RARELY_LAST = re.compile(
    "rev|hon|gen|col|maj|sgt|capt|lt|cmdr|adm|gov|sen|rep|pres|supt|fr|st|mt|ft|vs|approx|al|etc|inc|ltd|co|corp|bros"
    "|jr|sr|dept|univ|assn|ave|blvd|rd|esq|phd"
)
_FIRST = re.compile(
    "an?|the|this|that|these|those|s?he|it|they|we|i|you|who|what|where|when|why|how|t?here|his|her|its|their|our|my"
    "|your|and|but|or|so|if|in|on|at|for|from|with|as|after|before|since|while|although|however|then|also|no|not|one"
    "|all|some|many|most|each|every",
    re.IGNORECASE,
)


def sentence_ends(line: str) -> Iterator[re.Match[str]]:
    """Yield the marks at which sentences end in a line without line breaks.

    ! and ? end a sentence unless a letter or digit follows directly. Full stops do if white space follows, but not a
    lower-case letter (except where all letters are lower-case), and if no abbreviation or initial precedes them.
    """
    cased = line != line.lower()
    for mark in _MARKS.finditer(line):
        signs, stop = mark[0], mark.end()
        if signs[0] not in ".!?…":
            yield mark
        elif "!" in signs or "?" in signs:
            if line[stop : stop + 1] not in _ADDRESS:
                yield mark
        elif _ends(line, mark, cased=cased):
            yield mark


def _ends(line: str, mark: re.Match[str], *, cased: bool) -> bool:
    """Return whether full stops end a sentence, by the words before and after them."""
    start, stop = mark.span()
    after = _AFTER.match(line, stop)
    if after is None or (after.end() == len(line) and not after[2]):
        return True
    if not after[1] or (cased and after[2][:1].islower()):
        return False
    if mark[0] != ".":
        return True
    before = line[line.rfind(" ", 0, start) + 1 : start].lstrip("\"'“‘([")
    known = before.lower().replace(".", "")
    if _NEVER_LAST.fullmatch(known) or (after[2][:1].isdigit() and _BEFORE_NUMBER.fullmatch(known)):
        return False
    if _RARELY_LAST.fullmatch(known) or (_INITIALS.fullmatch(before) and (before.isupper() or "." in before)):
        return _FIRST.fullmatch(after[2]) is not None
    return True


@cache
def _words() -> re.Pattern[str]:
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c)[0] == "M")
    letters = rf"[^\W{_UNSPACED}]+(?:[{marks}]+[^\W{_UNSPACED}]*)*"
    initials = r"[^\W\d_](?:\.[^\W\d_])+\.?(?!\w)"
    return re.compile(rf"{initials}|{letters}(?:(?:'|(?<=\d)[.,](?=\d)){letters})*|\.\.+|\S")


def split_words(sentence: str) -> list[str]:
    """Split a sentence into words, numbers and signs; contractions and numbers such as 1,000.5 stay whole."""
    return _words().findall(sentence.replace("’", "'"))


def written_with_spaces(texts: Iterable[str]) -> bool:
    """Return whether nearly all letters belong to scripts with spaces between words; False if there are no letters."""
    letters = unspaced = 0
    for text in texts:
        letters += len(_LETTER.findall(text))
        unspaced += len(_UNSPACED_LETTER.findall(text))
    return unspaced < _FEW * letters
