"""Opening of files of text: binary ones refused, gzip unpacked within bounds, bytes decoded to lines."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lightning_nn.errors import UserError, nearest

HEAD = 4096  # bytes to look at: the first names in a zip archive tell the kind of Office file

_UNPACK = "unpack it and give the files in it"
_SAVE = "save its texts as CSV (UTF-8) or .txt"
_ZIPPED = (
    (b"xl/", "an Excel workbook", "rename it to .xlsx, or save it as CSV (UTF-8)"),
    (b"word/", "a Word document", _SAVE),
    (b"ppt/", "a PowerPoint file", _SAVE),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", _SAVE),
    (b"[Content_Types].xml", "an Office file", _SAVE),
    (b"", "a zip archive", _UNPACK),
)
_SIGNATURES = (
    (b"\x1f\x8b", "a gzip file", "end its name in .gz, as in train.csv.gz"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.xls or .doc)", "save it as .xlsx or CSV (UTF-8)"),
    (b"%PDF-", "a PDF document", _SAVE),
    (b"{\\rtf", "an RTF document", _SAVE),
    (b"\x89PNG\r\n", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF87a", "a GIF picture", ""),
    (b"GIF89a", "a GIF picture", ""),
    (b"BZh91AY&SY", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"(\xb5/\xfd", "a Zstandard file", _UNPACK),
    (b"7z\xbc\xaf'\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV (UTF-8)"),
    (b"ARROW1\0\0", "an Arrow file", "save it as .parquet or CSV (UTF-8)"),
    (b"\x89HDF\r\n", "an HDF5 file", "save it as .parquet or CSV (UTF-8)"),
    (b"\x93NUMPY", "a NumPy array", "save the texts as CSV (UTF-8)"),
    (b"\x80\x04\x95", "a Python pickle", "save the texts as CSV (UTF-8) or JSON lines"),
)
_TEXTS = "expected text: one document a line, or a table (.csv, .tsv, .jsonl)"


def binary_kind(head: bytes) -> tuple[str, str] | None:
    """Return what a binary file is, as "a PDF document", and the remedy; None if the bytes may be text.

    Args:
        head: the first bytes, `HEAD` of them if there are so many.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next((kind, remedy) for mark, kind, remedy in _ZIPPED if mark in head)
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    return next(((kind, remedy or _TEXTS) for mark, kind, remedy in _SIGNATURES if head.startswith(mark)), None)


def refuse_binary(head: bytes, name: str) -> None:
    """Refuse a binary file by its first bytes.

    Raises:
        UserError: names what it is, and the remedy.
    """
    if kind := binary_kind(head):
        raise UserError(f"{name} is {kind[0]}, not text: {kind[1]}")


def peek(stream: BinaryIO) -> bytes:
    """Return the first bytes of a buffered stream that wasn't read yet, without moving on."""
    return stream.peek(HEAD)[:HEAD] if isinstance(stream, io.BufferedReader) else b""


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


_FREE = 1 << 26  # bytes up to which any ratio is accepted
_RATIO = 200  # gzip shrinks text to a third or a tenth, and the same line over and over to a few hundredths
_TOO_MUCH = "{file} unpacks to over {size} MB, {ratio} times its size, which no text does: unpack it if you trust it"


def check_unpacked(file: Path, unpacked: int) -> None:
    """Refuse a file that says it unpacks to so many bytes that it can't be text.

    Raises:
        UserError: names the bound.
    """
    limit = max(_FREE, _RATIO * file.stat().st_size)
    if unpacked > limit:
        raise UserError(_TOO_MUCH.format(file=file, size=limit >> 20, ratio=_RATIO))


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is called .gz and is one."""
    with file.open("rb") as packed:
        if file.suffix.lower() == ".gz" and packed.peek(2).startswith(b"\x1f\x8b"):
            with io.BufferedReader(Unpacked(packed, file), 1 << 16) as stream:
                yield stream
        else:
            yield packed


class Unpacked(io.RawIOBase):
    """A gzip file, unpacked as it is read.

    Raises:
        UserError: damaged, or so much larger than the file that it can't be text.
    """

    def __init__(self, packed: BinaryIO, file: Path) -> None:
        self._file, self._gzip = file, gzip.GzipFile(fileobj=packed, mode="rb")
        self._limit = max(_FREE, _RATIO * os.fstat(packed.fileno()).st_size)
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read up to as many bytes as the buffer holds."""
        try:
            count = self._gzip.readinto(buffer)
        except (OSError, EOFError) as error:
            raise UserError(f"{self._file} is damaged or not complete ({error}); pack or copy it again") from None
        self._count += count
        if self._count > self._limit:
            raise UserError(_TOO_MUCH.format(file=self._file, size=self._limit >> 20, ratio=_RATIO))
        return count


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
