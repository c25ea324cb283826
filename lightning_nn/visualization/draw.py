"""Drawing of every kind of artifact, chosen in this one place."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from lightning_nn.tasks.artifacts import (
    Activations,
    Artifact,
    Attention,
    Captions,
    ConfusionMatrix,
    ImageGrid,
    Masks,
    Patches,
    Table,
)
from lightning_nn.visualization import (
    activations,
    attention,
    captions,
    confusion,
    image_grid,
    patches,
    segmentation,
    table,
)

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
        case ConfusionMatrix(matrix, categories):
            image = confusion.picture(matrix, categories, split)
            return Drawing({"confusion": image}, {"report": confusion.report(matrix, categories)}, {})
        case Attention(documents):
            if not documents:
                return Drawing({}, {}, {})
            tables = "\n\n".join(attention.table(document) for document in documents)
            title = _title("Attention", model, len(documents), word, "document")
            return Drawing({}, {"attention": tables}, {"attention.html": attention.page(documents, title)})
        case ImageGrid(name, images, titles):
            return Drawing({name: image_grid.picture(images, titles)} if images else {}, {}, {})
        case Masks():
            if not artifact.images:
                return Drawing({}, {}, {})
            title = _title(artifact.name.capitalize(), model, len(artifact.images), word, "image")
            pages = {f"{artifact.name}.html": segmentation.page(artifact, title)} if artifact.titles else {}
            return Drawing({artifact.name: segmentation.masks_picture(artifact)}, {}, pages)
        case Captions():
            if not artifact.images:
                return Drawing({}, {}, {})
            numbers = [str(number) for number in range(1, len(artifact.images) + 1)]
            title = _title(artifact.name.capitalize(), model, len(artifact.images), word, "image")
            return Drawing(
                {artifact.name: image_grid.picture(artifact.images, numbers)},
                {artifact.name: captions.table(artifact)},
                {f"{artifact.name}.html": captions.page(artifact, title)},
            )
        case Table():
            return Drawing({}, {}, {f"{artifact.name}.csv": table.csv_text(artifact)})
        case Activations(layers):
            values = {f"activations/{name}": each.float().cpu().numpy() for name, each in layers.items()}
            return Drawing({}, {"activations": activations.table(layers)}, {}, values)
        case Patches(layers):
            pages = {"patches.html": patches.page(layers, _title("Patches", model, len(layers), word, "layer"))}
            return Drawing({}, {}, pages if layers else {})
        case _:
            assert_never(artifact)


def _title(what: str, model: str, number: int, split: str, content: str) -> str:
    number_of = " ".join(filter(None, [str(number), split, content + "s" * (number != 1)]))
    return f"{what}: {', '.join(filter(None, [model, number_of]))}"
