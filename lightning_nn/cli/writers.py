"""Writers of predictions as terminal lines, CSV, JSON lines, a page or a picture, from the fields of any NamedTuple.

A field that is a uint8 array is an image: (H, W, 3) is RGB, (H, W) a mask with the class index of each pixel. Beside a
CSV or JSONL file it becomes a PNG, and the field holds its path; a mask keeps its indices, with colours as a palette.
A field `image` beside a `mask` is what the mask is of: the two become `overlay`. A field `legend` names the classes of
masks with their colours, which also stand in `classes.csv` beside the masks. A field `settings` beside an image is also
written into its file.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TextIO, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.cells import set_cell_size

from lightning_nn.cli.overwriting import InputFiles
from lightning_nn.data.images.conversion import ImageForm, UnscaledImageError
from lightning_nn.data.images.reading import PixelLimit, read_image
from lightning_nn.data.processor import Record
from lightning_nn.errors import UserError
from lightning_nn.runs.atomic_file import write_atomically, write_text, writing
from lightning_nn.sanitize import is_formula, sanitize, without_controls
from lightning_nn.tasks.artifacts import Legend, Prediction
from lightning_nn.visualization.images import png
from lightning_nn.visualization.pages import LONGEST, open_page, render
from lightning_nn.visualization.segmentation import colour_table, legend_csv, named_colours, overlay

Form = Literal["terminal", "csv", "jsonl", "html", "png"]
Write = Callable[[Record, Prediction], None]

_SUFFIXES: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".html": "html", ".htm": "html", ".png": "png"}
_NAME = 150  # bytes of an input's name that go into the name of its image


def choose_form(out: Path | None, asked: Form | None) -> Form:
    """Choose the form of predictions: as given, by the file's suffix, or lines for a terminal and CSV elsewhere.

    Args:
        out: the file; None for standard output.
        asked: value of --format, if any.
    """
    if asked is not None:
        return asked
    if out is not None:
        return _SUFFIXES.get(out.suffix.lower(), "csv")
    return "terminal" if sys.stdout.isatty() else "csv"


@contextmanager
def writer(
    out: Path | None,
    form: Form,
    title: str,
    *,
    guard: bool = True,
    say: Callable[[str], None] = lambda _: None,
    inputs: InputFiles | None = None,
) -> Iterator[Write]:
    """Open a function that writes an input and its prediction.

    Args:
        out: the file, which appears once it holds all predictions; None for standard output.
        form: see `choose_form`.
        title: title of a page.
        guard: put a ' before texts that a spreadsheet would read as a formula; only in CSV.
        say: prints a remark for the user, such as which files were replaced.
        inputs: files that no picture may replace.

    Raises:
        UserError: a file can't be written, or is an input.
    """
    if out is None:
        with _written(sys.stdout, form, title, None, guard, say) as write:
            yield write
        sys.stdout.flush()
        return
    replaced = [str(out)] * out.is_file()
    if form == "png":
        with _one_picture(out) as write:
            yield write
    else:
        beside = out.is_file() or not out.exists()  # a pipe or a device has no files beside it
        images = _ImageFiles(out, inputs or InputFiles()) if beside else None
        with writing(out) as stream, _written(stream, form, title, images, guard, say) as write:
            yield write
        replaced += images.replaced() if images else []
    if replaced:
        say(f"replaced: {', '.join(replaced)}")


@contextmanager
def _one_picture(out: Path) -> Iterator[Write]:
    """Write the first image of the only prediction."""
    written: list[bytes] = []

    def write(record: Record, prediction: Prediction) -> None:
        if record.error:
            return
        fields = columns(prediction)
        images = [value for _, value in fields if is_image(value)]
        if not images:
            raise UserError(f"--out {out}: these predictions are no pictures; name a .csv, .jsonl or .html file")
        if written:
            raise UserError(
                f"--out {out} holds one picture, and there are several: name a .csv file; they go beside it"
            )
        written.append(_png(images[0], _settings(fields), _legend(prediction)))

    yield write
    if written:
        write_atomically(out, lambda stream: stream.write(written[0]))


@contextmanager
def _written(
    stream: TextIO, form: Form, title: str, images: _ImageFiles | None, guard: bool, say: Callable[[str], None]
) -> Iterator[Write]:
    rows = Rows(stream, form, guard, say)
    width = shutil.get_terminal_size().columns

    def write(record: Record, prediction: Prediction) -> None:
        if form == "html":
            stream.write(refusal(record.error) if record.error else article(record.raw, prediction))
        elif form == "terminal":
            line = f"error  {sanitize(record.error)}" if record.error else terminal_line(record.raw, prediction, width)
            print(line, file=stream)
        else:
            fields = columns(prediction)
            if not record.error:
                about = _settings(fields)
                if images is not None:
                    images.begin(name for name, value in fields if is_image(value))
                legend = _legend(prediction)
                fields = [(name, _with_path(record.raw, name, value, images, about, legend)) for name, value in fields]
            rows.write(record, fields)
        stream.flush()

    head, tail = open_page(title) if form == "html" else ("", "")
    if form == "html":
        stream.write(head)
    elif form == "csv" and images is not None:
        stream.write("\ufeff")  # a spreadsheet takes a file without it for one of an 8-bit encoding
    yield write
    if form == "html":
        stream.write(tail)
    elif form in ("csv", "jsonl"):
        rows.end()


def columns(prediction: Prediction) -> list[tuple[str, Any]]:
    """Return name and value of each column of a prediction.

    A field that is a dictionary has a column for each of its keys. A mask and its image become the mask and an overlay.
    """
    fields = dict(prediction._asdict())
    legend = fields.pop("legend", None)
    if "mask" in fields and "image" in fields:
        fields["overlay"] = overlay(fields.pop("image"), fields["mask"], legend)
    named = [value if isinstance(value, dict) else {name: value} for name, value in fields.items()]
    return [column for field in named for column in field.items()]


def terminal_line(raw: Any, prediction: Prediction, width: int) -> str:
    """Return a prediction and its input as one line.

    Args:
        raw: the input.
        prediction: a NamedTuple.
        width: maximal number of columns.
    """
    parts = []
    for name, value in columns(prediction):
        if is_image(value):
            parts.append(_size(value))
        elif isinstance(value, Real) and not isinstance(value, Integral):
            parts.append(f"{value:.3f}" if name in prediction._fields else f"{sanitize(name)} {value:.3f}")
        else:
            parts.append(sanitize(str(value)))
    return set_cell_size("  ".join([*parts, sanitize(str(raw))]), width).rstrip()


def is_image(value: Any) -> TypeGuard[NDArray[np.uint8]]:
    """Return whether a field is an image: uint8, (H, W, 3) or a mask (H, W)."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)


