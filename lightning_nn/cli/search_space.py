"""The options that a study varies, as `--search` names them: `model.dropout=0:0.5,optimizer.lr=1e-4:1e-2:log`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from lightning_nn.cli.option_names import option_hint
from lightning_nn.errors import UserError

_FORM = "expected NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=CHOICE|CHOICE"
_WHOLE = re.compile(r"-?\d+")


class Dimension(NamedTuple):
    """An option that is varied.

    Attributes:
        name: dotted name of the option.
        low: smallest value, an int for a whole number.
        high: largest value, likewise.
        log: whether factors between values count, not differences.
        choices: the values, if they are listed; low and high are then 0.
    """

    name: str
    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = "|".join(self.choices) or f"{self.low:g}:{self.high:g}{':log' * self.log}"
        return f"{self.name}={values}"

    def holds(self, value: Any) -> bool:
        """Return whether a setting is one of the values."""
        if self.choices:
            return written(value) in self.choices
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[float | str, ...]:
        """All choices, or the smallest and the largest value."""
        return self.choices or (self.low, self.high)


def written(value: Any) -> str:
    """Return a setting as the command line has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def parse_search(text: str) -> list[Dimension]:
    """Parse the value of `--search`.

    Args:
        text: dimensions, separated by commas.

    Raises:
        UserError: a dimension has another form, its range is empty, or an option comes twice.
    """
    dimensions = [_dimension(part.strip()) for part in text.split(",") if part.strip()]
    if not dimensions:
        raise UserError(f"--search {text!r}: {_FORM}, several of them separated by commas")
    names = [dimension.name for dimension in dimensions]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--search names {twice[0]} twice: keep one of them")
    return dimensions


def _dimension(part: str) -> Dimension:
    name, _, values = (word.strip() for word in part.removeprefix("--").partition("="))
    if not name or not values:
        raise UserError(f"--search {part}: {_FORM}")
    if "|" in values:
        choices = tuple(choice.strip() for choice in values.split("|"))
        if not all(choices) or len({*choices}) < len(choices):
            raise UserError(f"--search {part}: a choice is empty or comes twice")
        return Dimension(name, choices=choices)
    low, high, *scale = (value.strip() for value in [*values.split(":"), ""][: max(2, values.count(":") + 1)])
    if scale not in ([], ["log"]):
        raise UserError(f"--search {part}: {_FORM}")
    try:
        whole = all(map(_WHOLE.fullmatch, (low, high)))
        start, end = (int(low), int(high)) if whole else (float(low), float(high))
    except ValueError:
        raise UserError(f"--search {part}: {_FORM}; {low or high!r} to {high!r} are no numbers") from None
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise UserError(f"--search {part}: the first number must be below the second, both finite")
    if scale and start <= 0:
        raise UserError(f"--search {part}: a logarithmic range begins above 0")
    return Dimension(name, start, end, bool(scale))


def typed(dimension: Dimension, options: Sequence[str], present: Any) -> Dimension:
    """Return a dimension whose ends have the type of the option.

    Args:
        dimension: as parsed.
        options: dotted names of all options.
        present: value of the option in the settings.

    Raises:
        UserError: there is no such option, or it takes no such values.
    """
    name = dimension.name
    if name not in options or "." not in name:
        hint = option_hint(f"--{name}", [f"--{option}" for option in options if "." in option])
        remedy = f"; did you mean {hint.removeprefix('--')!r}?" if hint else ""
        raise UserError(f"--search: there is no option {name!r}{remedy}")
    if name.endswith("seed"):
        raise UserError(f"--search {name}: a seed is nothing to choose; leave it out")
    if dimension.choices:
        return dimension
    if isinstance(present, str | bool):
        raise UserError(f"--search {dimension}: {name} is {present}, not a number; list values: {name}=A|B")
    if isinstance(present, float):
        return dimension._replace(low=float(dimension.low), high=float(dimension.high))
    if isinstance(present, int) and not all(isinstance(end, int) for end in dimension.ends):
        raise UserError(f"--search {dimension}: {name} is a whole number, such as {present}")
    return dimension
