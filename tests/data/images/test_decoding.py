import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_nn import catalog
from lightning_nn.data.batches import ImageBatch
from lightning_nn.data.images import decoding as pictures
from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.decoding import decode
from lightning_nn.data.images.image_files import image_files
from lightning_nn.data.images.labeled_images import ImageSource, summarize
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.errors import UserError

FORM = ImageForm(3, 4, 4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(tmp_path, colors):
    """Pictures of one colour each, 0.png, 1.png, ..."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = [folder / f"{i}.png" for i in range(len(colors))]
    for file, color in zip(files, colors, strict=True):
        Image.new("RGB", (4, 4), (color,) * 3).save(file)
    return folder, files


def colors_of(images):
    return images[:, 0, 0, 0].tolist()


def entries(cache):
    return [path for path in cache.iterdir() if path.is_dir()]


def test_a_source_gives_what_the_index_names():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, 1)
    source = ImageSource(images, np.arange(10) % 3, np.array([2, 5, 9]))
    batch = source[np.array([2, 0])]
    assert len(source) == 3
    assert source.labels.tolist() == [2, 2, 0]
    assert (colors_of(batch.image), batch.label.tolist()) == ([9, 2], [0, 2])
    assert (batch.image.dtype, batch.label.dtype, batch.image.shape) == (torch.uint8, torch.int64, (2, 3, 1, 1))


def test_decode_keeps_the_order_and_opens_a_memory_map(tmp_path):
    folder, files = folder_of(tmp_path, [9, 3, 200])
    images, broken, *_ = decode(files, folder, FORM)
    assert (colors_of(images), broken) == ([9, 3, 200], {})
    assert isinstance(images, np.memmap)
    assert images.shape == (3, 3, 4, 4)


@pytest.mark.parametrize("count", [255, 256, 257])
def test_decode_goes_over_the_border_of_a_chunk(tmp_path, count):
    folder, files = folder_of(tmp_path, [i % 251 for i in range(count)])
    assert colors_of(decode(files, folder, FORM)[0]) == [i % 251 for i in range(count)]


def test_large_pictures_are_decoded_by_threads_to_the_same_array(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    noise = np.random.default_rng(0).integers(0, 256, (5, 90, 90, 3), np.uint8)
    for file, array in zip(files, noise, strict=True):
        Image.fromarray(array).save(file)
    files[3].write_bytes(b"x" * 20_000)
    assert sum(file.stat().st_size for file in files) > 16_384 * 5
    images, broken, *_ = decode(files, tmp_path, ImageForm(3, 90, 90))
    assert list(broken) == [3]
    assert np.array_equal(images[[0, 1, 2, 4]], noise[[0, 1, 2, 4]].transpose(0, 3, 1, 2))


def test_the_second_start_decodes_nothing(tmp_path, monkeypatch):
    folder, files = folder_of(tmp_path, [1, 2])
    files[1].write_bytes(b"broken")
    first = decode(files, folder, FORM)
    monkeypatch.setattr(pictures, "read_image", lambda *_: pytest.fail("decoded again"))
    second = decode(files, folder, FORM)
    assert colors_of(first[0]) == colors_of(second[0]) == [1, 0]
    assert first[1] == second[1]
    assert list(first[1]) == [1]
    assert "1.png" in first[1][1]


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of change that can't be set")
def test_a_changed_picture_is_seen_even_with_its_old_size_and_time(tmp_path, cache):
    file = tmp_path / "a.bmp"
    Image.new("RGB", (4, 4), (1, 1, 1)).save(file)
    before = file.stat()
    assert colors_of(decode([file], tmp_path, FORM)[0]) == [1]
    Image.new("RGB", (4, 4), (2, 2, 2)).save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert colors_of(decode([file], tmp_path, FORM)[0]) == [2]
    assert len(entries(cache)) == 2


@pytest.mark.parametrize("form", [ImageForm(1, 4, 4), ImageForm(3, 5, 4), ImageForm(3, 4, 4, "squash")])
def test_another_form_is_another_entry(tmp_path, cache, form):
    folder, files = folder_of(tmp_path, [1])
    decode(files, folder, FORM)
    assert decode(files, folder, form)[0].shape[1:] == form.shape
    assert len(entries(cache)) == 2


def test_a_picture_removed_while_decoding_is_only_one_that_cannot_be_read(tmp_path, monkeypatch):
    folder, files = folder_of(tmp_path, [1, 2])
    real = pictures.read_image

    def vanish(file, *how):
        files[1].unlink(missing_ok=True)
        return real(file, *how)

    monkeypatch.setattr(pictures, "read_image", vanish)
    images, broken, *_ = decode(files, folder, FORM)
    assert (colors_of(images), list(broken)) == ([1, 0], [1])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
def test_a_link_to_nowhere_is_only_one_that_cannot_be_read(tmp_path):
    folder, files = folder_of(tmp_path, [1, 2])
    files[0].unlink()
    files[0].symlink_to(tmp_path / "nowhere.png")
    images, broken, *_ = decode(files, folder, FORM)
    assert (colors_of(images), broken) == ([0, 2], {0: f"{files[0]}: no such file"})


def test_a_folder_that_moved_is_not_decoded_again_and_named_where_it_is(tmp_path, cache):
    folder, files = folder_of(tmp_path, [1, 2])
    files[1].write_bytes(b"x")
    decode(files, folder, FORM)
    moved = folder.rename(tmp_path / "moved")
    broken = decode([moved / file.name for file in files], moved, FORM)[1]
    assert len(entries(cache)) == 1
    assert broken[1].startswith(str(moved / "1.png"))


def test_pictures_are_found_by_suffix_in_order_at_any_depth(tmp_path):
    for name in ("b.JPG", "a/deep/er/c.png", "a/z.webp", "notes.txt", ".hidden.png", ".git/x.png", "__MACOSX/b.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, others = image_files(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["b.JPG", "a/z.webp", "a/deep/er/c.png"]
    assert [p.name for p in others] == ["notes.txt"]


def test_the_reader_comes_back_from_plain_data_and_reads_alike(tmp_path):
    processor = ImageProcessor(["cat", "猫"], 3, 6, 5, "squash")
    state = json.loads(json.dumps(processor.state_dict()))
    again = catalog.processor(processor.kind, state)
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    raw = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(noise), noise]
    batch = again.encode(raw)
    assert isinstance(batch, ImageBatch)
    assert (batch.image.shape, batch.image.dtype, batch.label) == ((4, 3, 6, 5), torch.uint8, None)
    assert torch.equal(batch.image, processor.encode(raw).image)
    assert all(torch.equal(batch.image[0], image) for image in batch.image)
    assert again.categories == ["cat", "猫"]


def test_the_reader_of_nothing_and_of_no_picture(tmp_path):
    processor = ImageProcessor(["a", "b"], 1, 4, 4)
    assert processor.encode([]).image.shape == (0, 1, 4, 4)
    with pytest.raises(UserError, match=r"gone\.png"):
        processor.encode([tmp_path / "gone.png"])


def test_the_summary_counts():
    images = np.zeros((5, 1, 4, 4), np.uint8)
    source = ImageSource(images, np.array([0, 0, 0, 1, 1]))
    rows = summarize({"train": source, "val": ImageSource(images, np.arange(5))}, ImageForm(1, 4, 4))
    assert rows[1:] == [("train", "5", "2", "2 to 3", "1 x 4 x 4"), ("val", "5", "5", "1", "1 x 4 x 4")]
    assert {len(row) for row in rows} == {5}
