"""Short texts for batches, processors and data modules: shapes and counts in place of all values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")

_ITEMS = 4  # of a list
_CHARACTERS = 60  # of a text


def readable(cls: type[T]) -> type[T]:
    """Give a class a short `repr`: of a NamedTuple its fields, of a processor its state."""

    def shown(self: Any) -> str:
        return fields_shown(type(self).__name__, self._asdict() if hasattr(self, "_asdict") else self.state_dict())

    cls.__repr__ = shown  # type: ignore[method-assign]
    return cls


def fields_shown(name: str, fields: Mapping[str, Any]) -> str:
    """Return a name with fields in brackets, those that are None left out."""
    return f"{name}({', '.join(f'{key}={value_shown(v)}' for key, v in fields.items() if v is not None)})"


def value_shown(value: Any) -> str:
    """Return a tensor's type, shape and device, the first items of a list and their number, anything else in short."""
    if isinstance(value, Tensor):
        device = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}{device}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        items = [*map(value_shown, value[:_ITEMS]), *[f"... {len(value):,} in all"] * (len(value) > _ITEMS)]
        return f"[{', '.join(items)}]"
    text = repr(value)
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}..."
