"""Images with their captions, as a page and as a table."""

from __future__ import annotations

from lightning_nn.tasks.artifacts import Captions
from lightning_nn.visualization.pages import TAIL, head, html_text, image_tag, markdown_text

_STYLE = """
article { display: grid; grid-template-columns: minmax(6rem, 16rem) minmax(0, 1fr); column-gap: 1.25rem; }
h2 { margin-bottom: .25rem; }
ul { margin: 0; padding-left: 1.1rem; }
@media (max-width: 30rem) { article { grid-template-columns: minmax(0, 1fr); row-gap: .5rem; } }
"""


def page(captions: Captions, title: str) -> str:
    """Write a page of images and captions: self-contained HTML, without scripts.

    Args:
        captions: any number.
        title: of the page.
    """
    articles = "".join(
        f"<article>\n{image_tag(image, caption)}\n<div>\n<h2>{html_text(caption)}</h2>\n{_title(title)}"
        f"{_references(references)}</div>\n</article>\n"
        for image, caption, references, title in zip(
            captions.images, captions.captions, _of_people(captions), _titles(captions), strict=True
        )
    )
    intro = "<p class=\"soft\">Beside each image the model's caption, and below it people's.</p>\n"
    return head(title, intro, _STYLE) + (articles or "<p>No captions.</p>\n") + TAIL


def table(captions: Captions) -> str:
    """Write the captions as a Markdown table, numbered as the images in their grid."""
    rows = ["| | caption | people's |", "|-:|:-|:-|"]
    for number, (caption, references) in enumerate(zip(captions.captions, _of_people(captions), strict=True), 1):
        rows.append(f"| {number} | {markdown_text(caption)} | {'<br>'.join(map(markdown_text, references))} |")
    return "\n".join(rows)


def _of_people(captions: Captions) -> list[list[str]]:
    return captions.references or [[] for _ in captions.captions]


def _titles(captions: Captions) -> list[str]:
    return [*captions.titles] or [""] * len(captions.captions)


def _title(title: str) -> str:
    return f'<p class="soft">{html_text(title)}</p>\n' if title else ""


def _references(references: list[str]) -> str:
    if not references:
        return ""
    return f'<ul class="soft">{"".join(f"<li>{html_text(each)}</li>" for each in references)}</ul>\n'
