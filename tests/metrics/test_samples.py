from __future__ import annotations

import torch

from lightning_nn.metrics.samples import SampleValues


def test_values_are_ordered_by_the_index_of_their_samples() -> None:
    metric = SampleValues(["loss", "scores"])
    metric.update(torch.tensor([3, 0]), loss=torch.tensor([0.3, 0.0]), scores=torch.tensor([[3.0, 3.0], [0.0, 0.0]]))
    metric.update(torch.tensor([2, 1]), loss=torch.tensor([0.2, 0.1]), scores=torch.tensor([[2.0, 2.0], [1.0, 1.0]]))
    assert metric.values == {} and metric.compute() == 4
    assert metric.values["index"].tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(metric.values["loss"], torch.tensor([0.0, 0.1, 0.2, 0.3]))
    assert metric.values["scores"][:, 0].tolist() == [0, 1, 2, 3]


def test_samples_without_an_index_are_counted_and_a_reset_forgets_them() -> None:
    metric = SampleValues(["label"])
    for size in (2, 1):
        metric.update(None, label=torch.full((size,), size))
    metric.compute()
    assert metric.values["index"].tolist() == [0, 1, 2] and metric.values["label"].tolist() == [2, 2, 1]
    metric.reset()
    assert metric.values == {}
    metric.update(None, label=torch.tensor([5]))
    metric.compute()
    assert metric.values["index"].tolist() == [0] and metric.values["label"].tolist() == [5]


def test_a_single_sample_keeps_its_dimension_and_half_precision_becomes_32_bits() -> None:
    metric = SampleValues(["loss"])
    metric.update(torch.tensor([7]), loss=torch.tensor([0.5], dtype=torch.float64))
    metric.compute()
    assert metric.values["loss"].shape == (1,) and metric.values["loss"].dtype == torch.float32
