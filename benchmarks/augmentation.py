"""Speed of augmentation: a batch at a time on the device, against torchvision's transforms of one sample at a time.

    python benchmarks/augmentation.py --rounds 3

Both sides give normalised float batches of the same 32 x 32 images, flipped at random and shifted by up to 4 pixels.
torchvision's run in a DataLoader with 2 workers, ours in the process that would train. The composed sampling step,
which also rotates, scales and shears, is measured beside them. The goal is 8 times as many images a second on a CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from report import Report, Spread, at_least, parser, run_main
from torch.utils.data import DataLoader, Dataset

from lightning_nn.data.augmentation import Augment, augmented
from lightning_nn.data.images.labeled_images import ImageSource
from lightning_nn.data.loader import BatchSampler, Loader
from lightning_nn.layers.images import Normalize

GOAL = 8
SIDE = 32
SHIFT = 4


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--rounds", type=at_least(1), default=3, help="n: measurements of each side; default 3")
    made.add_argument("--images", type=at_least(1), default=50_000, help="images in a round; default %(default)s")
    made.add_argument("--batch_size", type=at_least(1), default=512, help="default %(default)s")
    made.add_argument("--workers", type=at_least(1), default=2, help="of torchvision's DataLoader; default %(default)s")
    args = made.parse_args(argv)
    measure(args).show(args.json)


def measure(args: argparse.Namespace) -> Report:
    """Measure the images per second of each side, alternating."""
    images = np.random.default_rng(0).integers(0, 256, (args.images, 3, SIDE, SIDE), dtype=np.uint8)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    moved = Augment(flip="random", translate=SHIFT)
    sampled = Augment(flip="random", translate=SHIFT, rotate=10, scale=1.1, shear=5)
    sides: dict[str, Callable[[], int]] = {
        "torchvision, a sample at a time": lambda: run_torchvision(images, args.batch_size, args.workers, device),
        "flip and shift, indexed": lambda: run_ours(images, args.batch_size, moved, device),
        "flip, shift, rotate, scale, shear: one sampling step": lambda: run_ours(
            images, args.batch_size, sampled, device
        ),
    }
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(args.rounds):
        for side, run in sides.items():
            start = time.perf_counter()
            count = run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            rates[side].append(count / (time.perf_counter() - start))
            print(f"round {number + 1} of {args.rounds}, {side}: {rates[side][-1]:,.0f} images/s", file=sys.stderr)
    spreads = {side: Spread.of(values) for side, values in rates.items()}
    first = spreads[next(iter(sides))].median
    rows = [[side, spread.text(",.0f"), f"{spread.median / first:.1f}"] for side, spread in spreads.items()]
    ratio = spreads["flip and shift, indexed"].median / first
    return Report(
        f"Augmented images a second, {SIDE} x {SIDE}, on {device.type}",
        ["side", "images/s, median (range)", "times torchvision's"],
        rows,
        [f"{args.images:,} images a round in batches of {args.batch_size}; the goal on a CPU is {GOAL} times."],
        args.rounds,
        {"images_per_second": rates, "ratio": ratio},
    )


def run_ours(images: np.ndarray, batch_size: int, options: Augment, device: torch.device) -> int:
    """Load, move, augment and normalise an epoch; return the number of images."""
    source = ImageSource(images, np.zeros(len(images), np.int64))
    normalize, count = Normalize(3).to(device), 0
    for batch in Loader(source, BatchSampler(len(source), batch_size, shuffle=True)):
        there = batch._replace(image=batch.image.to(device), index=batch.index.to(device))  # type: ignore[attr-defined]
        count += len(normalize(augmented(there, options).image))
    return count


class Samples(Dataset[torch.Tensor]):
    """Images that are changed one at a time: a random crop of the padded image, a random flip, normalisation."""

    def __init__(self, images: np.ndarray) -> None:
        from torchvision.transforms import v2

        self.images = images
        crop = v2.RandomCrop(SIDE, padding=SHIFT, padding_mode="reflect")
        scale = v2.ToDtype(torch.float32, scale=True)
        self.change = v2.Compose([crop, v2.RandomHorizontalFlip(), scale, v2.Normalize([0.5] * 3, [0.5] * 3)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        changed: torch.Tensor = self.change(torch.from_numpy(self.images[index]))
        return changed


def run_torchvision(images: np.ndarray, batch_size: int, workers: int, device: torch.device) -> int:
    """Do the same in a DataLoader; return the number of images."""
    loader = DataLoader(Samples(images), batch_size, shuffle=True, num_workers=workers)
    return sum(len(batch.to(device)) for batch in loader)


if __name__ == "__main__":
    run_main(main)
