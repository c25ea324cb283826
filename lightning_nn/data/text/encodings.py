"""Suggestion of an encoding for bytes that are not UTF-8: whatever decodes them to sense."""

from __future__ import annotations

import codecs
import re

_EAST_ASIAN = {  # bytes of the signs that make up most of a text in these encodings
    "gb18030": re.compile(rb"[\xb0-\xf7][\xa1-\xfe]|\xa1[\xa1-\xbf]|\xa3[\xa1-\xfe]"),
    "big5": re.compile(rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]|\xa1[\x40-\x7e\xa1-\xfe]"),
    "shift_jis": re.compile(rb"\x82[\x4f-\xf1]|\x83[\x40-\x96]|\x81[\x40-\xac]|[\x88-\x97][\x40-\xfc]"),
}
_OUTSIDE_ASCII = re.compile(rb"[\x80-\xff]")
_ALONE = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_SENSE = 0.8  # share of the bytes outside ASCII that make sense


def suggest_encoding(raw: bytes) -> str | None:
    """Return the encoding that decodes bytes to sense, None if there is no telling.

    Args:
        raw: some text that is not UTF-8.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 8 * raw.count(0) > len(raw):
        return "utf-16-be" if raw[::2].count(0) > raw[1::2].count(0) else "utf-16-le"
    outside = len(_OUTSIDE_ASCII.findall(raw))
    if not outside:
        return None
    # accents, quotation marks and dashes of European languages stand alone between many ASCII letters
    if 2 * len(_ALONE.findall(raw)) >= outside and len(raw) >= 3 * outside and _decodes(raw, "cp1252"):
        return "cp1252"
    for encoding, signs in _EAST_ASIAN.items():
        inside = sum(len(_OUTSIDE_ASCII.findall(pair)) for pair in signs.findall(raw))
        if inside >= _SENSE * outside and _decodes(raw, encoding):
            return encoding
    return None


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
