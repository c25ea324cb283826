import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.reading import read_image
from lightning_nn.errors import UserError

RGB, GRAY = ImageForm(3, 4, 4), ImageForm(1, 4, 4)


def flat(color, mode="RGB", size=(4, 4)):
    return Image.new(mode, size, color)


def one_color(pixels):
    """The colour of a picture that has one."""
    colors = np.unique(pixels.reshape(len(pixels), -1), axis=1)
    assert colors.shape[1] == 1, colors
    return colors[:, 0].tolist()


@settings(deadline=None)
@given(arrays(np.uint8, (5, 7, 3)))
def test_what_has_the_size_is_not_touched(array):
    pixels = read_image(array, ImageForm(3, 5, 7))
    assert np.array_equal(pixels, array.transpose(2, 0, 1))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["crop", "squash"]), st.sampled_from([1, 3]))
def test_any_size_comes_out_in_the_form(height, width, fit, channels):
    pixels = read_image(np.full((height, width), 77, np.uint8), ImageForm(channels, 5, 6, fit))
    assert pixels.shape == (channels, 5, 6)
    assert one_color(pixels) == [77] * channels


def test_crop_cuts_both_sides_alike_and_squash_keeps_them():
    stripes = np.repeat(np.array([[0, 100, 100, 200]], np.uint8), 8, axis=0).repeat(4, axis=1)  # 8 x 16
    assert one_color(read_image(stripes, ImageForm(1, 8, 8, "crop"))) == [100]
    squashed = read_image(stripes, ImageForm(1, 8, 8, "squash"))[0]
    assert squashed[:, 0].max() == 0, squashed
    assert squashed[:, -1].min() == 200, squashed


def test_gray_to_color_and_back():
    assert one_color(read_image(flat(50, "L"), RGB)) == [50, 50, 50]
    assert one_color(read_image(flat((255, 0, 0)), GRAY)) == [76]  # ITU-R 601


def test_sixteen_bits_keep_their_range(tmp_path):
    array = np.array([[0, 256], [32_768, 65_535]], np.uint16)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray(array).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        pixels = read_image(tmp_path / name, ImageForm(1, 2, 2))
        assert pixels.ravel().tolist() == [0, 1, 128, 255], name


def test_integers_and_floats_of_tiff(tmp_path):
    def read(values, kind, scale=None):
        Image.fromarray(np.array([values], kind)).save(tmp_path / "a.tif")
        return read_image(tmp_path / "a.tif", ImageForm(1, 1, len(values)), scale=scale).ravel().tolist()

    assert read([0, 65_535, 32_768], np.int32) == [0, 255, 128]
    assert read([0, 0.5, 1.0000001], np.float32) == [0, 128, 255]
    assert read([0, 100.4, 255], np.float32, 255) == read([0, 100, 255], np.int32, 255) == [0, 100, 255]
    assert read([0, 257, 65_535], np.float32, 65_535) == [0, 1, 255]
    assert read([0, 0.5, 1], np.float32, 1) == [0, 128, 255]
    assert read([0, 0], np.float32, 65_535) == [0, 0]
    for values, kind, scale, message in (
        ([0, -5], np.int32, None, "the value -5 is negative; expected 0 to 1, 0 to 255 or 0 to 65535"),
        ([0, -0.5], np.float32, 255, "the value -0.5 is negative"),
        ([0, np.nan], np.float32, 1, "a value is not a finite number"),
        ([0, np.inf], np.float32, None, "a value is not a finite number"),
        ([0, 1 << 20], np.int32, 65_535, "the value 1.04858e.06 is above 65535"),
        ([0, 200], np.float32, None, "values to 200, but of this kind, 0 to 1 is read; save it like them, or with 8"),
        ([0, 200], np.int32, None, "values to 200, but of this kind, 0 to 65535 is read"),
        ([0, 200], np.float32, 1, "values to 200, but the training images have 0 to 1; save"),
        ([0, 0.7], np.float32, 255, "values to 0.7, but the training images have 0 to 255"),
        ([0, 300], np.int32, 255, "values to 300, but the training images have 0 to 255"),
    ):
        with pytest.raises(UserError, match=rf"a\.tif: .*{message}"):
            read(values, kind, scale)


def test_cmyk_jpeg(tmp_path):
    flat((255, 0, 0, 0), "CMYK", (16, 16)).save(tmp_path / "a.jpg")
    red, green, blue = one_color(read_image(tmp_path / "a.jpg", RGB))
    assert (red < 10, green > 245, blue > 245) == (True,) * 3, (red, green, blue)


