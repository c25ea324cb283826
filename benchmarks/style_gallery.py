"""The four small pictures of style transfer in docs/gallery/: scikit-learn's photographs and textures made here.

    python benchmarks/style_gallery.py --out docs/gallery [--features PATH]

Each is a strip: content, style, result. Without PATH the features are those of the network of the package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from report import at_least, parser, run_main
from scipy.spatial import KDTree
from torch import Tensor

from lightning_nn import Photos, StyleTransfer
from lightning_nn.layers.images import cover
from lightning_nn.tasks.stylization import StyleOptions, pixels

QUALITY = 88  # of JPEG: a fifth of a PNG's size


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--out", type=Path, required=True, help="folder to write to")
    made.add_argument("--features", default="embedded", help="file of VGG's weights; default: the package's network")
    made.add_argument("--size", type=at_least(64), default=256)
    made.add_argument("--evaluations", type=at_least(10), default=150)
    args = made.parse_args(argv)
    data = Photos()
    data.prepare_once()
    batch = data.sources["train"].batch  # type: ignore[attr-defined]
    temple, flower = batch.content[0], batch.style[0]
    for name, content, style, content_weight, arguments in (
        ("temple-flower", temple, flower, 0.03, {}),
        ("temple-waves", temple, waves(), 0.03, {"scales": 2}),
        ("flower-tiles", flower, tiles(), 0.1, {}),
        ("temple-colours", temple, waves(), 0.03, {"colours": "luminance"}),
    ):
        torch.manual_seed(0)
        loss = StyleOptions(content_weight, variation_weight=0.3)
        options = {"size": args.size, "features": args.features, "loss": loss, **arguments}
        *_, step = StyleTransfer.stylize(content, style, args.evaluations, **options)
        height, width = step.image.shape[1:]
        shown = [cover(each[None].float(), (height, width))[0] for each in (content, style)]
        strip = np.concatenate([pixels(each) for each in (*shown, step.image)], 1)
        file = args.out / f"style-{name}.jpg"
        Image.fromarray(strip).save(file, quality=QUALITY)
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB, loss {step.loss:.4f}", flush=True)


def waves(side: int = 400) -> Tensor:
    """Draw swirling strokes in blue and yellow, uint8 (3, side, side)."""
    y, x = np.mgrid[:side, :side] / side
    random = np.random.default_rng(3)
    for _ in range(4):  # bend the plane, a little finer each time
        a, b, c, d = random.uniform(3, 14, 4)
        x, y = x + 0.05 * np.sin(a * y + b), y + 0.05 * np.sin(c * x + d)
    strokes = 0.5 + 0.5 * np.sin(90 * (y + 0.25 * np.sin(7 * x)) + 3 * np.sin(40 * x))
    glow = np.exp(-40 * ((x % 0.5 - 0.25) ** 2 + (y % 0.5 - 0.25) ** 2))
    dark, light, gold = (np.array(c) for c in ([18, 34, 98], [96, 150, 205], [250, 205, 70]))
    image = dark + strokes[..., None] * (light - dark)
    return _tensor(image + (glow * (0.4 + 0.6 * strokes))[..., None] * (gold - image))


def tiles(side: int = 400) -> Tensor:
    """Draw a mosaic of stones in warm colours, the cells around random points, uint8 (3, side, side)."""
    random = np.random.default_rng(1)
    points, colours = random.uniform(0, side, (500, 2)), random.integers(0, 5, 500)
    palette = np.array([[196, 60, 40], [235, 150, 50], [245, 220, 160], [60, 120, 110], [40, 50, 80]])
    y, x = np.mgrid[:side, :side]
    distance, nearest = KDTree(points).query(np.stack([y, x], 2), k=2)
    shade = np.clip((distance[..., 1] - distance[..., 0]) / 3, 0.1, 1)
    return _tensor(palette[colours[nearest[..., 0]]] * shade[..., None])


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.clip(image, 0, 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous()


if __name__ == "__main__":
    run_main(main)
