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
from lightning_nn.data.batches import IGNORED, MaskBatch
from lightning_nn.data.segmentation.mask_reading import read_class_table, read_mask
from tests.contract import trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 10, 200)], np.uint8)


def mask(number: int, height: int = 8, width: int = 12) -> NDArray[np.uint8]:
    """A mask of three classes, no two alike."""
    return np.random.default_rng(number).integers(0, 3, (height, width), dtype=np.uint8)


def write(images: Path, masks: Path, names: Any, table: Any = (0, 1, 2)) -> None:
    """Write an image and a mask by each name; the image shows the colours of the classes.

    Args:
        images: folder of the images.
        masks: folder of the masks.
        names: of the files, without suffix.
        table: value or colour of each class in the masks.
    """
    values = table if isinstance(table, np.ndarray) else np.array(table, np.uint8)
    for number, name in enumerate(names):
        for folder, suffix, array in ((images, "jpg", COLOURS), (masks, "png", values)):
            file = folder / f"{name}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array[mask(number)]).save(file, quality=95)


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
    names = ["Birman_1", "Birman_2", "pug_1", "pug_2"]
    write(tmp_path / "images", tmp_path / "annotations/trimaps", names, (1, 2, 3))
    (tmp_path / "annotations/trainval.txt").write_text("#Image CLASS-ID\nBirman_1 1 1 1\npug_2 2 2 1\n", "utf-8")
    (tmp_path / "annotations/test.txt").write_text("pug_1 2 2 1\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 1, "val": 1, "test": 1}
    assert data.place("test", 0) == str(tmp_path / "images/pug_1.jpg")
    assert data.categories == ["background", "pet"]
    batch = data.sources["test"][np.array([0])]
    assert isinstance(batch, MaskBatch) and batch.mask is not None
    np.testing.assert_array_equal(batch.mask[0], np.array([1, 0, IGNORED])[mask(2)])
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
    assert batch.extent is not None and batch.extent.tolist() == [[8, 12], [5, 20], [8, 12], [8, 12]]


SIZES = ((8, 12), (5, 20), (8, 12), (40, 33), (5, 20))


def test_the_metrics_of_a_test_are_those_of_single_images_for_any_batch_size(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i, size in enumerate(SIZES):
            values = mask(i, *size)
            Image.fromarray(COLOURS[values] if folder == "images" else values).save(tmp_path / folder / f"{i}.png")
    model = FCN(3, 3, first_channels=4)
    for _ in range(3):  # statistics that tell images from padding
        model(MaskBatch(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)))
    found, predicted = {}, {}
    for batch_size in (1, 2, 5):
        data = SegmentationData(str(tmp_path), batch_size=batch_size)
        data.evaluate_only("test")
        run = trainer(tmp_path)
        (found[batch_size],) = run.test(model, datamodule=data, verbose=False)
        batches = run.predict(model, datamodule=data)
        predicted[batch_size] = [each.mask for batch in batches or [] for each in batch]
    alone = [prediction.mask for prediction in model.predict([tmp_path / f"images/{i}.png" for i in range(len(SIZES))])]
    assert [each.shape for each in alone] == list(SIZES)
    for batch_size in (1, 2, 5):
        assert found[batch_size] == pytest.approx(found[1], rel=1e-5)
        for one, other in zip(alone, predicted[batch_size], strict=True):
            np.testing.assert_array_equal(one, other)


def test_large_batches_are_announced_with_a_remedy(tmp_path: Path) -> None:
    for folder, array in (("images", np.zeros((1000, 2000, 3), np.uint8)), ("masks", np.eye(1000, 2000) > 0)):
        (tmp_path / folder).mkdir()
        for i in range(7):
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / f"{folder}/{i}.png")
    whole = SegmentationData(str(tmp_path))
    whole.prepare_once()
    assert whole.notes[-2].startswith("warning: a batch of train has up to 10 megapixels, 5 of 2,000 x 1,000")
    assert "--data.augment.window" in whole.notes[-2]
    for data in (
        SegmentationData(str(tmp_path), batch_size=4),
        SegmentationData(str(tmp_path), augment=Augment(window=256)),
    ):
        data.prepare_once()
        assert not any("megapixels" in note for note in data.notes)


# ---------------------------------------------------------------------- images of more than 8 bits


