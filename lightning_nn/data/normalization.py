"""Normalization of text: the same characters for the same text, whatever device it was typed on."""

from __future__ import annotations

import html
import re
import unicodedata

LINE_BREAKS = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")


# Control characters, invisible format characters (also joiners and variation selectors of emoji), lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f\ufff9-\ufffb"
    "\ud800-\udfff]"
)


# Full-width letters, digits and space to half width; Chinese punctuation is unchanged.
_HALF_WIDTH = {code: code - 0xFEE0 for a, b in ("09", "AZ", "az") for code in range(ord(a) + 0xFEE0, ord(b) + 0xFEE1)}

_HALF_WIDTH[0x3000] = 0x20


def normalize_text(text: str) -> str:
    """Normalize a text for word segmentation.

    Characters are composed (Unicode NFC), full-width letters, digits and spaces become half-width, every kind of line
    break becomes a newline; control characters, invisible format characters and lone surrogates are dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", LINE_BREAKS.sub("\n", text))
    return unicodedata.normalize("NFC", text.translate(_HALF_WIDTH))


def comparable(name: str) -> str:
    """Return the name of a file as it compares with others: accents composed, letters of either case alike."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
_BREAK_SIGNS = re.compile(r"(?:\\r)?\\n")

# Words that begin as paths or formulas do: C:\new, \\server\new, ..\new, %TEMP%\new, $\nu$.
_PATH = re.compile(r"""((?<!\S)["'(\[]*(?:[A-Za-z]:|\\|\.{1,2}|%\w+%|\$)\\(?!n(?:[^a-z]|\Z))\S*)""")

_CERTAIN_BREAK = re.compile(
    r"""(?<=[.!?…:])\\n
        |(?<!\s)\\n\Z
        |\\n(?:\\r|\\n|\s*(?:[^\Wa-z]|["'“‘]\w|[^\w\s"'`)\]}/,;.+?|\\]))   # not "\n" in quotation marks, nor \new
    """,
    re.VERBOSE,
)
_GLUED = re.compile(r"[a-z0-9]\\n[a-z]")


def unescape(text: str) -> str:
    r"""Read signs written in place of others: entities such as `&amp;`, `<br>`, the two signs `\n`, and `\"`.

    The two signs `\n` are line breaks in a text without line breaks of its own where one of them at least can hardly be
    anything else; elsewhere they stay, as in `C:\new`, `CORP\nick` and `$\nu$`. Tags other than `<br>` stay.
    """
    if "\\" in text and not LINE_BREAKS.search(text):
        parts = _PATH.split(text)  # every second one is a path
        glued = sum(_GLUED.search(word) is not None for part in parts[::2] for word in part.split())
        breaks = glued > 1 or any(map(_CERTAIN_BREAK.search, parts[::2]))
        parts[::2] = [(_BREAK_SIGNS.sub("\n", part) if breaks else part).replace('\\"', '"') for part in parts[::2]]
        text = "".join(parts)
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _BREAK_TAG.sub("\n", text) if "<" in text else text
