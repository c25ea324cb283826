from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nn.metrics.confident_learning import (
    NONE,
    confident_classes,
    confident_joint,
    self_confidence,
    thresholds,
)


def drawn(samples: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw probabilities, and labels from them."""
    random = torch.Generator().manual_seed(seed)
    probability = (3 * torch.randn(samples, classes, generator=random, dtype=torch.float64)).softmax(1)
    return probability, torch.multinomial(probability, 1, generator=random).squeeze(1)


def test_the_joint_of_a_small_set_counted_by_hand() -> None:
    probability = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]])
    label = torch.tensor([0, 0, 0, 1, 1])
    assert thresholds(probability, label).tolist() == pytest.approx([0.6, 0.75])
    assert confident_classes(probability, label).tolist() == [0, 0, 1, 1, NONE]  # 0.6 is below 0.75
    assert confident_joint(probability, label).tolist() == [[2, 1], [0, 1]]
    assert self_confidence(probability, label).tolist() == pytest.approx([0.9, 0.7, 0.2, 0.9, 0.6])


def test_a_class_without_samples_is_nobodys() -> None:
    probability = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    assert confident_classes(probability, torch.tensor([0, 1])).tolist() == [1, 0]


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 99))
def test_the_joint_is_that_of_its_definition(samples: int, classes: int, seed: int) -> None:
    probability, label = drawn(samples, classes, seed)
    joint = [[0] * classes for _ in range(classes)]
    rows, labels = probability.tolist(), label.tolist()
    own = {k: [row[k] for row, i in zip(rows, labels, strict=True) if i == k] for k in range(classes)}
    for row, i in zip(rows, labels, strict=True):
        able = [k for k in range(classes) if own[k] and row[k] >= sum(own[k]) / len(own[k]) - 1e-15]
        if able:
            joint[i][max(able, key=lambda k: row[k])] += 1
    assert confident_joint(probability, label).tolist() == joint


def test_labels_that_were_changed_are_off_the_diagonal_and_nothing_else_is() -> None:
    """Of 196 samples that are known with more than 0.9, every tenth is labelled as the class after its own."""
    probability, _ = drawn(600, 4, 0)
    probability = probability[probability.amax(1) > 0.9]
    true = probability.argmax(1)
    changed = torch.arange(len(true)) % 10 == 0
    label = torch.where(changed, (true + 1) % 4, true)
    confident = confident_classes(probability, label)
    assert torch.equal(confident[changed], true[changed])
    kept = confident[~changed]
    assert set(kept[kept != true[~changed]].tolist()) <= {NONE} and (kept == NONE).float().mean() < 0.05
    off = confident_joint(probability, label).fill_diagonal_(0)
    assert torch.equal(off, torch.stack([torch.bincount(true[changed & (label == k)], minlength=4) for k in range(4)]))
    assert set(self_confidence(probability, label).argsort()[: changed.sum()].tolist()) == set(
        changed.nonzero().squeeze(1).tolist()
    )
