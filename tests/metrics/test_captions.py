from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from lightning_nn.metrics.captions import (
    CaptionCorpus,
    CaptionRecords,
    CaptionScores,
    bleu,
    brevity_penalty,
    cider_d,
    rouge_l,
)

TOYS = [
    (
        "a dog runs on the green grass",
        ["a dog runs on the grass", "the brown dog is running", "a dog in a green field"],
    ),
    ("two girls kick a red ball", ["two girls play with a ball in the park", "a red ball is kicked by two girls"]),
    ("a man rides", ["a man is riding a bicycle down a very steep hill", "a man rides his bike down the hill"]),
    ("the the the the a woman", ["a woman in a hat reads a book", "the woman reads the book on a bench"]),
    ("people", ["people are near a train", "a crowd waits for the train", "people", "people wait"]),
    ("nothing of this is right at all here", ["two birds sit", "some birds on a wire"]),
    ("a a", ["a"]),
]
Caption = list[int]


def ids(toys: Sequence[tuple[str, list[str]]]) -> tuple[list[Caption], list[list[Caption]]]:
    numbers: dict[str, int] = {}

    def number(text: str) -> Caption:
        return [numbers.setdefault(word, len(numbers)) for word in text.split()]

    return [number(text) for text, _ in toys], [[number(each) for each in some] for _, some in toys]


def reference(toys: Sequence[tuple[str, list[str]]]) -> tuple[list[float], list[float], list[float]]:
    """Return BLEU-1 to -4 of the corpus, and ROUGE-L and CIDEr-D of each image, by pycocoevalcap."""
    generated = {i: [text] for i, (text, _) in enumerate(toys)}
    true = {i: some for i, (_, some) in enumerate(toys)}
    bleus, _ = Bleu(4).compute_score(true, generated, verbose=0)
    _, rouges = Rouge().compute_score(true, generated)
    _, ciders = Cider().compute_score(true, generated)
    return bleus, list(rouges), list(ciders)


