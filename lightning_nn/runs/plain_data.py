"""Conversion to plain data, which a checkpoint holds so that loading it runs no code."""

from __future__ import annotations

import inspect
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


def further_arguments(made: object) -> frozenset[str]:
    """Return the names of the arguments that a constructor was given through its `**`.

    Args:
        made: an object whose constructor is running and calls this, directly or by those of its bases.
    """
    names: frozenset[str] = frozenset()
    frame = inspect.currentframe()
    while frame := frame and frame.f_back:  # the outermost constructor is the last one
        given = inspect.getargvalues(frame)
        if frame.f_code.co_name != "__init__" or given.locals.get(next(iter(given.args), "")) is not made:
            break
        names = frozenset(given.locals[given.keywords]) if given.keywords else frozenset()
    return names
