"""Decoding of bytes to lines of text, with a remedy in the error for bytes that can't be decoded."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from lightning_nn.data.text.signatures import HEAD, peek, refuse_binary
from lightning_nn.errors import UserError, nearest


def check_encoding(encoding: str) -> None:
    """Check that this is a known text encoding.

    Raises:
        UserError: it is not; the nearest one is named.
    """
    known = ("utf-8", "gb18030", "big5", "utf-16", "latin-1", "cp1252", "shift_jis")
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise UserError(f"unknown encoding {encoding!r}{nearest(encoding, known)}") from None


class DecodingError(UserError):
    """Bytes that are not in the stated encoding."""


def read_lines(
    stream: BinaryIO, name: str, encoding: str | None = None, bad: Callable[[int, str], object] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield lines, including their line ends, with their numbers from 1; a byte order mark is dropped.

    Args:
        stream: binary stream.
        name: of the file, for errors.
        encoding: a Python codec; None for files that must be UTF-8, whose errors don't suggest another encoding.
        bad: takes number and error of a line with bytes that are not in this encoding, which is then read with U+FFFD
            in their place; None to raise the error. Those of UTF-16 are always raised.

    Raises:
        UserError: bytes that are not in this encoding, or lines that end in a lone CR; names file, line and remedy.
    """
    refuse_binary(peek(stream), name)
    if encoding and "\n".encode(encoding) != b"\n":  # UTF-16 and the like can't be split as bytes
        number, text = 0, io.TextIOWrapper(stream, encoding, newline="\n")
        try:
            for number, line in enumerate(text, 1):
                yield number, _with_end(line.removeprefix("\ufeff"), name, number)
        except UnicodeError as error:
            raise UserError(f"{name}:{number + 1}: not {encoding}: {error}; use --data.encoding NAME") from None
        finally:
            text.detach()
        return
    utf8 = False
    for number, raw in enumerate(stream, 1):
        try:
            line = decode(raw, encoding, name, number, after_utf8=utf8)
        except DecodingError as error:
            if bad is None:
                raise
            bad(number, str(error))
            line = raw.decode(encoding or "utf-8", "replace")
        utf8 = utf8 or _wide(line) > 0
        yield number, _with_end(line, name, number)


def decode(raw: bytes, encoding: str | None, name: str, line: int = 1, *, after_utf8: bool = False) -> str:
    """Decode the bytes of one or more lines.

    Args:
        raw: the bytes.
        encoding: see `read_lines`.
        name: of the file, for errors.
        line: number of the first line, from 1.
        after_utf8: whether earlier lines held multi-byte UTF-8, which bytes of another encoding rarely form.

    Raises:
        UserError: see `read_lines`.
    """
    codec = encoding or "utf-8"
    if line == 1:
        refuse_binary(raw[:HEAD], name)
    if line == 1 and codecs.lookup(codec).name == "utf-8":
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        remedy = _remedy(raw, encoding, first=line == 1, after_utf8=after_utf8)
        line += raw.count(b"\n", 0, error.start)
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise DecodingError(
            f"{name}:{line}: byte {raw[error.start]:#04x} at position {column} is not {codec}; {remedy}"
        ) from None
    if line == 1 and 4 * text.count("\0") > len(text):
        raise UserError(f"{name}:1: {text.count(chr(0))} of {len(text)} characters are NUL; {_utf16(raw, encoding)}")
    return text


def _remedy(raw: bytes, encoding: str | None, *, first: bool, after_utf8: bool) -> str:
    if encoding is None:
        return "save the file in UTF-8"
    if first and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "use --data.encoding utf-16"
    if 8 * raw.count(0) > len(raw):
        return _utf16(raw, encoding)
    text = raw.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        after_utf8 = True
    if after_utf8 or _wide(text) - damaged > damaged:
        return "the file is damaged or in another encoding (--data.encoding NAME)"
    return "if this is an older Chinese file, use --data.encoding gb18030"


def _utf16(raw: bytes, encoding: str | None) -> str:
    order = "be" if raw[::2].count(0) > raw[1::2].count(0) else "le"
    return f"if this is UTF-16, use --data.encoding utf-16-{order}" if encoding else "save the file in UTF-8"


def _wide(text: str) -> int:
    """Count the characters of three bytes or more in UTF-8, which bytes of another encoding rarely form."""
    return 0 if text.isascii() else sum(character > "\u07ff" for character in text)


def _with_end(line: str, name: str, number: int) -> str:
    """Return the line; refuse a first line that ends without a line feed but holds carriage returns."""
    if number == 1 and not line.endswith("\n") and "\r" in line.rstrip("\r"):
        raise UserError(f"{name}: lines end in a lone CR; save the file with LF line ends")
    return line
