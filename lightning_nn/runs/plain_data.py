"""Conversion to plain data, which a checkpoint holds so that loading it runs no code."""

from __future__ import annotations

import os
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lightning_nn.errors import UserError


def to_plain_data(value: Any, where: str) -> Any:
    """Convert a value to plain data, which a checkpoint may hold: numbers, strings, bools, None, lists and dicts.

    NumPy numbers, arrays and tensors become Python's numbers and lists, a path its name, a dataclass a dictionary.

    Args:
        value: arguments or settings.
        where: name of the value in errors.

    Raises:
        UserError: the value is of another kind, which could not be loaded again.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): to_plain_data(item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain_data(asdict(value), where)
    if isinstance(value, list | tuple):
        return [to_plain_data(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise UserError(
        f"{where} is a {type(value).__name__}; a checkpoint holds plain data, which loads without running code: "
        "give numbers, strings or lists of them"
    )
