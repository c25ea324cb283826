from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from lightning_nn import ConvNet, ImageBatch
from lightning_nn.tasks.views import Views, views
from tests.commands import command, results


@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("flip", 2), ("shift", 6)])
def test_weights_sum_to_one_and_the_image_itself_is_first(kind: Views, count: int) -> None:
    image = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    seen = list(views(image, kind))
    assert len(seen) == count and sum(weight for _, weight in seen) == 1
    assert torch.equal(seen[0][0], image)


def test_views_are_mirrored_and_shifted_by_a_pixel() -> None:
    image = torch.randint(0, 256, (2, 3, 5, 4)).float()
    wide = F.pad(image, (1, 1, 1, 1), mode="reflect")
    up, down = wide[..., 2:, 2:], wide[..., :-2, :-2]
    expected = [image, image.flip(3), up, up.flip(3), down, down.flip(3)]
    for (found, _), each in zip(views(image, "shift"), expected, strict=True):
        assert torch.equal(found, each)


def test_with_flips_an_image_and_its_mirror_image_get_the_same_logits() -> None:
    model = ConvNet(1, 8, 8, 3).double().eval()
    model.views = "flip"
    batch = ImageBatch(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8))
    mirrored = model.averaged_logits(batch._replace(image=batch.image.flip(3)))
    torch.testing.assert_close(model.averaged_logits(batch), mirrored)
    assert not torch.allclose(model.logits(batch), model.logits(batch._replace(image=batch.image.flip(3))))


def test_the_test_averages_where_it_is_told_to_and_leaves_the_runs_results_alone(tmp_path: Path) -> None:
    command("--model", "convnet", "--name", "r", "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    kept = results(tmp_path / "logs/convnet/r")
    losses = []
    for kind in get_args(Views):
        out = command("test", "--ckpt_path", "best", "--data.views", kind, cwd=tmp_path).ok().out
        losses.append(json.loads(out)["test/loss"])
    assert len({*losses}) == 3 and losses[0] == kept["test/loss"]
    assert results(tmp_path / "logs/convnet/r") == kept
    command("test", "--ckpt_path", "best", "--data.views", "all", cwd=tmp_path).refused(
        "--data.views", "all", "flip", "shift"
    )
