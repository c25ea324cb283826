from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable
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
from lightning_nn.data.loader import BatchSampler
from lightning_nn.data.segmentation.classes import read_class_table
from lightning_nn.data.segmentation.masks import MaskError, decode_pairs, read_mask
from lightning_nn.data.segmentation.pairs import Pair, find_pairs
from lightning_nn.data.segmentation.source import SizedMaskSource
from lightning_nn.data.splits import Splits
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
    assert data.notes[1:] == [
        "not read, as no list names them: 3 images with masks",
        "test is split off from train: 1 of 4 images",
    ]
    (lists / "val.txt").write_text("b\nz\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val.txt:2: z is not in .*JPEGImages, has no mask"):
        numbers(SegmentationData(str(tmp_path)))


def test_the_layout_of_oxfords_pets(tmp_path: Path) -> None:
    names = ["Birman_1", "Birman_2", "pug_1", "pug_2"]
    above, tmp_path = tmp_path, tmp_path / "oxford-iiit-pet"
    write(tmp_path / "images", tmp_path / "annotations/trimaps", names, (1, 2, 3))
    (tmp_path / "annotations/trainval.txt").write_text("#Image CLASS-ID\nBirman_1 1 1 1\npug_2 2 2 1\n", "utf-8")
    (tmp_path / "annotations/test.txt").write_text("pug_1 2 2 1\n", encoding="utf-8")
    data = SegmentationData(str(above))
    assert numbers(data) == {"train": 1, "val": 1, "test": 1}
    assert data.place("test", 0) == str(tmp_path / "images/pug_1.jpg")
    assert data.categories == ["background", "pet"]
    batch = data.sources["test"][np.array([0])]
    assert isinstance(batch, MaskBatch) and batch.mask is not None
    np.testing.assert_array_equal(batch.mask[0], np.array([1, 0, IGNORED])[mask(2)])
    (tmp_path / "annotations/trainval.txt").unlink()
    with pytest.raises(UserError, match=r"annotations: no list of train: write the names of its images into train.txt"):
        numbers(SegmentationData(str(tmp_path)))


def test_a_split_whose_masks_show_no_class_is_named_at_the_start(tmp_path: Path) -> None:
    write(tmp_path / "images/train", tmp_path / "masks/train", range(4))
    write(tmp_path / "images/val", tmp_path / "masks/val", range(2), (IGNORED,) * 3)
    with pytest.raises(UserError, match="the masks of val show no class: all of their pixels are 255"):
        SegmentationData(str(tmp_path)).prepare_once()


