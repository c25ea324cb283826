from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from lightning_nn import FCN, SegmentationData, UserError
from lightning_nn.data.augmentation import Augment
from lightning_nn.data.batches import MaskBatch
from lightning_nn.data.segmentation.mask_reading import read_class_table
from tests.contract import trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 10, 200)], np.uint8)


def mask(number: int, height: int = 8, width: int = 12) -> NDArray[np.uint8]:
    """A mask of three classes, no two alike."""
    return np.random.default_rng(number).integers(0, 3, (height, width), dtype=np.uint8)


def write(images: Path, masks: Path, names: Any, *, coloured: bool = False) -> None:
    """Write an image and a mask by each name; the image shows the colours of the classes."""
    for number, name in enumerate(names):
        values = mask(number)
        for folder, suffix, array in ((images, "jpg", COLOURS[values]), (masks, "png", values)):
            file = folder / f"{name}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOURS[values] if coloured and folder == masks else array).save(file, quality=95)


def numbers(data: SegmentationData) -> dict[str, int]:
    data.prepare_once()
    return {split: len(source) for split, source in data.sources.items()}


# ---------------------------------------------------------------------- layouts


def test_camvids_layout(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        write(tmp_path / split, tmp_path / f"{split}annot", [f"{split}{i}" for i in range(count)])
    data = SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 4, "val": 2, "test": 3}
    assert data.categories == ["0", "1", "2"]
    assert data.summary[1] == ("train", "4", "3", "12 x 8", "12 x 8")
    batch = data.sources["val"][np.array([1, 0])]
    assert isinstance(batch, MaskBatch) and batch.mask is not None
    np.testing.assert_array_equal(batch.mask, [mask(1), mask(0)])
    assert batch.image.shape == (2, 3, 8, 12)
    assert data.place("val", 1) == str(tmp_path / "val" / "val1.jpg")


