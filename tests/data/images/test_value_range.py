"""Images with more than 8 bits a channel: one scale for the data set, told, and kept for predict."""

import numpy as np
import pytest
from PIL import Image

from lightning_nn.data.images import decoding
from lightning_nn.data.images.data_module import Images
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(folder, values, kind, suffix="tif"):
    """Images of one value each."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.fromarray(np.full((4, 4), value, kind)).save(folder / f"{value}.{suffix}")


def prepared(root, processor=None):
    data = Images(str(root), size=4, color="gray")
    data.use_processor(processor)
    data.prepare_once()
    return data


def pixels(data):
    """The value of each image, by class."""
    found = {name: [] for name in data.categories}
    for images in data.sources.values():
        for image, label in zip(images.images[images.indices], images.labels, strict=True):
            found[data.categories[label]].append(int(image[0, 0, 0]))
    return {name: sorted(values) for name, values in found.items()}


DARK, BRIGHT = (20, 25, 30, 40), (200, 205, 210, 255)


@pytest.mark.parametrize(
    ("scale", "kind", "suffix"),
    [
        (1, np.float32, "tif"),
        (255, np.float32, "tiff"),
        (255, np.int32, "tif"),
        (255, np.uint16, "png"),
        (65_535, np.uint16, "png"),
        (65_535, np.int32, "tif"),
        (65_535, np.float32, "tif"),
    ],
)
def test_one_scale_for_all_is_found_told_and_used_by_predict(tmp_path, scale, kind, suffix):
    root = tmp_path / "data"
    for name, values in (("dark", DARK), ("bright", BRIGHT)):
        put(root / name, [kind(value / 255 * scale) if scale != 255 else value for value in values], kind, suffix)
    data = prepared(root)
    assert pixels(data) == {"dark": [*DARK], "bright": [*BRIGHT]}
    note = (
        f"scale: 8 of 8 images have more than 8 bits a channel; their values of 0 to {scale} (largest: {scale}) become"
    )
    assert any(each.startswith(note) for each in data.notes), data.notes
    state = data.processor.state_dict()
    assert state["scale"] == scale
    file = min((root / "dark").iterdir(), key=lambda file: float(file.stem))
    assert ImageProcessor(**state).encode([file]).image.unique().tolist() == [20]


def test_images_of_8_bits_have_no_scale_and_stay_as_they_are_beside_others(tmp_path):
    put(tmp_path / "a", range(4), np.uint8, "png")
    put(tmp_path / "b", range(100, 104), np.uint8, "png")
    assert "scale" not in prepared(tmp_path).processor.state_dict()
    put(tmp_path / "b", (200, 255), np.float32)
    data = prepared(tmp_path)
    assert pixels(data) == {"a": [0, 1, 2, 3], "b": [100, 101, 102, 103, 200, 255]}
    assert any(
        "scale: 2 of 10 images" in n and n.endswith("; the other 8 have 8 bits and stay as they are")
        for n in data.notes
    )
    assert data.processor.scale == 255


def test_the_scale_comes_from_the_cache_or_from_a_trained_model(tmp_path, monkeypatch, cache):
    root = tmp_path / "data"
    put(root / "dark", DARK, np.int32)
    put(root / "bright", BRIGHT, np.int32)
    first = prepared(root)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_image", lambda *_: pytest.fail("decoded again"))
        again = prepared(root)
    assert again.notes == first.notes
    assert again.processor.state_dict() == first.processor.state_dict()
    put(root / "dark", (30_000,), np.int32)
    with pytest.raises(UserError, match=r"values to 20\d?, but the training images have 0 to 65535"):
        prepared(root)
    trained = prepared(root, first.processor)
    assert pixels(trained) == {"dark": [*DARK], "bright": [*BRIGHT]}
    assert trained.processor.scale == 255
    assert any(
        "30000.tif: can't be read as an image (values to 30000, but the training" in note for note in trained.notes
    )
    assert any("(largest: 30000, scale of the checkpoint)" in note for note in trained.notes)
    assert len(list(cache.glob("pictures-*[0-9a-f]"))) == 3


def test_values_that_no_scale_fits_are_named(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / name, (0.25, 0.5, 0.75, 1), np.float32)
    first = prepared(tmp_path)
    put(tmp_path / "a", (-1, np.nan, 1e6), np.float32)
    with pytest.raises(UserError, match=r"-1\.tif: the value -1 is negative, as in 3 of 11 images .* 8 bits a channel"):
        prepared(tmp_path)
    data = prepared(tmp_path, first.processor)
    assert pixels(data) == {"a": [64, 128, 191, 255], "b": [64, 128, 191, 255]}
    note = next(note for note in data.notes if note.startswith("skipped, 3 of 11"))
    for piece in ("-1.tif: can't be read as an image (the value -1 is negative", "not a finite number", "above 65535"):
        assert piece in note, note


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ((1.5, np.float32), r"1\.5\.tif: the largest value of all images is 1\.5, neither 0 to 1 nor 0 to 255"),
        ((60_000, np.uint16), r"60000\.tif and images like it have values of 0 to 65535, .*1\.tif of 0 to 1; save"),
        (
            (200, np.float32),
            r"a: none of its 3 images can be read, .*values to 0\.25, but the training images have 0 to 255",
        ),
    ],
)
def test_images_that_no_one_scale_fits_are_refused(tmp_path, add, message):
    for name in ("a", "b"):
        put(tmp_path / name, (0.25, 0.5, 1), np.float32)
    put(tmp_path / "b", add[:1], add[1])
    with pytest.raises(UserError, match=message):
        prepared(tmp_path)


def test_few_levels_are_warned_of(tmp_path):
    for name, values in (("a", (300, 400, 500)), ("b", (3000, 4000, 4095))):
        put(tmp_path / name, values, np.uint16, "png")
    assert any(note.endswith("warning: they use only the lowest 16 of 255 levels") for note in prepared(tmp_path).notes)
