"""Range of the values of images with more than 8 bits a channel, and the one scale of a data set of such images.

The scale is never chosen for each file: a dark image would come out as a bright one, and the class might be that.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from lightning_nn.errors import UserError

SCALES = (1, 255, 65_535)
_ROUNDING = 1.001  # a float of 0 to 1 may be 1.0000001


class ValueRange(NamedTuple):
    """Least and largest value of an image of integers of 16 or 32 bits, or of floats.

    Attributes:
        low: the least value; not a number if a value is none.
        high: the largest value.
        floats: whether the values are floats.
    """

    low: float
    high: float
    floats: bool

    def fault(self) -> str:
        """Return why no scale fits these values; "" if one may."""
        if not math.isfinite(self.low) or not math.isfinite(self.high):
            return "a value is not a finite number"
        if self.low < 0:
            return f"the value {self.low:g} is negative"
        return f"the value {self.high:g} is above {SCALES[-1]}" if self.high > SCALES[-1] * _ROUNDING else ""

    def factor(self, scale: int | None) -> float:
        """Return the factor that makes values of 0 to `scale` those of 0 to 255.

        Args:
            scale: of the training images; None if these had 8 bits, then integers are of 16 bits and floats 0 to 1.

        Raises:
            ValueError: the values don't fit the scale: negative, above it, or so low that the image would be black.
        """
        if fault := self.fault():
            raise ValueError(f"{fault}; expected 0 to 1, 0 to 255 or 0 to 65535")
        top = scale or (1 if self.floats else 65_535)
        if self.high > top * _ROUNDING or (top > 1 and 0 < self.high <= top / 255 * _ROUNDING):
            trained = f"the training images have 0 to {scale}" if scale else f"of this kind, 0 to {top} is read"
            raise ValueError(f"values to {self.high:g}, but {trained}; save it like them, or with 8 bits a channel")
        return 255 / top


class UnscaledImageError(Exception):
    """An image with more than 8 bits a channel, raised where the scale is still to be found.

    Attributes:
        values: range of its values.
    """

    def __init__(self, values: ValueRange) -> None:
        super().__init__("more than 8 bits a channel, and no scale")
        self.values = values


def choose_scale(found: dict[Path, ValueRange]) -> int:
    """Choose the smallest scale that all images fit.

    Args:
        found: range of each image, at least one.

    Raises:
        UserError: no scale fits an image, the largest value is a little above a scale, or floats and integers have
            different ones.
    """
    if faults := {file: fault for file, values in found.items() if (fault := values.fault())}:
        file, fault = next(iter(faults.items()))
        raise UserError(
            f"{file}: {fault}, as in {len(faults):,} of {len(found):,} images with more than 8 bits a channel; "
            "expected 0 to 1, 0 to 255 or 0 to 65535: save all images with 8 bits a channel, or remove damaged ones"
        )
    scales = {}
    for floats in (False, True):
        largest = max(
            (file for file in found if found[file].floats == floats), key=lambda f: found[f].high, default=None
        )
        if largest is None:
            continue
        high = found[largest].high
        scale = next(scale for scale in SCALES if high <= scale * _ROUNDING)
        if scale > 1 and high < 2 * SCALES[SCALES.index(scale) - 1]:
            raise UserError(
                f"{largest}: the largest value of all images is {high:g}, neither 0 to "
                f"{SCALES[SCALES.index(scale) - 1]} nor 0 to {scale}; save all images with 8 bits a channel"
            )
        scales[scale] = largest
    if len(scales) > 1:
        (low, first), (high, second) = scales.items()
        raise UserError(
            f"{first} and images like it have values of 0 to {low}, {second} of 0 to {high}; "
            "save all images with 8 bits a channel"
        )
    return next(iter(scales))


def note_on_scale(found: dict[Path, ValueRange], scale: int, count: int, *, trained: bool) -> str:
    """Say how images with more than 8 bits are read.

    Args:
        found: range of each such image, at least one.
        scale: the value that becomes 255.
        count: number of all images.
        trained: whether the scale is that of a trained model.
    """
    high = max(values.high for values in found.values())
    levels = round(255 * high / scale)
    rest = f"; the other {count - len(found):,} have 8 bits and stay as they are" if len(found) < count else ""
    dark = f"; warning: they use only the lowest {levels} of 255 levels" if levels < 32 else ""
    return (
        f"scale: {len(found):,} of {count:,} images have more than 8 bits a channel; their values of 0 to {scale} "
        f"(largest: {high:g}{', scale of the checkpoint' * trained}) become 0 to 255{rest}{dark}"
    )
