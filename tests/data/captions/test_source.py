from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_nn import Scenes
from lightning_nn.data.batches import CaptionBatch, FrozenEncoder
from lightning_nn.data.captions.source import CaptionSource


class Encoder:
    """Means of the channels, and how many images they were computed of."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.computed += len(images)
        return images.double().mean((2, 3))


def scenes() -> Scenes:
    data = Scenes(train_size=70, val_size=5, test_size=5, size=32, batch_size=4)
    data.batch_type = CaptionBatch
    return data


def test_features_are_computed_once_and_belong_to_their_images() -> None:
    plain, encoder = scenes(), Encoder()
    plain.prepare_once()
    data = scenes()
    data.use_features(FrozenEncoder("once", encoder))
    assert encoder.computed == 80
    for split in ("train", "val", "test"):
        source, of_pixels = data.sources[split], plain.sources[split]
        assert isinstance(source, CaptionSource)
        index = np.array([3, 0])
        batch, expected = source[index], of_pixels[index]
        assert isinstance(expected, CaptionBatch)
        assert batch.image.dtype == torch.float32 and batch.image.shape == (2, 3)
        torch.testing.assert_close(batch.image, expected.image.float().mean((2, 3)))
        for one, other in zip(batch[1:4], expected[1:4], strict=True):
            assert torch.equal(one, other)
    again = scenes()
    again.use_features(FrozenEncoder("once", encoder))
    assert encoder.computed == 80  # from the cache
    again.use_features(FrozenEncoder("once, other weights", encoder))
    assert encoder.computed == 160


def test_features_that_are_not_in_the_cache_need_not_be_computed() -> None:
    data, encoder = scenes(), Encoder()
    data.use_features(FrozenEncoder("looked up", encoder), compute=False)
    assert encoder.computed == 0 and data.sources["val"][np.array([0])].image.dtype == torch.uint8
    scenes().use_features(FrozenEncoder("looked up", encoder))
    data = scenes()
    data.use_features(FrozenEncoder("looked up", encoder), compute=False)
    assert encoder.computed == 80 and data.sources["val"][np.array([0])].image.shape == (1, 3)


def test_features_stay_when_the_data_is_prepared_again() -> None:
    data, encoder = scenes(), Encoder()
    data.use_features(FrozenEncoder("again", encoder))
    data.use_processor(data.processor)
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (4, 3) and batch.index is not None
    data.use_features(None)
    assert next(iter(data.train_dataloader())).image.shape == (4, 3, 32, 32)


def test_the_digest_of_the_splits_is_that_of_the_images() -> None:
    data, plain = scenes(), scenes()
    data.use_features(FrozenEncoder("digest", Encoder()))
    assert data.split_digest == plain.split_digest


def test_a_failed_computation_leaves_nothing_in_the_cache() -> None:
    def fail(images: Tensor) -> Tensor:
        raise RuntimeError("no memory")

    data, encoder = scenes(), Encoder()
    with pytest.raises(RuntimeError, match="no memory"):
        data.use_features(FrozenEncoder("failed", fail))
    data.use_features(FrozenEncoder("failed", encoder))
    assert encoder.computed == 80
