"""Decoding of bytes to lines of text, with a remedy in the error for bytes that can't be decoded."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from lightning_nn.data.text.encodings import suggest_encoding
from lightning_nn.data.text.signatures import HEAD, peek, refuse_binary
from lightning_nn.errors import UserError, nearest

UNDECODED = re.compile("[\udc80-\udcff]")  # Python's surrogateescape
_DESCRIBED = {
    "gb18030": "an older Chinese file",
    "big5": "a file in traditional Chinese",
    "shift_jis": "a Japanese file",
    "cp1252": "a Western file",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
}


class DecodingError(UserError):
    """Bytes that are not in the stated encoding.

    Attributes:
        damaged: whether the rest may be in this encoding.
    """

    def __init__(self, message: str, *, damaged: bool) -> None:
        super().__init__(message)
        self.damaged = damaged


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


def read_lines(
    stream: BinaryIO, name: str, encoding: str | None = None, *, lenient: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield lines, including their line ends, with their numbers from 1; byte order marks are dropped.

    Args:
        stream: binary stream.
        name: of the file, for errors.
        encoding: a Python codec; None for files that must be UTF-8, whose errors don't suggest another encoding.
        lenient: keep bytes that are not in this encoding as `UNDECODED` characters.

    Raises:
        UserError: a binary file, bytes that are not in this encoding, or lines that end in a lone CR; names file, line
            and remedy.
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
    utf8, codec = False, encoding or "utf-8"
    for number, raw in enumerate(stream, 1):
        try:
            line = raw.decode(codec) if number > 1 else decode(raw, encoding, name, lenient=lenient, more=peek(stream))
        except UnicodeDecodeError:
            line = decode(raw, encoding, name, number, after_utf8=utf8, lenient=lenient, more=peek(stream))
        utf8 = utf8 or _wide(line) > 0
        yield number, _with_end(line, name, number) if number == 1 else line.removeprefix("\ufeff")  # of joined files


def decode(
    raw: bytes,
    encoding: str | None,
    name: str,
    line: int = 1,
    *,
    after_utf8: bool = False,
    lenient: bool = False,
    more: bytes = b"",
) -> str:
    """Decode the bytes of one or more lines.

    Args:
        raw: the bytes.
        encoding: see `read_lines`.
        name: of the file, for errors.
        line: number of the first line, from 1.
        after_utf8: whether earlier lines held multi-byte UTF-8, which bytes of another encoding rarely form.
        lenient: see `read_lines`; UTF-16 is refused all the same.
        more: bytes after these, which also tell the encoding.

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
        if lenient and not raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return raw.decode(codec, "surrogateescape")
        more = more.rpartition(b"\n")[0]
        is_utf8 = "\ufffd" not in more.decode("utf-8", "replace")
        suggested = _suggest(raw if is_utf8 else raw + more, encoding, first=line == 1, after_utf8=after_utf8)
        line += raw.count(b"\n", 0, error.start)
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise DecodingError(
            f"{name}:{line}: byte {raw[error.start]:#04x} at position {column} is not {codec}; "
            f"{_remedy(encoding, suggested)}",
            damaged=suggested in (None, "cp1252"),
        ) from None
    if line == 1 and 4 * text.count("\0") > len(text):
        remedy = _remedy(encoding, _suggest(raw, encoding, first=True, after_utf8=False))
        raise UserError(f"{name}:1: {text.count(chr(0))} of {len(text)} characters are NUL; {remedy}")
    return text


def encoding_remedy(raw: bytes, encoding: str) -> str:
    """Return what to do about some bytes that are not in the stated encoding."""
    return _remedy(encoding, _suggest(raw, encoding, first=False, after_utf8=False))


def _suggest(raw: bytes, encoding: str | None, *, first: bool, after_utf8: bool) -> str | None:
    """Return the encoding that bytes seem to be in; None if they seem to be damaged."""
    text = raw.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    suggested = suggest_encoding(raw)
    if suggested == encoding or (suggested == "utf-16" and not first) or after_utf8 or _wide(text) - damaged > damaged:
        return None
    return suggested


def _remedy(encoding: str | None, suggested: str | None) -> str:
    if encoding is None:
        return "save the file in UTF-8"
    if suggested is None:
        return "the file is damaged or in another encoding (--data.encoding NAME)"
    return f"if this is {_DESCRIBED[suggested]}, use --data.encoding {suggested}"


def _wide(text: str) -> int:
    """Count the characters of three bytes or more in UTF-8, which bytes of another encoding rarely form."""
    return 0 if text.isascii() else sum(character > "\u07ff" for character in text)


def _with_end(line: str, name: str, number: int) -> str:
    """Return the line; refuse a first line that ends without a line feed but holds carriage returns."""
    if number == 1 and not line.endswith("\n") and "\r" in line.rstrip("\r"):
        raise UserError(f"{name}: lines end in a lone CR; save the file with LF line ends")
    return line
