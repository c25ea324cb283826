"""Conversion of raw images to batches for captioning, and of word ids to captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from torch import Tensor

from lightning_nn.data.batches import CaptionBatch
from lightning_nn.data.images.conversion import MAX_PIXELS, Fit, Pixels
from lightning_nn.data.images.processor import RawImages
from lightning_nn.data.processor import check_state

Language = Literal["en", "zh"]
TokenName = Literal["words", "chars"]


class CaptionProcessor(RawImages[CaptionBatch]):
    """Processor of raw images for a captioner, with the vocabulary of the captions; see `RawImages`.

    Args:
        words: vocabulary of the model, V words, by id; the first three are `vocabulary.SPECIAL`.
        channels: 1 for gray, 3 for red, green, blue.
        height: height in pixels.
        width: width in pixels.
        fit: how an image of another shape is resized, "crop" or "squash".
        language: "en", written with spaces between words, or "zh", without.
        tokens: "words", or "chars" where each character is a word.
        scale: value that becomes 255 in an image with more than 8 bits a channel.
        max_pixels: maximum number of pixels of a raw image.

    Attributes:
        others: further words of the data, of ids V and above; set by the data set, and not in the state.
        files: name of each image of a split, if it has one; likewise.
        pictures: returns an image of a split by its index, uint8 (H, W, 3); likewise.
    """

    kind = "caption"

    def __init__(
        self,
        words: list[str],
        channels: int,
        height: int,
        width: int,
        fit: Fit = "crop",
        language: Language = "en",
        tokens: TokenName = "words",
        scale: int | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(channels, height, width, fit, scale, "white", max_pixels)
        state = {"words": words, "language": language, "tokens": tokens}
        check_state(state, words=list, language=Language, tokens=TokenName)
        self.words, self.language, self.tokens = words, language, tokens
        self.others: list[str] = []
        self.files: dict[str, Sequence[str]] = {}
        self.pictures: dict[str, Callable[[int], Pixels]] = {}

    def batch(self, image: Tensor) -> CaptionBatch:
        """Make a batch of images without captions."""
        return CaptionBatch(image)

    def spell(self, ids: Iterable[int]) -> str:
        """Write the words of a caption: with spaces between them in English, without in Chinese."""
        known, others = len(self.words), self.others
        words = (self.words[i] if i < known else others[i - known] for i in ids)
        return ("" if self.language == "zh" else " ").join(words)

    def row_labels(self) -> dict[str, list[str]]:
        """Return the names of the rows of weight tables: words."""
        return {"words": self.words}

    def state_dict(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        return {"words": list(self.words), "language": self.language, "tokens": self.tokens, **super().state_dict()}