class _ImageFiles:
    """PNG files beside a table, in one folder per field, named after the inputs.

    Args:
        out: the table.
        inputs: files that must not be replaced.
    """

    def __init__(self, out: Path, inputs: InputFiles) -> None:
        self.out, self.inputs = out, inputs
        self.written: dict[str, set[str]] = {}  # names of files, by field
        self.last: dict[Path, int] = {}  # number of the last file with this name
        self._replaced: Counter[Path] = Counter()  # files by folder

    def begin(self, fields: Iterable[str]) -> None:
        """Check the folder of each field before its first file is written.

        Raises:
            UserError: a folder holds an input.
        """
        new = [field for field in fields if field not in self.written]
        for field in new:
            self.inputs.refuse_folder(self._folder(field), f"--out {self.out}")
        self.written.update((field, set()) for field in new)

    def replaced(self) -> list[str]:
        """Return how many files were replaced, by folder."""
        return [f"{count:,} file{'s' * (count > 1)} in {folder}" for folder, count in self._replaced.items() if count]

    def _folder(self, field: str) -> Path:
        return self.out.with_name(f"{self.out.stem}-{field}")

    def write(self, raw: Any, field: str, image: NDArray[np.uint8], settings: str, legend: Legend | None) -> Path:
        names = self.written[field]
        stem = sanitize(raw.stem if isinstance(raw, Path) else "") or f"{len(names) + 1:06}"
        stem = stem.encode("utf-8")[:_NAME].decode("utf-8", "ignore")
        folder = self._folder(field)
        name, number = stem, self.last.get(folder / stem, 1)
        while name in names:  # inputs in several folders may share a name
            number += 1
            name = f"{stem}-{number}"
        names.add(name)
        self.last[folder / stem] = number
        file = folder / f"{name}.png"
        self._replaced[folder] += file.exists()
        write_atomically(file, lambda stream: stream.write(_png(image, settings, legend)))
        if legend and image.ndim == 2 and len(names) == 1:
            write_text(folder / "classes.csv", legend_csv(legend))
        return file


