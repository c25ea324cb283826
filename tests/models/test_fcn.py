from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightning_nn import FCN, UserError
from lightning_nn.backbones.torchvision import STRIDES
from lightning_nn.data.batches import IGNORED, MaskBatch
from lightning_nn.data.segmentation.source import MaskProcessor
from lightning_nn.runs.checkpoint import Checkpoint
from tests.commands import command
from tests.contract import check_export

SMALL: Any = {"channels": 3, "num_classes": 4, "first_channels": 4}


def images(height: int, width: int, count: int = 2) -> MaskBatch:
    return MaskBatch(torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (1, 1), (37, 70), (5, 33)])
def test_any_size_gives_a_mask_of_that_size(stride: Any, height: int, width: int) -> None:
    model = FCN(**SMALL, stride=stride).eval()
    assert model(images(height, width)).shape == (2, 4, height, width)


@pytest.mark.quick
@pytest.mark.parametrize("stride", STRIDES)
def test_scores_are_upsampled_and_added_from_coarse_to_fine(stride: Any) -> None:
    """At the start all upsampling is bilinear: the sum of all score maps, doubled step by step."""
    model = FCN(**SMALL, stride=stride).double().eval()
    batch = images(64, 32)
    maps = dict(zip(STRIDES, model.body(batch.image.double() / 127.5 - 1), strict=True))
    used = [each for each in STRIDES if each >= stride]
    scores = {each: score(maps[each]) for each, score in zip(used, model.head.scores, strict=True)}
    total = scores[32]
    for each in sorted(used[:-1], reverse=True):
        total = F.interpolate(total, scale_factor=2, mode="bilinear") + scores[each]
    torch.testing.assert_close(model(batch), F.interpolate(total, scale_factor=stride, mode="bilinear"))


def test_fixed_upsampling_has_no_weights_to_train() -> None:
    kernels = [name for name, _ in FCN(**SMALL).named_parameters() if "doublings" in name or "to_pixels" in name]
    assert len(kernels) == 4
    fixed = FCN(**SMALL, learned_upsampling=False)
    assert not [name for name, _ in fixed.named_parameters() if "doublings" in name or "to_pixels" in name]
    assert fixed.state_dict().keys() == FCN(**SMALL).state_dict().keys()


def test_a_shift_by_a_cell_shifts_the_mask() -> None:
    """Fully convolutional: away from the edges, an image moved by 32 pixels has its mask moved by 32 pixels."""
    model = FCN(**SMALL).double().eval()
    wide = images(32, 512, 1)
    moved = MaskBatch(wide.image.roll(32, 3))
    middle = slice(192, 320)
    torch.testing.assert_close(model(moved)[..., middle], model(wide)[..., 160:288])


def test_a_single_small_image_can_be_trained_on() -> None:
    """As the last batch of an epoch may be: its coarsest map is one cell, which has no variance."""
    model = FCN(**SMALL)
    means = model.training_means(images(32, 32, 1)._replace(mask=torch.ones(1, 32, 32, dtype=torch.uint8)))
    means.sums["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def trained_on(categories: list[str], **arguments: Any) -> tuple[FCN, Checkpoint]:
    """A model with rows that differ, and its checkpoint."""
    model = FCN(**SMALL, **arguments)
    model.processor = MaskProcessor(categories, 3, 0, 0, "keep")
    for tensor in model.head.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape))
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    return model, Checkpoint.of(content, "one.ckpt")


@pytest.mark.parametrize("learned", [True, False])
def test_fine_tuning_keeps_each_category_with_its_rows(learned: bool) -> None:
    old, checkpoint = trained_on(["sky", "road", "car", "tree"], learned_upsampling=learned)
    new = FCN(**SMALL, learned_upsampling=learned)
    loaded, _ = new.load_weights(checkpoint, MaskProcessor(["car", "sky", "tree", "road"], 3, 0, 0, "keep"))
    assert loaded["head.to_pixels.weight"] == "4 of 4 categories"
    batch = images(64, 32)
    torch.testing.assert_close(new.eval()(batch), old.eval()(batch)[:, [2, 0, 3, 1]])


