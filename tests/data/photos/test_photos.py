from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_nn import Photos
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


def test_a_folder_of_contents_has_the_shape_of_its_first(tmp_path: Path) -> None:
    save(tmp_path / "a.png"), save(tmp_path / "b.png", 50, 50)
    data = Photos(content=str(tmp_path))
    assert one_batch(data).content.shape == (2, 3, 20, 30)
    assert data.describe() == {"pictures": 2, "height": 20, "width": 30}


def test_the_digest_tells_photographs_apart(tmp_path: Path) -> None:
    one, other = save(tmp_path / "a.png"), save(tmp_path / "b.png", 40)
    digests = {Photos(content=c, style=s).split_digest for c, s in ((one, other), (other, one), (one, one))}
    assert len(digests) == 3 and Photos(content=one, style=other).split_digest in digests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"content": "no.jpg"}, "no.jpg: no such file or folder; see --data.content"),
        ({"style": "no.jpg"}, "no.jpg: no such file; see --data.style"),
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
