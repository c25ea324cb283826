"""A lesson: its statement, a run that shows it, the figure, and claims that prove the statement by numbers."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightning_nn.errors import UserError, nearest
from lightning_nn.lessons.catalogue import Language, Text, entries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Size = Literal["full", "test"]
Scalar: TypeAlias = "bool | int | float | str"
Row: TypeAlias = dict[str, Any]  # a Scalar by column
Array: TypeAlias = NDArray[Any]
Relation = Literal["<=", ">=", "=="]

# Okabe and Ito 2008: colours that most colour-blind readers can tell apart.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = COLOURS = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}
FOLDER = Path(__file__).parent
WIDTH = 7.0  # of a figure, in inches of 100 pixels
_RELATIONS = {
    "<=": Text("at most", "不大于"),
    ">=": Text("at least", "不小于"),
    "==": Text("equal to", "等于"),
}
_FAILED = {"<=": "大于", ">=": "小于", "==": "不等于"}


class Knob(NamedTuple):
    """A number or name that a lesson is about, an argument of its `run`.

    Attributes:
        about: what it is.
        low: smallest value.
        high: largest value.
        choices: the names that it can take, if it is a name.
        frames: values of which the book shows a figure each, 5 to 9, or none.
    """

    about: Text
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    frames: tuple[Scalar, ...] = ()

    @classmethod
    def of(
        cls, en: str, zh: str, choices: list[str] | None = None, frames: list[Scalar] | None = None, **ends: float
    ) -> Knob:
        """Return a knob from its row in a file of texts."""
        return cls(Text(en, zh), choices=tuple(choices or ()), frames=tuple(frames or ()), **ends)


class Claim(NamedTuple):
    """A number of a result with its bound.

    Attributes:
        name: what the number is.
        value: as it was measured.
        relation: "<=", ">=" or "==".
        bound: what it is compared with.
    """

    name: str
    value: float
    relation: Relation
    bound: float

    @property
    def holds(self) -> bool:
        """Truth of the claim; a value that is not a number satisfies none."""
        if self.relation == "==":
            return self.value == self.bound
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound

    def sentence(self, language: Language = "en") -> str:
        """Return "holds: 0.10 is at most 0.12", or that it does not."""
        value, bound = show(self.value), show(self.bound)
        if language == "zh":
            relation = _RELATIONS[self.relation].zh if self.holds else _FAILED[self.relation]
            return f"{'成立' if self.holds else '不成立'}：{value} {relation} {bound}"
        relation = _RELATIONS[self.relation].en
        return f"holds: {value} is {relation} {bound}" if self.holds else f"fails: {value} is not {relation} {bound}"


@dataclass(frozen=True)
class Result:
    """Findings of a run, as plain data.

    Attributes:
        rows: of the table, at most 12, each a value by column.
        arrays: what the figure needs besides, by name.
        lesson: name of the lesson.
        seed: of the run.
        size: of the run.
        knobs: values of all knobs.
    """

    rows: list[Row]
    arrays: dict[str, Array] = field(default_factory=dict)
    lesson: str = ""
    seed: int = 0
    size: Size = "full"
    knobs: dict[str, Scalar] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return [row[name] for row in self.rows]

    def row(self, **where: Scalar) -> Row:
        """Return the only row that has the given values.

        Raises:
            LookupError: none has them, or several have.
        """
        rows = [row for row in self.rows if all(row[name] == value for name, value in where.items())]
        if len(rows) != 1:
            raise LookupError(f"{len(rows)} rows have {where}")
        return rows[0]

    def bound(self, *, full: float, test: float) -> float:
        """Return the bound of a claim for the size of this result; the one for `test` is wider."""
        return full if self.size == "full" else test

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON has it; numbers of arrays with 5 digits."""
        arrays = {name: _rounded(np.asarray(array).tolist()) for name, array in self.arrays.items()}
        return {**vars(self), "arrays": arrays}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Result:
        """Return a result from what `to_json` returned."""
        return cls(
            rows=[dict(row) for row in stored["rows"]],
            arrays={name: np.asarray(values) for name, values in stored["arrays"].items()},
            lesson=stored["lesson"],
            seed=stored["seed"],
            size=stored["size"],
            knobs=dict(stored["knobs"]),
        )

    def to_csv(self) -> str:
        """Return the table as CSV."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def __str__(self) -> str:
        return "\n".join("  ".join(f"{cell:>12}" for cell in row) for row in load(self.lesson).table(self))

    def _repr_png_(self) -> bytes:
        """Return the figure, which a notebook shows."""
        return load(self.lesson).png(self)


class Lesson:
    """A lesson: its texts, and its module, which is imported on first use.

    Args:
        name: of the lesson.

    Attributes:
        statement: what is shown, in a sentence.
        equation: what it is about, as plain text.
        source: of the equation.
        see: what to see in the table and the figure.
        question: asked by `--guess` before the run.
        choices: answers to choose from.
        knobs: by name.
        answers: of the exercises, in sentences, by number.
    """

    def __init__(self, name: str) -> None:
        import yaml

        self.name = name
        texts = yaml.safe_load((FOLDER / "texts" / f"{name}.yaml").read_text(encoding="utf-8"))
        self.statement, self.see, self.question = (Text(**texts[key]) for key in ("statement", "see", "question"))
        self.equation: str = texts["equation"]
        self.source: str = texts["source"]
        self.choices = [Text(**choice) for choice in texts["choices"]]
        self.knobs = {knob: Knob.of(**row) for knob, row in texts["knobs"].items()}
        self.answers: dict[int, Text] = {number: Text(**text) for number, text in texts["answers"].items()}
        self._words: dict[str, str] = texts["words"]

    @cached_property
    def module(self) -> Any:
        """The module with `run`, `draw`, `claim`, `right_choice` and the answers."""
        return import_module(f"lightning_nn.lessons.{self.name}")

    @property
    def digest(self) -> str:
        """Hash of the source, by which stored results are known to be today's."""
        return hashlib.sha256((FOLDER / f"{self.name}.py").read_text(encoding="utf-8").encode()).hexdigest()

    @cached_property
    def defaults(self) -> dict[str, Scalar]:
        """Values of the knobs if none is set."""
        parameters = inspect.signature(self.module.run).parameters
        return {knob: parameters[knob].default for knob in self.knobs}

    def run(self, seed: int = 0, size: Size = "full", knobs: Mapping[str, Scalar] | None = None) -> Result:
        """Run it; the random state of torch and the seed of the data's order are as before afterwards.

        Raises:
            UserError: an unknown knob, or a value that it can't take.
        """
        self.check_names(knobs or {})
        values = {name: self.value(name, value) for name, value in (knobs or {}).items()}
        with _seeded(seed):
            result: Result = self.module.run(seed, size, **values)
        return replace(result, lesson=self.name, seed=seed, size=size, knobs={**self.defaults, **values})

    def claims(self, result: Result) -> list[Claim]:
        """Return the claims about a result; nothing is run."""
        claims: list[Claim] = self.module.claim(result)
        return claims

    def right_choice(self, result: Result) -> int:
        """Return the number of the right choice, from 1."""
        return int(self.module.right_choice(result))

    def answer(self, number: int) -> list[Claim]:
        """Compute the numbers that answer an exercise.

        Raises:
            UserError: there is none of this number.
        """
        if number not in self.answers:
            raise UserError(f"{self.name} has no exercise {number}; there are: {', '.join(map(str, self.answers))}")
        with _seeded(0):
            claims: list[Claim] = getattr(self.module, f"answer_{number}")()
        return claims

    def check_names(self, knobs: Iterable[str]) -> None:
        """Refuse an unknown knob.

        Raises:
            UserError: names the nearest one.
        """
        for name in knobs:
            if name not in self.knobs:
                raise UserError(f"the lesson {self.name} has no knob {name!r}{nearest(name, self.knobs)}")

    def value(self, name: str, value: Scalar) -> Scalar:
        """Return the value of a knob in the type of its default.

        Raises:
            UserError: the knob can't take it.
        """
        knob, default = self.knobs[name], self.defaults[name]
        if knob.choices:
            if value not in knob.choices:
                raise UserError(f"{name} is {value!r}{nearest(str(value), knob.choices)}")
            return value
        try:
            number = int(value) if isinstance(default, int) else float(value)
        except ValueError:
            number = math.nan
        if not knob.low <= number <= knob.high:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise UserError(f"{name} is {value}; it must be {kind} from {knob.low:g} to {knob.high:g}")
        return number

    def words(self, text: str, language: Language) -> str:
        """Return a column, a cell or the name of a claim in a language."""
        return text if language == "en" else self._words.get(text, text)

    def table(self, result: Result, language: Language = "en") -> list[list[str]]:
        """Return the cells of the table, header first."""
        header = [self.words(column, language) for column in result.rows[0]]
        return [header, *([self.words(show(cell), language) for cell in row.values()] for row in result.rows)]

    def figure(self, result: Result) -> Figure:
        """Draw a result."""
        import matplotlib
        from cycler import cycler

        from lightning_nn.visualization.images import new_figure

        with matplotlib.rc_context({**STYLE, "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PINK, SKY])}):
            figure = new_figure(WIDTH, getattr(self.module, "HEIGHT", 3.2), "constrained")
            self.module.draw(result, figure)
            figure.canvas.draw()
        return figure

    def png(self, result: Result) -> bytes:
        """Draw a result as a PNG file of few colours."""
        from PIL import Image

        from lightning_nn.visualization.images import pixels

        stream = io.BytesIO()
        image = Image.fromarray(pixels(self.figure(result)))
        image.quantize(128, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue()


def _seeded(seed: int) -> AbstractContextManager[None]:
    from lightning_nn.lessons.training import seeded

    return seeded(seed)


def load(name: str) -> Lesson:
    """Return a lesson.

    Raises:
        UserError: there is none of this name.
    """
    if name not in entries():
        raise UserError(f"there is no lesson {name!r}{nearest(name, entries())}")
    return Lesson(name)


def show(value: Scalar) -> str:
    """Return a cell or a number of a claim as text, a float with 3 digits."""
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not math.isfinite(value) or value == 0 or abs(value) < 1e-4:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write_json(stored: Mapping[str, Any]) -> str:
    """Return stored results as text, a row and an array a line."""
    return json.dumps(stored, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _rounded(values: Any) -> Any:
    """Round floats in nested lists to 5 digits."""
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return float(f"{values:.5g}") if isinstance(values, float) else values
