"""Text to sentences, sentences to words: the same way when a corpus is built and when a model is asked.

Imports neither torch nor jieba: worker processes start with this module alone, and `chars` never needs jieba.
"""

from __future__ import annotations

import logging
import re
import warnings
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.normalization import LINE_BREAKS, normalize_text
from lightning_nn.errors import UserError, nearest

SegmenterName = Literal["jieba", "chars"]

_END = re.compile(
    r"""(?:[。！？；…｡‼⁇⁈⁉]
        |\.{3,}
        |(?<![!?;])[!?;]+(?![!?;A-Za-z0-9=&/])           # not inside an address; a run is one mark
        |\.(?=["'”’)\]]*(?:\s*\Z|\s(?!\s*[a-z])))        # not in 3.5, example.com, e.g. this
    )+""",
    re.VERBOSE,
)
_CLOSING = frozenset("”’」』）】》〉)]}")
_USER_WORD = re.compile(r"(\S+)(?:\s+([0-9]+))?(?:\s+[a-z]+)?")

_MAX_WORD = 32  # characters; longer runs (addresses, keys pressed long) become several words
_MAX_PIECE = 2000  # characters given to jieba at once: it needs about a kilobyte for each
_CHUNK = 100_000  # characters of text given to a process at once
_ALONE = {"jieba": 15, "chars": 150}  # chunks up to which starting processes takes longer than it saves


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, none of them empty.

    A sentence ends at a line break, at 。！？；… or three dots, at ! ? ; unless a Latin letter or digit follows at once
    (as in an address), and at a full stop before white space or the end unless a small letter follows. Closing
    quotation marks and brackets stay with the sentence they close.
    """
    return list(_sentences(text))


def _sentences(text: str) -> Iterator[str]:
    for line in LINE_BREAKS.split(text):
        start = 0
        for end in _END.finditer(line):
            if end.start() < start:
                continue
            stop = _close(line, start, end.end())
            if sentence := line[start:stop].strip():
                yield sentence
            start = stop
        if sentence := line[start:].strip():
            yield sentence


def _close(line: str, start: int, stop: int) -> int:
    """Where the sentence that began at `start` ends if what closes it after `stop` is taken along."""
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
    """Cuts sentences into words.

    Args:
        name: "jieba", words of the Chinese segmenter jieba, or "chars", each character a word.
        user_words: words that jieba must know, each "word" or "word frequency" as in its dictionaries.

    Raises:
        UserError: an unknown name, or user words that are none or come with "chars".
    """

    def __init__(self, name: SegmenterName, user_words: list[str] | None = None) -> None:
        if name not in get_args(SegmenterName):
            raise UserError(f"unknown segmenter {name!r}{nearest(name, get_args(SegmenterName))}")
        if name == "chars" and user_words:
            raise UserError("a user dictionary has no effect on segmenter 'chars': use 'jieba' or leave it out")
        self.name: SegmenterName = name
        self.user_words = [user_word(line) for line in user_words or []]
        self._jieba: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave jieba's tokenizer out of a copy: it holds a lock, and is made again where it is needed."""
        return {**self.__dict__, "_jieba": None}

    def __call__(self, sentence: str) -> list[str]:
        """The words of a sentence; white space is none, a run of more than 32 characters is several."""
        if self.name == "chars":
            return [character for character in sentence if not character.isspace()]
        if self._jieba is None:
            self._jieba = _load_jieba(self.user_words)
        words: list[str] = []
        for piece in _pieces(sentence, _MAX_PIECE):
            for word in self._jieba.cut(piece):
                if word := word.strip():
                    words.extend(_pieces(word, _MAX_WORD))
        return words

    def sentences(self, text: str, most: int | None = None) -> list[list[str]]:
        """The words of each sentence that has any, of the first `most` such sentences."""
        segmented = (words for sentence in _sentences(normalize_text(text)) if (words := self(sentence)))
        return list(islice(segmented, most))


def _pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def user_word(line: str) -> tuple[str, int | None]:
    """A word of a user dictionary and its frequency.

    Raises:
        UserError: the line is no entry.
    """
    match = _USER_WORD.fullmatch(normalize_text(line).strip())
    if match is None or (match[2] and int(match[2]) == 0):  # jieba would split such a word wherever it is asked
        raise UserError(
            f"{line.strip()[:40]!r} is no entry of a user dictionary: expected WORD or WORD FREQUENCY on a line"
        )
    return match[1], int(match[2]) if match[2] else None


def _load_jieba(user_words: list[tuple[str, int | None]]) -> Any:
    """A tokenizer of our own: jieba's global one and the cache it writes for all users stay untouched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import under new Pythons: invalid escapes, pkg_resources
        import jieba
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # What initialize() does but for its cache file, which saves a twentieth of a second.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    for word, frequency in user_words:
        tokenizer.add_word(word, frequency)
    return tokenizer


class Segmented(NamedTuple):
    """Texts as numbers, with a vocabulary of their own.

    Attributes:
        vocabulary: each word once, in order of appearance.
        words: int32 (W,), positions in `vocabulary`.
        sentences: int32 (S,), words of each sentence, at least 1.
        documents: int32 (D,), sentences of each text; 0 where a text has no word.
    """

    vocabulary: list[str]
    words: NDArray[np.int32]
    sentences: NDArray[np.int32]
    documents: NDArray[np.int32]


def segment(texts: list[str], segmenter: Segmenter) -> Segmented:
    """Cuts texts into words and numbers these."""
    numbers: dict[str, int] = {}
    words, sentences, documents = array("i"), array("i"), array("i")
    for text in texts:
        cut = segmenter.sentences(text)
        documents.append(len(cut))
        for sentence in cut:
            sentences.append(len(sentence))
            words.extend([numbers.setdefault(word, len(numbers)) for word in sentence])
    flat = (np.frombuffer(numbers_, dtype=np.int32) for numbers_ in (words, sentences, documents))
    return Segmented(list(numbers), *flat)


def segment_stream(texts: Iterable[str], segmenter: Segmenter, processes: int) -> Iterator[Segmented]:
    """Cuts a stream of texts into words, in order, with a bounded number of texts in memory.

    Args:
        texts: any number of them.
        segmenter: how.
        processes: that share the work, unless there is little of it.
    """
    chunks = _chunks(texts)
    if processes < 2:
        yield from (segment(chunk, segmenter) for chunk in chunks)
        return
    first = list(islice(chunks, _ALONE[segmenter.name] + 1))
    if len(first) <= _ALONE[segmenter.name]:
        yield from (segment(chunk, segmenter) for chunk in first)
        return
    # loky, as scikit-learn uses it, does not import the caller's __main__: a script needs no guard.
    from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]

    lines = [word if frequency is None else f"{word} {frequency}" for word, frequency in segmenter.user_words]
    with ProcessPoolExecutor(processes, initializer=_start, initargs=(segmenter.name, lines)) as pool:
        waiting: deque[Any] = deque()
        for chunk in _chain(first, chunks):  # at an error what waits is not cancelled: loky may then never end
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _chain(first: list[list[str]], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    """Both, one after another; the first is forgotten as it is given out."""
    first.reverse()
    while first:
        yield first.pop()
    yield from rest


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts together, about as many characters each time."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text) + 10
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


_segmenter: Segmenter


def _start(name: SegmenterName, user_words: list[str]) -> None:
    global _segmenter
    _segmenter = Segmenter(name, user_words)


def _work(texts: list[str]) -> Segmented:
    return segment(texts, _segmenter)
