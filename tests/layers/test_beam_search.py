from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_nn.cli.standalone import beam_search as by_numpy
from lightning_nn.layers.beam_search import Sentences, Vocabulary, beam_search, draw, sample
from lightning_nn.layers.recurrent import State

UNKNOWN, START, END = 0, 1, 2
WORDS = Vocabulary(START, END, [UNKNOWN])


class Chain:
    """A random model whose words depend on the picture, the place and all words before, by a state of two tensors."""

    def __init__(self, pictures: int, size: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.picture = torch.randn(pictures, 4, generator=draw, dtype=torch.float64)
        self.recur, self.word, self.out = (
            2 * torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((4, 4), (size, 4), (4, size))
        )
        self.computed = 0

    def state(self, pictures: list[int] | None = None) -> State:
        rows = self.picture if pictures is None else self.picture[pictures]
        return rows, torch.zeros(len(rows), 1, dtype=torch.float64)

    def step(self, state: State, ids: Tensor) -> tuple[Tensor, State]:
        hidden, place = state
        self.computed += len(ids)
        hidden = (hidden @ self.recur + self.word[ids] + place).tanh()
        return (hidden @ self.out).log_softmax(1), (hidden, place + 0.3)

    def log_probability(self, picture: int, sentence: tuple[int, ...]) -> float:
        state, total, before = self.state([picture]), 0.0, START
        for word in (*sentence, END):
            logp, state = self.step(state, torch.tensor([before]))
            total, before = total + float(logp[0, word]), word
        return total


def all_sentences(size: int, longest: int) -> list[tuple[int, ...]]:
    words = [word for word in range(size) if word not in (UNKNOWN, START, END)]
    return [s for length in range(1, longest + 1) for s in itertools.product(words, repeat=length)]


@settings(max_examples=60)
@given(
    size=st.integers(4, 6),
    longest=st.integers(1, 3),
    pictures=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    length_norm=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
)
def test_a_beam_as_large_as_all_beginnings_finds_the_best_of_all_sentences(
    size: int, longest: int, pictures: int, seed: int, length_norm: float
) -> None:
    model, sentences = Chain(pictures, size, seed), all_sentences(size, longest)
    beam = size**longest
    found = beam_search(model.step, model.state(), WORDS, beam=beam, longest=longest, length_norm=length_norm)
    for picture, words in enumerate(found.lists(END)):
        scores = {s: model.log_probability(picture, s) / (len(s) + 1) ** length_norm for s in sentences}
        best = max(scores, key=scores.__getitem__)
        assert tuple(words) == best, (scores[tuple(words)], scores[best])
        assert float(found.log_probability[picture]) == pytest.approx(model.log_probability(picture, best))


@settings(max_examples=100)
@given(
    size=st.integers(4, 9),
    longest=st.integers(1, 6),
    pictures=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    beam=st.integers(1, 20),
    length_norm=st.sampled_from([0.0, 0.6, 1.0, 3.0]),
)
def test_the_search_of_model_folders_is_the_same(
    size: int, longest: int, pictures: int, seed: int, beam: int, length_norm: float
) -> None:
    model = Chain(pictures, size, seed)

    def step(ids: Any, state: Any) -> Any:
        logp, after = model.step(tuple(map(torch.from_numpy, state)), torch.from_numpy(ids))
        return logp.numpy(), [part.numpy() for part in after]

    search: Any = {"beam": beam, "longest": longest, "length_norm": length_norm}
    expected = beam_search(model.step, model.state(), WORDS, **search)
    words, logp = by_numpy.beam_search(step, [part.numpy() for part in model.state()], **search)
    assert words == expected.lists(END)
    np.testing.assert_allclose(logp, expected.log_probability.numpy())


def one_picture_beam_search(model: Chain, picture: int, beam: int, longest: int, length_norm: float) -> list[int]:
    """The same search in plain Python: lists of beginnings, without a batch and without an early end."""
    live: list[tuple[float, list[int], Any]] = [(0.0, [], model.state([picture]))]
    best: tuple[float, list[int]] = (-float("inf"), [])
    for t in range(longest + 1):
        candidates = []
        for total, words, state in live:
            logp, after = model.step(state, torch.tensor([words[-1] if words else START]))
            for word, value in enumerate(logp[0].tolist()):
                if word in (UNKNOWN, START) or (word == END and t == 0) or (word != END and t == longest):
                    continue
                candidates.append((total + value, [*words, word], after))
        candidates.sort(key=lambda each: -each[0])
        for total, words, _ in candidates[:beam]:
            if words[-1] == END and total / (t + 1) ** length_norm > best[0]:
                best = (total / (t + 1) ** length_norm, words[:-1])
        live = [each for each in candidates if each[1][-1] != END][:beam]
    return best[1]


@given(
    beam=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    pictures=st.integers(1, 5),
    length_norm=st.sampled_from([0.0, 0.7]),
)
def test_equals_a_search_of_one_picture_at_a_time(beam: int, seed: int, pictures: int, length_norm: float) -> None:
    model = Chain(pictures, 7, seed)
    found = beam_search(model.step, model.state(), WORDS, beam=beam, longest=6, length_norm=length_norm)
    one_by_one = [one_picture_beam_search(model, i, beam, 6, length_norm) for i in range(pictures)]
    assert found.lists(END) == one_by_one
    expected = [model.log_probability(i, tuple(words)) for i, words in enumerate(one_by_one)]
    torch.testing.assert_close(found.log_probability, torch.tensor(expected, dtype=torch.float64))


def greedy(model: Chain, picture: int, longest: int) -> list[int]:
    """The most probable word, again and again."""
    state, words = model.state([picture]), [START]
    while len(words) <= longest:
        logp, state = model.step(state, torch.tensor([words[-1]]))
        logp[:, [UNKNOWN, START, *([END] if len(words) == 1 else [])]] = -float("inf")
        words.append(int(logp.argmax()))
        if words[-1] == END:
            return words[1:-1]
    return words[1:]


@given(seed=st.integers(0, 10**6))
def test_a_beam_of_one_is_greedy_search(seed: int) -> None:
    model = Chain(4, 8, seed)
    assert beam_search(model.step, model.state(), WORDS, longest=9).lists(END) == [
        greedy(model, i, 9) for i in range(4)
    ]


@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)))
def test_neighbours_and_order_change_no_sentence(seed: int, order: list[int]) -> None:
    model = Chain(5, 9, seed)
    whole = beam_search(model.step, model.state(), WORDS, beam=3, longest=8)
    shuffled = beam_search(model.step, model.state(order), WORDS, beam=3, longest=8)
    assert torch.equal(whole.words[order], shuffled.words)
    torch.testing.assert_close(whole.log_probability[order], shuffled.log_probability)


