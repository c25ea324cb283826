"""Sentence splitting and word segmentation, the same for building a corpus, for predicting, and in exported folders.

It imports the standard library alone, since `export` writes it into `predict.py`; only the segmenter jieba needs jieba.
"""

from __future__ import annotations

import logging
import re
import string
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Literal, get_args

from lightning_nn.data.normalization import LINE_BREAKS, normalize_text
from lightning_nn.errors import UserError, nearest

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


def join_words(words: Iterable[str]) -> str:
    """Join words to a text that reads like the original."""
    text, before = [], ""
    for word in words:
        text += [word_gap(before, word), word]
        before = word
    return "".join(text)


def word_gap(before: str, after: str) -> str:
    """Return the gap between two words: a space between Latin ones, nothing beside Chinese or before a comma."""
    if not before or not after or _is_wide(before[-1]) or _is_wide(after[0]):
        return ""
    return "" if after[0] in ",.;:!?%)]}'’”" or before[-1] in "([{‘“" else " "


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def written_with_spaces(texts: Iterable[str]) -> bool:
    """Return whether nearly all letters belong to scripts with spaces between words; False if there are no letters."""
    letters = unspaced = 0
    for text in texts:
        letters += len(_LETTER.findall(text))
        unspaced += len(_UNSPACED_LETTER.findall(text))
    return unspaced < _FEW * letters


SegmenterName = Literal["jieba", "chars", "words"]

_END = re.compile(
    r"""(?:[。！？；…｡‼⁇⁈⁉]
        |\.{3,}
        |(?<![!?;])[!?;]+(?![!?;A-Za-z0-9=&/])           # not inside an address; a run counts as one mark
        |\.(?=["'”’)\]]*(?:\s*\Z|\s(?!\s*[a-z])))        # not in 3.5, example.com, e.g. this
    )+""",
    re.VERBOSE,
)
_CLOSING = frozenset("”’」』）】》〉)]}")
_USER_WORD = re.compile(r"(.+?)(?:\s+([0-9]+)(?:\s+[a-z]+)?|\s+[a-z]{1,4})?")  # as jieba's userdict.txt

_MAX_WORD = 32  # characters; longer runs (addresses, a key held down) become several words
_MAX_PIECE = 2000  # characters passed to jieba at once: it needs about a kilobyte for each


def split_sentences(text: str, ends: Callable[[str], Iterator[re.Match[str]]] = _END.finditer) -> Iterator[str]:
    """Split a text into sentences, stripped of white space; empty ones are dropped.

    A sentence ends at a line break, at 。！？；… or three dots, at ! ? ; unless a Latin letter or digit follows
    directly (as in an address), and at a full stop before white space or the end unless a lower-case letter follows.
    Closing quotation marks and brackets belong to the sentence they close.

    Args:
        text: any text.
        ends: yields the ends of the sentences of a line.
    """
    for line in LINE_BREAKS.split(text):
        start = 0
        for end in ends(line):
            if end.start() < start:
                continue
            stop = _close(line, start, end.end())
            if sentence := line[start:stop].strip():
                yield sentence
            start = stop
        if sentence := line[start:].strip():
            yield sentence


def _close(line: str, start: int, stop: int) -> int:
    """Return the end of the sentence that began at `start`, including the closing marks that follow `stop`."""
    while stop < len(line):
        mark = line[stop]
        if mark == '"':
            closes = line.count('"', start, stop) % 2 == 1
        elif mark == "'":
            closes = not line[stop + 1 : stop + 2].isalnum()
        else:
            closes = mark in _CLOSING
        if not closes:
            break
        stop += 1
    return stop


class Segmenter:
    """Word segmentation of sentences.

    Args:
        name: "jieba", words of the Chinese segmenter jieba; "chars", each character a word; or "words", words between
            spaces and punctuation, as in English.
        user_words: words added to jieba's dictionary, each as "word", "word frequency" or "word frequency tag", the
            form of its dictionaries.
        lower: make letters lower-case.

    Raises:
        UserError: an unknown name, an invalid user word, or user words without "jieba".
    """

    def __init__(self, name: SegmenterName, user_words: list[str] | None = None, *, lower: bool = False) -> None:
        if name not in get_args(SegmenterName):
            raise UserError(f"unknown segmenter {name!r}{nearest(name, get_args(SegmenterName))}")
        if name != "jieba" and user_words:
            raise UserError(f"a user dictionary has no effect on segmenter {name!r}: use 'jieba' or leave it out")
        self.name: SegmenterName = name
        self.lower = lower
        self.user_words = [user_word(line) for line in user_words or []]
        self._jieba: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave jieba's tokenizer out of a copy: it holds a lock, and is made again where it is needed."""
        return {**self.__dict__, "_jieba": None}

    def __call__(self, sentence: str) -> list[str]:
        """Segment a sentence into words; white space is dropped, a word above 32 characters becomes several."""
        if self.lower:
            sentence = sentence.lower()
        if self.name == "chars":
            return [character for character in sentence if not character.isspace()]
        words: list[str] = []
        for word in split_words(sentence) if self.name == "words" else self._cut(sentence):
            if len(word) <= _MAX_WORD:
                words.append(word)
            else:
                words.extend(_pieces(word, _MAX_WORD))
        return words

    def _cut(self, sentence: str) -> Iterator[str]:
        """Yield jieba's words without white space."""
        if self._jieba is None:
            self._jieba = _load_jieba(self.user_words, lower=self.lower)
        for piece in _pieces(sentence, _MAX_PIECE):
            for word in self._jieba.cut(piece):
                if word := word.strip():
                    yield word

    def sentences(self, text: str, most: int | None = None) -> list[list[str]]:
        """Segment a text into sentences of words: those that have words, the first `most` of them."""
        ends = sentence_ends if self.name == "words" else _END.finditer
        segmented = (words for sentence in split_sentences(normalize_text(text), ends) if (words := self(sentence)))
        return list(islice(segmented, most))


def _pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def user_word(line: str) -> tuple[str, int | None]:
    """Parse a line of a user dictionary into a word and its frequency, None where it has none.

    Raises:
        UserError: the line is not an entry.
    """
    match = _USER_WORD.fullmatch(normalize_text(line).strip())
    if match is None or (match[2] and int(match[2]) == 0):  # jieba would split a word of frequency 0 everywhere
        raise UserError(
            f"{line.strip()[:40]!r} is not an entry of a user dictionary: expected WORD, WORD FREQUENCY or "
            "WORD FREQUENCY TAG on each line, the frequency not 0"
        )
    return match[1], int(match[2]) if match[2] else None


def _load_jieba(user_words: list[tuple[str, int | None]], *, lower: bool) -> Any:
    """Build a separate tokenizer, so that jieba's global one and the cache it shares between users stay untouched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba's import warns under new Pythons: invalid escapes, pkg_resources
        import jieba
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    frequencies, tokenizer.total = jieba_dictionary()
    tokenizer.FREQ = dict(frequencies) if user_words else frequencies  # which cutting only reads
    tokenizer.initialized = True
    for word, frequency in user_words:
        tokenizer.add_word(word.lower() if lower else word, frequency)
    return tokenizer


@cache
def jieba_dictionary() -> tuple[dict[str, int], int]:
    """Read jieba's dictionary, which takes a second, once a process.

    Returns:
        The frequencies of words and of their beginnings, and the sum of the former.
    """
    import jieba

    tokenizer = jieba.Tokenizer()
    # As initialize() does, without its cache file, which would save only a twentieth of a second.
    frequencies, total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    return frequencies, total
