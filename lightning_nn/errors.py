"""User errors: one clear message, exit code 2, never a stack trace."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args


class UserError(Exception):
    """An error that the user can fix.

    The message says in one or two lines what was got, where, and what to do. The command line prints it on standard
    error and exits with code 2; in Python it is raised like any exception.

    Example:
        >>> Digits(classes=[3, 12])
        Traceback (most recent call last):
            ...
        lightning_nn.errors.UserError: there is no digit 12
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name.

    Args:
        name: as given.
        known: all valid names; one that comes twice is listed once.

    Returns:
        `"; did you mean 'han'?"` if one is near, otherwise the list of names there are.
    """
    names = list(dict.fromkeys(known))
    lower = {choice.lower(): choice for choice in reversed(names)}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {lower[near[0]]!r}?"
    return f"; there are: {', '.join(names)}" if names else ""


def choose(argument: str, value: str, choices: Any) -> None:
    """Refuse a value that is none of the choices.

    Args:
        argument: its name.
        value: as given.
        choices: a `Literal` type.

    Raises:
        UserError: the value is unknown; the message names the nearest choice.
    """
    if value not in get_args(choices):
        raise UserError(f"{argument} is {value!r}{nearest(str(value), get_args(choices))}")
