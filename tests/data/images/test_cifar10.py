import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_nn.data.images import cifar10
from lightning_nn.data.images.cifar10 import CATEGORIES, CIFAR10
from lightning_nn.errors import UserError
from tests.commands import command, results

NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "_BATCH", 20)


def batch(number):
    """20 pictures of a batch; the first value of each is its number among all 120, its label the last digit."""
    data = np.zeros((20, 3072), np.uint8)
    data[:, 0] = np.arange(20) + 20 * number
    data[:, 1024] = 1  # green
    data[:, 32] = 2  # second row
    return {b"batch_label": b"x", b"labels": [i % 10 for i in range(20)], b"data": data, b"filenames": [b"a.png"] * 20}


def write(folder, name, content, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def batches(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    for number, name in enumerate(NAMES):
        write(folder, name, batch(number))
    return folder


def pack(batches, archive):
    with tarfile.open(archive, "w:gz") as tar:
        for name in reversed(NAMES):
            tar.add(batches / name, f"cifar-10-batches-py/{name}")


def prepared(path):
    data = CIFAR10(None if path is None else str(path))
    data.prepare_once()
    return data


def test_without_validation_all_images_are_trained_on_and_the_last_state_is_tested(batches, tmp_path):
    data = CIFAR10(str(batches), val_fraction=0)
    data.prepare_once()
    assert {split: len(source) for split, source in data.sources.items()} == {"train": 100, "test": 20}
    argv = ["--model", "softmax", "--data", "cifar10", "--data.path", str(batches), "--data.val_fraction", "0"]
    out = command(*argv, "--trainer.max_epochs", "2", "--name", "r", cwd=tmp_path).ok().out
    found = results(tmp_path / "logs/softmax/r")
    assert (found["sizes"], found["best_epoch"]) == ({"train": 100, "test": 20}, None)
    assert 0 <= found["test/acc"] <= 1 and "last.ckpt --data.file PICTURE" in out, out


@pytest.mark.parametrize("fraction", [-0.1, 1])
def test_a_fraction_that_makes_no_sense(fraction):
    with pytest.raises(UserError, match=r"val_fraction is .*; it must be 0 or above and below 1"):
        CIFAR10(val_fraction=fraction)


def test_folders_of_images_need_a_validation_split(tmp_path):
    (tmp_path / "train").mkdir()
    data = CIFAR10(str(tmp_path), val_fraction=0)
    with pytest.raises(UserError, match="folders of images need a val_fraction above 0"):
        data.prepare_once()


def check(data):
    source = data.sources["test"]
    test = source[np.arange(len(source))]
    assert test.image[:, 0, 0, 0].tolist() == list(range(100, 120))
    assert test.label.tolist() == [i % 10 for i in range(20)]
    assert (test.image.shape, test.image.dtype) == ((20, 3, 32, 32), torch.uint8)
    assert test.image[0, 1, 0, 0] == 1
    assert test.image[0, 0, 1, 0] == 2
    train, val = data.sources["train"], data.sources["val"]
    assert np.array_equal(np.sort(np.concatenate([train.indices, val.indices])), np.arange(100))
    assert np.bincount(val.labels).tolist() == [1] * 10
    assert data.processor.categories == CATEGORIES


@pytest.mark.parametrize("place", ["folder", "parent", "archive"])
def test_the_official_batches_are_read_where_they_are(batches, place):
    archive = batches.parent / "any name.tar.gz"
    pack(batches, archive)
    data = prepared({"folder": batches, "parent": batches.parent, "archive": archive}[place])
    check(data)
    assert data.describe() == {"features": 3072, "channels": 3, "height": 32, "width": 32, "num_classes": 10}
    assert set(data.describe()) == set(data.describes)
    assert data.notes[0].startswith("10 categories: airplane")
    assert len(data.notes) == 2
    assert all(name in data.notes[1] for name in NAMES), data.notes


def test_the_archive_in_a_folder_and_the_binary_version_are_read(batches, tmp_path):
    (tmp_path / "download").mkdir()
    pack(batches, tmp_path / "download" / "cifar-10-python.tar.gz")
    check(prepared(tmp_path / "download"))
    (tmp_path / "binary" / "cifar-10-batches-bin").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        data, labels = batch(number)[b"data"], np.array(batch(number)[b"labels"], np.uint8)
        rows = np.concatenate([labels[:, None], data], 1)
        (tmp_path / "binary" / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(rows.tobytes())
    check(prepared(tmp_path / "binary"))
    (tmp_path / "binary" / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"test_batch.bin: 100 bytes, expected"):
        prepared(tmp_path / "binary")


@pytest.mark.parametrize("kind", ["large", "link to nothing", "links in a circle", "pipe"])
def test_an_archive_of_something_else_is_one_line(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cifar10, "_LARGEST", 1000)
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, other in (("data_batch_1", "data_batch_2"), ("data_batch_2", "data_batch_1")):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            if kind == "large":
                member.size = 1001
            else:
                member.type = tarfile.FIFOTYPE if kind == "pipe" else tarfile.SYMTYPE
                member.linkname = other if kind == "links in a circle" else "nowhere"
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(UserError, match="1,001 bytes, but" if kind == "large" else "data_batch_1, .* missing"):
        prepared(archive)


def test_files_as_python_2_wrote_them_are_read(batches):
    """Bytes under strings' opcodes, as in the official files."""
    data = batch(0)[b"data"]
    stream = io.BytesIO()
    stream.write(b"\x80\x02}(U\x06labels](" + b"".join(b"K" + bytes([i % 10]) for i in range(20)) + b"eU\x04data")
    stream.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x14M\x00\x0c\x86")
    stream.write(b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T")
    stream.write(data.size.to_bytes(4, "little") + data.tobytes() + b"tbU\x09filenames](U\x05a.pngeu.")
    (batches / NAMES[0]).write_bytes(stream.getvalue())
    check(prepared(batches))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_files_as_python_3_rewrote_them_are_read(batches, protocol):
    content = batch(1)
    write(batches, NAMES[1], {"data": content[b"data"], "labels": content[b"labels"]}, protocol)
    check(prepared(batches))


def test_the_second_start_parses_nothing(batches, monkeypatch):
    first = prepared(batches)
    monkeypatch.setattr(cifar10, "_parse", lambda *_: pytest.fail("parsed again"))
    second = prepared(batches)
    check(second)
    assert first.notes == second.notes


class Live:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_would_run_code_runs_nothing(batches, tmp_path):
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Live(str(proof))))
    assert proof.is_dir()
    proof.rmdir()
    write(batches, "data_batch_3", {"data": Live(str(proof)), "labels": []})
    with pytest.raises(UserError, match=r"data_batch_3: not a batch .*mkdir"):
        prepared(batches)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": np.zeros((20, 3071), np.uint8), "labels": [0] * 20}, r"data is uint8 \(20, 3071\)"),
        ({"data": np.zeros((19, 3072), np.uint8), "labels": [0] * 20}, r"data is uint8 \(19, 3072\)"),
        ({"data": np.zeros((20, 3072), np.float32), "labels": [0] * 20}, r"data is float32"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 21}, r"labels are int64 \(21,\)"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [10] * 20}, "labels go from 10 to 10"),
        ({"data": np.zeros((20, 3072), np.uint8), "fine_labels": [0] * 20}, "not a batch of CIFAR-10"),
        ([1, 2], "not a batch of CIFAR-10"),
    ],
)
def test_wrong_shapes_and_counts_name_the_file(batches, content, message):
    write(batches, "data_batch_2", content)
    with pytest.raises(UserError, match=f"data_batch_2: {message}"):
        prepared(batches)


