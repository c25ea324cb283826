"""Pages for the browser and Markdown: untrusted text and images, made safe for both."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nn.sanitize import sanitize

LONGEST = 512  # longer side of an image on a page at most, in pixels; larger images are shrunk
SMALLEST = 96  # longer side as a page shows it at least, in pixels; smaller images are enlarged
TAIL = "</main>\n</body>\n</html>\n"

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1b1b; --soft: #5c5c5c; --line: #dcdcdc; --bar: #2f6fbb;
  --word: 255 150 30; --right: #1a7f37; --wrong: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --text: #ececec; --soft: #a6a6a6; --line: #3a3d42;
  --bar: #6ea8ea; --word: 214 96 0; --right: #57c06d; --wrong: #ff7b78; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 52rem; background: var(--page); color: var(--text);
  font: 1rem/1.75 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; line-height: 1.4; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0; }
.soft { color: var(--soft); font-size: .875rem; }
article { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: 1.25rem; overflow-wrap: anywhere; }
.images { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .8rem; }
img { display: block; max-width: 100%; height: auto; border-radius: .2rem; }
img.small { image-rendering: pixelated; }
"""


def html_text(text: str) -> str:
    """Sanitize a text and escape it for HTML."""
    return escape(sanitize(text), quote=True)


def markdown_text(text: str) -> str:
    """Sanitize a text and escape it for Markdown and HTML: ASCII punctuation becomes character references."""
    return "".join(f"&#{ord(c)};" if c.isascii() and not c.isalnum() and c != " " else c for c in sanitize(text))


def head(title: str, intro: str = "", style: str = "") -> str:
    """Begin a self-contained page without scripts; articles and `TAIL` follow.

    Args:
        title: of the page.
        intro: HTML below the title.
        style: CSS in addition to that of all pages.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{html_text(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<header>
<h1>{html_text(title)}</h1>
{intro}</header>
<main>
"""


def image_tag(image: NDArray[np.uint8], description: str) -> str:
    """Embed an image in a page as a data URI.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        description: shown if the image can't be, and read by screen readers.
    """
    thumbnail = Image.fromarray(image)
    small = max(thumbnail.size) < SMALLEST
    thumbnail.thumbnail((LONGEST, LONGEST))
    scale = -(-SMALLEST // max(thumbnail.size)) if small else 1
    width, height = (scale * side for side in thumbnail.size)
    photo = thumbnail.mode == "RGB" and not small
    data = io.BytesIO()
    thumbnail.save(data, "JPEG" if photo else "PNG", quality=90)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    return (
        f'<img{" class=small" * small} width="{width}" height="{height}" alt="{html_text(description)}" '
        f'src="data:image/{"jpeg" if photo else "png"};base64,{encoded}">'
    )


def figure_tag(image: NDArray[np.uint8], caption: str) -> str:
    """Embed an image in a page with a caption below it."""
    return f"<figure>{image_tag(image, caption)}<figcaption>{html_text(caption)}</figcaption></figure>"
