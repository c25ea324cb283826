"""Drawing of every kind of artifact, chosen in this one place."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import assert_never

from lightning_nn.layers.images import whole_levels
from lightning_nn.sanitize import is_formula, without_controls
from lightning_nn.tasks.artifacts import (
    Activations,
    Artifact,
    Attention,
    Calibration,
    Captions,
    ConfusionMatrix,
    Gates,
    ImageGrid,
    Legend,
    Masks,
    Mistakes,
    Patches,
    Picture,
    Table,
)
from lightning_nn.visualization import attention, captions, confusion, gates, mistakes, segmentation
from lightning_nn.visualization.images import patch_sheet, picture
from lightning_nn.visualization.pages import markdown_text, render
from lightning_nn.visualization.segmentation import masks_picture

_WORDS = {"val": "validation"}


class Drawing(NamedTuple):
    """An artifact drawn.

    Attributes:
        images: uint8 (height, width, 3), by name.
        texts: Markdown, by name.
        pages: HTML, by the name of the file.
        histograms: values of any shape, by name.
    """

    images: dict[str, NDArray[np.uint8]]
    texts: dict[str, str]
    pages: dict[str, str]
    histograms: Mapping[str, NDArray[Any]] = MappingProxyType({})


def draw(artifact: Artifact, split: str = "", model: str = "") -> Drawing:
    """Draw an artifact; return an empty drawing if it has no content.

    Args:
        artifact: from `Task.artifacts`.
        split: its split, for titles.
        model: name of the model, for titles.
    """
    word = _WORDS.get(split, split)
    match artifact:
        case Attention(documents=[]) | ImageGrid(images=[]) | Masks(images=[]) | Captions(images=[]):
            return Drawing({}, {}, {})
        case ConfusionMatrix(matrix, categories):
            image = confusion.picture(matrix, categories, split)
            return Drawing({"confusion": image}, {"report": confusion.report(matrix, categories)}, {})
        case Mistakes():
            title = _title("Mistakes", model, len(artifact.samples), word, "sample")
            pages = {"mistakes.html": mistakes.page(artifact, title)}
            return Drawing(mistakes.grids(artifact), {"mistakes": mistakes.table(artifact)}, pages)
        case Calibration():
            return Drawing({}, {"calibration": calibration_table(artifact)}, {})
        case Attention(documents):
            tables = "\n\n".join(attention.table(document) for document in documents)
            title = _title("Attention", model, len(documents), word, "document")
            return Drawing({}, {"attention": tables}, {"attention.html": attention.page(documents, title)})
        case Gates(documents):
            title = _title("Gates", model, len(documents), word, "document")
            return Drawing({}, {}, {"gates.html": gates.page(documents, title)} if documents else {})
        case ImageGrid(name, images, titles):
            return Drawing({name: picture(images, titles)}, {}, {})
        case Masks():
            title = _title(artifact.name.capitalize(), model, len(artifact.images), word, "image")
            pages = {f"{artifact.name}.html": segmentation.page(artifact, title)} if artifact.titles else {}
            return Drawing({artifact.name: segmentation.masks_picture(artifact)}, {}, pages)
        case Captions():
            numbers = [str(number) for number in range(1, len(artifact.images) + 1)]
            title = _title(artifact.name.capitalize(), model, len(artifact.images), word, "image")
            return Drawing(
                {artifact.name: picture(artifact.images, numbers)},
                {artifact.name: captions.table(artifact)},
                {f"{artifact.name}.html": captions.page(artifact, title)},
            )
        case Table():
            return Drawing({}, {}, {f"{artifact.name}.csv": csv_text(artifact)})
        case Activations(layers):
            values = {f"activations/{name}": outputs.float().cpu().numpy() for name, outputs in layers.items()}
            return Drawing({}, {"activations": activation_table(layers)}, {}, values)
        case Patches(layers):
            title = _title("Patches", model, len(layers), word, "layer")
            sheets = [(name, patches.shape[-1], patch_sheet(patches)) for name, patches in layers.items()]
            page = render("patches.html", title=title, layers=sheets)
            return Drawing({}, {}, {"patches.html": page} if layers else {})
        case Picture(image, _, name):
            return Drawing({name: image}, {}, {})
        case _:
            assert_never(artifact)


def _title(heading: str, model: str, number: int, split: str, content: str) -> str:
    number_of = " ".join(filter(None, [str(number), split, content + "s" * (number != 1)]))
    return f"{heading}: {', '.join(filter(None, [model, number_of]))}"


def activation_table(layers: Mapping[str, Tensor]) -> str:
    """List mean, standard deviation and share of zeros of each layer's activations.

    Args:
        layers: activations of any shape, by the layer's name.
    """
    rows = ["| layer | mean | deviation | zeros |", "|:-|-:|-:|-:|"]
    for name, values in layers.items():
        values = values.float()
        zeros = float((values == 0).float().mean())
        rows.append(f"| {markdown_text(name)} | {values.mean():.3g} | {values.std(correction=0):.3g} | {zeros:.0%} |")
    return "\n".join(rows)


def calibration_table(calibration: Calibration) -> str:
    """Write probability and accuracy of predictions of similar probability as a Markdown table."""
    errors = f"expected calibration error {calibration.error:.4f}, raw {calibration.raw_error:.4f}"
    rows = [
        f"{errors}; temperature {calibration.temperature:.3g}",
        "",
        "| probability | right | samples |",
        "|-:|-:|-:|",
    ]
    rows += [f"| {b.probability:.1%} | {b.accuracy:.1%} | {b.samples:,} |" for b in calibration.bins]
    return "\n".join(rows)


def csv_text(table: Table) -> str:
    """Write a table as CSV; a list of texts is JSON, a fraction has six decimals.

    It begins with the byte order mark by which a spreadsheet knows UTF-8; texts that it would read as formulas have a '
    before them.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerows([_cell(value) for value in row] for row in [table.columns, *table.rows])
    return "\ufeff" + out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    text = without_controls(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"'{text}" if isinstance(value, str) and is_formula(text) else text


SHOWN = 16  # images
_LEAST = 0.05  # share of a class that a mixed image's title names


def augmented_picture(
    batch: Any, categories: Sequence[str], colours: Sequence[Sequence[int]] = ()
) -> NDArray[np.uint8]:
    """Draw the first images of a batch with their classes, or with their masks.

    Args:
        batch: ImageBatch or MaskBatch, at least one image of one or three channels.
        categories: names of the classes.
        colours: of the classes in masks; none for those of the palette.

    Returns:
        uint8 (height, width, 3).
    """
    few = batch.select(range(min(SHOWN, batch.size)))
    images = whole_levels(few.image).cpu().permute(0, 2, 3, 1)
    shown = list(images.expand(*images.shape[:3], 3).numpy())
    if getattr(few, "mask", None) is not None:
        return masks_picture(Masks(shown, [], list(few.mask.cpu().numpy()), Legend(list(categories), colours)))
    label = getattr(few, "label", None)
    return picture(shown, [] if label is None else [_classes(classes, categories) for classes in label.cpu()])


def _classes(label: Tensor, categories: Sequence[str]) -> str:
    """Name a class, or each class of a mixed image with its share."""
    if not label.is_floating_point():
        return categories[int(label)]
    shares = [(share, name) for share, name in zip(label.tolist(), categories, strict=True) if share >= _LEAST]
    return ", ".join(f"{name} {share:.0%}" for share, name in sorted(shares, reverse=True))