def test_ones_own_folders(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", [f"day/{i}" for i in range(20)])
    data, again = SegmentationData(str(tmp_path)), SegmentationData(str(tmp_path))
    assert numbers(data) == {"train": 16, "val": 2, "test": 2}
    assert (
        data.split_digest == again.split_digest != SegmentationData(str(tmp_path), splits=Splits(seed=1)).split_digest
    )
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
    names = tmp_path / "names.txt"
    file = tmp_path / "masks/a.png"
    for largest, lines in (
        (255, "wall\nbrick\n"),
        (65_535, "wall 0 0 0\nbrick 255 255 255\n"),
        (65_535, "0 wall\n255 brick\n"),
    ):
        names.write_text(lines, encoding="utf-8")
        Image.fromarray(np.where(mask(0) > 0, largest, 0).astype(np.uint16)).save(file)
        coloured = SegmentationData(str(tmp_path), classes=str(names))
        coloured.prepare_once()
        said = [
            note for note in coloured.notes if note == "the masks are black and white alone, read as wall and brick"
        ]
        assert len(said) == (lines == "wall\nbrick\n")
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
    np.testing.assert_array_equal(read_mask(file).pixels, expected)
    for wrong in (300, *([] if kind is np.uint16 else [-1]), *([0.5, np.nan] if kind is np.float32 else [])):
        values = expected.astype(kind)
        values[2, 3] = wrong
        Image.fromarray(values).save(file)
        with pytest.raises(MaskError, match=rf"the value {values[2, 3]} in row 3, column 4; a mask has"):
            read_mask(file)


def as_jpeg(root: Path, values: NDArray[np.uint8], name: str) -> None:
    (root / f"masks/{name}.png").unlink()
    Image.fromarray(np.where(values > 0, 255, 0).astype(np.uint8)).save(root / f"masks/{name}.jpg", quality=50)


def as_alpha(root: Path, values: NDArray[np.uint8], name: str) -> None:
    white = np.full((*values.shape, 4), 255, np.uint8)
    white[..., 3] = np.where(values > 0, 255, 0)
    Image.fromarray(white).save(root / f"masks/{name}.png")


def as_soft(root: Path, values: NDArray[np.uint8], name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 60, values.shape)
    Image.fromarray(np.where(values > 0, 255 - noise, noise).astype(np.uint8)).save(root / f"masks/{name}.png")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (as_jpeg, r"a\.jpg: JPEG changes .* \(and 3 more of 4 masks like it\); save .* as PNG; .*--data.threshold 128"),
        (as_alpha, r"a\.png: of one colour, .* transparency \(and 3 more of 4 masks like it\); .*getchannel\('A'\)"),
        (
            as_soft,
            r"the masks have \d+ values, 0, 1, .* 255, which counts for nothing; .*--data.threshold 128 reads them",
        ),
    ],
)
def test_masks_of_one_object_are_read_by_a_threshold_alone(tmp_path: Path, save: Any, message: str) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    for number, name in enumerate("abcd"):
        save(tmp_path, mask(number), name)
    with pytest.raises(UserError, match=message):
        numbers(SegmentationData(str(tmp_path)))
    data = SegmentationData(str(tmp_path), threshold=128)
    assert data.categories == ["background", "object"]
    batch = data.sources["test"][np.array([0])]
    expected = mask(ord(Path(data.place("test", 0)).stem) - ord("a")) > 0
    difference = (batch.mask[0].numpy() != expected).mean()  # type: ignore[attr-defined]
    assert difference <= (0.2 if save is as_jpeg else 0)


FAR_APART = r"the masks have \d+ values, 0, .*without --data.classes they must be 0, 1, 2"


