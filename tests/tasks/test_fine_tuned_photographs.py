"""Fine-tuning by the defaults on small sets, with weights of others: well above scratch, not below the head.

LIGHTNING_NN_DATA names a folder with `camvid`, `cifar10`, `flickr8k` and `weights` (.safetensors).
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import mean
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

from tests.commands import command

DATA = Path(os.environ.get("LIGHTNING_NN_DATA", "absent"))
BACKBONE = ("--model", "backbone", "--model.network")
NETWORKS = {
    "mobilenet_v1_0.75_224": (*BACKBONE, "mobilenet_v1"),
    "mobilenet_v1_1.0_224_dequantised": (*BACKBONE, "mobilenet_v1"),
    "mobilenet_v2_1.0_224_dequantised": (*BACKBONE, "mobilenet_v2"),
    "squeezenet1_1": (*BACKBONE, "squeezenet1_1"),
    "embedded": ("--model", "convnet"),
}
STREET = {0: "sky", 1: "building", 3: "road", 4: "pavement", 5: "tree", 8: "car"}
ANIMALS = {3: "cat", 5: "dog", 7: "horse", 8: "ship"}
SUBJECTS = {
    "dog": {"dog"},
    "child": {"child", "boy", "girl"},
    "bicycle": {"bicycle", "bike", "biker", "cyclist"},
    "water": {"swim", "pool", "surfer", "wave", "ocean"},
    "snow": {"snow", "ski", "skier", "snowboarder"},
}
PER_CLASS = {"digits": (15, 5, 100), "street": (25, 5, 80), "animals": (40, 8, 100), "flickr": (40, 8, 100)}

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
        for _ in range(16):
            side = rng.choice([64, 80, 96])
            y, x = (rng.randrange(size - side) for size in mask.shape)
            counts = np.bincount(mask[y : y + side, x : x + side].ravel(), minlength=12)
            if (label := int(counts[:11].argmax())) in STREET and counts[label] > side * side / 2:
                yield STREET[label], image.crop((x, y, x + side, y + side))


def animals() -> Iterator[tuple[str, Image.Image]]:
    """Yield images of CIFAR-10 enlarged to 48 to 400 pixels, not all of them square."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, DATA / "cifar10" / "unpack.py", "npz", folder], check=True, capture_output=True)
        arrays = dict(np.load(next(Path(folder).rglob("*.npz"))))
    images = next(array for array in arrays.values() if array.ndim == 4 and len(array) == 50_000)
    labels = next(array for array in arrays.values() if array.ndim == 1 and len(array) == 50_000)
    for image, label in zip(images[:6_000], labels[:6_000].tolist(), strict=True):
        if label in ANIMALS:
            side = rng.randint(48, 400)
            size = (side, round(side * rng.uniform(0.8, 1.2)))
            yield ANIMALS[label], Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)


def flickr() -> Iterator[tuple[str, Image.Image]]:
    """Yield photographs whose captions name one subject alone, in at least a third of the sentences."""
    captions = defaultdict(list)
    with (DATA / "flickr8k" / "captions.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["language"] == "en":
                captions[row["image"]].append(set(row["caption"].lower().replace(".", " ").split()))
    archives = [ZipFile(path) for path in sorted((DATA / "flickr8k").glob("*.zip"))]
    members = {Path(name).stem: (archive, name) for archive in archives for name in archive.namelist()}
    for image, sentences in captions.items():
        named = {subject: sum(bool(words & sentence) for sentence in sentences) for subject, words in SUBJECTS.items()}
        subjects = [subject for subject, count in named.items() if count]
        if len(subjects) == 1 and 3 * named[subjects[0]] >= len(sentences) and image in members:
            archive, name = members[image]
            yield subjects[0], Image.open(io.BytesIO(archive.read(name)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


def write(folder: Path, name: str) -> Path:
    """Write so many images of each class to train on, for validation and for the test, unless they are there."""
    if (root := folder / name).exists():
        return root
    train, val, test = PER_CLASS[name]
    counts: dict[str, int] = defaultdict(int)
    for label, image in {"digits": digits, "street": street, "animals": animals, "flickr": flickr}[name]():
        count = counts[label] = counts[label] + 1
        if count <= train + val + test:
            split = "train" if count <= train else "val" if count <= train + val else "test"
            (root / split / label).mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(root / split / label / f"{count}.png")
    return root


@cache
def accuracy(folder: Path, name: str, seed: int, *options: str) -> float:
    data, logs = write(folder, name), Path(tempfile.mkdtemp(dir=folder))
    argv = ("--data", "images", "--data.path", str(data), "--seed_everything", str(seed), "--folder", str(logs))
    command(*options, *argv, cwd=logs).ok()
    (results,) = logs.rglob("results.json")
    return float(json.loads(results.read_text(encoding="utf-8"))["test/acc"])


@pytest.mark.parametrize("name", PER_CLASS)
@pytest.mark.parametrize("weights", NETWORKS)
def test_the_defaults_keep_what_the_weights_know(
    folder: Path, name: str, weights: str, request: pytest.FixtureRequest
) -> None:
    """Means of three seeds: 400 test images tell two accuracies of one seed apart by six points or more."""
    if (name, weights) == ("street", "squeezenet1_1"):
        reason = "four points behind its head alone, see docs/decisions/training.md"
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    network, file = NETWORKS[weights], DATA / "weights" / f"{weights}.safetensors"
    tuned = (*network, "--finetune", str(file) if file.is_file() else weights)
    whole, head, scratch = (
        mean(accuracy(folder, name, seed, *options) for seed in range(3))
        for options in (tuned, (*tuned, "--model.finetune.trainable", "head"), network)
    )
    print(f"{name} {weights}: fine-tuned {whole:.3f}, head {head:.3f}, scratch {scratch:.3f}")
    assert whole >= scratch + 0.05 and whole >= head - 0.02, (whole, head, scratch)
