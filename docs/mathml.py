"""Extension of Sphinx: formulas as MathML, which browsers show without a script or a font from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer, `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_displayed, None))
    return {"parallel_read_safe": True}


def visit_inline(translator: Any, node: Any) -> None:
    """Write a formula within a line."""
    translator.body.append(formula(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_displayed(translator: Any, node: Any) -> None:
    """Write a formula in lines of its own."""
    translator.body.append(f'<div class="math">{formula(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def formula(latex: str, display: str) -> str:
    """Convert a formula; a word in upright letters becomes one name, since letters of their own stand too far apart."""
    letter = '<mi mathvariant="normal">([A-Za-z])</mi>'
    mathml: str = convert(latex, display=display)
    return re.sub(f"(?:{letter}){{2,}}", lambda word: f"<mi>{''.join(re.findall(letter, word[0]))}</mi>", mathml)
