import os
import shutil

import numpy as np
import pytest
from PIL import Image

from lightning_nn.data.images.data_module import Images
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.splits import Splits
from lightning_nn.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "my pictures 图"


def put(folder, count, color=0):
    """Pictures of one colour each, from `color` on, so that a picture is known by its colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (6, 4), (color + i,) * 3).save(folder / f"{i:03d}.png")


def prepared(root, **arguments):
    data = Images(str(root), size=4, **arguments)
    data.prepare_once()
    return data


def contents(data, split):
    """(colour, category) of each picture of a split."""
    source = data.sources[split]
    batch = source[np.arange(len(source))]
    names = [data.processor.categories[label] for label in batch.label]
    return sorted(zip(batch.image[:, 0, 0, 0].tolist(), names, strict=True))


def test_class_folders_are_cut_into_splits(root):
    put(root / "cat", 20, 0)
    put(root / "狗", 10, 100)
    data = prepared(root)
    sizes = {split: data.sources[split].labels.tolist() for split in data.sources}
    assert {s: (v.count(0), v.count(1)) for s, v in sizes.items()} == {"train": (16, 8), "val": (2, 1), "test": (2, 1)}
    expected = [(i, "cat") for i in range(20)] + [(i, "狗") for i in range(100, 110)]
    assert sorted(contents(data, "train") + contents(data, "val") + contents(data, "test")) == expected
    assert data.describe() == {"features": 48, "channels": 3, "height": 4, "width": 4, "num_classes": 2}
    assert set(data.describe()) == set(data.describes)
    assert data.notes[0] == "2 categories: cat (16 in train), 狗 (8)"
    assert [note.split(" is split off")[0] for note in data.notes[1:]] == ["test", "val"]
    assert [row[:2] for row in data.summary[1:]] == [("train", "24"), ("val", "3"), ("test", "3")]


def test_the_split_is_the_same_always_and_another_with_another_seed(root):
    put(root / "a", 30, 0)
    put(root / "b", 30, 100)
    splits = [contents(prepared(root, splits=Splits(seed=seed)), "test") for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("name", ["val", "dev", "valid", "Validation"])
def test_given_splits_are_kept(root, name):
    for i, split in enumerate(("train", name, "test")):
        put(root / split / "a", 2, 20 * i)
        put(root / split / "b", 3, 20 * i + 100)
    data = prepared(root)
    for i, split in enumerate(("train", "val", "test")):
        expected = [(20 * i + k, "a") for k in range(2)] + [(20 * i + 100 + k, "b") for k in range(3)]
        assert contents(data, split) == expected
    assert data.notes == ["2 categories: a (2 in train), b (3)"]


def test_the_test_split_is_never_touched_when_val_is_missing(root):
    for split, start in (("train", 0), ("test", 100)):
        put(root / split / "a", 10, start)
        put(root / split / "b", 10, start + 50)
    data = prepared(root)
    assert len(data.sources["test"]) == 20
    assert min(contents(data, "test"))[0] == 100
    assert (len(data.sources["train"]), len(data.sources["val"])) == (18, 2)


def test_a_class_called_train_is_a_class(root):
    put(root / "train", 5)
    put(root / "plane", 5)
    assert prepared(root).processor.categories == ["plane", "train"]


def test_the_same_classes_have_the_same_labels_in_each_split(root):
    for name in ("a", "b", "c"):
        put(root / "train" / name, 3)
    put(root / "test" / "c", 2)
    put(root / "val" / "b", 2)
    data = prepared(root)
    assert set(data.sources["test"].labels) == {2}
    assert set(data.sources["val"].labels) == {1}


def test_color_size_and_fit_reach_pictures_and_reader(root):
    put(root / "a", 4)
    put(root / "b", 4)
    data = prepared(root, color="gray", fit="squash")
    assert data.processor.state_dict() == {
        "categories": ["a", "b"], "channels": 1, "height": 4, "width": 4, "fit": "squash",
    }  # fmt: skip
    batch = next(iter(data.val_dataloader()))
    assert batch.image.shape[1:] == (1, 4, 4)


def drawings(folder, count, color):
    """Drawings of some colour on a transparent ground, each with another line."""
    folder.mkdir(parents=True)
    for i in range(count):
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        image.paste(color, (i % 4, 0, i % 4 + 2, 8))
        image.save(folder / f"{i}.png")


@pytest.mark.parametrize(("color", "ground"), [("white", "gray"), ("black", "white"), ("red", "white")])
def test_drawings_on_a_transparent_ground_show_in_training_and_prediction(root, color, ground):
    for name in ("a", "b"):
        drawings(root / name, 5, color)
    data = Images(str(root), size=8)
    data.prepare_once()
    source = data.sources["train"]
    images = source[np.arange(len(source))].image
    assert (images.amax((1, 2, 3)) > images.amin((1, 2, 3))).all()
    assert data.processor.state_dict().get("ground", "white") == ground
    assert any("on gray" in note for note in data.notes) == (ground == "gray")
    predicted = ImageProcessor(**data.processor.state_dict()).encode([root / "a" / "0.png"]).image
    assert set(predicted.unique().tolist()) == set(images.unique().tolist())
    again = Images(str(root), size=8)
    again.use_processor(data.processor)
    assert again.split_digest == data.split_digest


def test_many_images_of_one_colour_are_named(root):
    put(root / "a", 10)
    put(root / "b", 10, 100)
    for i in range(4):
        Image.new("RGB", (6, 4), (7, 8, 9)).save(root / "b" / f"{i:03d}.png")
    notes = prepared(root).notes
    assert any("warning: 4 of 20 images are of the single colour (7, 8, 9), such as" in note for note in notes), notes


def test_what_cannot_be_read_is_skipped_and_named(root):
    put(root / "a", 10)
    put(root / "b", 10, 100)
    good = (root / "a" / "003.png").read_bytes()
    (root / "a" / "003.png").write_bytes(good[: len(good) // 2])
    (root / "b" / "005.png").write_bytes(b"")
    (root / "b" / "labels.txt").write_text("x", encoding="utf-8")
    (root / "c").mkdir()
    (root / "readme.md").touch()
    data = prepared(root)
    assert sum(len(source) for source in data.sources.values()) == 18
    seen = {color for split in data.sources for color, _ in contents(data, split)}
    assert seen == set(range(20)) - {3} - set(range(10, 20)) | set(range(100, 110)) - {105}
    notes = "\n".join(data.notes)
    for piece in ("2 of 20 images can't be read", "003.png", "005.png", "2 (.md, .txt)", "holds no image", "/c"):
        assert piece in notes, (piece, notes)


def test_many_broken_pictures_are_counted_not_listed(root):
    put(root / "a", 10)
    put(root / "b", 10)
    for i in range(8):
        (root / "a" / f"{i:03d}.png").write_bytes(b"x")
    note = next(note for note in prepared(root).notes if "8 of 20" in note)
    assert note.endswith("; and 3 more")
    assert note.count(".png") == 5


def test_a_note_on_images_of_one_color_holds_when_the_folder_has_moved(root):
    put(root / "a", 5)
    for i in range(5):
        (root / "b").mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(root / "b" / f"{i}.png")
    prepared(root)
    moved = prepared(root.rename(root.with_name("moved"))).notes
    assert any("5 of 10 images are of the single colour (255, 0, 0), such as b/0.png" in note for note in moved)


def test_other_folders_beside_train_are_named(root):
    for split in ("train", "val", "test", "unlabelled"):
        put(root / split / "a", 2)
        put(root / split / "b", 2)
    assert any("unlabelled" in note for note in prepared(root).notes)


def test_a_link_never_gives_a_picture_the_label_of_another_class(root):
    put(root / "a", 5)
    put(root / "b" / "deep", 5, 100)
    (root / "a" / "loop").symlink_to("..")
    (root / "a" / "other").symlink_to("../b")
    (root / "b" / "deep" / "loop").symlink_to(".")
    data = prepared(root)
    expected = [(i, "a") for i in range(5)] + [(i, "b") for i in range(100, 105)]
    assert sorted(pair for split in data.sources for pair in contents(data, split)) == expected
    assert any("3 (folder read elsewhere), such as" in note for note in data.notes)


def test_categories_lose_what_a_terminal_would_obey(root):
    put(root / "a\x1b[31m", 3)
    put(root / "b", 3)
    assert prepared(root).processor.categories == ["a[31m", "b"]
    put(root / "b\x07", 3)
    with pytest.raises(UserError, match="two classes would be called 'b'"):
        prepared(root)


def break_all(folder):
    for path in folder.iterdir():
        path.write_bytes(b"x")


def only_pictures(root):
    put(root, 3)


def one_class(root):
    put(root / "a", 3)


def all_broken(root):
    put(root / "a", 3)
    put(root / "b", 3)
    break_all(root / "a")
    break_all(root / "b")


def one_class_broken(root):
    put(root / "a", 3)
    put(root / "b", 3)
    break_all(root / "b")


def broken_test(root):
    for split in ("train", "test"):
        put(root / split / "a", 5)
        put(root / split / "b", 5)
    for name in ("a", "b"):
        break_all(root / "test" / name)


def empty_test(root):
    put(root / "train" / "a", 5)
    put(root / "train" / "b", 5)
    (root / "test").mkdir()


def class_only_in_test(root):
    for split in ("train", "test"):
        put(root / split / "a", 5)
        put(root / split / "b", 5)
    put(root / "test" / "zebra", 1)


def other_formats(root):
    (root / "a").mkdir(parents=True)
    (root / "a" / "IMG_1.HEIC").touch()


def other_case(root):
    for split, name in (("train", "Cat"), ("val", "cat")):
        put(root / split / name, 3)
        put(root / split / "dog", 3)


def empty_in_train(root):
    for split in ("train", "val"):
        for name in ("a", "b", "c"):
            put(root / split / name, 0 if (split, name) == ("train", "c") else 3)


def no_class_of_train(root):
    for split, names in (("train", "ab"), ("val", "xy")):
        for name in names:
            put(root / split / name, 3)


def pointers(root):
    put(root / "a", 3)
    put(root / "b", 3)
    for path in root.rglob("*.png"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def names_in_gbk(root):
    put(root / "a", 3)
    put(root / os.fsdecode("狗".encode("gbk")), 3)


def names_in_nothing(root):
    put(root / "a", 3)
    put(root / os.fsdecode(b"\xff\xfe"), 3)


def cifar(root):
    root.mkdir()
    (root / "cifar-10-python.tar.gz").write_bytes(b"x")


def archive_inside(root):
    (root / "data").mkdir(parents=True)
    (root / "data" / "train.zip").write_bytes(b"x")


def too_few(root):
    put(root / "a", 1)
    put(root / "b", 1)


def parts_without_train(root):
    for name in ("a", "b", "Test"):
        put(root / name, 3)


def two_for_one_part(root):
    for part in ("train", "val", "dev"):
        put(root / part / "a", 3)
        put(root / part / "b", 3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda root: None, "there is no such folder"),
        (lambda root: root.touch(), "neither a folder of images nor a table of files and labels"),
        (lambda root: root.mkdir(), "no folder in it holds an image"),
        (only_pictures, "no folder in it holds an image"),
        (other_formats, r"1 \(\.heic\), such as .*IMG_1.HEIC, and no image of a kind that is read: .*convert them"),
        (one_class, "only one class, 'a'"),
        (lambda root: put(root / "train", 3), "its images stand in train alone, which is no class; .*table"),
        (lambda root: put(root / "images", 3), "its images stand in images alone, which is no class"),
        (all_broken, "a: none of its 3 images can be read, the first one: .*000.png"),
        (one_class_broken, "b: none of its 3 images can be read"),
        (broken_test, "test: no image in it can be read"),
        (empty_test, "test: no image in it can be read"),
        (class_only_in_test, "zebra: a class that .*train does not have"),
        (other_case, "val/cat: train writes this class 'Cat'"),
        (empty_in_train, "val/c: a class that .*train does not have, as .*train/c holds no image"),
        (no_class_of_train, "val/x: no class of .*val is one of .*train .*unlabelled.*table"),
        (pointers, "a: none of its 3 images can be read, the first one: .*Git LFS pointer"),
        (names_in_nothing, r"the name '\\xff\\xfe' is not UTF-8; rename such folders"),
        (names_in_gbk, r"the name '\\xb9\\xb7' is not UTF-8.*convmv -f gbk"),
        (cifar, "cifar-10-python.tar.gz is of CIFAR-10: use --data cifar10 --data.path"),
        (archive_inside, "unpack train.zip first"),
        (too_few, "2 images are too few to split off test and val; each class needs at least three"),
        (
            parts_without_train,
            "Test: a split of the data, but .* has no train folder .* put the class folders .* into train/",
        ),
        (two_for_one_part, "dev and val both could be val; keep one of them"),
    ],
)
def test_what_a_person_can_mend_is_named(root, build, message):
    build(root)
    with pytest.raises(UserError, match=message) as caught:
        prepared(root)
    assert root.name in str(caught.value)


def test_no_path_says_how_to_give_one():
    with pytest.raises(UserError, match=r"--data\.path"):
        Images().prepare_once()


@pytest.mark.parametrize(
    "arguments",
    [
        {"splits": {"val": 0}},
        {"splits": {"test": 1.0}},
        {"splits": {"val": float("nan")}},
        {"size": 0},
        {"size": 10**20},
        {"batch_size": 0},
    ],
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        Images("x", **arguments)


def test_the_cache_outlives_the_order_of_starts_but_not_the_pictures(root):
    put(root / "a", 4)
    put(root / "b", 4, 100)
    prepared(root)
    shutil.rmtree(root / "b")
    put(root / "b", 6, 200)
    seen = {color for split in ("train", "val", "test") for color, _ in contents(prepared(root), split)}
    assert seen == {0, 1, 2, 3, *range(200, 206)}