def _with_path(
    raw: Any, field: str, value: Any, images: _ImageFiles | None, settings: str, legend: Legend | None
) -> Any:
    """Return a value of a prediction; for an image the path of its file, or its size if no file is written."""
    if not is_image(value):
        return value
    return _size(value) if images is None else images.write(raw, field, value, settings, legend)


def _png(image: NDArray[np.uint8], settings: str, legend: Legend | None) -> bytes:
    picture = Image.fromarray(image)
    if image.ndim == 2:
        picture.putpalette(colour_table(legend).tobytes())
    return png(picture, settings)


def _settings(fields: list[tuple[str, Any]]) -> str:
    """Return the text that goes into the images of a prediction."""
    return str(dict(fields).get("settings", ""))


def _legend(prediction: Prediction) -> Legend | None:
    return getattr(prediction, "legend", None)


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} image"


def article(raw: Any, prediction: Prediction) -> str:
    """Return a prediction as HTML: the first text as a heading, the other fields, the images, the input.

    Without a text the name of the input is the heading. Classes of masks are named with their colours.
    """
    fields, legend = dict(columns(prediction)), _legend(prediction)
    images, error = _input_image(raw) if isinstance(raw, Path) else ([], "")
    images += [(name, _coloured(value, legend)) for name, value in fields.items() if is_image(value)]
    masks = [value for value in fields.values() if is_image(value) and value.ndim == 2]
    shown = sorted({int(k) for mask in masks for k in np.unique(mask)})
    title, others = _heading(raw, fields)
    return render(
        "prediction.html",
        title=title,
        fields=[(name, cell(value)) for name, value in others.items()],
        error=error,
        images=images,
        colours=named_colours(legend, shown) if legend else [],
        text=None if isinstance(raw, Path) else str(raw),
    )


