"""Writers of predictions as terminal lines, CSV, JSON lines or a page, from the fields of any NamedTuple.

A field that is a uint8 array is an image: (H, W, 3) is RGB, (H, W) a mask with the class index of each pixel. Beside a
CSV or JSONL file it becomes a PNG, and the field holds its path; a mask keeps its indices, with colours as a palette.
A field `image` beside a `mask` is what the mask is of: the two become `overlay`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TextIO, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.cells import set_cell_size

from lightning_nn.runs.atomic_file import write_atomically, writing
from lightning_nn.sanitize import sanitize
from lightning_nn.tasks.artifacts import Prediction
from lightning_nn.visualization.markup import LONGEST, TAIL, figure_tag, head, html_text
from lightning_nn.visualization.segmentation import colour_table, overlay

Form = Literal["terminal", "csv", "jsonl", "html"]
Write = Callable[[Any, Prediction], None]

_SUFFIXES: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".html": "html", ".htm": "html"}
_FORMULA = tuple("=+-@＝＋－＠")  # characters with which a formula starts in a spreadsheet
_NAME = 150  # bytes of an input's name that go into the name of its image


def choose_form(out: Path | None, given: Form | None) -> Form:
    """Choose the form of predictions: as given, by the file's suffix, or lines for a terminal and CSV elsewhere.

    Args:
        out: the file; None for standard output.
        given: value of --format, if any.
    """
    if given is not None:
        return given
    if out is not None:
        return _SUFFIXES.get(out.suffix.lower(), "csv")
    return "terminal" if sys.stdout.isatty() else "csv"


@contextmanager
def writer(out: Path | None, form: Form, title: str) -> Iterator[Write]:
    """Open a function that writes an input and its prediction.

    Args:
        out: the file, which appears once it holds all predictions; None for standard output.
        form: see `choose_form`.
        title: title of a page.

    Raises:
        UserError: the file can't be written.
    """
    if out is None:
        with _written(sys.stdout, form, title, None) as write:
            yield write
        sys.stdout.flush()
    else:
        images = _ImageFiles(out) if out.is_file() or not out.exists() else None  # no files beside a pipe or device
        with writing(out) as stream, _written(stream, form, title, images) as write:
            yield write


@contextmanager
def _written(stream: TextIO, form: Form, title: str, images: _ImageFiles | None) -> Iterator[Write]:
    if form == "html":
        with _page(stream, title) as write:
            yield write
    elif form == "terminal":
        width = shutil.get_terminal_size().columns
        yield lambda raw, prediction: print(terminal_line(raw, prediction, width), file=stream)
    elif form == "jsonl":
        yield lambda raw, prediction: print(json_line(raw, _with_paths(raw, prediction, images)), file=stream)
    else:
        with _csv(stream, images) as write:
            yield write


@contextmanager
def _csv(stream: TextIO, images: _ImageFiles | None) -> Iterator[Write]:
    rows = csv.writer(stream, lineterminator="\n")
    headers: list[list[str]] = []

    def write(raw: Any, prediction: Prediction) -> None:
        if not headers:  # written with the first prediction, so never before an error
            headers.append(["input", *_fields(prediction)])
            rows.writerows(headers)
        rows.writerow([cell(raw), *map(cell, _with_paths(raw, prediction, images).values())])

    yield write
    if not headers:
        rows.writerow(["input"])


def cell(value: Any) -> str:
    """Return a value as the text of a table cell that no terminal obeys and no spreadsheet reads as a formula.

    Args:
        value: fractions get four decimals, None becomes empty, and lists become JSON.
    """
    if value is None:
        return ""
    if isinstance(value, str | Path):
        text = sanitize(str(value))
        return f"'{text}" if text.startswith(_FORMULA) else text
    if isinstance(value, Real):
        return str(value) if isinstance(value, Integral) else f"{value:.4f}"
    return sanitize(_json(value))


def terminal_line(raw: Any, prediction: Prediction, width: int) -> str:
    """Return a prediction and its input as one line.

    Args:
        raw: the input.
        prediction: a NamedTuple.
        width: maximal number of columns.
    """
    parts = []
    for value in _fields(prediction).values():
        if is_image(value):
            parts.append(_size(value))
        elif isinstance(value, Real) and not isinstance(value, Integral):
            parts.append(f"{value:.3f}")
        else:
            parts.append(sanitize(str(value)))
    return set_cell_size("  ".join([*parts, sanitize(str(raw))]), width).rstrip()


def json_line(raw: Any, fields: dict[str, Any]) -> str:
    """Return an input and the fields of its prediction as one line of JSON.

    Characters that a terminal would obey are escaped, so nothing is lost; numbers that are not finite become null.
    """
    return _json({"input": str(raw), **fields})


def _json(value: Any) -> str:
    text = json.dumps(_finite(value), ensure_ascii=False, default=_listed)
    if text.isprintable():
        return text
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(json.dumps(c)[1:-1] if unicodedata.category(c) in unsafe else c for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _listed(value: Any) -> Any:
    """Convert arrays, tensors and their numbers to Python's, anything else to text."""
    return _finite(value.tolist()) if hasattr(value, "tolist") else str(value)


