"""Fine-tuning by the defaults on small sets, with weights of others: well above scratch, not below the head.

LIGHTNING_NN_DATA names a folder with `camvid` (`train`, `trainannot`, ...) and `weights` (.safetensors).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from tests.commands import command

DATA = Path(os.environ.get("LIGHTNING_NN_DATA", "absent"))
NETWORKS = {
    "mobilenet_v1_0.75_224": "mobilenet_v1",
    "mobilenet_v1_1.0_224_dequantised": "mobilenet_v1",
    "mobilenet_v2_1.0_224_dequantised": "mobilenet_v2",
    "squeezenet1_1": "squeezenet1_1",
}
STREET = {0: "sky", 1: "building", 3: "road", 4: "pavement", 5: "tree", 8: "car"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="LIGHTNING_NN_DATA names no folder of data"),
]


def digits() -> Iterator[tuple[str, Image.Image]]:
    """Yield digits of 40 to 120 pixels, in two colours, with noise."""
    rng = np.random.default_rng(3)
    for image, label in zip(*load_digits(return_X_y=True), strict=True):
        side = int(rng.integers(40, 120))
        gray = np.asarray(Image.fromarray((image.reshape(8, 8) * 15.9).astype("uint8")).resize((side, side)))
        share, dark, light = gray[..., None] / 255, rng.integers(0, 100, 3), rng.integers(150, 256, 3)
        noisy = share * light + (1 - share) * dark + rng.normal(0, 10, (side, side, 3))
        yield str(label), Image.fromarray(noisy.clip(0, 255).astype("uint8"))


def street() -> Iterator[tuple[str, Image.Image]]:
    """Yield windows of 64 to 96 pixels that one class fills for the most part."""
    rng = random.Random(2)
    for file in sorted((DATA / "camvid" / "trainannot").glob("*.png")):
        mask, image = np.asarray(Image.open(file)), Image.open(DATA / "camvid" / "train" / f"{file.stem}.webp")
        for _ in range(6):
            side = rng.choice([64, 80, 96])
            y, x = (rng.randrange(size - side) for size in mask.shape)
            counts = np.bincount(mask[y : y + side, x : x + side].ravel(), minlength=12)
            if (label := int(counts[:11].argmax())) in STREET and counts[label] > side * side / 2:
                yield STREET[label], image.crop((x, y, x + side, y + side))


def write(folder: Path, name: str) -> Path:
    """Write 25 pictures of each class to train on, 5 for validation and 25 for the test."""
    seen: dict[str, int] = {}
    for label, image in {"digits": digits, "street": street}[name]():
        count = seen[label] = seen.get(label, 0) + 1
        if count <= 55:
            split = "train" if count <= 25 else "val" if count <= 30 else "test"
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(folder / split / label / f"{count}.png")
    return folder


def accuracy(data: Path, logs: Path, seed: int, *options: str) -> float:
    argv = ("--model", "backbone", "--data", "images", "--data.path", str(data), "--seed_everything", str(seed))
    logs.mkdir()
    command(*argv, "--folder", str(logs), *options, cwd=logs).ok()
    (results,) = logs.rglob("results.json")
    return float(json.loads(results.read_text(encoding="utf-8"))["test/acc"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", NETWORKS)
@pytest.mark.parametrize("name", ["digits", "street"])
def test_the_defaults_keep_what_the_weights_know(tmp_path: Path, name: str, weights: str, seed: int) -> None:
    data, network = write(tmp_path / "set", name), ("--model.network", NETWORKS[weights])
    tuned = (*network, "--finetune", str(DATA / "weights" / f"{weights}.safetensors"))
    whole = accuracy(data, tmp_path / "whole", seed, *tuned)
    head = accuracy(data, tmp_path / "head", seed, *tuned, "--model.trainable", "head")
    scratch = accuracy(data, tmp_path / "scratch", seed, *network)
    assert whole >= scratch + 0.05 and whole >= head - 0.02, (whole, head, scratch)
