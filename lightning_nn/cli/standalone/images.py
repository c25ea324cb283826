"""Predict the category of pictures, as the model of this folder does, by onnxruntime, NumPy and Pillow.

python predict.py picture.jpg another.png
python predict.py --file names.txt --all_classes

In Python: from predict import ImageClassifier; list(ImageClassifier("FOLDER").predict(["picture.jpg"]))
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_nn.cli.standalone.classifier import OnnxClassifier
from lightning_nn.cli.standalone.pictures import OnnxPictures
from lightning_nn.cli.standalone.program import main


class ImageClassifier(OnnxClassifier, OnnxPictures):
    """A classifier of pictures.

    Args:
        folder: with model.onnx, config.json and processor.json.
        all_classes: predict the probability of each class, too.
    """

    def encode(self, inputs: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
        """Return pictures of one size as one batch."""
        return {self.network.get_inputs()[0].name: np.stack(inputs)}


if __name__ == "__main__":
    sys.exit(main(ImageClassifier, __doc__ or ""))
