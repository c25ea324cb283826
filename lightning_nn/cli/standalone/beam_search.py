"""Beam search for sentences, by NumPy: `lightning_nn.layers.beam_search`, step by step the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN, START, END = 0, 1, 2  # ids of the words that are no words

Floats = NDArray[np.floating[Any]]
Step = Callable[[NDArray[np.int64], Sequence[Floats]], tuple[Floats, Sequence[Floats]]]


def beam_search(
    step: Step, state: Sequence[Floats], *, beam: int, longest: int, length_norm: float
) -> tuple[list[list[int]], Floats]:
    """Find a probable sentence for each of B pictures, all at once.

    Args:
        step: from the last words (N,) and the state after the words before to log-probabilities (N, V) and the state.
        state: before the start of the sentence, of each picture: arrays (B, ...).
        beam: beginnings that are kept for a picture.
        longest: maximum number of words.
        length_norm: exponent of the length, end included, by which log-probabilities are divided to be compared.

    Returns:
        The words of each sentence, and the log-probability of its words and the end, (B,).
    """
    count = len(state[0])
    written: list[list[int]] = [[] for _ in range(count)]
    found_logp, found_score = np.full((2, count), -np.inf, state[0].dtype)
    picture = np.arange(count)  # (A,), pictures that are not done
    words = np.zeros((count, 1, 0), np.int64)  # (A, K, t), the beginnings of each
    ids, logp = np.full(count, START), np.zeros((count, 1), state[0].dtype)  # (A K,), the last words; (A, K)
    for t in range(longest + 1):
        step_logp, state = step(ids, state)
        (pictures, kept), size = logp.shape, step_logp.shape[1]
        total = logp[:, :, None] + step_logp.reshape(pictures, kept, size)  # (A, K, V)
        barred = np.isin(np.arange(size), [START, UNKNOWN, *([END] if t == 0 else [])])
        total[..., barred if t < longest else np.arange(size) != END] = -np.inf
        best, place = _largest(total.reshape(pictures, -1), 2 * beam)  # as many ends as beginnings
        source, word = place // size, place % size
        is_end = word == END

        ended = np.where(is_end, best, -np.inf)[:, :beam]
        which, ended = ended.argmax(1), ended.max(1)  # (A,)
        score = ended / (t + 1) ** length_norm
        for row in np.flatnonzero(score > found_score[picture]):
            written[picture[row]] = words[row, source[row, which[row]]].tolist()
            found_logp[picture[row]], found_score[picture[row]] = ended[row], score[row]

        order = np.argsort(is_end, axis=1, kind="stable")[:, :beam]  # ends last
        logp = np.take_along_axis(np.where(is_end, -np.inf, best), order, 1)
        going = np.flatnonzero(logp[:, 0] / (longest + 1) ** length_norm > found_score[picture])
        if t == longest or not len(going):
            break
        logp, order = logp[going], order[going]
        source, word = (np.take_along_axis(each[going], order, 1) for each in (source, word))
        state = [part[(going[:, None] * kept + source).ravel()] for part in state]
        words = np.concatenate([words[going[:, None], source], word[..., None]], 2)
        picture, ids = picture[going], word.ravel()
    return written, found_logp


def _largest(values: Floats, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the largest values of each row with their places, the largest first; all if there are fewer."""
    count = min(count, values.shape[1])
    place = np.argpartition(-values, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(values, place, 1), axis=1, kind="stable")
    place = np.take_along_axis(place, order, 1)
    return np.take_along_axis(values, place, 1), place
