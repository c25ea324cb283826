from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lightning_nn import FastStyleTransfer, Pictures
from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.models.style_transfer import StyleLoss
from tests.cases import CASES
from tests.contract import one_batch

STYLE = (torch.arange(3 * 20 * 20).view(3, 20, 20) * 91 % 256).byte()


@pytest.fixture
def model() -> FastStyleTransfer:
    return FastStyleTransfer(first_channels=4, blocks=1)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 8), (17, 30)])
@pytest.mark.parametrize("training", [True, False])
def test_pictures_of_any_size_keep_it(model: FastStyleTransfer, size: tuple[int, int], training: bool) -> None:
    content = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    styled = model.train(training)(StyleBatch(content))
    assert styled.shape == content.shape and styled.isfinite().all()
    assert styled.min() >= 0 and styled.max() <= 255


def test_bfloat16_agrees(model: FastStyleTransfer) -> None:
    batch = StyleBatch(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(batch)
    torch.testing.assert_close(half.float() / 255, model(batch).detach() / 255, atol=0.05, rtol=0)


def test_the_contents_own_style_loss_is_that_of_the_contents(model: FastStyleTransfer) -> None:
    batch = StyleBatch(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8), (STYLE,))
    sums = model.training_means(batch).sums
    assert batch.content is not None
    contents = batch.content.float()
    loss, network = StyleLoss(model.options, *model.layer_weights()), model.network(contents)
    targets = loss.targets(network, None, model.style_images(batch, (16, 16), contents))
    parts = loss.parts(network(contents), targets)
    expected = sum(weight * parts[f"style/{name}"].sum() for name, weight in loss.style.items())
    torch.testing.assert_close(sums["style_before"], expected)


def test_another_style_has_other_targets(model: FastStyleTransfer) -> None:
    content = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    one, other, again = (
        model.training_means(StyleBatch(content, (s,))).sums["style"] for s in (STYLE, STYLE // 2, STYLE)
    )
    assert one == again != other


def test_weights_of_the_feature_network_are_not_trained_or_saved(model: FastStyleTransfer) -> None:
    batch = StyleBatch(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), (STYLE,))
    model.training_means(batch)
    assert all(name.startswith(("net.", "last.")) for name in model.state_dict())


def test_files_of_all_kinds_are_stylised(model: FastStyleTransfer, tmp_path: Path) -> None:
    data = CASES["fast_style"].data(tmp_path)
    data.prepare_once()
    model.processor = data.processor
    random = torch.randint(0, 256, (20, 30, 4), dtype=torch.uint8).numpy()
    pictures = {
        "gray.png": Image.fromarray(random[:, :, 0]),
        "alpha.png": Image.fromarray(random),
        "cmyk.jpg": Image.fromarray(random[:, :, :3]).convert("CMYK"),
        "deep.png": Image.fromarray(random[:, :, 0].astype("uint16") * 257),
        "small.png": Image.fromarray(random[:1, :1, :3]),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
    first = Image.fromarray(random[:, :, :3])
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[first.rotate(180)])
    turned = Image.Exif()
    turned[0x0112] = 6
    first.save(tmp_path / "turned.jpg", exif=turned)
    names = [*pictures, "moving.gif", "turned.jpg"]
    shapes = {
        name: found.image.shape for name, found in zip(names, model.predict([tmp_path / n for n in names]), strict=True)
    }
    usual = dict.fromkeys(names, (20, 30, 3))
    assert shapes == {**usual, "small.png": (1, 1, 3), "turned.jpg": (30, 20, 3)}
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "turned.jpg").read_bytes()[:200])
    with pytest.raises(UserError, match=r"broken.jpg: can't be read as an image"):
        model.predict([tmp_path / "broken.jpg"])


def test_a_large_picture_is_scaled_to_the_longest_side(model: FastStyleTransfer, tmp_path: Path) -> None:
    Image.new("RGB", (80, 40)).save(tmp_path / "style.png")
    data = Pictures(style=str(tmp_path / "style.png"), size=16, longest=32)
    data.prepare_once()
    model.processor = data.processor
    assert model.predict([tmp_path / "style.png"])[0].image.shape == (16, 32, 3)


def test_by_default_contents_are_scenes_and_two_photographs() -> None:
    data = Pictures(size=32)
    batch: Any = one_batch(data)
    assert batch.content.shape == (600, 3, 32, 32) and [tuple(s.shape) for s in batch.style] == [(3, 427, 640)]
    assert batch.content.float().std((1, 2, 3)).min() > 1
