"""Checks of the fields of a batch, each refusal in a line that says what was got."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_nn.errors import UserError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ROUNDING = 0.01  # of values that were sampled between pixels, in half precision


def require(name: str, values: Tensor, dtypes: tuple[torch.dtype, ...], shape: str, remedy: str) -> None:
    """Check one field of a batch.

    Args:
        name: of the field, for the error.
        values: of the field.
        dtypes: that it may have.
        shape: its dimensions by letters, such as "(B, C, H, W)".
        remedy: what to do, for the error.

    Raises:
        UserError: another type, another number of dimensions, or nothing in it.
    """
    if not isinstance(values, Tensor) or values.dtype not in dtypes or values.dim() != len(shape.split()):
        got = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"{name} of a batch is {got}; expected {dtypes[0]} {shape}: {remedy}")
    if not values.numel():
        raise UserError(f"{name} of a batch is empty, {tuple(values.shape)}: leave empty batches out")


def check_pixels(name: str, image: Tensor, shape: str) -> None:
    """Check that images are uint8 of 0 to 255 or floats of 0 to 1, of which values are read on the CPU alone.

    Args:
        name: of the field, for the error.
        image: uint8 or float.
        shape: its dimensions by letters.

    Raises:
        UserError: another type, number of dimensions or range.
    """
    require(name, image, (torch.uint8, *FLOATS), shape, "uint8 pixels of 0 to 255, or floats of 0 to 1")
    if image.dtype == torch.uint8 or image.device.type != "cpu":
        return
    least, most = (float(value) for value in image.detach().aminmax())
    if not (least >= -_ROUNDING and most <= 1 + _ROUNDING):
        raise UserError(
            f"{name} of a batch has floats of {least:g} to {most:g}; expected 0 to 1, not normalised: give uint8 "
            "pixels of 0 to 255, or divide them by 255"
        )


def check_image(image: Tensor, limits: Mapping[str, Any]) -> None:
    """Check the images of a batch.

    Args:
        image: uint8 (B, C, H, W), 0 to 255, or float, 0 to 1.
        limits: the model's arguments: `features`, `channels`, `height` and `width` where it has them.

    Raises:
        UserError: another type, shape or range.
    """
    check_pixels("image", image, "(B, C, H, W)")
    shape = tuple(image.shape[1:])
    if limits.get("features", math.prod(shape)) != math.prod(shape):
        raise UserError(f"images of {shape}; this model was made for {limits['features']} values each")
    size = (limits.get("height", shape[1]), limits.get("width", shape[2]))
    if size != shape[1:]:
        raise UserError(f"images of {shape}; this model was made for {size[0]} x {size[1]} pixels")
    if limits.get("channels", shape[0]) != shape[0]:
        raise UserError(f"images of {shape}; this model was made for {limits['channels']} channels")


def check_labels(label: Tensor | None, size: int, num_classes: int | None) -> None:
    """Check the labels of a batch.

    Args:
        label: int64 (B,), or float (B, K); None where there are none.
        size: samples in the batch, B.
        num_classes: of the model, K; None where any number will do.

    Raises:
        UserError: another type, shape or number, or a class beyond the model's.
    """
    if label is None:
        return
    shares = isinstance(label, Tensor) and label.is_floating_point()
    dtypes, shape = (FLOATS, "(B, K)") if shares else ((torch.int64,), "(B,)")
    require("label", label, dtypes, shape, "the class index of each sample, or the share of each class")
    if len(label) != size:
        raise UserError(f"a batch of {size} samples has {len(label)} labels")
    if num_classes is None:
        return
    if shares and label.shape[1] != num_classes:
        raise UserError(f"labels give shares of {label.shape[1]} classes; this model was made for {num_classes}")
    if not shares and label.device.type == "cpu":
        check_range("labels", label, num_classes, "num_classes")


def check_counts(name: str, counts: Tensor, of: str, total: int) -> None:
    """Check that counts are at least 1 and add up.

    Args:
        name: of the counts, for the error.
        counts: int64 (N,).
        of: what they count.
        total: how many of these there are.

    Raises:
        UserError: they don't.
    """
    if counts.min() < 1 or counts.sum() != total:
        raise UserError(
            f"{name} counts the {of} of each, at least 1; its sum is {int(counts.sum())}, its minimum "
            f"{int(counts.min())}, and there are {total} {of}"
        )


def check_range(name: str, values: Tensor, limit: int, argument: str) -> None:
    """Check that values are numbers from 0 to below a limit; waits for the device.

    Args:
        name: of the values, for the error.
        values: int64.
        limit: the first number that is too large.
        argument: what the model calls the limit.

    Raises:
        UserError: some are beyond it.
    """
    least, most = (int(v) for v in values.aminmax())
    if least < 0 or most >= limit:
        raise UserError(f"{name} go from {least} to {most}; this model was made for 0 to {limit - 1} ({argument})")