def test_values_far_apart_need_a_table_which_may_name_grays(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef", (0, 38, 75))
    with pytest.raises(UserError, match=FAR_APART):
        numbers(SegmentationData(str(tmp_path)))
    table = tmp_path / "classes.txt"
    for lines in ("sky 0 0 0\nroad 38 38 38\ncar 75 75 75\n", "0 sky\n38 road\n75: car\n"):
        table.write_text(lines, encoding="utf-8")
        data = SegmentationData(str(tmp_path), classes=str(table))
        assert data.categories == ["sky", "road", "car"] and min(data.class_counts) > 0


def test_the_share_of_pixels_that_count_for_nothing_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd", (0, 1, 255))
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    share = np.mean([mask(n) == 2 for n in range(4)])
    assert any(note.startswith(f"{share:.2%} of the pixels of the masks count for nothing; if") for note in data.notes)
    (tmp_path / "three.txt").write_text("0 ground\n1 leaf\n255 fruit\n", encoding="utf-8")
    named = SegmentationData(str(tmp_path), classes=str(tmp_path / "three.txt"))
    assert named.categories == ["ground", "leaf", "fruit"] and min(named.class_counts) > 0
    assert any("fruit is 2, not 255" in note for note in named.notes)
    write(tmp_path / "images", tmp_path / "masks", "abcd", (0, 128, 255))
    with pytest.raises(UserError, match=r"2 values, 0, 128, and 255, which counts for nothing; .*lines VALUE NAME"):
        numbers(SegmentationData(str(tmp_path)))


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
    with pytest.raises(
        UserError, match=r"a\.png: a mask in colours \(and 5 more .*: --data.classes FILE, .*classes.txt may"
    ):
        numbers(SegmentationData(str(tmp_path)))
    table.write_text("wall 0 0 0\nbrick 200 10 10\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"a\.png: the colour \(10, 10, 200\) in row .* 'void 10 10 200' if such pixels"
    ):
        numbers(SegmentationData(str(tmp_path), classes=str(table)))
    table.write_text("wall\nbrick\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.png: a mask in colours \(and 5 more of 6 .*classes.txt names no colours"):
        numbers(SegmentationData(str(tmp_path), classes=str(table)))


def test_colours_of_a_table_are_those_of_the_model(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef")
    table = tmp_path / "dict.csv"
    table.write_text("name,r,g,b\nwall,1,2,3\nbrick,200,10,10\nroof,0,0,9\n", encoding="utf-8")
    data = SegmentationData(str(tmp_path), classes=str(table))
    colours = [[1, 2, 3], [200, 10, 10], [0, 0, 9]]
    assert data.categories == ["wall", "brick", "roof"] and data.processor.state_dict()["colours"] == colours
    assert any(note.startswith("the masks hold the numbers of the classes") for note in data.notes)
    model = FCN(**data.describe(), first_channels=2)
    model.processor = data.processor
    (prediction,) = model.predict([tmp_path / "images/a.jpg"])
    assert prediction.legend == (data.categories, colours)
    image = Image.fromarray(mask(0)).convert("P")
    image.putpalette([200, 10, 10, 0, 9, 0, 0, 0, 9])
    image.save(tmp_path / "masks/a.png")
    with pytest.raises(UserError, match=r"the colour \(0, 9, 0\) in row .* is no class of .*dict.csv .*'void 0 9 0'"):
        numbers(SegmentationData(str(tmp_path), classes=str(table)))
    image.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
    image.save(tmp_path / "masks/a.png")
    other = SegmentationData(str(tmp_path))
    other.use_processor(data.processor)
    assert other.categories == data.categories and other.processor.state_dict()["colours"] == colours


def test_palettes_that_agree_give_the_colours_of_the_classes(tmp_path: Path) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcdef")
    for number, name in enumerate("abcdef"):
        image = Image.fromarray(mask(number)).convert("P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(tmp_path / f"masks/{name}.png")
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    assert data.processor.state_dict()["colours"] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    image.putpalette([0, 128, 0, 128, 0, 0, 0, 0, 0])
    image.save(tmp_path / "masks/f.png")
    with pytest.raises(
        UserError, match=r"f\.png: the value 0 has the colour \(0, 128, 0\), but \(0, 0, 0\) in .*a\.png"
    ):
        numbers(SegmentationData(str(tmp_path)))


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


THREE = (["ground", "cell", "dust"], {0: 0, 1: 1, 2: 2})


@pytest.mark.parametrize(
    "lines",
    [
        "ground\ncell\ndust\n",
        "\ufeffground\r\ncell\r\ndust",
        "ground,cell,dust",
        "0: ground\n1: cell\n2: dust",
        "0 ground\n1 cell\n2 dust",
        "0. ground\n1. cell\n2. dust",
        "2,dust\n1,cell\n0,ground",
        "0:ground, 1:cell, 2:dust",
        "ground: 0\ncell: 1\ndust: 2",
        "ground\t0\ncell\t1\ndust\t2",
        '{"ground": 0, "cell": 1, "dust": 2}',
        "{0: 'ground',\n 1: 'cell',\n 2: 'dust'}",
        "Pixel Value, Class\n0, ground\n1, cell\n2, dust",
        "name;id\nground;0\ncell;1\ndust;2",
        "__ignore__\nground\ncell\ndust",
        "- ground\n- cell\n- dust",
    ],
)
def test_a_list_of_classes_in_any_common_form(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "classes.txt"
    file.write_text(lines, encoding="utf-8")
    assert read_class_table(file)[1:3] == THREE


@pytest.mark.parametrize(
    "lines",
    [
        "red brick 200 10 10\nvoid 0 0 0\nroof 1 2 3",
        "200 10 10 red brick\n0 0 0 Unlabelled\n1 2 3 roof",
        "name,r,g,b\nred brick,200,10,10\nunlabeled,0,0,0\nroof,1,2,3",
        "id,name,color\n0,red brick,#c80a0a\n1,void,#000000\n2,roof,#010203",
        "# label:color_rgb:parts:actions\nred brick:200,10,10::\n__ignore__:0,0,0::\nroof:1,2,3:chimney:",
        '"red brick",200,10,10\n"Ignore",0,0,0\n"roof",1,2,3',
        "#c80a0a red brick\n#000000 void\n#010203 roof",
        '{"red brick": [200, 10, 10], "void": [0, 0, 0], "roof": [1, 2, 3]}',
    ],
)
def test_a_list_of_classes_and_colours_in_any_common_form(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "classes.csv"
    file.write_text(lines, encoding="utf-8")
    table = read_class_table(file)
    assert table.names == ["red brick", "roof"]
    assert table.colours == {(200, 10, 10): 0, (0, 0, 0): 255, (1, 2, 3): 1}


def test_values_from_one_leave_0_to_the_background(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    for lines in ("1 cell\n2 dust", "Idx\tRatio\tTrain\tVal\tName\n1\t.15\t11\t12\tcell\n2\t.1\t6\t5\tdust"):
        file.write_text(lines, encoding="utf-8")
        table = read_class_table(file)
        assert table[1:3] == (["background", "cell", "dust"], {0: 0, 1: 1, 2: 2})
        assert "the values begin at 1, so 0 is read as background; list 0 as void" in table.note
    file.write_text("0 void\n1 cell\n2 dust", encoding="utf-8")
    table = read_class_table(file)
    assert table[1:3] == (["cell", "dust"], {0: 255, 1: 0, 2: 1}) and "cell is 0, not 1" in table.note


@pytest.mark.parametrize("lines", ["lane 1\nlane 2\nroad", "road\nlane, left 1\nlane 2"])
def test_numbers_in_names_are_no_values(tmp_path: Path, lines: str) -> None:
    (tmp_path / "classes.txt").write_text(lines, encoding="utf-8")
    assert read_class_table(tmp_path / "classes.txt").names == lines.split("\n")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("wall\nbrick 1 2 3\n", r":2: 'brick 1 2 3': differs in form"),
        ("wall\nwall\n", r":2: 'wall': this name, value or colour came before"),
        ("wall 1 1 1\nbrick 1 1 1\n", r":2: .* came before"),
        ("0 wall\n0 brick\n", r":2: .* came before"),
        ("wall\n", r": 1 classes; expected 2 to 255, a line for each: NAME, VALUE NAME"),
        ("0, 0, 0\n128, 0, 0\n", r":1: '0, 0, 0': no name; expected a line for each class: NAME, VALUE NAME"),
        ("wall 1 2 3 255\nroof 4 5 6 255\n", r":1: .*can't be told apart; expected a line for each class"),
        ("wall 300\nroof 2\n", r":1: .* numbers from 0 to 255"),
        ("name,shape\nwall,box\n", r": a table of name, shape; expected a name with its value or its colour"),
        ("name,r,g,b\nwall,1,2\n", r":2: 'wall,1,2': does not fit the header"),
        ('{"classes": [{"title": "wall"}]}', r": not a list of classes; expected a line for each class"),
        (
            "地面\n细胞\n".encode("gbk"),
            r": byte 0xb5 at position 0 is not UTF-8, but probably gb18030; save it as UTF-8",
        ),
        (b"\0\1\2", r": not a text file"),
        ("{[1]: 2}", r": not a list of classes"),
        (f"wall\nroof {'1' * 400}\n", r":2: .*can't be told apart"),
        (f"wall{' ' * 20_000}a\nroof\n", r":1: .*20,005 characters; expected a line for each class"),
        (f"name,value\n{'a' * 140_000},1\n", r": 140,014 bytes are too many"),
    ],
)
def test_a_list_that_can_not_be_read(tmp_path: Path, lines: str | bytes, message: str) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    with pytest.raises(UserError, match=message):
        read_class_table(file)


# ---------------------------------------------------------------------- pairs and splits


def touch(root: Path, names: Iterable[str]) -> None:
    """Write empty files, of which names alone are read here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Images and masks of each split, below the root."""
    return {
        split: [(str(pair.image.relative_to(root)), str(pair.mask.relative_to(root))) for pair in pairs]
        for split, pairs in find_pairs(root).splits.items()
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{split}/images/{i}.jpg", "{split}/masks/{i}.png"),
        ("images/{split}/{i}.jpg", "masks/{split}/{i}.png"),
        ("img_dir/{split}/{i}.jpg", "ann_dir/{split}/{i}.png"),
        ("images/{split}ing/{i}.jpg", "annotations/{split}ing/{i}.png"),
        ("images/{split}2017/{i}.jpg", "labels/{split}2017/{i}.png"),
        ("data/{Split}/Images/{i}.jpg", "data/{Split}/GroundTruth/{i}.png"),
        ("{split}/{i}.png", "{split}annot/{i}.png"),
        ("{split}/{i}.png", "{split}_labels/{i}_L.png"),
        ("{split}_imgs/{i}.png", "{split}_masks/{i}.png"),
        ("{split}/{i}_jpg.rf.ab.jpg", "{split}/{i}_jpg.rf.ab_mask.png"),
        ("{split}/{i}.jpg", "{split}/{i}.png"),
        ("{split}/{i}_sat.jpg", "{split}/{i}_mask.png"),
        ("{split}/images/{i}_{split}.tif", "{split}/1st_manual/{i}_manual1.gif"),
        ("leftImg8bit/{split}/aachen/a_{i}_leftImg8bit.png", "gtFine/{split}/aachen/a_{i}_gtFine_labelIds.png"),
        ("ISIC_{Split}_Input/ISIC_{i}.jpg", "ISIC_{Split}_GroundTruth/ISIC_{i}_segmentation.png"),
        ("{split}/images/img_{i}.png", "{split}/masks/mask_{i}.png"),
        ("{split}/imgs/{i}.png", "{split}/masks/{i}mask.png"),
        ("{split}/图片/{i}.png", "{split}/标签/{i}.png"),
    ],
)
def test_masks_and_splits_are_told_by_the_names_of_folders_and_files(tmp_path: Path, image: str, mask: str) -> None:
    expected: dict[str, list[tuple[str, str]]] = {}
    for split in ("train", "test"):
        for i in ("000001", "000002", "000010"):
            pair = tuple(form.format(split=split, Split=split.capitalize(), i=i) for form in (image, mask))
            touch(tmp_path, pair)
            expected.setdefault(split, []).append((pair[0], pair[1]))
    assert found(tmp_path) == expected


def test_of_four_masks_of_an_image_the_numbers_of_classes_are_read(tmp_path: Path) -> None:
    masks = ("color", "instanceIds", "labelIds", "labelTrainIds")
    touch(tmp_path, [f"leftImg8bit/train/a/a_{i}_leftImg8bit.png" for i in "12"])
    touch(tmp_path, [f"gtFine/train/a/a_{i}_gtFine_{kind}.png" for i in "12" for kind in masks])
    touch(tmp_path, [f"gtFine/train/a/a_{i}_gtFine_polygons.json" for i in "12"])
    assert [mask for _, mask in found(tmp_path)["train"]] == [
        f"gtFine/train/a/a_{i}_gtFine_labelTrainIds.png" for i in "12"
    ]


def test_masks_beside_their_images_in_folders_of_patients(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [f"kaggle_3m/{p}/{p}_{i}{end}.tif" for p in ("TCGA_1", "TCGA_2") for i in "12" for end in ("", "_mask")],
    )
    pairs = find_pairs(tmp_path)
    assert [pair.mask.name for pair in pairs.splits["train"]] == [f"TCGA_{p}_{i}_mask.tif" for p in "12" for i in "12"]
    assert pairs.notes == ["masks are called like their images, with '_mask' added"]


def test_a_folder_that_is_passed_over_is_named(tmp_path: Path) -> None:
    touch(tmp_path, [f"{kind}/{i}.png" for kind in ("train", "train_masks", "test", "vis") for i in "12"])
    touch(tmp_path, [f"train/{i}_superpixels.png" for i in "12"])
    pairs = find_pairs(tmp_path)
    assert [*pairs.splits] == ["train"] and len(pairs.splits["train"]) == 2
    assert pairs.notes == ["passed over, with no counterpart or in no split: files in train (2), test (2), vis (2)"]


def test_vocs_folders_without_lists_are_all_train(tmp_path: Path) -> None:
    touch(tmp_path, [f"JPEGImages/{i}.jpg" for i in "12"])
    touch(tmp_path, [f"{folder}/{i}.png" for folder in ("SegmentationClassPNG", "SegmentationObject") for i in "12"])
    touch(tmp_path, [f"SegmentationClass/{i}.npy" for i in "12"])
    assert found(tmp_path) == {"train": [(f"JPEGImages/{i}.jpg", f"SegmentationClassPNG/{i}.png") for i in "12"]}


@pytest.mark.parametrize("place", ["ImageSets/Segmentation", "."])
@pytest.mark.parametrize(
    "lines",
    [
        "照片1\n照片3\n",
        "\ufeff照片1.jpg\r\n照片3.jpg",
        "/JPEGImages/照片1.jpg /SegmentationClass/照片1.png\n/JPEGImages/照片3.jpg /SegmentationClass/照片3.png\n",
        "JPEGImages\\照片1.jpg\nJPEGImages\\照片3.jpg\n",
        "照片1\n照片3\n".encode("gbk"),
        "照片1\n照片3\n".encode("utf-16"),
    ],
)
def test_lists_of_the_splits_in_any_common_form(tmp_path: Path, lines: str | bytes, place: str) -> None:
    touch(tmp_path, [f"JPEGImages/照片{i}.jpg" for i in "1234"] + [f"SegmentationClass/照片{i}.png" for i in "1234"])
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "trainval", "Training"):
        (folder / f"{name}.txt").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
        (folder / "val.txt").write_text("照片2\n", encoding="utf-8")
        splits = found(tmp_path)
        assert [image for image, _ in splits["train"]] == ["JPEGImages/照片1.jpg", "JPEGImages/照片3.jpg"]
        assert splits["train"][1][1] == "SegmentationClass/照片3.png"
        (folder / f"{name}.txt").unlink()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"/\n..\n", r"/ is not in"),
        (b"1\n\0\n", r"not a text file"),
        (b"\n#1\n", r"no list of train"),
        (
            b"images/1.png masks/2.png\n",
            r"train.txt:1: masks/2.png is not the mask of .*images/1.png, which is .*1.png",
        ),
    ],
)
def test_a_list_of_something_else_is_refused(tmp_path: Path, lines: bytes, message: str) -> None:
    touch(tmp_path, [f"{folder}/{i}.png" for folder in ("images", "masks") for i in "12"])
    (tmp_path / "train.txt").write_bytes(lines)
    with pytest.raises(UserError, match=message):
        find_pairs(tmp_path)


