"""Gates: an LSTM learns to hold what it needs, and its forget gate lets go of it where something new takes its place.

    c_t = f_t c_{t-1} + i_t g_t,   f_t = sigmoid(W_f s_{t-1} + U_f x_t + b_f)

Gers, Schmidhuber and Cummins 2000, eq. 3 and 4. A small grammar makes a stream of sentences: a subject, adverbs and
objects around a verb, and no full stop. At each word the network says whether the last subject is one or several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn import Optimizer
from lightning_nn.layers import FlatRNN
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = ("he", "they", "she", "we", "him", "them", "her", "us", "today", "often", "near", "with", "sleep", "play")
OBJECTS, ADVERBS, PREPOSITIONS, VERBS = 4, (8, 9), (10, 11), (12, 13)
ROLES = ("subject", "object", "preposition", "adverb", "verb")
PART = 24  # words of a part of the stream in training; the state begins anew in each
SUBJECT, OBJECT, PREPOSITION, ADVERB, VERB = range(5)


class Stream(NamedTuple):
    """Sentences of the grammar, one after another: for each word (T,) its id, its role, and the subject's number."""

    words: Tensor
    roles: Tensor
    plural: Tensor


def sentence(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw a sentence: words and their roles. A subject of odd id is a plural."""
    before, after = rng.integers(4, size=2)
    verb = [(int(rng.choice(VERBS)), VERB)]
    return [(int(rng.integers(4)), SUBJECT), *additions(rng, before), *verb, *additions(rng, after)]


def additions(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """Draw adverbs, and prepositions with their objects."""
    words: list[tuple[int, int]] = []
    for _ in range(count):
        if rng.random() < 0.5:
            words.append((int(rng.choice(ADVERBS)), ADVERB))
        else:
            words += [(int(rng.choice(PREPOSITIONS)), PREPOSITION), (OBJECTS + int(rng.integers(4)), OBJECT)]
    return words


def stream(rng: np.random.Generator, length: int) -> Stream:
    """Draw sentences until there are `length` words."""
    words: list[tuple[int, int]] = []
    while len(words) < length:
        words += sentence(rng)
    ids, roles = torch.tensor(words[:length]).T
    subjects = (roles == SUBJECT).nonzero().flatten()
    last = (roles == SUBJECT).cumsum(0) - 1
    return Stream(ids, roles, ids[subjects][last] % 2)


def gates(layer: FlatRNN, x: Tensor) -> tuple[Tensor, Tensor]:
    """Go through a stream (T, E) step by step, and return forget gates and state lines, (T, H) each."""
    U, W, b, c = layer.rnn.parameters()
    state, forget, line = None, [], []
    for x_t in x:
        before = x.new_zeros(W.shape[1]) if state is None else state[0].flatten()
        f = (F.linear(x_t, U, b) + F.linear(before, W, c)).chunk(4)[1]
        _, state = layer.step(x_t[None], state)
        forget.append(torch.sigmoid(f))
        line.append(state[1].flatten())
    return torch.stack(forget), torch.stack(line)


def train(text: Stream, hidden: int, updates: int) -> tuple[FlatRNN, nn.Linear]:
    """Train an LSTM to tell at each word whether the last subject is a plural."""
    layer, output = FlatRNN(len(WORDS), hidden, cell="lstm", direction="forward"), nn.Linear(hidden, 2)
    with torch.no_grad():
        _, _, _, c = layer.rnn.parameters()
        c[hidden : 2 * hidden] = 2  # a forget gate of 0.9: begin by remembering (Gers et al. 2000)
    optimizer = Optimizer(name="adam", lr=0.03).build([{"params": [*layer.parameters(), *output.parameters()]}])
    x, length = F.one_hot(text.words, len(WORDS)).float(), torch.full((len(text.words) // PART,), PART)
    for _ in range(updates):
        optimizer.zero_grad()
        F.cross_entropy(output(layer(x, length)), text.plural).backward()
        optimizer.step()
    return layer, output


def run(seed: int = 0, size: Size = "full", *, hidden: int = 1) -> Result:
    """Train, and read the forget gate of the unit that tells the number best, over a new stream."""
    rng = np.random.default_rng(seed)
    layer, output = train(stream(rng, 64 * PART), hidden, 150 if size == "full" else 80)
    new = stream(rng, 600)
    x = F.one_hot(new.words, len(WORDS)).float()
    with torch.no_grad():
        forget, line = gates(layer, x)
        right = (output(layer(x, torch.tensor([len(x)]))).argmax(1) == new.plural).float()
    agreement = torch.corrcoef(torch.cat([line.T, new.plural[None].float()]))[-1, :-1].abs()
    best = int(agreement.nan_to_num().argmax())
    rows: list[Row] = [
        {
            "word": name,
            "count": int((new.roles == role).sum()),
            "forget gate": forget[new.roles == role, best].mean().item(),
            "accuracy": right[new.roles == role].mean().item(),
        }
        for role, name in enumerate(ROLES)
    ]
    shown = slice(0, 36)
    arrays = {
        "roles": new.roles[shown],
        "plural": new.plural[shown],
        "forget": forget[shown, best],
        "line": line[shown, best],
    }
    return Result(rows, {name: values.numpy() for name, values in arrays.items()})


def draw(result: Result, figure: Figure) -> None:
    """Draw the forget gate and the state line over the stream, with a mark where a subject comes."""
    gate, line = figure.subplots(2, 1, sharex=True)
    t, roles, plural = np.arange(len(result.arrays["roles"])), result.arrays["roles"], result.arrays["plural"]
    gate.bar(t, result.arrays["forget"], color=np.where(roles == SUBJECT, ORANGE, BLUE))
    gate.set(ylabel="$f_t$", ylim=(0, 1))
    line.axhline(0, color="lightgrey", linewidth=1)
    line.plot(t, result.arrays["line"], "-", color="grey", linewidth=1)
    for number, marker in ((0, "o"), (1, "s")):
        there = plural == number
        line.plot(t[there], result.arrays["line"][there], marker, color=BLUE, markersize=5, label=("1", "2+")[number])
    for place in t[roles == SUBJECT]:
        line.axvline(place - 0.5, color=ORANGE, linewidth=1, linestyle=":")
    line.set(xlabel="t", ylabel="$c_t$")
    line.legend(loc="upper right", ncols=2)


def claim(result: Result) -> list[Claim]:
    """Compare the forget gate at subjects with that at other words."""
    gate = {row["word"]: row["forget gate"] for row in result.rows}
    shown, roles = result.arrays["forget"], result.arrays["roles"]
    return [
        Claim("forget gate at a subject", gate["subject"], "<=", result.bound(full=0.3, test=0.4)),
        Claim("at an object", gate["object"], ">=", result.bound(full=0.55, test=0.5)),
        Claim("lowest mean at another word", min(gate[name] for name in ROLES[1:]), ">=", 0.5),
        Claim("highest at a subject in the figure", float(shown[roles == SUBJECT].max(initial=0)), "<=", 0.5),
        Claim("lowest accuracy", min(result.column("accuracy")), ">=", result.bound(full=0.98, test=0.9)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of the word at which the forget gate is lowest."""
    gate = result.column("forget gate")
    return 1 + (SUBJECT, OBJECT, VERB).index(gate.index(min(gate)))


def line_after(forget: float, subjects: int) -> float:
    """Compute the state line after several plural subjects in a row: each adds 1."""
    line = 0.0
    for _ in range(subjects):
        line = forget * line + 1
    return line


def answer_1() -> list[Claim]:
    """Add up subjects without forgetting, then let one of the other number come."""
    kept, gone = line_after(1.0, 5) - 1, 0.0 * line_after(1.0, 5) - 1
    return [
        Claim("line after five plurals and a singular, nothing forgotten", kept, ">=", 0),
        Claim("the same, forgotten at each subject", gone, "<=", 0),
    ]


def answer_2() -> list[Claim]:
    """Compute what a gate leaves after ten words."""
    left = {forget: forget**10 for forget in (0.5, 0.9)}
    return [
        Claim("left of a gate of 0.5", left[0.5], "<=", 0.001),
        Claim("left of a gate of 0.9", left[0.9], ">=", 0.3),
    ]
