"""Images with their captions, as a page and as a table."""

from __future__ import annotations

from lightning_nn.tasks.artifacts import Captions
from lightning_nn.visualization.pages import markdown_text, render


def page(captions: Captions, title: str) -> str:
    """Write a page of images and captions: self-contained HTML, without scripts.

    Args:
        captions: any number.
        title: of the page.
    """
    titles = captions.titles or [""] * len(captions.captions)
    rows = zip(captions.images, captions.captions, _references(captions), titles, strict=True)
    return render("captions.html", title=title, captions=list(rows))


def table(captions: Captions) -> str:
    """Write the captions as a Markdown table, numbered as the images in their grid."""
    rows = ["| | caption | people's |", "|-:|:-|:-|"]
    for number, (caption, references) in enumerate(zip(captions.captions, _references(captions), strict=True), 1):
        rows.append(f"| {number} | {markdown_text(caption)} | {'<br>'.join(map(markdown_text, references))} |")
    return "\n".join(rows)


def _references(captions: Captions) -> list[list[str]]:
    return captions.references or [[] for _ in captions.captions]
