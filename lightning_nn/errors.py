"""What a person can mend: one clear message, exit code 2, never a stack trace."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args


class UserError(Exception):
    """Something the person at the keyboard can put right.

    The message says what was got, where, and what to do: one or two lines. The command line prints it on standard
    error and exits with code 2; in Python it is raised like any exception.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the end of an error about an unknown name.

    Args:
        name: what was given.
        known: the names there are.

    Returns:
        `"; did you mean 'han'?"` if one is near, otherwise the list of names there are.
    """
    names = list(known)
    lower = {each.lower(): each for each in reversed(names)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {lower[near[0]]!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def choose(what: str, value: str, choices: Any) -> None:
    """Refuses a value that is none of the choices; type checkers do that too, but research code need not run one.

    Args:
        what: the argument's name.
        value: what was given.
        choices: a `Literal` type.

    Raises:
        UserError: names the nearest choice.
    """
    if value not in get_args(choices):
        raise UserError(f"{what} is {value!r}{nearest(str(value), get_args(choices))}")