def test_a_file_cut_off_or_missing_is_named(batches):
    file = batches / "test_batch"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="test_batch: not a batch of CIFAR-10"):
        prepared(batches)
    file.unlink()
    with pytest.raises(UserError, match="test_batch missing"):
        prepared(batches)


def test_a_copy_of_another_batch_is_refused(batches):
    (batches / "data_batch_3").write_bytes((batches / "data_batch_2").read_bytes())
    with pytest.raises(UserError, match="data_batch_3: a copy of data_batch_2; unpack"):
        prepared(batches)


def test_a_batch_that_an_archive_holds_twice_is_refused(batches):
    archive = batches.parent / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("data_batch_2", "data_batch_2"):
            tar.add(batches / name, f"cifar-10-batches-py/{name}")
    with pytest.raises(UserError, match="a second data_batch_2"):
        prepared(archive)


def test_a_file_that_is_no_archive_is_one_line(tmp_path):
    (tmp_path / "junk.tar.gz").write_bytes(b"junk" * 1000)
    with pytest.raises(UserError) as caught:
        prepared(tmp_path / "junk.tar.gz")
    assert "\n" not in str(caught.value)


def test_class_folders_of_pictures_are_read(tmp_path):
    root = tmp_path / "png"
    for split, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(CATEGORIES):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (label, i, 7)).save(root / split / name / f"{i}.png")
    data = prepared(root)
    assert {split: len(source) for split, source in data.sources.items()} == {"train": 90, "val": 10, "test": 20}
    source = data.sources["train"]
    assert source[np.arange(90)].image[:, 0, 5, 5].tolist() == source.labels.tolist()
    assert data.processor.categories == CATEGORIES


def test_another_number_of_classes_is_sent_to_images(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "png" / split / name).mkdir(parents=True)
            for i in range(10):
                Image.new("RGB", (32, 32)).save(tmp_path / "png" / split / name / f"{i}.png")
    with pytest.raises(UserError, match=r"2 class folders, but CIFAR-10 has 10.*--data images"):
        prepared(tmp_path / "png")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such file or folder"), ("empty", "neither data_batch_1"), ("file.tar.gz", "not the archive")],
)
def test_a_wrong_path_is_named(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.tar.gz").write_bytes(b"x")
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        prepared(tmp_path / name)


def test_a_download_that_fails_says_what_to_put_where(tmp_path, monkeypatch):
    from torchvision.datasets import utils

    def fail(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(utils, "_urlretrieve", fail)
    with pytest.raises(UserError) as caught:
        prepared(None)
    place = tmp_path / "cache" / "cifar-10-python.tar.gz"
    for piece in ("https://www.cs.toronto.edu/", "c58f30108f718f92721af3b95e74349a", str(place), "--data.path"):
        assert piece in str(caught.value)


def test_the_archive_put_in_the_cache_is_taken_after_its_check(batches, tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10 as OFFICIAL
    from torchvision.datasets import utils

    place = tmp_path / "cache" / "cifar-10-python.tar.gz"
    place.parent.mkdir()
    pack(batches, place)
    monkeypatch.setattr(utils, "_urlretrieve", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr(OFFICIAL, "tgz_md5", utils.calculate_md5(place))
    check(prepared(None))
    place.unlink()
    check(prepared(None))