def _heading(raw: Any, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the heading of an article, and the other fields that are no images."""
    others = {name: value for name, value in fields.items() if not is_image(value) and name != "settings"}
    name = next((name for name, value in others.items() if isinstance(value, str)), None)
    return str(others.pop(name)) if name else raw.name if isinstance(raw, Path) else "", others


def _input_image(path: Path) -> tuple[list[tuple[str, NDArray[np.uint8]]], str]:
    """Return an input image with its name, or the reason if it can't be read any more."""
    try:
        return [(path.name, _read(path))], ""
    except UserError as error:
        return [], str(error)


def refusal(error: str) -> str:
    """Return HTML for a record that can't be read."""
    return render("prediction.html", title="", fields=[], error=error, images=[], colours=[], text=None)


def _coloured(image: NDArray[np.uint8], legend: Legend | None) -> NDArray[np.uint8]:
    return colour_table(legend)[image] if image.ndim == 2 else image


def _read(path: Path) -> NDArray[np.uint8]:
    """Read an input image, upright and reduced to the size at which a page shows it.

    It has been read before, to predict on it, so there is no other bound on its pixels here.
    """
    form, limit = ImageForm(3, LONGEST, LONGEST, "inside"), PixelLimit(sys.maxsize)
    try:
        pixels = read_image(path, form, limit, "unknown")
    except UnscaledImageError as deep:  # shown from black to white, whatever its values are
        pixels = read_image(path, form, limit, max(1, math.ceil(deep.values.high)))
    return pixels.transpose(1, 2, 0)


class Rows:
    """Rows of a table: the columns of the input by their names, then the prediction's, then `error`.

    A column of the prediction whose name the input has already is called predicted_NAME.

    Args:
        stream: where they are written.
        form: "csv" or "jsonl".
        guard: put a ' before texts that a spreadsheet would read as a formula; only in CSV.
        say: prints a remark for the user.
    """

    def __init__(self, stream: TextIO, form: str, guard: bool, say: Callable[[str], None]) -> None:
        self._stream, self._guard, self._say = stream, guard, say
        self._own: list[str] | None = None  # None before the first row
        self._names: list[str] = []
        self._write = self._json if form == "jsonl" else self._csv
        self._csv_rows = csv.writer(_Lines(stream), lineterminator="\r\n")
        self._guarded = 0
        self._left_out: dict[str, None] = {}
        self._is_csv = form == "csv"

    def write(self, record: Record, prediction: Sequence[tuple[str, Any]]) -> None:
        """Write a row.

        Args:
            record: the input.
            prediction: name and value of each column of the prediction; no value is written if the record has an error.
        """
        can_fail = record.error is not None
        if self._own is None:
            self._begin(record, [*(name for name, _ in prediction), *["error"] * can_fail])
        values = [None if record.error else value for _, value in prediction] + [record.error or None] * can_fail
        self._write(record, dict(zip(self._names, values, strict=True)))

    def end(self) -> None:
        """Write the header of a table without rows, and say what is not written as it was."""
        if self._own is None and self._is_csv:
            self._csv_rows.writerow(["input"])
        if self._guarded:
            texts = "text begins" if self._guarded == 1 else "texts begin"
            self._say(
                f"{self._guarded:,} {texts} like a formula and got a ' "
                "before, for spreadsheets; as they are: --guard_formulas false, or --format jsonl"
            )
        if self._left_out:
            self._say(f"not in the header, so left out: {', '.join(self._left_out)}; --format jsonl keeps them")

    def _begin(self, record: Record, predicted: list[str]) -> None:
        self._own = list(record.columns or record.cells)
        taken = set(self._own)
        for name in predicted:
            free = name
            while free in taken:
                free = f"predicted_{free}"
            if free != name:
                self._say(f"there is a column {name!r} already; the prediction's is called {free!r}")
            taken.add(free)
            self._names.append(free)
        if self._is_csv:  # with the first row, so never before an error
            self._csv_rows.writerow(map(self._text, [*self._own, *self._names]))

    def _csv(self, record: Record, predicted: dict[str, Any]) -> None:
        assert self._own is not None
        self._left_out |= dict.fromkeys(name for name in record.cells if name not in self._own)
        cells = [self._input(record.cells.get(name)) for name in self._own]
        self._csv_rows.writerow([*cells, *(self._predicted(value) for value in predicted.values())])

    def _json(self, record: Record, predicted: dict[str, Any]) -> None:
        cells = {f"input_{name}" if name in predicted else name: value for name, value in record.cells.items()}
        print(json_text({**cells, **predicted}), file=self._stream)

    def _input(self, value: Any) -> str:
        """Return a value of the input as it is."""
        if isinstance(value, bool | list | dict):
            return json_text(value)
        return str(value) if isinstance(value, Real) else self._text("" if value is None else str(value))

    def _predicted(self, value: Any) -> str:
        return self._text(str(value)) if isinstance(value, str | Path) else cell(value)

    def _text(self, text: str) -> str:
        """Return a text as a cell that no terminal obeys and, if asked for, no spreadsheet reads as a formula."""
        text = without_controls(text)
        if self._guard and is_formula(text):
            self._guarded += 1
            return f"'{text}"
        return text


class _Lines:
    """Stream that ends lines in LF; csv quotes a lone CR only where it ends lines in CR LF."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        self._stream.write(row.removesuffix("\r\n") + "\n")


def cell(value: Any) -> str:
    """Return a value of a prediction as the text of a table cell that no terminal obeys.

    Args:
        value: fractions get four decimals, None becomes empty, and lists become JSON.
    """
    if value is None:
        return ""
    if isinstance(value, str | Path):
        return without_controls(str(value))
    if isinstance(value, Real):
        return str(value) if isinstance(value, Integral) else f"{value:.4f}"
    return json_text(value)


def json_text(value: Any) -> str:
    """Return a value as one line of JSON.

    Characters that a terminal would obey are escaped, so nothing is lost; numbers that are not finite become null.
    """
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
