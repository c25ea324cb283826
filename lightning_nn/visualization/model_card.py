"""The model card of a model folder, in Markdown: data, metrics, use and limits, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from lightning_nn.visualization.pages import Language, markdown_text, render, words_of
from lightning_nn.visualization.report import metric_rows


class ModelCard(NamedTuple):
    """Content of a model card.

    Attributes:
        model: name of the model in the catalog.
        class_name: name of its class.
        line: what it is, in a line.
        reads: kind of its batches, such as "text" or "image".
        categories: its classes; empty without any.
        data: name of the data set; empty if it is not known.
        results: contents of the run's results.json; empty if they are not those of this model.
        bits: of a weight.
        temperature: see `lightning_nn.metrics.calibration`.
        folder: name of the model folder.
        example: arguments of `predict` for an input.
        programs: names of the exported networks in the folder, such as model.onnx.
    """

    model: str
    class_name: str
    line: str
    reads: str
    categories: Sequence[str]
    data: str
    results: Mapping[str, Any]
    bits: int
    temperature: float
    folder: str
    example: str
    programs: Sequence[str] = ()


def card(content: ModelCard, language: Language = "en") -> str:
    """Write the card.

    Args:
        content: what it tells.
        language: of its words.
    """
    words, results = words_of("card", language), content.results
    splits, metrics = metric_rows(results)
    numbers = {
        "count": f"{len(content.categories):,}",
        "bits": content.bits,
        "temperature": f"{content.temperature:.4g}",
    }
    sizes = results.get("sizes", {})
    classes = results.get("test/classes", {})
    return render(
        "card.md",
        words={name: Markup(text.format(**numbers)) for name, text in words.items()},
        language=language,
        model=content.model,
        class_name=content.class_name,
        line=content.line,
        data=Markup(markdown_text(content.data)),
        limits=[Markup(words[name].format(**numbers)) for name in _limits(content)],
        categories=[Markup(markdown_text(name)) for name in content.categories],
        sizes=[f"{split} {count:,}" for split, count in sizes.items() if isinstance(count, int)],
        seed=results.get("seed"),
        splits=splits,
        metrics=metrics,
        classes=[(Markup(markdown_text(name)), scores) for name, scores in classes.items()],
        rounded=content.bits < 32,
        calibrated=content.temperature != 1,
        folder=content.folder,
        example=Markup(content.example),
        programs=content.programs,
    )


def _limits(content: ModelCard) -> list[str]:
    """Return the names of the sentences on what the model is not for."""
    of_kind = f"not_{content.reads}"
    known = ("not_text", "not_image", "not_mask", "not_caption")
    return ["not_outside"] * bool(content.categories) + [of_kind] * (of_kind in known) + ["not_measured", "not_harm"]
