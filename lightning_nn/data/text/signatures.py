"""Recognition of binary files by their first bytes, whatever they are called."""

from __future__ import annotations

import io
from typing import BinaryIO

from lightning_nn.errors import UserError

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