@pytest.mark.parametrize("mode", ["1", "LAB", "HSV", "YCbCr", "P", "PA", "LA", "RGBX"])
@pytest.mark.parametrize("form", [RGB, GRAY])
def test_every_mode_is_read(mode, form):
    image = flat((10, 200, 30)).convert("P").convert("PA") if mode == "PA" else None
    image = image or (Image.new("LAB", (4, 4)) if mode == "LAB" else flat((10, 200, 30)).convert(mode))
    assert read_image(image, form).shape == form.shape


def test_transparent_pixels_are_white(tmp_path):
    flat((0, 0, 0, 0), "RGBA").save(tmp_path / "rgba.png")
    flat((0, 0), "LA").save(tmp_path / "la.png")
    palette = flat(0, "P")
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "p.png", transparency=0)
    palette.save(tmp_path / "bytes.png", transparency=b"\x00\xff")
    for name in ("rgba", "la", "p", "bytes"):
        assert one_color(read_image(tmp_path / f"{name}.png", RGB)) == [255, 255, 255], name
    assert one_color(read_image(flat((0, 0, 0, 51), "RGBA"), RGB)) == [204, 204, 204]


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [flat((255, 0, 0)), flat((0, 0, 255))]
    for suffix in ("gif", "png", "webp"):
        lossless = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **lossless)
        assert one_color(read_image(tmp_path / f"a.{suffix}", RGB)) == [255, 0, 0], suffix


def test_exif_turns_the_picture_upright(tmp_path):
    image = flat("white", size=(16, 32))
    image.paste("black", (0, 0, 16, 16))  # upper half black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_image(tmp_path / "a.png", ImageForm(1, 16, 32))[0]
    assert pixels[:, 16:].max() == 0, pixels
    assert pixels[:, :16].min() == 255, pixels


DAMAGED_TAGS = [(0xA005, 1, 4), (0xA005, 2, 4), (0xA005, 7, 4), (0x02BC, 2, 4), (0x010F, 99, 4), (0x8825, 4, 1)]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("tag", DAMAGED_TAGS, ids=str)
def test_a_damaged_exif_tag_leaves_the_orientation_beside_it(tmp_path, tag, suffix):
    entries = sorted([(0x0112, 3, 1, 6), (*tag, 90_000)])  # tag, type, count, value or offset
    tags = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + tags + bytes(4)
    file = tmp_path / f"a{suffix}"
    flat("white", size=(60, 30)).save(file, exif=exif)
    assert read_image(file, ImageForm(3, 0, 0, "keep")).shape == (3, 60, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_that_of_pillow(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(tmp_path / "a.png", ImageForm(1, 0, 0, "keep"))[0], expected)


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_a_large_jpeg_is_decoded_as_every_other_program_decodes_it(tmp_path, fit):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 768, 3), np.uint8)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        whole = read_image(image.convert("RGB"), ImageForm(3, 32, 32, fit))
    assert np.array_equal(read_image(tmp_path / "a.jpg", ImageForm(3, 32, 32, fit)), whole)


def test_a_picture_that_is_given_opened_stays_as_it_was(tmp_path):
    flat("white", size=(256, 256)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        read_image(image, RGB)
        assert image.size == (256, 256)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture", "unknown format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unknown format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        (b"\0\0\0\x18ftypheic", "a HEIC image or a video; convert"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<svg xmlns=", "SVG; convert"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.jpg: can't be read as an image \({reason}"):
        read_image(tmp_path / "a.jpg", RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif"])
def test_what_is_cut_off_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for picture in (path, str(path)):
        with pytest.raises(UserError, match=rf"a\.{suffix}: can't be read"):
            read_image(picture, RGB)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("nowhere.png", "nowhere.png: no such file"),
        (3, "a PIL image or an array, not int"),
        (np.zeros((4, 4), np.float32), r"uint8 .* not float32 \(4, 4\)"),
        (np.zeros((4, 4, 2), np.uint8), r"not uint8 \(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
    ],
)
def test_wrong_input_is_named(picture, message):
    with pytest.raises(UserError, match=message):
        read_image(picture, RGB)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_refused_where_reading_would_wait_for_ever(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: a pipe, socket or device"):
        read_image(tmp_path / "a.png", RGB)


def test_the_form_of_an_input_names_its_ground():
    gray = ImageProcessor(["a", "b"], 3, 8, 8, ground="gray").preparation()
    assert gray["transparency"] == "on gray" and "on gray (128, 128, 128)" in gray["preparation"]
    assert ImageProcessor(["a", "b"], 3, 8, 8).preparation()["transparency"] == "on white"
