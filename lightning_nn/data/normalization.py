"""Normalization of text: the same characters for the same text, whatever device it was typed on."""

from __future__ import annotations

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
