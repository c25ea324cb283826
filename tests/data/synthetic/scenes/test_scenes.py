from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lightning_nn import ImageBatch, Scenes
from lightning_nn.data.batches import MaskBatch
from lightning_nn.data.synthetic.scenes.drawing import CLASSES, DrawnScenes, draw_scenes
from lightning_nn.data.synthetic.scenes.layout import ABSENT, COLOURS, KINDS, lay_out, mix, streams, uniform
from lightning_nn.errors import UserError
from tests.commands import command

K = len(CLASSES)


@pytest.fixture(scope="module")
def drawn() -> DrawnScenes:
    return draw_scenes(600, 64, 7)


def miou(true: NDArray[Any], predicted: NDArray[Any]) -> float:
    matrix = np.bincount(true.ravel().astype(np.int64) * K + predicted.ravel(), minlength=K * K).reshape(K, K)
    hits = matrix.diagonal()
    return float((hits / (matrix.sum(0) + matrix.sum(1) - hits)).mean())


# ---------------------------------------------------------------------- the same everywhere


def test_random_numbers_are_those_of_splitmix64() -> None:
    """The first outputs of the published generator from the seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1234567)
    assert mix(states).tolist() == published


@pytest.mark.parametrize(
    ("size", "digest"),
    [(64, "dedcbf208309328e"), (48, "ed1c1ec43ce0d163")],
)
def test_every_machine_draws_the_same_bits(size: int, digest: str) -> None:
    pictures = draw_scenes(70, size, 5)
    whole = hashlib.blake2b(digest_size=8)
    for array in (pictures.image, pictures.mask, pictures.visible.astype("<i8")):
        whole.update(np.ascontiguousarray(array).data)
    assert whole.hexdigest() == digest


def test_a_scene_depends_on_seed_and_number_alone(drawn: DrawnScenes) -> None:
    few, other = draw_scenes(70, 64, 7), draw_scenes(70, 64, 8)
    for whole, part, another in zip(drawn[:3], few[:3], other[:3], strict=True):
        np.testing.assert_array_equal(whole[:70], part)
        assert (another != part).any()


def test_uniform_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(streams(0, 0, 4000), 8, 3)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(numbers.T) - np.eye(8)).max() < 0.06


# ---------------------------------------------------------------------- what scenes show


def test_kind_and_colour_are_uniform_and_tell_nothing_of_each_other() -> None:
    layout = lay_out(streams(3, 0, 6000))
    there = layout.kind != ABSENT
    pairs = np.bincount(layout.kind[there] * len(COLOURS) + layout.colour[there], minlength=len(KINDS) * len(COLOURS))
    shares = pairs / pairs.mean()
    assert shares.min() > 0.75 and shares.max() < 1.25


def test_there_are_one_to_four_objects_and_each_is_seen(drawn: DrawnScenes) -> None:
    there = drawn.layout.kind != ABSENT
    np.testing.assert_array_equal(drawn.visible > 0, there)
    counts = np.bincount(there.sum(1), minlength=5)
    assert counts[0] == 0 and (counts[1:] > 0).all()
    assert drawn.visible[there].min() > 64 * 64 // 30


def test_the_largest_object_is_so_by_a_clear_margin(drawn: DrawnScenes) -> None:
    visible = np.sort(drawn.visible, 1)
    assert (visible[:, -1] / np.maximum(visible[:, -2], 1)).min() > 1.25


def test_a_mask_holds_the_visible_pixels_of_its_objects(drawn: DrawnScenes) -> None:
    for k in range(len(KINDS)):
        of_kind = (drawn.visible * (drawn.layout.kind == k)).sum(1)
        np.testing.assert_array_equal((drawn.mask == k + 2).sum((1, 2)), of_kind)
    assert set(np.unique(drawn.mask)) == set(range(K))


def test_an_object_is_where_its_description_says(drawn: DrawnScenes) -> None:
    for scene in np.flatnonzero((drawn.layout.kind != ABSENT).sum(1) == 1):
        (seen,) = drawn.layout.objects(scene)
        rows, columns = np.nonzero(drawn.mask[scene] >= 2)
        kind = KINDS[seen.kind]
        assert CLASSES[drawn.mask[scene, rows[0], columns[0]]] == seen.kind
        assert abs((columns.min() + columns.max() + 1) / 128 - seen.x) < (0.09 if seen.kind == "kite" else 0.02)
        assert rows.min() / 64 >= seen.y - kind.height * seen.size - 0.02
        assert (rows.max() + 1) / 64 <= min(seen.y + 0.02, 1)


def test_objects_are_large_enough_for_a_network_of_stride_4(drawn: DrawnScenes) -> None:
    """The ceiling: one-hot masks averaged over cells of 4 x 4 pixels, upsampled bilinearly, argmax."""
    cells = F.avg_pool2d(F.one_hot(torch.from_numpy(drawn.mask).long(), K).permute(0, 3, 1, 2).float(), 4)
    best = F.interpolate(cells, scale_factor=4, mode="bilinear").argmax(1).numpy()
    assert miou(drawn.mask, best) > 0.97


def test_a_lookup_of_colours_does_not_segment_them(drawn: DrawnScenes) -> None:
    """The most frequent class of each of 4,096 colours; FCN reaches 95% and more."""

    def colour(image: NDArray[np.uint8]) -> NDArray[np.int64]:
        red, green, blue = np.moveaxis(image.astype(np.int64) // 16, 1, 0)
        return (red * 16 + green) * 16 + blue

    held_out = draw_scenes(200, 64, 8)
    counts = np.bincount(colour(drawn.image).ravel() * K + drawn.mask.ravel(), minlength=4096 * K).reshape(-1, K)
    assert miou(held_out.mask, counts.argmax(1)[colour(held_out.image)]) < 0.4


# ---------------------------------------------------------------------- the data module


def scenes(batch_type: Any, **arguments: Any) -> Scenes:
    data = Scenes(train_size=20, val_size=6, test_size=5, **arguments)
    data.batch_type = batch_type
    data.prepare_once()
    return data


def test_a_model_of_images_gets_the_kind_of_the_largest_object() -> None:
    data = scenes(ImageBatch)
    assert data.categories == list(KINDS)
    assert data.describe() == {"features": 12288, "channels": 3, "height": 64, "width": 64, "num_classes": 6}
    batch = data.sources["val"][np.arange(6)]
    assert isinstance(batch, ImageBatch) and batch.label is not None
    largest = [max(objects, key=lambda each: each.size**2 * KINDS[each.kind].area) for objects in data.objects("val")]
    assert [data.categories[k] for k in batch.label] == [each.kind for each in largest]


def test_a_model_of_masks_gets_the_class_of_each_pixel() -> None:
    data = scenes(MaskBatch, size=32)
    assert data.categories == ["sky", "ground", *KINDS]
    batch = data.sources["train"][np.array([3, 1])]
    assert isinstance(batch, MaskBatch) and batch.mask is not None and batch.index is not None
    assert batch.image.shape == (2, 3, 32, 32) and batch.mask.shape == (2, 32, 32) and batch.index.tolist() == [3, 1]
    whole = draw_scenes(20, 32, 0)
    np.testing.assert_array_equal(batch.image, whole.image[[3, 1]])
    np.testing.assert_array_equal(batch.mask, whole.mask[[3, 1]])
    assert data.class_counts == np.bincount(whole.mask.ravel(), minlength=K).tolist()
    assert data.summary[1] == ("train", "20", "8", "3 x 32 x 32")


def test_masks_follow_the_augmentation_of_their_pictures(tmp_path: Path) -> None:
    data = scenes(MaskBatch, size=32, augment={"flip": "random"})
    (batch,) = data.train_dataloader()
    found = data.augmented(batch)
    mirrored = (found.image == batch.image.flip(3)).flatten(1).all(1)
    assert 0 < int(mirrored.sum()) < len(mirrored)
    assert torch.equal(found.mask, torch.where(mirrored[:, None, None], batch.mask.flip(2), batch.mask))
    argv = ("fit", "--model", "fcn", "--data.train_size", "32", "--data.augment.rotate", "9", "--name", "r")
    command(*argv, "--data.show", cwd=tmp_path).ok()
    assert (tmp_path / "logs/fcn/r/augmented.png").is_file()


def test_masks_are_part_of_what_a_split_holds() -> None:
    assert scenes(MaskBatch).split_digest == scenes(MaskBatch).split_digest
    assert len({scenes(kind, seed=seed).split_digest for kind in (ImageBatch, MaskBatch) for seed in (0, 1)}) == 4


def test_sizes_that_make_no_sense_are_errors() -> None:
    with pytest.raises(UserError, match="val_size is 0; it must be at least 1"):
        Scenes(val_size=0)
    with pytest.raises(UserError, match=re.escape("size is 16; it must be 32 to 4,096 pixels")):
        Scenes(size=16)
