from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_nn import Photos, Pictures
from lightning_nn.errors import UserError
from tests.contract import one_batch


def save(path: Path, width: int = 30, height: int = 20) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_one_of_the_two_may_be_left_out(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png")
    content, style = (one_batch(Photos(**{which: file})) for which in ("content", "style"))
    assert content.content.shape == (1, 3, 20, 30) and content.style == ()
    assert style.content is None and [tuple(each.shape) for each in style.style] == [(3, 20, 30)]


def test_several_styles_and_a_name_with_a_comma(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.png"), save(tmp_path / "b, c.png", 40)
    batch: Any = one_batch(Photos(style=f"{one},{save(tmp_path / 'd.png', 16, 16)}"))
    assert [tuple(each.shape) for each in batch.style] == [(3, 20, 30), (3, 16, 16)]
    assert one_batch(Photos(style=other)).style[0].shape == (3, 20, 40)


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, two, same = (save(tmp_path / name) for name in ("a.png", "b.png", "other/a.png"))
    names = {}
    for style in ((one, two), (one, same)):
        data = Photos(style=",".join(style))
        data.prepare_once()
        assert data.processor is not None
        names[style] = data.processor.state_dict()["styles"]
    assert names == {(one, two): ["a.png", "b.png"], (one, same): [one, same]}


def test_a_folder_of_contents_has_the_shape_of_its_first(tmp_path: Path) -> None:
    save(tmp_path / "a.png"), save(tmp_path / "b.png", 50, 50)
    data = Photos(content=str(tmp_path))
    assert one_batch(data).content.shape == (2, 3, 20, 30)
    assert data.describe() == {"pictures": 2, "height": 20, "width": 30}


def test_the_digest_tells_photographs_apart(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.png"), save(tmp_path / "b.png", 40)
    digests = {Photos(content=c, style=s).split_digest for c, s in ((one, other), (other, one), (one, one))}
    assert len(digests) == 3 and Photos(content=one, style=other).split_digest in digests


def test_files_of_all_kinds_have_their_shape_and_colours(tmp_path: Path) -> None:
    across = np.arange(64)
    colours = np.stack(np.broadcast_arrays(across * 4, across[:48, None] * 5, 128), 2).astype(np.uint8)
    alpha = np.dstack([colours, np.where(across < 32, 0, 255).astype(np.uint8) * np.ones((48, 1), np.uint8)])
    whole = Image.fromarray(colours)
    whole.convert("L").save(tmp_path / "gray.png")
    whole.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    Image.fromarray(colours[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    whole.save(tmp_path / "moving.gif", save_all=True, append_images=[whole.rotate(180)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    whole.save(tmp_path / "turned.jpg", exif=turned, quality=95)
    whole.quantize(64).save(tmp_path / "palette.png")
    mean = colours.mean((0, 1))
    gray, half = float(np.asarray(whole.convert("L")).mean()), (255 + colours[:, 32:].mean((0, 1))) / 2
    expected = {"gray.png": [gray] * 3, "deep.png": [mean[0]] * 3, "alpha.png": half}
    for file in tmp_path.iterdir():
        content = one_batch(Photos(content=str(file))).content
        assert content.shape == ((1, 3, 64, 48) if file.name == "turned.jpg" else (1, 3, 48, 64)), file
        found = content[0].float().mean((1, 2)).numpy()
        np.testing.assert_allclose(found, expected.get(file.name, mean), atol=6, err_msg=file.name)


def test_dark_pictures_with_more_than_8_bits_are_noted(tmp_path: Path) -> None:
    style = save(tmp_path / "style.png", 40, 40)
    (tmp_path / "contents").mkdir()
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 4096, (40, 40)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "contents" / f"{number}.png")
    one: Any = Photos(content=str(tmp_path / "contents" / "0.png"), style=style)
    many: Any = Pictures(content=str(tmp_path / "contents"), style=style, size=16)
    for data in (one, many):
        data.prepare_once()
        (note,) = data.notes
        assert "more than 8 bits" in note and "warning: they use only the lowest 16 of 255 levels" in note
    assert many.processor.state_dict() == {"styles": ["style.png"], "longest": 1024, "scale": 65535}


def test_a_picture_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "contents").mkdir()
    save(tmp_path / "contents" / "a.png"), (tmp_path / "contents" / "b.png").write_bytes(b"no")
    data = Pictures(content=str(tmp_path / "contents"), size=16)
    data.prepare_once()
    assert len(data.notes) == 1 and data.notes[0].count("b.png") == 1, data.notes


def test_photographs_are_moved_once(tmp_path: Path) -> None:
    device = torch.device("meta")
    one: Any = Photos(content=save(tmp_path / "a.png"), style=save(tmp_path / "b.png"))
    (tmp_path / "contents").mkdir()
    save(tmp_path / "contents" / "a.png")
    many: Any = Pictures(content=str(tmp_path / "contents"), style=save(tmp_path / "b.png"), size=16)
    for data in (one, many):
        data.prepare_once()
        source = data.sources["train"]
        first, second = (data.transfer_batch_to_device(source[np.array([0])], device, 0) for _ in range(2))
        assert first.style[0].device == first.content.device == device
        assert first.style[0] is second.style[0] and (data is many or first.content is second.content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"content": "no.jpg"}, "no.jpg: no such file or folder; see --data.content"),
        ({"style": "no.jpg"}, "no.jpg: no such file; see --data.style"),
        ({"style": "empty"}, "empty: a folder or pipe, not a file; see --data.style"),
        ({"content": "tiny.png"}, "tiny.png: 8 x 40 pixels; a photograph has at least 16"),
        ({"content": "broken.png"}, "broken.png: can't be read as an image"),
        ({"content": "huge.png", "max_pixels": 100}, "huge.png: can't be read .*max_pixels 100"),
        ({"content": "empty"}, "empty: no images in this folder"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_files_are_refused_in_a_line(
    arguments: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("tiny.png"), 8, 40)
    save(Path("huge.png"))
    Path("broken.png").write_bytes(Path("huge.png").read_bytes()[:60])
    Path("empty").mkdir()
    with pytest.raises(UserError, match=message) as error:
        Photos(**arguments).prepare_once()
    assert "\n" not in str(error.value)
