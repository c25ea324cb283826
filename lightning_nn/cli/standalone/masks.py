"""Predict the class of each pixel of pictures, as the model of this folder does, by onnxruntime, NumPy and Pillow.

python predict.py picture.jpg another.png --out masks

A mask is a PNG file: the number of its class at each pixel, with the colours of the classes as its palette.
In Python: from predict import MaskPredictor; next(MaskPredictor("FOLDER").predict(["picture.jpg"]))["mask"]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.cli.standalone.pictures import OnnxPictures
from lightning_nn.cli.standalone.program import main
from lightning_nn.errors import UserError
from lightning_nn.visualization.palette import colours_of_values


class MaskPredictor(OnnxPictures):
    """A model of masks.

    Args:
        folder: with model.onnx, config.json and processor.json.
        out: folder that masks are written to; None to yield them as arrays, uint8 (H, W).

    Attributes:
        categories: name of each class.
        network: from pictures to logits.
    """

    def __init__(self, folder: str | Path, out: str | Path | None = None) -> None:
        super().__init__(folder)
        self.categories: list[str] = self.state["categories"]
        self.network, self.out = self.session("model.onnx"), None if out is None else Path(out)
        self._written: set[str] = set()

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the option for the folder of the masks."""
        parser.add_argument("--out", metavar="FOLDER", default="masks", help="where masks are written (default: masks)")

    def answers(self, inputs: Sequence[NDArray[np.uint8]]) -> Iterator[dict[str, Any]]:
        """Yield the mask of each picture, and the shares of the classes in it, the largest first."""
        (logits,) = self.network.run(None, {self.network.get_inputs()[0].name: np.stack(inputs)})
        for mask in logits.argmax(1).astype(np.uint8):
            shares = np.bincount(mask.ravel()) / mask.size
            order = np.argsort(-shares, kind="stable")
            yield {"mask": mask, "classes": {self.categories[k]: float(shares[k]) for k in order if shares[k]}}

    def predict(self, raw: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield each picture with its mask, or the file of it, or with the error why it can't be read.

        Raises:
            UserError: a mask would replace a picture.
        """
        for row in super().predict(raw):
            if self.out is not None and "mask" in row:
                row["mask"] = str(self._write(row["mask"], Path(row["input"]), self.out))
            yield row

    def _write(self, mask: NDArray[np.uint8], picture: Path, folder: Path) -> Path:
        """Write a mask under the name of its picture, with a number if one of this name is written."""
        if folder.resolve() == picture.resolve().parent:
            raise UserError(f"--out {folder} is the folder of {picture}: name another one")
        name, number = picture.stem, 1
        while name in self._written:
            number += 1
            name = f"{picture.stem}-{number}"
        self._written.add(name)
        image = Image.fromarray(mask)
        image.putpalette(colours_of_values(self.state.get("colours")).tobytes())
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{name}.png")
        return folder / f"{name}.png"


if __name__ == "__main__":
    sys.exit(main(MaskPredictor, __doc__ or ""))