def test_a_given_split_of_which_nothing_is_left_stops_the_start(tmp_path: Path) -> None:
    train = [f"train/{folder}/{i}.png" for folder in ("images", "masks") for i in "12"]
    touch(tmp_path, train)
    touch(tmp_path, ["test/images/5.png"])
    assert [*find_pairs(tmp_path).splits] == ["train"], "images of test without masks are those to predict"
    touch(tmp_path, ["test/masks/6.png"])
    with pytest.raises(UserError, match=r"test/images: no mask belongs to an image of test, 2 files; add"):
        find_pairs(tmp_path)
    (tmp_path / "test/masks/6.png").rename(tmp_path / "test/masks/5.png")
    touch(tmp_path, ["val/images/3.png", "val/images/4.png"])
    with pytest.raises(UserError, match=r"val/images: no mask belongs to an image of val, 2 files; .* split val off"):
        find_pairs(tmp_path)


def test_an_empty_list_of_val_stops_the_start(tmp_path: Path) -> None:
    touch(tmp_path, [f"{folder}/{i}.png" for folder in ("images", "masks") for i in "12"])
    (tmp_path / "train.txt").write_bytes(b"1\n2\n")
    (tmp_path / "val.txt").write_bytes(b"\n")
    with pytest.raises(UserError, match=r"val.txt: a list of val without images"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["images/p.jpg", "masks/0/p.png", "masks/1/p.png"],
            r"p\.jpg: 2 masks, .* each image needs one, .*: join them",
        ),
        (["a/images/a.png", "a/masks/x.png", "a/masks/y.png", "b/images/b.png"], r"a\.png: 2 masks, .* join them"),
        (
            ["images/a.jpg", "masks/a.png", "labels/a.png"],
            r"a\.jpg: 2 masks, .*labels.*masks.* move those of another kind",
        ),
        (
            [
                "training/images/21_training.tif",
                "training/1st_manual/21_manual1.gif",
                "training/mask/21_training_mask.gif",
            ],
            r"21_training\.tif: 2 masks, .*1st_manual",
        ),
        (
            ["images/a.jpg", "masks/x.png"],
            r"no mask belongs to an image, such as images/a.jpg and masks/x.png: a mask is",
        ),
        (
            ["a.jpg", "a.json", "b.jpg", "b.json"],
            r"2 images without masks, and 2 files \.json, .*polygons: .*labelme2voc",
        ),
        (["images/a.jpg", "labels/a.txt"], r"1 images without masks, and 1 files \.txt, .*YOLO"),
        (["a.jpg", "b.jpg"], r"no masks found among 2 image files; expected images/ and masks/"),
        (["JPEGImages/a.jpg", "SegmentationClass/a.png", "train.txt"], r"no list of train"),
        (["images/a.jpg", "masks/a.png", "images/b.jpg"], r"b\.jpg: its mask is not in .*masks; add it"),
        (
            ["images/a.png", "images/a_1.png", "masks/a_1.png", "masks/a_2.png"],
            r"a_1\.png would be the mask of a_1\.png, with nothing added to its name, and a_2\.png that of a\.png, "
            r"with '_2'; expected the same addition",
        ),
    ],
)
def test_what_can_not_be_paired_is_refused_with_the_reason(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, names)
    with pytest.raises(UserError, match=message):
        find_pairs(tmp_path)


