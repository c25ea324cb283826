"""Pages for the browser, made from the templates beside this file, and Markdown: untrusted texts are made safe in both.

A page is self-contained and has no scripts. Every text that a template shows is sanitized and escaped.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.sanitize import sanitize

Language = Literal["en", "zh"]
LONGEST = 512  # longer side of an image on a page at most, in pixels; larger images are shrunk
SMALLEST = 96  # longer side as a page shows it at least, in pixels; smaller images are enlarged


class EmbeddedImage(NamedTuple):
    """An image as part of a page.

    Attributes:
        source: data URI.
        width: in pixels of the page.
        height: in pixels of the page.
        small: whether its pixels are enlarged.
    """

    source: Markup
    width: int
    height: int
    small: bool


def embedded(image: NDArray[np.uint8]) -> EmbeddedImage:
    """Encode an image, uint8 (H, W) or (H, W, 3), for a page."""
    thumbnail = Image.fromarray(image)
    small = max(thumbnail.size) < SMALLEST
    thumbnail.thumbnail((LONGEST, LONGEST))
    scale = -(-SMALLEST // max(thumbnail.size)) if small else 1
    width, height = (scale * side for side in thumbnail.size)
    form = "jpeg" if thumbnail.mode == "RGB" and not small else "png"
    data = io.BytesIO()
    thumbnail.save(data, form, quality=90)
    source = f"data:image/{form};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return EmbeddedImage(Markup(source), width, height, small)


def _percent(share: float, places: int = 0) -> str:
    return f"{share:.{places}%}"


def _safe(value: Any) -> Any:
    return sanitize(value) if type(value) is str else value


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    finalize=_safe,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"embedded": embedded, "percent": _percent}


def render(template: str, **content: Any) -> str:
    """Render a page, or a part of one.

    Args:
        template: name of a file in `templates`.
        content: values of its variables; a plain text among them, at any depth, is sanitized and escaped.
    """
    return _TEMPLATES.get_template(template).render(content)


def words_of(page: str, language: Language) -> dict[str, str]:
    """Read the words of a page by their names.

    Args:
        page: such as "report", whose words are in `templates/report.yaml`.
        language: of the words.
    """
    file = Path(__file__).parent / "templates" / f"{page}.yaml"
    words = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    return {str(name): str(texts[language]) for name, texts in words.items()}


def open_page(title: str) -> tuple[str, str]:
    """Return what a page begins and ends with, to write articles between them one by one.

    Args:
        title: of the page.
    """
    head, end, tail = render("layout.html", title=title).partition("</main>")
    return head, end + tail


def markdown_text(text: str) -> str:
    """Sanitize a text and escape it for Markdown and HTML: ASCII punctuation becomes character references."""
    return "".join(f"&#{ord(c)};" if c.isascii() and not c.isalnum() and c != " " else c for c in sanitize(text))