def assert_equal(toys: Sequence[tuple[str, list[str]]]) -> None:
    corpus = CaptionCorpus.of(*ids(toys))
    bleus, rouges, ciders = reference(toys)
    np.testing.assert_allclose(bleu(corpus), bleus, rtol=1e-9)
    np.testing.assert_allclose(rouge_l(corpus), rouges, rtol=1e-9)
    np.testing.assert_allclose(cider_d(corpus), ciders, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------- the reference implementation


def test_all_metrics_equal_those_of_pycocoevalcap() -> None:
    assert_equal(TOYS)


@pytest.mark.parametrize("toy", TOYS, ids=[text for text, _ in TOYS])
def test_a_single_image_scores_as_in_pycocoevalcap(toy: tuple[str, list[str]]) -> None:
    assert_equal([toy])


TEXT = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_any_captions_score_as_in_pycocoevalcap(toys: list[tuple[str, list[str]]]) -> None:
    assert_equal(toys)


def test_a_caption_without_words_scores_nothing() -> None:
    corpus = CaptionCorpus.of([[], [1, 2]], [[[1, 2], [3]], [[1, 2]]])
    assert rouge_l(corpus)[0] == cider_d(corpus)[0] == 0
    assert bleu(corpus)[0] == pytest.approx(np.exp(1 - 3 / 2))  # the closest reference of an empty one has one word
    nothing = CaptionCorpus.of([[]], [[[1]]])
    assert bleu(nothing).max() < 1e-3 and rouge_l(nothing)[0] == 0


def test_without_a_right_n_gram_bleu_is_zero() -> None:
    scores = CaptionScores()
    scores.update([[1, 2, 9, 3, 4]], [[[1, 2, 3, 4, 5]]])
    found = [float(scores.compute()[f"bleu{n}"]) for n in range(1, 5)]
    assert min(found[:2]) > 0 and found[2:] == [0.0, 0.0]


def test_the_brevity_penalty_is_a_factor_of_bleu() -> None:
    """By the definition: exp(1 - r / c), of the closest lengths."""
    short = CaptionCorpus.of([[1, 2, 3]], [[[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]])
    assert brevity_penalty(short) == pytest.approx(np.exp(1 - 5 / 3))
    np.testing.assert_allclose(bleu(short)[:3] / brevity_penalty(short), 1, rtol=1e-6)
    assert brevity_penalty(CaptionCorpus.of([[1, 2, 3]], [[[1, 2], [1, 2, 3, 4]]])) == 1  # of two, the shorter


# ---------------------------------------------------------------------- the torchmetrics metric


def score(candidates: list[Caption], references: list[list[Caption]], parts: int) -> CaptionScores:
    metric = CaptionScores()
    for start in range(parts):
        metric.update(candidates[start::parts], references[start::parts])
    return metric


def test_batches_of_any_size_give_the_same_scores() -> None:
    candidates, references = ids(TOYS)
    whole, parts = (score(candidates, references, n).compute() for n in (1, 3))
    assert list(whole) == ["bleu1", "bleu2", "bleu3", "bleu4", "bp", "rouge_l", "cider"]
    assert whole["bp"].item() == pytest.approx(brevity_penalty(CaptionCorpus.of(candidates, references)))
    assert all(value.dtype == torch.float32 and value.shape == () for value in whole.values())
    assert {name: value.item() for name, value in whole.items()} == pytest.approx(
        {name: value.item() for name, value in parts.items()}, rel=1e-6
    )
    each = score(candidates, references, 1).cider_each()
    assert each.tolist() == pytest.approx(reference(TOYS)[2], rel=1e-6)
    assert whole["cider"].item() == pytest.approx(each.mean().item())


def test_processes_together_give_the_scores_of_one() -> None:
    """Gather as torchmetrics does from three processes, of which the last has no image."""
    candidates, references = ids(TOYS)
    one, two, none = score(candidates[:2], references[:2], 1), score(candidates[2:], references[2:], 2), CaptionScores()
    gathered = score([], [], 1)
    for name in ("captions", "length", "words"):
        states = [state for metric in (one, two, none) for state in getattr(metric, name)]
        assert {state.dtype for state in states} == {torch.int64}
        setattr(gathered, name, states)
    expected = score(candidates, references, 1).compute()
    assert {k: v.item() for k, v in gathered.compute().items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )


def records_of(images: list[int]) -> CaptionRecords:
    """The records of some toys."""
    metric = CaptionRecords()
    candidates, references = ids(TOYS)
    if images:
        chosen = [candidates[i] for i in images], [references[i] for i in images]
        metric.update(*chosen, -torch.tensor(images).double(), torch.tensor(images))
    return metric


def measure(rank: int, folder: str, shares: list[list[int]]) -> None:
    """Save what one of two processes measures of its share of the images."""
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", timedelta(seconds=120), len(shares), rank)
    metric = records_of(shares[rank])
    torch.save((metric.compute(), [tuple(record) for record in metric.records]), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*was called before the ``update`` method")  # of the process without an image
@pytest.mark.parametrize("shares", [[[0, 2, 4, 6], [1, 3, 5]], [list(range(len(TOYS))), []]], ids=["halves", "one"])
def test_two_processes_keep_the_captions_of_all_even_if_one_has_none(shares: list[list[int]], tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(measure, (str(tmp_path), shares), 2, start_method="fork")
    expected = records_of(list(range(len(TOYS))))
    values = {name: value.item() for name, value in expected.compute().items()}
    for rank in range(2):
        found, records = torch.load(tmp_path / f"{rank}.pt")
        assert {name: value.item() for name, value in found.items()} == pytest.approx(values)
        assert records == [tuple(record) for record in expected.records]


def test_a_reset_metric_has_forgotten_its_images() -> None:
    candidates, references = ids(TOYS)
    metric = score(candidates, references, 1)
    metric.reset()
    metric.update(candidates[:2], references[:2])
    assert len(metric.cider_each()) == 2


def test_a_caption_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="1 captions need as many lists of references"):
        CaptionCorpus.of([[1]], [[]])
    with pytest.raises(ValueError, match="2 captions need as many lists of references"):
        CaptionCorpus.of([[1], [2]], [[[1]]])


def test_ids_of_any_size_count_as_words() -> None:
    candidates, references = ids(TOYS)
    random.seed(0)
    new = random.sample(range(10**9), 100)
    renamed = CaptionCorpus.of(
        [[new[i] for i in caption] for caption in candidates],
        [[[new[i] for i in caption] for caption in some] for some in references],
    )
    np.testing.assert_allclose(cider_d(renamed), cider_d(CaptionCorpus.of(candidates, references)))