@pytest.mark.parametrize("stored", [True, False])
def test_a_mask_is_turned_with_its_image_if_it_has_the_size_of_the_stored_pixels(tmp_path: Path, stored: bool) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, name in enumerate("abcd"):
        Image.fromarray(COLOURS[mask(number)]).save(tmp_path / f"images/{name}.jpg", exif=exif, quality=95)
        Image.fromarray(mask(number) if stored else np.rot90(mask(number), -1)).save(tmp_path / f"masks/{name}.png")
    data = SegmentationData(str(tmp_path))
    data.prepare_once()
    batch = data.sources["train"][np.array([0])]
    number = ord(Path(data.place("train", 0)).stem) - ord("a")
    np.testing.assert_array_equal(batch.mask[0], np.rot90(mask(number), -1))  # type: ignore[attr-defined]
    assert stored == any(note.startswith("4 masks have the size of the stored pixels") for note in data.notes)


# ---------------------------------------------------------------------- what is wrong with files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "masks/c.png").unlink(), r"c\.jpg: its mask is not in .*masks; add it"),
        (lambda root: (root / "images/c.jpg").unlink(), r"c\.png: its image is not in .*images; add it"),
        (
            lambda root: Image.new("L", (12, 9)).save(root / "masks/c.png"),
            r"c\.png: 12 x 9 pixels, but its image .* has 12 x 8; .*nearest",
        ),
        (lambda root: (root / "masks/c.png").write_bytes(b"no image"), r"c\.png: can't be read as a mask"),
        (lambda root: (root / "images/c.jpg").write_bytes(b"no image"), r"c\.jpg: can't be read as an image"),
        (lambda root: (root / "masks").rename(root / "other"), r"no masks found among 8 image files; expected"),
        (lambda root: Image.new("L", (2, 2)).save(root / "masks/c.bmp"), r"two files of one name"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, change: Any, message: str) -> None:
    write(tmp_path / "images", tmp_path / "masks", "abcd")
    change(tmp_path)
    with pytest.raises(UserError, match=message):
        numbers(SegmentationData(str(tmp_path)))


