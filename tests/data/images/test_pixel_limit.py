"""A small file that claims many pixels is refused before they are in memory, and what is decoded takes little."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_nn.data.images.conversion import MAX_PIXELS, ImageForm
from lightning_nn.data.images.data_module import Images
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.data.images.reading import PixelLimit, read_image
from lightning_nn.errors import UserError
from tests.commands import environment

FORM = ImageForm(3, 8, 8)

PEAK = """
import json, re, sys
from pathlib import Path
from lightning_nn.data.images.conversion import ImageForm
from lightning_nn.data.images.reading import PixelLimit
from lightning_nn.data.images.reading import read_image
from lightning_nn.errors import UserError

def peak():
    # getrusage would count what the parent had before it became this process.
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

read_image(sys.argv[1], ImageForm(3, 8, 8))
before = peak()
try:
    read_image(sys.argv[2], ImageForm(3, 8, 8), PixelLimit())
    refused = ""
except UserError as error:
    refused = str(error)
print(json.dumps([peak() - before, refused]))
"""


def peak(path: Path) -> tuple[int, str]:
    """Bytes that a file takes while it is read, and why it was refused."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux")
    small = path.with_name("small.png")
    Image.new("RGB", (9, 9)).save(small)
    argv = [sys.executable, "-c", PEAK, str(small), str(path)]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=True)
    taken, refused = json.loads(done.stdout)
    return taken, refused


def bomb(path: Path, side: int) -> Path:
    """A gray PNG of 16 bits, side x side, all zero: a thousandth of what it claims."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(1 + 2 * side)) for _ in range(side)]
    header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(rows) + packer.flush()) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 13_000)  # Pillow itself would decode it
    assert path.stat().st_size < 400_000
    taken, refused = peak(path)
    assert "bomb.png" in refused and "13,000 x 13,000 pixels" in refused and "--data.max_pixels" in refused
    assert taken < 20_000_000, f"{taken:,} bytes"


@pytest.mark.parametrize("kind", ["gray16", "transparent", "palette", "float", "integer", "turned", "cmyk", "jpeg"])
def test_decoding_takes_at_most_sixteen_bytes_a_pixel(kind: str, tmp_path: Path) -> None:
    side = 3000
    size = (side, side)
    suffix = {"float": "tif", "integer": "tif", "cmyk": "tif", "jpeg": "jpg"}.get(kind, "png")
    path = tmp_path / f"a.{suffix}"
    if kind == "gray16":
        bomb(path, side)
    elif kind == "palette":
        Image.new("P", size).save(path, transparency=0)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGBA", size).save(path, exif=exif)
    elif kind == "jpeg":
        Image.new("RGB", size).save(path, progressive=True)
    else:
        mode = {"transparent": "RGBA", "float": "F", "integer": "I", "cmyk": "CMYK"}[kind]
        Image.new(mode, size).save(path, **({"compression": "tiff_adobe_deflate"} if suffix == "tif" else {}))
    taken, refused = peak(path)
    assert not refused
    assert taken < 17 * side * side, f"{taken / side / side:.1f} bytes a pixel"


@pytest.mark.parametrize("suffix", ["avif", "bmp", "gif", "jpg", "png", "ppm", "tga", "tif", "webp"])
def test_every_format_is_bounded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    try:
        Image.new("RGB", (100, 90)).save(path)
    except (KeyError, ValueError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    assert read_image(path, FORM, PixelLimit(9000)).shape == FORM.shape
    with Image.open(path) as opened:
        for picture in (path, opened):
            with pytest.raises(UserError, match=r"100 x 90 pixels, above --data\.max_pixels 8999"):
                read_image(picture, FORM, PixelLimit(8999))


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_of_many_frames_one_is_held(suffix: str, tmp_path: Path) -> None:
    side = 1000
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 9, (side, side), np.uint8)).convert("RGB") for _ in range(12)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    taken, refused = peak(tmp_path / f"a.{suffix}")
    assert not refused
    size = (tmp_path / f"a.{suffix}").stat().st_size
    assert taken < 20 * side * side + 2 * size, f"{taken / side / side:.1f} bytes a pixel of a frame"


def test_a_tile_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    """TIFF decodes whole tiles; 16 x 16 pixels may stand in one of any size."""
    packed = zlib.compress(bytes(64))
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, 60_000), (323, 60_000)]
    tags += [(324, 8 + 2 + 12 * 10 + 4), (325, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    file = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + packed
    (tmp_path / "a.tif").write_bytes(file)
    taken, refused = peak(tmp_path / "a.tif")
    assert "60,000 x 60,000 pixels" in refused
    assert taken < 20_000_000, f"{taken:,} bytes"


def test_threads_decode_no_more_pixels_at_once_than_the_limit() -> None:
    limit, lock = PixelLimit(100), threading.Lock()
    running, most, done = 0, 0, 0

    def decode(pixels: int) -> None:
        nonlocal running, most, done
        for _ in range(20):
            with limit.decoding(pixels):
                with lock:
                    running += pixels
                    most = max(most, running)
                time.sleep(0.0005)
                with lock:
                    running -= pixels
                    done += 1

    threads = [threading.Thread(target=decode, args=(pixels,)) for pixels in (100, 60, 40, 40, 20, 7, 1, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done, running) == (160, 0)
    assert 40 < most <= 100


def test_a_failure_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    limit = PixelLimit(64 * 64)
    for _ in range(3):
        with pytest.raises(UserError, match="can't be read"):
            read_image(path, FORM, limit)


def test_in_a_folder_it_is_skipped_and_counted_and_an_option_raises_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTNING_NN_CACHE", str(tmp_path / "cache"))
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            side = 40 if number == 0 else 20
            Image.new("RGB", (side, side), (number,) * 3).save(tmp_path / "pictures" / name / f"{number}.png")
    few = Images(str(tmp_path / "pictures"), 8, max_pixels=400)
    few.prepare_once()
    assert sum(map(len, few.sources.values())) == 10
    assert any("2 of 12 images can't be read" in note and "40 x 40 pixels" in note for note in few.notes), few.notes
    every = Images(str(tmp_path / "pictures"), 8, max_pixels=1600)
    every.prepare_once()
    assert sum(map(len, every.sources.values())) == 12
    with pytest.raises(UserError, match="max_pixels is 0"):
        Images(max_pixels=0)


def test_a_checkpoint_does_not_raise_the_bound() -> None:
    processor = ImageProcessor(["a", "b"], *FORM)
    processor.max_pixels = 10 * MAX_PIXELS
    assert ImageProcessor(**processor.state_dict()).max_pixels == MAX_PIXELS
