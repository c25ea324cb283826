from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from lightning_nn import ConvNet, ImageBatch
from lightning_nn.tasks.classification import Views, symmetric_kl, views
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
    model = ConvNet(1, 8, 8, 3, init="xavier").double().eval()
    model.views = "flip"
    batch = ImageBatch(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8))
    mirrored = model.averaged_logits(batch._replace(image=batch.image.flip(3)))
    torch.testing.assert_close(model.averaged_logits(batch), mirrored)
    assert not torch.allclose(model.logits(batch), model.logits(batch._replace(image=batch.image.flip(3))))


def test_what_views_measure_stands_beside_the_runs_own_test(tmp_path: Path) -> None:
    command("--model", "convnet", "--name", "r", "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    run = tmp_path / "logs/convnet/r"
    kept, expected = results(run), results(run)
    for kind in get_args(Views):
        out = command("test", "--ckpt_path", "best", "--data.views", kind, cwd=tmp_path).ok().out
        printed = {name: value for name, value in json.loads(out).items() if name.startswith("test/")}
        place = "test/" if kind == "none" else f"test/{kind}/"
        expected |= {name.replace("test/", place): value for name, value in printed.items()}
    assert results(run) == expected and kept.items() <= expected.items()
    assert len({expected[f"test/{kind}loss"] for kind in ("", "flip/", "shift/")}) == 3
    command("test", "--ckpt_path", "last", "--data.views", "shift", cwd=tmp_path).ok()
    assert results(run) == expected, "the figures are those of the best checkpoint"
    command("test", "--ckpt_path", "best", "--data.views", "all", cwd=tmp_path).refused(
        "--data.views", "all", "flip", "shift"
    )


def test_it_is_the_mean_of_both_kullback_leibler_divergences() -> None:
    p, q = (torch.randn(5, 3).log_softmax(1) for _ in range(2))
    both = [F.kl_div(b, a, reduction="none", log_target=True).sum(1) for a, b in ((p, q), (q, p))]
    torch.testing.assert_close(symmetric_kl(p, q), (both[0] + both[1]) / 2)
    torch.testing.assert_close(symmetric_kl(p, q), symmetric_kl(q, p))
    assert symmetric_kl(p, p).tolist() == [0.0] * 5


@pytest.mark.parametrize("distance", [1.0, 90.0, 1000.0])
def test_answers_that_contradict_each_other_are_pulled_together_however_sure_they_are(distance: float) -> None:
    logits = torch.tensor([[0.0, distance]], requires_grad=True)
    apart = symmetric_kl(logits.log_softmax(1), logits.detach().flip(1).log_softmax(1))
    (apart.sum() * 65536).backward()  # as a gradient scaler in half precision begins
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert logits.grad[0, 1] > 0.5 > 0 > logits.grad[0, 0]