def test_a_mask_is_turned_with_an_image_of_16_bits(tmp_path: Path) -> None:
    values = np.arange(96, dtype=np.uint16).reshape(8, 12) * 600
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(values).save(tmp_path / "0.png", exif=exif)
    Image.fromarray((values > 30_000).astype(np.uint8)).save(tmp_path / "0_mask.png")
    pair = Pair(tmp_path / "0.png", tmp_path / "0_mask.png")
    decoded = decode_pairs([pair], tmp_path, None, 1 << 20, 65_535)
    image, classes = decoded.images.reshape(3, *decoded.sizes[0]), decoded.masks.reshape(decoded.sizes[0])
    assert classes.shape == (12, 8)
    np.testing.assert_array_equal(image[0] > 117, classes == 1)


def test_masks_are_not_held_in_memory_while_they_are_decoded(tmp_path: Path) -> None:
    blank = Image.new("L", (512, 512))
    pairs = [Pair(tmp_path / f"{i}.png", tmp_path / f"{i}_mask.png") for i in range(30)]
    for file in (file for pair in pairs for file in pair):
        blank.save(file)
    tracemalloc.start()
    decoded = decode_pairs(pairs, tmp_path, None, 1 << 20, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < decoded.masks.size == 30 * 512 * 512


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


# ---------------------------------------------------------------------- batches of like sizes


def sized(sizes: list[tuple[int, int]]) -> SizedMaskSource:
    array = np.array(sizes, np.int64)
    pixels = np.zeros(3 * int(array.prod(1).sum()), np.uint8)
    return SizedMaskSource(pixels, pixels[: len(pixels) // 3], array, np.arange(len(array)))


def batches(source: SizedMaskSource, epoch: int, **arguments: Any) -> list[list[int]]:
    order = BatchSampler(len(source), 8, shuffle=True, seed=1, lengths=source.lengths, **arguments)
    order.set_epoch(epoch)
    return [index.tolist() for index in order]


@pytest.mark.parametrize("world", [1, 2])
def test_a_batch_has_images_of_like_sizes(world: int) -> None:
    source = sized([(96, 32), (32, 96)] * 12 + [(90, 33), (64, 64)] * 5)
    ranks = [[batches(source, epoch, rank=rank, world_size=world) for rank in range(world)] for epoch in (0, 1)]
    for epoch in ranks:
        assert len({len(each) for each in epoch}) == 1
        assert sorted(i for each in epoch for batch in each for i in batch) == list(range(34))
        for index in (batch for each in epoch for batch in each):
            assert len(index) <= 8
            least, most = source.sizes[index].min(0), source.sizes[index].max(0)
            assert (most <= 1.5 * least).all(), f"padding of {least} to {most}"
    assert ranks[0] != ranks[1]


def test_images_of_one_size_come_in_any_order() -> None:
    source = sized([(8, 12)] * 20)
    assert source.lengths is None
    assert sorted(len(index) for index in batches(source, 0)) == [4, 8, 8]


def test_lengths_of_one_side_are_those_of_texts() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 200)
    one = BatchSampler(200, 8, shuffle=True, lengths=lengths, max_length=900)
    other = BatchSampler(200, 8, shuffle=True, lengths=lengths[:, None], max_length=900)
    assert [a.tolist() for a in one] == [b.tolist() for b in other]
    assert sorted(lengths) == lengths[one.indices].tolist()