def test_images_of_16_bits_share_one_scale_which_the_model_keeps(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdefgh")
    for number, name in enumerate("abcdef"):
        (tmp_path / f"images/{name}.jpg").unlink()
        Image.fromarray(mask(number).astype(np.uint16) * 20_000).save(tmp_path / f"images/{name}.png")
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    assert any(note.startswith("scale: 6 of 8 images have more than 8 bits a channel") for note in data.notes)
    for split, count in numbers(data).items():
        for i in range(count):
            file = Path(data.place(split, i))
            batch = data.sources[split][np.array([i])]
            expected = np.round(mask(ord(file.stem) - ord("a")) * (20_000 / 257))
            if file.suffix == ".png":
                np.testing.assert_array_equal(batch.image[0], np.broadcast_to(expected, (3, 8, 12)))  # type: ignore[attr-defined]
                encoded = data.processor.encode([file])
                assert torch.equal(encoded.image, batch.image)  # type: ignore[attr-defined]
    assert data.processor.state_dict()["scale"] == 65_535


# ---------------------------------------------------------------------- classes


@pytest.mark.parametrize("shape", ["L", "RGB"])
def test_masks_of_0_and_255_show_background_and_object(tmp_path: Path, shape: str) -> None:
    table = np.array([0, 255, 255], np.uint8)
    write(tmp_path / "images", tmp_path / "masks", "abcd", table if shape == "L" else table.repeat(3).reshape(3, 3))
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    assert data.categories == ["background", "object"]
    assert "the masks have the values 0 and 255 alone, read as background and object" in data.notes
    for split, count in numbers(data).items():
        for i in range(count):
            batch = data.sources[split][np.array([i])]
            expected = mask(ord(Path(data.place(split, i)).stem) - ord("a")) > 0
            np.testing.assert_array_equal(batch.mask[0], expected)  # type: ignore[attr-defined]
    assert sum(data.class_counts) == 2 * 8 * 12
    names = tmp_path / "classes.txt"
    names.write_text("wall\nbrick\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"the masks show wall alone; .* 255 counts for nothing: if it is one"):
        numbers(SegmentationData(str(tmp_path), classes=str(names)))
    names.write_text("wall 0 0 0\nbrick 255 255 255\n", encoding="utf-8")
    file = tmp_path / "masks/a.png"
    Image.fromarray(np.where(mask(0) > 0, 65_535, 0).astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png: the value 65535 in row"):
        read_mask(tmp_path / "deep.png", read_class_table(names))
    Image.fromarray(np.where(mask(0) > 0, 255, 0).astype(np.uint16)).save(file)
    coloured = SegmentationData(str(tmp_path), classes=str(names))
    assert coloured.categories == ["wall", "brick"] and coloured.class_counts == data.class_counts
    other = SegmentationData(str(tmp_path))
    other.use_processor(coloured.processor)
    with pytest.raises(UserError, match="read as background and object, but the model's categories are wall, brick"):
        numbers(other)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_masks_of_more_than_8_bits_have_values_of_classes_too(tmp_path: Path, kind: Any) -> None:
    suffix = "png" if kind is np.uint16 else "tif"
    file, expected = tmp_path / f"a.{suffix}", mask(0)
    Image.fromarray(expected.astype(kind)).save(file)
    np.testing.assert_array_equal(read_mask(file, None), expected)
    for wrong in (300, *([] if kind is np.uint16 else [-1]), *([0.5, np.nan] if kind is np.float32 else [])):
        values = expected.astype(kind)
        values[2, 3] = wrong
        Image.fromarray(values).save(file)
        with pytest.raises(UserError, match=rf"a\.{suffix}: the value {values[2, 3]} in row 3, column 4; a mask has"):
            read_mask(file, None)


def test_masks_that_were_compressed_with_loss_are_refused(tmp_path: Path) -> None:
    Image.fromarray(mask(0)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: JPEG changes the values of pixels, .* saved as PNG"):
        read_mask(tmp_path / "a.jpg", None)


FAR_APART = r"the masks have \d+ values, 0, .*without --data.classes they must be 0, 1, 2"


def test_values_far_apart_need_a_table_which_may_name_grays(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef", (0, 38, 75))
    with pytest.raises(UserError, match=FAR_APART):
        numbers(SegmentationData(str(tmp_path)))
    table = tmp_path / "classes.txt"
    table.write_text("sky 0 0 0\nroad 38 38 38\ncar 75 75 75\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path), classes=str(table))
    assert data.categories == ["sky", "road", "car"] and min(data.class_counts) > 0


def test_soft_edges_make_no_classes(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12)).save(tmp_path / "masks/b.png")
    with pytest.raises(UserError, match=FAR_APART):
        numbers(SegmentationData(str(tmp_path)))


def test_a_folder_without_the_highest_class_is_tested_with_the_models(tmp_path: Path) -> None:
    write(tmp_path / "train/images", tmp_path / "train/masks", "abcdef")
    write(tmp_path / "other/images", tmp_path / "other/masks", "abcd", (0, 1, 1))
    write(tmp_path / "more/images", tmp_path / "more/masks", "abcd", (0, 1, 3))
    trained = SegmentationData(str(tmp_path / "train"))
    trained.prepare_once()
    data = {name: SegmentationData(str(tmp_path / name)) for name in ("other", "more")}
    for each in data.values():
        each.use_processor(trained.processor)
        each.evaluate_only("test")
    assert data["other"].categories == ["0", "1", "2"] and numbers(data["other"]) == {"test": 4}
    assert data["other"].counts("test")[2] == 0
    with pytest.raises(UserError, match=r"\w\.png: the value 3 is no class of the model, which has 0 to 2"):
        numbers(data["more"])


# ---------------------------------------------------------------------- changes and tables


def test_masks_follow_the_augmentation_of_their_images(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", [str(i) for i in range(20)])
    data = SegmentationData(str(tmp_path), batch_size="all", augment=Augment(flip="random"))
    (batch,) = data.train_dataloader()
    found = data.augmented(batch)
    mirrored = (found.image == batch.image.flip(3)).flatten(1).all(1)
    assert 0 < int(mirrored.sum()) < len(mirrored)
    assert torch.equal(found.mask, torch.where(mirrored[:, None, None], batch.mask.flip(2), batch.mask))


def test_masks_in_colours(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef", COLOURS)
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