def test_vocs_layout(tmp_path: Path) -> None:
    write(tmp_path / "JPEGImages", tmp_path / "SegmentationClass", "abcdefgh")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nc\nd\ne\n", encoding="utf-8")
    (lists / "val.txt").write_text("b\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 3, "val": 1, "test": 1}
    assert data.notes[1:] == ["test is split off from train: 1 of 4 images"]
    (lists / "val.txt").write_text("b\nz\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val.txt:2: z is not in .*JPEGImages"):
        numbers(SegmentationData(str(tmp_path)))


def test_the_layout_of_oxfords_pets(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "annotations/trimaps", ["Birman_1", "Birman_2", "pug_1", "pug_2"])
    (tmp_path / "annotations/trainval.txt").write_text("#Image CLASS-ID\nBirman_1 1 1 1\npug_2 2 2 1\n", "utf-8")
    (tmp_path / "annotations/test.txt").write_text("pug_1 2 2 1\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 1, "val": 1, "test": 1}
    assert data.place("test", 0) == str(tmp_path / "images/pug_1.jpg")
    (tmp_path / "annotations/trainval.txt").unlink()
    with pytest.raises(UserError, match=r"trainval.txt: no such file, or no names in it"):
        numbers(SegmentationData(str(tmp_path)))


def test_ones_own_folders(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", [f"day/{i}" for i in range(20)])
    data, again = SegmentationData(str(tmp_path)), SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 16, "val": 2, "test": 2}
    assert data.split_digest == again.split_digest != SegmentationData(str(tmp_path), split_seed=1).split_digest
    files = [data.place(split, i) for split, count in numbers(data).items() for i in range(count)]
    assert len(set(files)) == 20
    data.evaluate_only("test")
    assert numbers(data) == {"test": 20}


def test_batches_of_unequal_sizes_are_padded_with_what_counts_for_nothing(tmp_path: Path) -> None:
    write(tmp_path / "train/images", tmp_path / "train/masks", "abcd")
    for folder, array in (("images", COLOURS[mask(9, 5, 20)]), ("masks", mask(9, 5, 20))):
        Image.fromarray(array).save(tmp_path / "train" / folder / "b.png")
    (tmp_path / "train/images/b.jpg").unlink()
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    places = [data.place(split, i) for split, count in numbers(data).items() for i in range(count)]
    split, number = next(
        (s, i) for s, n in numbers(data).items() for i in range(n) if data.place(s, i).endswith("b.png")
    )
    assert len(places) == 4
    source = data.sources[split]
    alone = source[np.array([number])]
    assert isinstance(alone, MaskBatch) and alone.mask is not None and alone.mask.shape == (1, 5, 20)
    np.testing.assert_array_equal(alone.image[0], COLOURS[mask(9, 5, 20)].transpose(2, 0, 1))
    everything = SegmentationData(str(tmp_path))
    everything.evaluate_only("test")
    everything.prepare_once()
    batch = everything.sources["test"][np.arange(4)]
    assert isinstance(batch, MaskBatch) and batch.mask is not None
    assert batch.image.shape == (4, 3, 8, 20) and batch.mask.shape == (4, 8, 20)
    np.testing.assert_array_equal(batch.mask[1, :5], mask(9, 5, 20))
    assert (batch.mask[1, 5:] == 255).all() and (batch.mask[0, :, 12:] == 255).all()


# ---------------------------------------------------------------------- classes


def test_masks_follow_the_augmentation_of_their_images(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", [str(i) for i in range(20)])
    data = SegmentationData(str(tmp_path), batch_size="all", augment=Augment(flip="random"))
    (batch,) = data.train_dataloader()
    found = data.augmented(batch)
    mirrored = (found.image == batch.image.flip(3)).flatten(1).all(1)
    assert 0 < int(mirrored.sum()) < len(mirrored)
    assert torch.equal(found.mask, torch.where(mirrored[:, None, None], batch.mask.flip(2), batch.mask))


def test_masks_in_colours(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef", coloured=True)
    table = tmp_path / "classes.txt"
    table.write_text("wall 0 0 0\nred brick 200 10 10\nvoid 10 10 200\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path), classes=str(table))
    data.prepare_once()
    assert data.categories == ["wall", "red brick"]
    number = int(Path(data.place("train", 0)).stem, 36) - 10
    expected = np.array([0, 1, 255], np.uint8)[mask(number)]
    batch = data.sources["train"][np.array([0])]
    assert isinstance(batch, MaskBatch) and batch.mask is not None
    np.testing.assert_array_equal(batch.mask[0], expected)
    train = [int(Path(data.place("train", i)).stem, 36) - 10 for i in range(4)]
    assert data.class_counts == [sum(int((mask(n) == k).sum()) for n in train) for k in (0, 1)]
    with pytest.raises(UserError, match=r"a\.png: a mask in colours; say which class each is: --data.classes FILE"):
        numbers(SegmentationData(str(tmp_path)))
    table.write_text("wall 0 0 0\nbrick 200 10 10\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.png: the colour \(10, 10, 200\) in row \d+, column \d+ is no class"):
        numbers(SegmentationData(str(tmp_path), classes=str(table)))


def test_an_unknown_value_is_an_error_that_names_file_and_place(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    table = tmp_path / "classes.txt"
    table.write_text("wall\nbrick\n", encoding="utf-8")
    row, column = np.argwhere(mask(0) == 2)[0]
    message = f"{tmp_path / 'masks' / 'a.png'}: the value 2 in row {row + 1}, column {column + 1} is no class"
    with pytest.raises(UserError, match=re.escape(message)):
        numbers(SegmentationData(str(tmp_path), classes=str(table)))
    table.write_text("wall\nbrick\nVoid\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path), classes=str(table))
    data.prepare_once()
    assert data.categories == ["wall", "brick"] and len(data.class_counts) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("wall\nbrick 1 2 3\n", r":2: 'brick 1 2 3': every line names a colour"),
        ("wall\nwall\n", r":2: 'wall': this name or colour came before"),
        ("wall 1 1 1\nbrick 1 1 1\n", r":2: .* came before"),
        ("void\nwall\nbrick\n", r":2: 'wall' comes after an ignored class"),
        ("wall\n", r": 1 classes; masks have 2 to 255"),
    ],
)
def test_a_table_that_can_not_be_read(tmp_path: Path, lines: str, message: str) -> None:
    file = tmp_path / "classes.txt"
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_class_table(file)


# ---------------------------------------------------------------------- what is wrong with files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "masks/c.png").unlink(), r"c\.jpg: its mask is not in .*masks; add it"),
        (lambda root: (root / "images/c.jpg").unlink(), r"c\.png: its image is not in .*images; add it"),
        (lambda root: Image.new("L", (12, 9)).save(root / "masks/c.png"), r"c\.png: 12 x 9 pixels, but its image .*12"),
        (lambda root: (root / "masks/c.png").write_bytes(b"no image"), r"c\.png: can't be read as a mask"),
        (lambda root: (root / "images/c.jpg").write_bytes(b"no image"), r"c\.jpg: can't be read as an image"),
        (
            lambda root: (root / "masks").rename(root / "mask"),
            r"no images with masks found; expected images/ and",
        ),
        (lambda root: Image.new("L", (2, 2)).save(root / "masks/c.bmp"), r"two files of one name"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, change: Any, message: str) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        numbers(SegmentationData(str(tmp_path)))


def test_a_model_trains_on_it_and_predicts_masks_of_each_images_size(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", [str(i) for i in range(10)])
    data = SegmentationData(str(tmp_path), batch_size=4)
    data.prepare_once()
    model = FCN(**data.describe(), first_channels=2)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    model = FCN.load_from_checkpoint(tmp_path / "one.ckpt")
    files = [tmp_path / "images/0.jpg", np.zeros((40, 33, 3), np.uint8)]
    assert [prediction.mask.shape for prediction in model.predict(files)] == [(8, 12), (40, 33)]
    with pytest.raises(UserError, match="images of 2 sizes can't be one batch"):
        model.require_processor().encode(files)
