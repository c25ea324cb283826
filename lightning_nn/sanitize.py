"""Sanitizing and shortening of untrusted text (texts, labels, file names), so that it is safe to show."""

from __future__ import annotations

import re
import unicodedata

# Terminal sequences (CSI ... letter, OSC ... bell or ST), removed before their control characters are.
_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?")

_FORMULA = tuple("=+-@＝＋－＠\t\r")  # characters with which a formula starts in a spreadsheet
_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)?([eE][+-]?\d+)?%?")  # or a sign alone, which is no formula


def sanitize(text: str) -> str:
    """Remove everything from a text that a terminal or a page would act on.

    Terminal sequences, control characters, invisible format characters (such as those that reverse the direction of
    writing) and lone surrogates are removed; line breaks become spaces. Bytes of a file name that are not UTF-8 are
    written as \\xd5.
    """
    if text.isprintable():
        return text
    text = re.sub(r"[\t-\r\x85\u2028\u2029]+", " ", _SEQUENCE.sub("", text))
    return "".join(c for c in _with_bytes(text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def without_controls(text: str) -> str:
    """Remove control characters but tabs and line breaks, and lone surrogates: no terminal obeys what is left.

    For cells of a table, which otherwise stay as they are. Bytes of a file name that are not UTF-8 are written as
    \\xd5.
    """
    if text.isprintable():
        return text
    return "".join(c for c in _with_bytes(text) if c in "\t\n\r" or unicodedata.category(c) not in ("Cc", "Cs"))


def shorten(text: str, width: int = 120) -> str:
    """Truncate a text to at most `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."


def _with_bytes(text: str) -> str:
    """Write out the bytes for which Python puts surrogates into the names of files."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet may read a text as a formula: numbers such as -1 are none.

    Some programs drop a tab or a line end at the beginning and read what follows.
    """
    return text.lstrip("\n").startswith(_FORMULA) and not _NUMBER.fullmatch(text)
