"""Untrusted text made safe to show: texts, labels and file names come from anyone."""

from __future__ import annotations

import re
import unicodedata

# Colours and sequences for a terminal (CSI ... letter, OSC ... bell or ST), before their control characters go.
_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?")


def sanitize(text: str) -> str:
    """Text with everything removed that a terminal or a page would act on.

    Terminal sequences, control characters, invisible format characters (reversed writing among them) and lone
    surrogates are dropped; line breaks become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(r"[\t-\r\x85\u2028\u2029]+", " ", _SEQUENCE.sub("", text))
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
