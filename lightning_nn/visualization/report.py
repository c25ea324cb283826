"""The report of a run or a test: one page of at most 2 MB that needs nothing else, in English or Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lightning_nn.tasks.artifacts import Artifact, Calibration, Captions, ConfusionMatrix, Masks, Mistake, Mistakes
from lightning_nn.visualization import confusion
from lightning_nn.visualization.charts import HEIGHT, WIDTH, Chart, Points, chart
from lightning_nn.visualization.mistakes import articles
from lightning_nn.visualization.pages import Language, render, words_of
from lightning_nn.visualization.segmentation import overlay

LIMIT = 2_000_000  # bytes of a page
_SIDE = 192  # longer side of an image, in pixels
_CELLS = 20  # classes up to which the confusion matrix is a table
_COST = ("seconds", "epochs", "best_epoch", "samples_per_second", "peak_memory_mb", "checkpoint_mb", "parameters")
_SPLITS = ("test", "val", "train")
_OF_STEPS = re.compile(r"loss_step|grad_norm|lr(_\d+)?")  # logged for single steps of the training


class Report(NamedTuple):
    """Content of a report.

    Attributes:
        title: name of the model.
        results: contents of results.json.
        changes: settings that differ from the defaults: name, default, value.
        curves: (step, value) of each metric over the training, by its name; empty without a training.
        artifacts: of the test; empty without one.
        commands: command lines by a key of the words: repeat, resume, predict.
    """

    title: str
    results: Mapping[str, Any]
    changes: Sequence[tuple[str, str, str]]
    curves: Mapping[str, Points]
    artifacts: Sequence[Artifact]
    commands: Mapping[str, str]


def page(report: Report, language: Language = "en") -> str:
    """Write the page, with as many mistakes as its size allows.

    Args:
        report: what it shows.
        language: of its words.
    """
    most = max([len(a.samples) for a in report.artifacts if isinstance(a, Mistakes)], default=0)
    while True:
        text = _page(report, language, most)
        if len(text.encode("utf-8", "replace")) <= LIMIT or not most:
            return text
        most //= 2


def _page(report: Report, language: Language, most: int) -> str:
    words, results = words_of("report", language), report.results
    content: dict[str, Any] = {"confusion": None, "mistakes": None, "masks": [], "captions": [], "reliability": None}
    for artifact in report.artifacts:
        match artifact:
            case ConfusionMatrix():
                content["confusion"] = _confusion(artifact)
            case Mistakes():
                content["mistakes"] = articles(artifact._replace(samples=[*map(_small, artifact.samples[:most])]))
                counts = {"wrong": f"{artifact.wrong:,}", "total": f"{artifact.total:,}"}
                content["counted"] = words["wrong" if artifact.wrong else "none_wrong"].format(**counts)
            case Calibration():
                content["reliability"] = _reliability(artifact, words)
                errors = {"error": f"{artifact.error:.3f}", "raw": f"{artifact.raw_error:.3f}"}
                content["calibration"] = words["calibration_text"].format(
                    **errors, temperature=f"{artifact.temperature:.3g}"
                )
            case Masks(name="worst"):
                content["masks"] = [
                    (heading, _shrunk(image), *(_shrunk(overlay(image, m, artifact.legend)) for m in masks))
                    for heading, image, *masks in zip(artifact.titles, *artifact[:3], strict=True)
                ]
            case Captions(name="worst"):
                content["captions"] = [
                    (heading, _shrunk(image), caption, references)
                    for heading, image, caption, references in zip(artifact.titles, *artifact[:3], strict=True)
                ]
    splits, metrics = metric_rows(results)
    return render(
        "report.html",
        title=f"{words['report']}: {report.title}",
        lang=language,
        words=words,
        data=str(results.get("data", "")),
        finished=str(results.get("finished", "")).replace("T", " "),
        splits=splits,
        metrics=metrics,
        note=results.get("note") or "",
        changes=report.changes,
        curves=_curves(report.curves),
        classes=list(results.get("test/classes", {}).items()),
        cost=[(words[name], f"{results[name]:,}") for name in _COST if isinstance(results.get(name), int | float)],
        commands=[(words[name], command) for name, command in report.commands.items() if command],
        width=WIDTH,
        height=HEIGHT,
        **content,
    )


def metric_rows(results: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the splits that were measured, and a row for each metric with its value in each of them."""
    numbers = {name: value for name, value in results.items() if "/" in name and isinstance(value, int | float)}
    splits = [split for split in _SPLITS if any(name.startswith(f"{split}/") for name in numbers)]
    names = list(dict.fromkeys(name.partition("/")[2] for name in numbers))
    rows = []
    for name in names:
        values = [numbers.get(f"{split}/{name}") for split in splits]
        rows.append((name, ["" if value is None else f"{value:.4f}" for value in values]))
    return splits, rows


def _curves(series: Mapping[str, Points]) -> list[Chart]:
    """Return a chart for each metric, with a line for each split."""
    names = dict.fromkeys(name.partition("/")[2] for name in series if name.startswith(("train/", "val/")))
    shown = [name for name in names if "/" not in name and not _OF_STEPS.fullmatch(name)]
    charts = (chart(name, _of_metric(series, name)) for name in shown)
    return [drawn for drawn in charts if drawn is not None]


def _of_metric(series: Mapping[str, Points], name: str) -> dict[str, Points]:
    return {split: series[f"{split}/{name}"] for split in ("train", "val") if f"{split}/{name}" in series}


def _confusion(artifact: ConfusionMatrix) -> dict[str, Any]:
    matrix, names = artifact
    if len(names) > _CELLS:
        return {"rows": [], "names": [], "image": confusion.picture(matrix, names, "test")}
    shares = (matrix / matrix.sum(1, keepdim=True).clamp(min=1)).tolist()
    cells = [list(zip(*row, strict=True)) for row in zip(matrix.tolist(), shares, strict=True)]
    return {"rows": list(zip(names, cells, strict=True)), "names": names, "image": None}


def _reliability(artifact: Calibration, words: Mapping[str, str]) -> Chart | None:
    bins = {"calibrated": artifact.bins, "raw": artifact.raw_bins}
    series: dict[str, Points] = {words[name]: [group[:2] for group in groups] for name, groups in bins.items()}
    series[words["exact"]] = [(0.0, 0.0), (1.0, 1.0)]
    return chart(words["calibration"], series, (0.0, 1.0), (0.0, 1.0))


def _small(mistake: Mistake) -> Mistake:
    """Return a mistake with a smaller image."""
    return mistake._replace(shown=_shrunk(mistake.shown)) if isinstance(mistake.shown, np.ndarray) else mistake


def _shrunk(image: Any) -> Any:
    from PIL import Image

    if max(image.shape[:2]) <= _SIDE:
        return image
    thumbnail = Image.fromarray(image)
    thumbnail.thumbnail((_SIDE, _SIDE))
    return np.asarray(thumbnail)
