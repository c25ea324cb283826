from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_nn.data.batches import CaptionBatch, ImageBatch, MaskBatch, Origin, TextBatch
from lightning_nn.errors import UserError

Nested = list[list[list[int]]]

words = st.lists(st.integers(0, 9), min_size=1, max_size=4)


def ids(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def flatten(lists: Any) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


# ---------------------------------------------------------------------- select: the same samples, in the order named


def text_batch(documents: Nested) -> TextBatch:
    """Each document is a list of sentences, each of these a list of word ids; its label is its number."""
    sentences = flatten(documents)
    return TextBatch(
        ids([len(d) for d in documents]),
        ids([len(s) for s in sentences]),
        ids(flatten(sentences)),
        torch.arange(len(documents)),
    )


def documents_of(batch: TextBatch) -> Nested:
    sentences = iter(batch.words.split(batch.sentences.tolist()))
    return [[next(sentences).tolist() for _ in range(count)] for count in batch.documents.tolist()]


def caption_batch(captions: Nested) -> CaptionBatch:
    """The captions of each image, each a list of word ids; the image's features are its number, twice."""
    number = torch.arange(len(captions))
    return CaptionBatch(
        number.float().unsqueeze(1).expand(-1, 2),
        number.repeat_interleave(ids([len(c) for c in captions])),
        ids([len(c) for c in flatten(captions)]),
        ids(flatten(flatten(captions))),
    )


def captions_of(batch: CaptionBatch) -> Nested:
    assert batch.image_index is not None and batch.length is not None and batch.words is not None
    found: Nested = [[] for _ in range(batch.size)]
    for image, caption in zip(batch.image_index.tolist(), batch.words.split(batch.length.tolist()), strict=True):
        found[image].append(caption.tolist())
    return found


@st.composite
def nested_and_index(draw: st.DrawFn, least: int) -> tuple[Nested, list[int]]:
    """Samples of at least so many lists of words, and numbers of some of them in any order, some twice."""
    samples = draw(st.lists(st.lists(words, min_size=least, max_size=3), min_size=1, max_size=5))
    return samples, draw(st.lists(st.integers(0, len(samples) - 1), min_size=1, max_size=6))


@given(nested_and_index(least=1))
def test_select_of_texts_is_that_of_lists(case: tuple[Nested, list[int]]) -> None:
    documents, index = case
    chosen = text_batch(documents).select(index)
    chosen.check({"vocabulary_size": 10, "num_classes": len(documents)})
    assert documents_of(chosen) == [documents[i] for i in index]
    assert chosen.label is not None and chosen.label.tolist() == index


@given(nested_and_index(least=0))
def test_select_of_captions_is_that_of_lists(case: tuple[Nested, list[int]]) -> None:
    """Also where an image has no caption, or none of those selected has one."""
    captions, index = case
    chosen = caption_batch(captions).select(index)
    expected = [captions[i] for i in index]
    if any(expected):
        chosen.check({"vocabulary_size": 10, "features": 2})
    assert captions_of(chosen) == expected
    assert chosen.image.tolist() == [[i, i] for i in index]
    assert chosen.image_index is not None and chosen.image_index.tolist() == sorted(chosen.image_index.tolist())


@pytest.mark.parametrize("kind", [ImageBatch, MaskBatch])
def test_select_of_images_takes_every_field_but_the_batchs_place_in_a_run(kind: Any) -> None:
    image = torch.arange(3 * 4, dtype=torch.uint8).reshape(3, 1, 2, 2)
    truth = torch.tensor([5, 6, 7]) if kind is ImageBatch else image[:, 0] + 20
    batch = kind(image, truth, torch.tensor([10, 11, 12]), Origin(0, 0, 0, 0))
    chosen = batch.select([2, 0, 2])
    assert type(chosen) is kind and chosen.size == 3
    assert chosen.origin is None, "a selection is no batch of an epoch"
    for before, after in zip(batch[:3], chosen[:3], strict=True):
        assert torch.equal(after, before[[2, 0, 2]])


@pytest.mark.parametrize(
    "batch",
    [
        ImageBatch(torch.zeros(2, 1, 2, 2)),
        MaskBatch(torch.zeros(2, 1, 2, 2)),
        TextBatch(ids([1, 1]), ids([1, 1]), ids([3, 4])),
        CaptionBatch(torch.zeros(2, 1, 2, 2)),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_what_a_batch_lacks_is_lacking_after_select(batch: Any) -> None:
    batch.check({"vocabulary_size": 10, "num_classes": 2})
    chosen = batch.select([1])
    chosen.check({"vocabulary_size": 10, "num_classes": 2})
    assert chosen.size == 1
    assert [field is None for field in chosen] == [field is None for field in batch]


# ---------------------------------------------------------------------- check: what is refused, and what is said of it

IMAGE, MASK = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4, dtype=torch.uint8)

WRONG_MASKS = {
    "image of a batch is empty": MaskBatch(IMAGE[:0], MASK[:0]),
    r"image of a batch is torch.uint8 \(2, 4, 4\)": MaskBatch(IMAGE[:, 0], MASK),
    r"images of \(2, 4, 4\); this model was made for 1 channels": MaskBatch(IMAGE.expand(2, 2, 4, 4), MASK),
    r"mask of a batch is torch.int64 .*; expected torch.uint8 \(B, H, W\)": MaskBatch(IMAGE, MASK.long()),
    r"mask of a batch is torch.uint8 \(2, 1, 4, 4\)": MaskBatch(IMAGE, MASK.unsqueeze(1)),
    r"images \(2, 1, 4, 4\) has masks \(1, 4, 4\)": MaskBatch(IMAGE, MASK[:1]),
    r"has masks \(2, 4, 2\)": MaskBatch(IMAGE, MASK[..., :2]),
    r"masks go up to 3; this model was made for 0 to 2 \(num_classes\)": MaskBatch(IMAGE, MASK + 3),
}


@pytest.mark.parametrize("message", WRONG_MASKS)
def test_a_wrong_batch_of_masks_is_refused(message: str) -> None:
    with pytest.raises(UserError, match=message):
        WRONG_MASKS[message].check({"num_classes": 3, "channels": 1})


@pytest.mark.parametrize("value", [0, 2, 255])
def test_masks_hold_classes_and_pixels_that_are_ignored(value: int) -> None:
    MaskBatch(IMAGE, torch.full_like(MASK, value)).check({"num_classes": 3, "channels": 1})


def test_a_mask_of_ignored_pixels_and_a_class_too_many_names_the_class() -> None:
    mask = torch.full_like(MASK, 255)
    mask[0, 0, 0] = 7
    with pytest.raises(UserError, match="masks go up to 7"):
        MaskBatch(IMAGE, mask).check({"num_classes": 3})


FEATURES, FIRST, ONE, TWO = torch.zeros(2, 3), ids([0]), ids([1]), ids([2])

WRONG_CAPTIONS = {
    "image of a batch is empty": CaptionBatch(FEATURES[:0], FIRST, TWO, ids([1, 2])),
    r"image of a batch is torch.int64 \(2, 3\)": CaptionBatch(FEATURES.long(), FIRST, TWO, ids([1, 2])),
    "2 features; this model was made for 3": CaptionBatch(FEATURES[:, :2], FIRST, TWO, ids([1, 2])),
    "words of a batch is torch.float32": CaptionBatch(FEATURES, FIRST, TWO, torch.ones(2)),
    r"length of a batch is torch.int64 \(1, 1\)": CaptionBatch(FEATURES, FIRST, TWO.unsqueeze(0), ids([1, 2])),
    "1 captions belong to 2 images": CaptionBatch(FEATURES, ids([0, 1]), TWO, ids([1, 2])),
    "length counts the words of each, at least 1; its sum is 2": CaptionBatch(FEATURES, FIRST, TWO, ids([1, 2, 3])),
    "its minimum 0": CaptionBatch(FEATURES, ids([0, 1]), ids([0, 2]), ids([1, 2])),
    "word ids of a batch go from -1": CaptionBatch(FEATURES, FIRST, TWO, ids([1, -1])),
}


@pytest.mark.parametrize("index", [[0, 2], [1, 0], [-1, 0]])
def test_captions_of_an_image_stand_together(index: list[int]) -> None:
    with pytest.raises(UserError, match="image_index of a batch must ascend from 0 to at most 1"):
        CaptionBatch(FEATURES, ids(index), ids([1, 1]), ids([1, 2])).check({"vocabulary_size": 10})


@pytest.mark.parametrize("message", WRONG_CAPTIONS)
def test_a_wrong_batch_of_captions_is_refused(message: str) -> None:
    with pytest.raises(UserError, match=message):
        WRONG_CAPTIONS[message].check({"vocabulary_size": 10, "features": 3})


@pytest.mark.parametrize("image", [FEATURES, IMAGE, torch.rand(2, 3, 4, 4)], ids=["features", "uint8", "float"])
def test_captions_stand_over_images_or_their_features(image: Tensor) -> None:
    limits = {"vocabulary_size": 10, **({"features": 3} if image.dim() == 2 else {"channels": image.shape[1]})}
    CaptionBatch(image, ids([0, 0, 1]), ids([1, 2, 1]), ids([9, 0, 1, 2])).check(limits)


def test_soft_labels_are_shares_of_each_class() -> None:
    ImageBatch(IMAGE, torch.tensor([[0.5, 0.5], [1.0, 0.0]])).check({"num_classes": 2})
    with pytest.raises(UserError, match="labels give shares of 2 classes; this model was made for 3"):
        ImageBatch(IMAGE, torch.tensor([[0.5, 0.5], [1.0, 0.0]])).check({"num_classes": 3})