def test_fine_tuning_leaves_the_scores_of_other_categories() -> None:
    _, checkpoint = trained_on(["sky", "road", "car", "tree"])
    new = FCN(**SMALL)
    before = {name: tensor.clone() for name, tensor in new.head.state_dict().items()}
    loaded, kept = new.load_weights(checkpoint, MaskProcessor(["cat", "dog", "cow", "sky"], 3, 0, 0, "keep"))
    assert loaded["head.scores.0.bias"] == "1 of 4 categories"
    for name, tensor in new.head.state_dict().items():
        assert torch.equal(tensor[:3], before[name][:3]), name
        assert torch.equal(tensor[3], checkpoint.state_dict[f"head.{name}"][0]), name
    loaded, kept = new.load_weights(checkpoint, MaskProcessor(["cat", "dog", "cow", "pig"], 3, 0, 0, "keep"))
    assert kept["head.to_pixels.weight"] == "no categories in common"
    assert not any(name.startswith("head.") for name in loaded) and "body.stem.0.weight" in loaded


@pytest.mark.slow
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("learned", [True, False])
def test_every_stride_is_exported(stride: Any, learned: bool) -> None:
    check_export(FCN(**SMALL, stride=stride, learned_upsampling=learned).eval(), images(37, 70, 4))


def test_ignored_pixels_change_neither_loss_nor_gradient() -> None:
    model = FCN(**SMALL)
    batch = images(32, 32)
    mask = torch.randint(0, 4, (2, 32, 32), dtype=torch.uint8)
    mask[:, :9] = IGNORED
    means = model.training_means(batch._replace(mask=mask))
    assert float(means.weight) == 2 * 23 * 32
    logits = model(batch)
    by_hand = F.cross_entropy(logits[:, :, 9:], mask[:, 9:].long())
    torch.testing.assert_close(means.sums["loss"] / means.weight, by_hand)
    right = (logits.argmax(1) == mask)[:, 9:].sum()
    assert int(means.sums["acc"]) == int(right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 2}, "stride is 2; it must be 4, 8, 16 or 32"),
        ({"body": "smal"}, "body is 'smal'; did you mean 'small'?"),
        ({"first_channels": 0}, "first_channels is 0; it must be at least 1"),
        ({"num_classes": 1}, "num_classes is 1; masks have 2 to 255 classes"),
        ({"num_classes": 256}, "num_classes is 256; masks have 2 to 255 classes"),
        ({"class_weights": "median"}, "class_weights is 'median'; did you mean 'median_frequency'?"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FCN(**{**SMALL, **arguments})


def test_a_prediction_is_the_most_probable_class_and_names_it() -> None:
    model = FCN(**SMALL).eval()
    batch = images(8, 12)
    with torch.inference_mode():
        probable = model.probabilities(batch)
        predictions = model.predictions(batch)
    torch.testing.assert_close(probable.sum(1), torch.ones(2, 8, 12))
    for prediction, probabilities, image in zip(predictions, probable, batch.image, strict=True):
        np.testing.assert_array_equal(prediction.mask, probabilities.argmax(0))
        np.testing.assert_array_equal(prediction.image, image.permute(1, 2, 0))
        first = int(np.bincount(prediction.mask.ravel()).argmax())
        assert prediction.classes.startswith(f"{first} {np.mean(prediction.mask == first):.0%}")


def test_the_line_of_an_epoch_holds_no_metric_of_a_single_class(tmp_path: Path) -> None:
    few = ("--data.train_size", "8", "--data.val_size", "4", "--data.test_size", "4", "--data.size", "32")
    said = command("fit", "--model", "fcn", *few, "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    (line,) = [each for each in said.err.splitlines() if "val/miou" in each]
    assert "iou/" not in line, line
