"""Generation of sentences, word by word: greedy, by beam search, or at random.

A model is a pure function `step(state, ids) -> (log-probabilities (N, V), state)` of N unfinished sentences: the state
after the words before, and the last word of each. A sentence is 1 to `longest` words and the end; its log-probability
is that of its words and of the end.

Beam search keeps the most probable beginnings of each length, `beam` of them for each picture. An end that is among the
best `beam` continuations finishes a sentence, which leaves the beam and is never extended; the next best beginnings
take its place. A picture is done, and no longer computed, once no beginning can become better than its best sentence,
as no word makes a sentence more probable. With a beam of 1 and no exponent of the length it is greedy search; with a
beam as large as all beginnings, it finds the best sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nn.layers.recurrent import State, select_state

Step = Callable[[State, Tensor], tuple[Tensor, State]]


class Vocabulary(NamedTuple):
    """Words that decoding treats in a way of their own.

    Attributes:
        start: id of the word that begins every sentence, and is not part of it.
        end: id of the word that ends it.
        never: further ids that are never generated; `start` is not, either.
    """

    start: int
    end: int
    never: Sequence[int] = ()

    def allowed(self, log_probabilities: Tensor, *, first: bool) -> Tensor:
        """Return the log-probabilities (N, V) with minus infinity for words that can't stand here."""
        ids = [self.start, *self.never, *([self.end] if first else [])]
        barred = torch.zeros(log_probabilities.shape[1], dtype=torch.bool, device=log_probabilities.device)
        barred[torch.tensor(ids, device=barred.device)] = True
        return log_probabilities.masked_fill(barred, -torch.inf)


class Sentences(NamedTuple):
    """A sentence for each picture.

    Attributes:
        words: int64 (B, longest + 1), ids of its words, then the end and nothing but ends.
        log_probability: (B,), of its words and the end, by the model.
        log_draw: (B,), of being drawn by `sample`; None from a search.
    """

    words: Tensor
    log_probability: Tensor
    log_draw: Tensor | None = None

    def lists(self, end: int) -> list[list[int]]:
        """Return the words of each sentence, without the end."""
        return [row[: row.index(end)] for row in self.words.tolist()]


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    vocabulary: Vocabulary,
    *,
    beam: int = 1,
    longest: int = 30,
    length_norm: float = 0.0,
) -> Sentences:
    """Find a probable sentence for each of B pictures, all at once.

    Args:
        step: the model.
        state: before the start of the sentence, of each picture: tensors (B, ...).
        vocabulary: start, end and words that are never generated.
        beam: beginnings that are kept for a picture; 1 is greedy search if `length_norm` is 0, and else goes on after
            an end as long as a longer sentence may be better.
        longest: maximum number of words.
        length_norm: exponent of the length, end included, by which the log-probability is divided when sentences are
            compared, 0 to 10; 0 prefers the most probable, which are short.

    Returns:
        The best sentence of each picture.

    Raises:
        ValueError: a beam or length below 1, or an exponent outside of 0 to 10.
    """
    _check(beam=beam, longest=longest)
    if not 0 <= length_norm <= 10:
        raise ValueError(f"length_norm is {length_norm}; it must be 0 to 10")
    first = state if isinstance(state, Tensor) else state[0]
    count, device = len(first), first.device
    written = torch.full((count, longest + 1), vocabulary.end, device=device)
    found_logp, found_score = torch.empty(2, 0, device=device)
    picture = torch.arange(count, device=device)  # (A,), pictures that are not done
    words = written.new_full((count, 1, 0), 0)  # (A, K, t), the beginnings of each
    ids = written.new_full((count,), vocabulary.start)  # (A K,), the last word of each
    for t in range(longest + 1):
        step_logp, state = step(state, ids)
        step_logp = vocabulary.allowed(step_logp, first=t == 0)
        if t == 0:
            logp = step_logp.new_zeros(count, 1)  # (A, K)
            found_logp, found_score = step_logp.new_full((2, count), -torch.inf)
        pictures, kept, size = *logp.shape, step_logp.shape[1]
        total = logp.unsqueeze(2) + step_logp.view(pictures, kept, size)  # (A, K, V)
        if t == longest:
            total = total.masked_fill(torch.arange(size, device=device) != vocabulary.end, -torch.inf)
        best, place = total.view(pictures, -1).topk(min(2 * beam, kept * size), dim=1)  # as many ends as beginnings
        source, word = place // size, place % size
        is_end = word == vocabulary.end

        ended, which = best[:, :beam].masked_fill(~is_end[:, :beam], -torch.inf).max(1)  # (A,)
        score = ended / (t + 1) ** length_norm
        better = score > found_score[picture]
        to, row, parent = picture[better], better.nonzero().flatten(), source.gather(1, which[:, None])[better, 0]
        written[to] = vocabulary.end
        written[to, :t] = words[row, parent]
        found_logp[to], found_score[to] = ended[better], score[better]

        order = is_end.long().argsort(dim=1, stable=True)[:, :beam]  # ends last
        logp = best.masked_fill(is_end, -torch.inf).gather(1, order)
        bound = logp[:, 0] / (longest + 1) ** length_norm
        going = (bound > found_score[picture]).nonzero().flatten()
        if t == longest or not len(going):
            break
        logp, source, word = logp[going], source.gather(1, order)[going], word.gather(1, order)[going]
        state = select_state(state, (going[:, None] * kept + source).flatten())
        words = torch.cat([words[going[:, None], source], word.unsqueeze(2)], 2)
        picture, ids = picture[going], word.flatten()
    return Sentences(written, found_logp)


