from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_nn import FCN, Scenes, UserError
from lightning_nn.data.batches import IGNORED, MaskBatch
from lightning_nn.layers.images import rgb
from lightning_nn.metrics.confusion import intersection_over_union
from lightning_nn.metrics.running import Worst
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.tasks.artifacts import Legend, Masks
from lightning_nn.tasks.segmentation import SHOWN_WORST, median_frequency_weights, shares
from lightning_nn.visualization.draw import augmented_picture, draw
from lightning_nn.visualization.segmentation import masks_picture
from tests.contract import trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*You defined a `validation_step` but have no `val_dataloader`.*"
)

CLASSES = 3


class Given(FCN):
    """A model whose prediction is the red channel of the image."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(3, CLASSES, first_channels=1, **arguments)

    def forward(self, batch: MaskBatch) -> torch.Tensor:
        planes = torch.nn.functional.one_hot(batch.image[:, 0].long(), CLASSES)
        return 9.0 * planes.permute(0, 3, 1, 2)


def batch(*pairs: tuple[list[list[int]], list[list[int]]]) -> MaskBatch:
    """Pairs of a prediction and a true mask."""
    predicted, true = (torch.tensor(each, dtype=torch.uint8) for each in zip(*pairs, strict=True))
    return MaskBatch(predicted.unsqueeze(1).expand(-1, 3, -1, -1), true)


# ---------------------------------------------------------------------- metrics


@pytest.mark.quick
def test_metrics_by_hand() -> None:
    model = Given()
    metrics = model.split_metrics("test")
    model.update(metrics, batch(([[0, 0], [1, 1]], [[0, 0], [0, 1]])))
    model.update(metrics, batch(([[1, 0], [1, 1]], [[1, IGNORED], [IGNORED, 0]])))
    values = model.compute_metrics(metrics)
    # class 0: 2 pixels right, 4 true, 2 predicted; class 1: 2 right, 2 true, 4 predicted; class 2: nowhere
    assert float(values["iou/0"]) == pytest.approx(2 / 4) and float(values["iou/1"]) == pytest.approx(2 / 4)
    assert "iou/2" not in values
    assert float(values["miou"]) == pytest.approx(0.5)
    assert float(values["acc"]) == pytest.approx(4 / 6)


def test_a_class_that_is_predicted_but_not_there_counts_as_zero() -> None:
    matrix = torch.tensor([[3, 0, 1], [0, 0, 0], [0, 0, 0]])
    iou = intersection_over_union(matrix)
    assert iou[0] == 0.75 and iou[1].isnan() and iou[2] == 0
    torch.testing.assert_close(intersection_over_union(torch.stack([matrix, matrix])), iou.expand(2, 3), equal_nan=True)


def test_the_ceiling_is_that_of_the_stride() -> None:
    mask = [[0] * 8 + [1] * 8] * 16
    ceilings = []
    for stride in (4, 32):
        model = Given(stride=stride)
        metrics = model.split_metrics("val")
        model.update(metrics, batch((mask, mask)))
        ceilings.append(float(model.compute_metrics(metrics)["miou_ceiling"]))
    assert ceilings[0] == 1.0 and ceilings[1] < 0.6


# ---------------------------------------------------------------------- class weights


def test_weights_by_median_frequency() -> None:
    weights = median_frequency_weights(torch.tensor([100, 400, 200, 0]))
    torch.testing.assert_close(weights, torch.tensor([2.0, 0.5, 1.0, 1.0]))


def test_rare_classes_weigh_more_in_training_and_the_checkpoint_says_how_much(tmp_path: Path) -> None:
    data = Scenes(train_size=8, val_size=2, test_size=2, size=32, batch_size=4)
    model = FCN(3, 8, first_channels=2, class_weights="median_frequency")
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    expected = median_frequency_weights(torch.tensor(data.class_counts))
    torch.testing.assert_close(model.class_weights, expected)
    assert expected[0] < 1 < expected.max()
    run.save_checkpoint(tmp_path / "one.ckpt")
    torch.testing.assert_close(FCN.load_from_checkpoint(tmp_path / "one.ckpt").class_weights, expected)


def test_class_weights_of_another_run_are_not_those_of_this_one(tmp_path: Path) -> None:
    data = Scenes(train_size=4, val_size=2, test_size=2, size=32, batch_size=4)
    weighted = FCN(3, 8, first_channels=2, class_weights="median_frequency")
    run = trainer(tmp_path, max_epochs=1)
    run.fit(weighted, datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    assert not torch.equal(weighted.class_weights, torch.ones(8))
    tuned = FCN(3, 8, first_channels=2)
    loaded, kept = tuned.load_weights(Checkpoint.open(tmp_path / "one.ckpt", "cpu"))
    assert "class_weights" not in {**loaded, **kept}
    for model in (tuned, FCN.load_from_checkpoint(tmp_path / "one.ckpt", class_weights=None)):
        trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)
        assert torch.equal(model.class_weights, torch.ones(8))


def test_class_weights_need_pixel_counts(tmp_path: Path) -> None:
    model = Given(class_weights="median_frequency")
    loader = cast(Any, DataLoader([batch(([[0]], [[0]]))], batch_size=None))
    with pytest.raises(UserError, match="needs the pixel counts of a data module"):
        trainer(tmp_path).fit(model, loader)


def test_a_batch_without_masks_can_not_be_trained_on() -> None:
    with pytest.raises(UserError, match="a batch has no masks"):
        FCN(3, CLASSES, first_channels=1).training_means(MaskBatch(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))


# ---------------------------------------------------------------------- what is shown


def test_the_worst_images_are_kept_the_worst_first() -> None:
    worst = Worst(3)
    scores = [0.5, 0.9, 0.1, 0.7, 0.1, 0.3]
    worst.update(scores[:4], lambda i: f"first {i}")
    worst.update(scores[4:], lambda i: f"second {i}")
    assert worst.compute() == [(0.1, "first 2"), (0.1, "second 0"), (0.3, "second 1")]
    worst.reset()
    worst.update([0.6], lambda i: "new")
    assert worst.compute() == [(0.6, "new")]


def test_a_page_shows_the_worst_images(tmp_path: Path) -> None:
    model = Given()
    right = [[0, 1], [2, 2]]
    model.update(model.split_metrics("test"), batch((right, right), ([[1, 1], [2, 2]], right), ([[1] * 2] * 2, right)))
    (worst,) = model.artifacts("test")
    assert isinstance(worst, Masks) and len(worst.images) == 3 <= SHOWN_WORST
    assert worst.titles[0] == "mean IoU 8.3%" and worst.titles[-1] == "mean IoU 100.0%"
    np.testing.assert_array_equal(worst.predicted[1], [[1, 1], [2, 2]])
    drawing = draw(worst, "test", "FCN")
    assert list(drawing.images) == ["worst"] and list(drawing.pages) == ["worst.html"]
    page = drawing.pages["worst.html"]
    assert "<title>Worst: FCN, 3 test images</title>" in page and page.count("<img") == 9
    assert page.index("8.3%") < page.index("100.0%")


def test_the_masks_of_training_images_are_shown_as_true_ones() -> None:
    given = batch(([[0, 200], [100, 0]], [[0, 1], [2, IGNORED]]))
    image, mask = given.image[0].permute(1, 2, 0).numpy(), np.array([[0, 1], [2, IGNORED]], np.uint8)
    shown = augmented_picture(given, ["a", "b", "c"])
    np.testing.assert_array_equal(shown, masks_picture(Masks([image], [], [mask], Legend(["a", "b", "c"]))))
    assert not np.array_equal(shown, masks_picture(Masks([image], [mask], [], Legend(["a", "b", "c"]))))


def test_shares_name_the_largest_class_first() -> None:
    mask = np.array([[0, 2], [2, 2]], np.uint8)
    assert shares(mask, ["sky", "ground", "house"]) == "house 75%, sky 25%"
    mask = (np.arange(1000) < 4).astype(np.uint8)
    assert shares(mask, ["sky", "pole"]) == "sky 100%"


def test_images_of_bytes_and_of_fractions_are_shown_alike() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert np.array_equal(rgb(image / 255), rgb(image)) and (rgb(image)[..., 2] == image[0].numpy()).all()
