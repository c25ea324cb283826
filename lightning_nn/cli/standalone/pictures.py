"""Pictures as inputs of a network of a model folder, by Pillow and NumPy."""

from __future__ import annotations

from pathlib import Path

from lightning_nn.cli.standalone.program import OnnxModel
from lightning_nn.data.images.conversion import (
    MAX_PIXELS,
    ImageForm,
    Pixels,
    convert,
    one_line_errors,
    open_image,
    tile_size,
)


class OnnxPictures(OnnxModel):
    """A model of pictures; see `OnnxModel`."""

    noun = "a picture file"

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.form = ImageForm(*(self.state[name] for name in ImageForm._fields))
        self.batch = 1 if self.form.fit == "keep" else self.batch

    def read(self, raw: str) -> Pixels:
        """Read a picture as in training, uint8 (C, H, W).

        Raises:
            UserError: it can't be read.
        """
        with one_line_errors(raw), Path(raw).open("rb") as file:
            image = open_image(file, raw)
            for width, height in (image.size, tile_size(image)):
                if width * height > MAX_PIXELS:
                    raise ValueError(f"{width:,} x {height:,} pixels, above {MAX_PIXELS:,}")
            return convert(image, self.form, self.state.get("scale"), self.state.get("ground", "white"))
