"""The picture docs/gallery/scene.png: generated scenes with the mask and the caption that two trained models give them.

    python train.py --model fcn
    python train.py --model show_and_tell
    python benchmarks/scene_gallery.py --fcn logs/fcn/RUN/checkpoints/best.ckpt \
        --show_and_tell logs/show_and_tell/RUN/checkpoints/best.ckpt --out docs/gallery/scene.png

The scenes are the first ones of the test split: above the picture, then the predicted classes over it, and the caption.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from report import at_least, parser, run_main

from lightning_nn import FCN, Scenes, ShowAndTell
from lightning_nn.data.batches import MaskBatch
from lightning_nn.visualization.segmentation import overlay

SIDE = 192  # pixels of a scene
GAP = 8
LINES, LINE, COLUMNS = 3, 18, 29  # of a caption: lines, pixels of a line, characters of a line
COLOURS = 96  # of the PNG's palette: a third of the size


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__ or "")
    made.add_argument("--fcn", type=Path, required=True, help="checkpoint of an fcn of scenes")
    made.add_argument("--show_and_tell", type=Path, required=True, help="checkpoint of a show_and_tell of scenes")
    made.add_argument("--out", type=Path, required=True, help="PNG file to write")
    made.add_argument("--scenes", type=at_least(1), default=4)
    args = made.parse_args(argv)
    data = Scenes(train_size=1, val_size=1, test_size=args.scenes)
    data.batch_type = MaskBatch
    data.prepare_once()
    image = data.sources["test"][np.arange(args.scenes)].image
    scenes = [Image.fromarray(pixels) for pixels in image.permute(0, 2, 3, 1).numpy()]
    masks = FCN.load_from_checkpoint(args.fcn).predict(scenes)
    captions = [line.caption for line in ShowAndTell.load_from_checkpoint(args.show_and_tell).predict(scenes)]
    rows = [[mask.image for mask in masks], [overlay(mask.image, mask.mask, mask.legend) for mask in masks]]
    sheet(rows, captions).quantize(COLOURS).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB", *captions, sep="\n")


def sheet(rows: list[list[NDArray[np.uint8]]], captions: list[str]) -> Image.Image:
    """Draw rows of images, uint8 (H, W, 3), and a caption below each column."""
    step = SIDE + GAP
    drawn = Image.new("RGB", (len(captions) * step + GAP, len(rows) * step + GAP + LINES * LINE), "white")
    font = ImageFont.load_default(13)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            cell = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            drawn.paste(cell, (GAP + x * step, GAP + y * step))
    for x, caption in enumerate(captions):
        text = textwrap.fill(caption, COLUMNS, max_lines=LINES, placeholder=" ...")
        place = GAP + x * step, len(rows) * step + GAP
        ImageDraw.Draw(drawn).multiline_text(place, text, fill="black", font=font, spacing=3)
    return drawn


if __name__ == "__main__":
    run_main(main)