def sample(
    step: Step,
    state: State,
    vocabulary: Vocabulary,
    *,
    longest: int = 30,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Sentences:
    """Draw a sentence for each of B pictures, a word at a time.

    Args:
        step: the model.
        state: before the start of the sentence, of each picture: tensors (B, ...).
        vocabulary: start, end and words that are never generated.
        longest: maximum number of words, after which the end follows.
        temperature: divisor of the log-probabilities, above 0; below 1 probable words are drawn more often.
        top_k: number of most probable words of which one is drawn; None for all.
        generator: of the random numbers, on the device of the state; None for torch's own.

    Returns:
        The sentences, with their log-probabilities by the model as it is, and those of being drawn: among the words
            that may stand there, at this temperature and `top_k`, without an end that had to follow. Both have the
            gradient of the steps.

    Raises:
        ValueError: a length or top_k below 1, or a temperature that is not above 0.
    """
    _check(longest=longest, top_k=1 if top_k is None else top_k)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    first = state if isinstance(state, Tensor) else state[0]
    written = torch.full((len(first), longest + 1), vocabulary.end, device=first.device)
    total, drawn = torch.zeros(2, device=first.device)
    going = torch.arange(len(first), device=first.device)  # (A,), pictures whose sentence has not ended
    ids = torch.full_like(going, vocabulary.start)
    for t in range(longest + 1):
        logp, state = step(state, ids)
        if t == 0:
            total, drawn = logp.new_zeros(len(first)), logp.new_zeros(len(first))
        if t < longest:
            scores = vocabulary.allowed(logp, first=t == 0) / temperature
            if top_k is not None and top_k < scores.shape[1]:
                scores = scores.masked_fill(scores < scores.topk(top_k, dim=1).values[:, -1:], -torch.inf)
            ids = draw(scores.detach(), generator)
            drawn[going] += scores.log_softmax(1).gather(1, ids[:, None]).flatten()
        else:
            ids = torch.full_like(ids, vocabulary.end)
        written[going, t] = ids
        total[going] += logp.gather(1, ids[:, None]).flatten()
        rest = (ids != vocabulary.end).nonzero().flatten()
        if not len(rest):
            break
        going, ids, state = going[rest], ids[rest], select_state(state, rest)
    return Sentences(written, total, drawn)


def draw(scores: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a word in each row, with a probability in proportion to the exponential of its score.

    A single random number a row is looked up in the distribution function: much faster than `torch.multinomial`.

    Args:
        scores: (N, V), minus infinity for words that are not drawn.
        generator: of the random numbers, on the device of the scores; None for torch's own.

    Returns:
        Ids, int64 (N,).
    """
    below = scores.softmax(1).cumsum(1)
    place = torch.rand(len(scores), 1, dtype=below.dtype, device=below.device, generator=generator) * below[:, -1:]
    return torch.searchsorted(below, place, right=True).flatten()


def _check(**least: int) -> None:
    for name, value in least.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
