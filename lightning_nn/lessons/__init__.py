"""The course: each lesson is a statement, shown by a small run with a table, a figure and claims that a test checks.

from lightning_nn import lessons

lessons.names()
result = lessons.run("momentum", mu=0.9)  # in a notebook, its last line shows the figure
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_nn.lessons.catalogue import entries

if TYPE_CHECKING:
    from lightning_nn.lessons.lesson import Result, Scalar, Size

__all__ = ["names", "run"]


def names() -> list[str]:
    """Return the names of the lessons, in the order of the course."""
    return list(entries())


def run(name: str, seed: int = 0, size: Size = "full", **knobs: Scalar) -> Result:
    """Run a lesson.

    Args:
        name: of the lesson.
        seed: of its random numbers, 0 or above.
        size: full, or test for a run of at most 5 seconds.
        knobs: values of the lesson's knobs that differ from its defaults.

    Returns:
        Rows and arrays, as plain data; `print(result)` shows the table, a notebook the figure.

    Raises:
        UserError: an unknown lesson or knob, or a value that the knob can't take.
    """
    from lightning_nn.lessons.lesson import load

    return load(name).run(seed, size, knobs)
