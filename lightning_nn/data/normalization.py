"""Text in one form: the same characters for the same text, whatever it was typed on."""

from __future__ import annotations

import re
import unicodedata

LINE_BREAKS = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")


# Control characters, invisible format characters (with the joiners and variants of emoji) and lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f\ufff9-\ufffb"
    "\ud800-\udfff]"
)


# Full-width letters, digits and space to their usual form; Chinese punctuation stays as it is.
_HALF_WIDTH = {code: code - 0xFEE0 for a, b in ("09", "AZ", "az") for code in range(ord(a) + 0xFEE0, ord(b) + 0xFEE1)}

_HALF_WIDTH[0x3000] = 0x20


def normalize_text(text: str) -> str:
    """Text as segmenters see it.

    Composed characters (Unicode NFC), letters and digits of full width in their usual form, every kind of line break
    as a newline; control characters, invisible format characters and lone surrogates are dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", LINE_BREAKS.sub("\n", text))
    return unicodedata.normalize("NFC", text.translate(_HALF_WIDTH))