def test_it_ends_as_soon_as_nothing_better_can_come() -> None:
    """One picture ends after two words, the other goes on alone; a limit that is not reached changes nothing."""

    def step(state: State, ids: Tensor) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        computed.append(len(ids))
        place, lasts = state.unbind(1)
        logits = torch.zeros(len(ids), 6)
        logits[:, 3] = 20
        logits[place >= lasts, END] = 40
        return logits.log_softmax(1), torch.stack([place + 1, lasts], 1)

    state = torch.tensor([[0.0, 2.0], [0.0, 5.0]])
    found = {}
    for longest in (8, 800):
        computed: list[int] = []
        found[longest] = beam_search(step, state, WORDS, beam=2, longest=longest)
        assert computed == [2, 4, 4, 2, 2, 2]
    assert found[8].lists(END) == found[800].lists(END) == [[3, 3], [3, 3, 3, 3, 3]]
    assert (found[8].words[0, 2:] == END).all(), "an ended sentence is never extended"


# ---------------------------------------------------------------------- at random


@given(seed=st.integers(0, 10**6), top_k=st.sampled_from([None, 1, 2]), temperature=st.sampled_from([0.3, 1.0, 3.0]))
def test_drawn_sentences_are_sentences_with_the_log_probability_of_the_model(
    seed: int, top_k: int | None, temperature: float
) -> None:
    model, generator = Chain(6, 6, seed), torch.Generator().manual_seed(seed)
    drawn = sample(
        model.step, model.state(), WORDS, longest=5, temperature=temperature, top_k=top_k, generator=generator
    )
    for picture, words in enumerate(drawn.lists(END)):
        assert 1 <= len(words) <= 5 and min(words) > END
        assert float(drawn.log_probability[picture]) == pytest.approx(model.log_probability(picture, tuple(words)))
    assert drawn.words.shape == (6, 6)
    if top_k == 1:
        assert drawn.lists(END) == [greedy(model, i, 5) for i in range(6)]


def test_words_are_drawn_as_often_as_the_model_says() -> None:
    def step(state: State, ids: Tensor) -> tuple[Tensor, State]:
        logp = torch.tensor([0.0, 0.0, 0.0, 0.6, 0.3, 0.1]).log().expand(len(ids), -1)
        return logp, state

    generator = torch.Generator().manual_seed(0)
    for temperature, top_k, expected in (
        (1.0, None, [0.6, 0.3, 0.1]),
        (0.5, None, [0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]),
        (1.0, 2, [2 / 3, 1 / 3, 0.0]),
    ):
        drawn: Sentences = sample(
            step, torch.zeros(20_000, 1), WORDS, longest=1, temperature=temperature, top_k=top_k, generator=generator
        )
        shares = torch.bincount(drawn.words[:, 0], minlength=6)[3:] / 20_000
        torch.testing.assert_close(shares, torch.tensor(expected), atol=0.015, rtol=0)


def test_a_sentence_that_has_ended_costs_nothing() -> None:
    def step(state: State, ids: Tensor) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        computed.append(len(ids))
        logits = torch.full((len(ids), 6), -30.0)
        logits[:, 3] = 0
        logits[state[:, 0] <= len(computed), END] = 30
        return logits.log_softmax(1), state

    computed: list[int] = []
    drawn = sample(step, torch.tensor([[2.0], [5.0], [3.0]]), WORDS, longest=4)
    assert computed == [3, 3, 2, 1, 1]
    assert drawn.lists(END) == [[3], [3, 3, 3, 3], [3, 3]], "the second is ended by the limit"


def test_a_word_without_probability_is_never_drawn() -> None:
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, -200.0, 1.0, -torch.inf]]).expand(100_000, -1)
    assert set(draw(scores, torch.Generator().manual_seed(0)).tolist()) == {1, 4}


@pytest.mark.parametrize(
    ("search", "arguments", "message"),
    [
        (beam_search, {"beam": 0}, "beam is 0; it must be at least 1"),
        (beam_search, {"longest": 0}, "longest is 0"),
        (beam_search, {"length_norm": -1.0}, "length_norm is -1.0"),
        (beam_search, {"length_norm": float("nan")}, "length_norm is nan; it must be 0 to 10"),
        (sample, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (sample, {"temperature": float("nan")}, "temperature is nan"),
        (sample, {"top_k": 0}, "top_k is 0"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(
    search: Callable[..., Sentences], arguments: dict[str, Any], message: str
) -> None:
    model = Chain(1, 4, 0)
    with pytest.raises(ValueError, match=message):
        search(model.step, model.state(), WORDS, **arguments)
