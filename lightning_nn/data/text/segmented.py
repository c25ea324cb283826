"""Segmented texts as numbers, of any number of texts, by several processes.

This module imports neither torch nor jieba: worker processes import it alone.
"""

from __future__ import annotations

import signal
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_nn.data.text.segmenter import Segmenter

_CHUNK = 100_000  # characters of text sent to a process at once
_ALONE = {"jieba": 15, "chars": 150, "words": 60}  # chunks up to which starting processes costs more time than it saves


class Segmented(NamedTuple):
    """Segmented texts as numbers into a vocabulary of their own.

    Attributes:
        vocabulary: each word once, in order of appearance.
        words: int32 (W,), positions in `vocabulary`.
        sentences: int32 (S,), words of each sentence, at least 1.
        documents: int32 (D,), sentences of each text; 0 for a text without words.
    """

    vocabulary: list[str]
    words: NDArray[np.int32]
    sentences: NDArray[np.int32]
    documents: NDArray[np.int32]


def segment(texts: list[str], segmenter: Segmenter) -> Segmented:
    """Segment texts into words and number the words."""
    numbers: dict[str, int] = {}
    words, sentences, documents = array("i"), array("i"), array("i")
    for text in texts:
        segmented = segmenter.sentences(text)
        documents.append(len(segmented))
        for sentence in segmented:
            sentences.append(len(sentence))
            words.extend([numbers.setdefault(word, len(numbers)) for word in sentence])
    flat = (np.frombuffer(numbers_, dtype=np.int32) for numbers_ in (words, sentences, documents))
    return Segmented(list(numbers), *flat)


def segment_stream(texts: Iterable[str], segmenter: Segmenter, processes: int) -> Iterator[Segmented]:
    """Segment a stream of texts, in order, with a bounded number of texts in memory.

    Args:
        texts: any number of texts.
        segmenter: applied to each of them.
        processes: number of processes that share the work; a small stream is segmented in this process.
    """
    chunks = _chunks(texts)
    if processes < 2:
        yield from (segment(chunk, segmenter) for chunk in chunks)
        return
    first = list(islice(chunks, _ALONE[segmenter.name] + 1))
    if len(first) <= _ALONE[segmenter.name]:
        yield from (segment(chunk, segmenter) for chunk in first)
        return
    # loky, which scikit-learn uses too, does not import the caller's __main__: a script needs no guard.
    from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]

    with ProcessPoolExecutor(processes, initializer=_start, initargs=(segmenter,)) as pool:
        waiting: deque[Any] = deque()
        for chunk in _chain(first, chunks):  # on an error nothing waiting is cancelled: loky might then never end
            with _deaf_to_interrupts():
                waiting.append(pool.submit(_work, chunk))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all, from the workers that start here: they end with the pool."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # up to Python 3.11 its start lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _chain(first: list[list[str]], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield the chunks of `first`, each freed as it is yielded, then those of `rest`."""
    first.reverse()
    while first:
        yield first.pop()
    yield from rest


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts into chunks of about `_CHUNK` characters."""
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


def _start(segmenter: Segmenter) -> None:
    global _segmenter
    _segmenter = segmenter


def _work(texts: list[str]) -> Segmented:
    return segment(texts, _segmenter)