def is_image(value: Any) -> TypeGuard[NDArray[np.uint8]]:
    """Return whether a field is an image: uint8, (H, W, 3) or a mask (H, W)."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)


class _ImageFiles:
    """PNG files beside a table, in one folder per field, named after the inputs."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.written: dict[str, set[str]] = {}  # names of files, by field
        self.last: dict[Path, int] = {}  # number of the last file with this name

    def write(self, raw: Any, field: str, image: NDArray[np.uint8]) -> Path:
        names = self.written.setdefault(field, set())
        stem = sanitize(raw.stem if isinstance(raw, Path) else "") or f"{len(names) + 1:06}"
        stem = stem.encode("utf-8")[:_NAME].decode("utf-8", "ignore")
        folder = self.out.with_name(f"{self.out.stem}-{field}")
        name, number = stem, self.last.get(folder / stem, 1)
        while name in names:  # inputs in several folders may share a name
            number += 1
            name = f"{stem}-{number}"
        names.add(name)
        self.last[folder / stem] = number
        file = folder / f"{name}.png"
        write_atomically(file, lambda stream: stream.write(_png(image)))
        return file


def _with_paths(raw: Any, prediction: Prediction, images: _ImageFiles | None) -> dict[str, Any]:
    """Return a prediction's fields, with the path of the file for an image, or its size if no file is written."""
    fields = _fields(prediction)
    for name, value in fields.items():
        if is_image(value):
            fields[name] = _size(value) if images is None else images.write(raw, name, value)
    return fields


def _fields(prediction: Prediction) -> dict[str, Any]:
    """Return the fields of a prediction by name, with the mask laid over its image in place of that image."""
    fields = dict(prediction._asdict())
    if "mask" in fields and "image" in fields:
        fields["overlay"] = overlay(fields.pop("image"), fields["mask"])
    return fields


def _png(image: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(image)
    if image.ndim == 2:
        picture.putpalette(colour_table().tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} image"


@contextmanager
def _page(stream: TextIO, title: str) -> Iterator[Write]:
    def write(raw: Any, prediction: Prediction) -> None:
        stream.write(article(raw, prediction))

    stream.write(head(title))
    yield write
    stream.write(TAIL)


def article(raw: Any, prediction: Prediction) -> str:
    """Return a prediction as HTML: the first text as a heading, the other fields, the images, the input."""
    fields = _fields(prediction)
    images = [figure_tag(_read(raw), raw.name)] if isinstance(raw, Path) else []
    images += [figure_tag(_coloured(value), name) for name, value in fields.items() if is_image(value)]
    others = {name: value for name, value in fields.items() if not is_image(value)}
    heading = next((name for name, value in others.items() if isinstance(value, str)), None)
    title = html_text(str(others.pop(heading))) if heading else ""
    rest = ", ".join(f"{html_text(name)} {html_text(cell(value))}" for name, value in others.items())
    parts = [
        f"<h2>{title}</h2>" if title else "",
        f'<p class="soft">{rest}</p>' if rest else "",
        f'<div class="images">{"".join(images)}</div>' if images else "",
        "" if isinstance(raw, Path) else f'<p dir="auto">{html_text(str(raw))}</p>',
    ]
    return "<article>\n" + "\n".join(filter(None, parts)) + "\n</article>\n"


def _coloured(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return colour_table()[image] if image.ndim == 2 else image


def _read(path: Path) -> NDArray[np.uint8]:
    """Read an input image, upright and reduced to the size at which a page shows it."""
    with Image.open(path) as picture:
        picture.thumbnail((LONGEST, LONGEST))
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
