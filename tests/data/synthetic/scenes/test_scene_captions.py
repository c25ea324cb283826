from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_nn import Scenes
from lightning_nn.data.augmentation import Augment
from lightning_nn.data.batches import CaptionBatch
from lightning_nn.data.captions.processor import CaptionProcessor, Language
from lightning_nn.data.captions.source import CaptionSource
from lightning_nn.data.synthetic.scenes.captions import CAPTIONS, DRAWS, describe, truth
from lightning_nn.data.synthetic.scenes.layout import COLOURS, KINDS, SceneObject
from lightning_nn.errors import UserError

HOUSE = SceneObject("house", "red", 0.62, 0.2, 0.9)
CAR = SceneObject("car", "blue", 0.44, 0.8, 0.8)
TREE = SceneObject("tree", "green", 0.47, 0.5, 0.7)
PAIR = [HOUSE, CAR]
EN = [
    "on the left a small orange mushroom and in the middle a large blue balloon",
    "on the left a little orange mushroom and in the middle a large blue balloon",
    "on the left a little orange mushroom and in the middle a large blue balloon",
]
ZH = [
    "左边有一朵橙色的小蘑菇中间有一只蓝色的大热气球",
    "左边有一朵橙色的小蘑菇中间有一只蓝色的大热气球",
    "左边是一朵橙色的小蘑菇中间是一只蓝色的大热气球",
]


def captioned(language: Language = "en", size: int = 300) -> Scenes:
    data = Scenes(train_size=size, val_size=20, test_size=20, size=32, batch_size=8, language=language)
    data.batch_type = CaptionBatch
    data.prepare_once()
    return data


def words_of(data: Scenes) -> list[str]:
    return data.processor.row_labels()["words"]


def spelled(data: Scenes, split: str) -> list[list[str]]:
    """Return the captions of each picture of a split."""
    source, processor = data.sources[split], data.processor
    assert isinstance(source, CaptionSource) and isinstance(processor, CaptionProcessor)
    batch = source[np.arange(len(source))]
    found: list[list[str]] = [[] for _ in range(len(source))]
    for image, words in zip(batch.image_index.tolist(), batch.words.split(batch.length.tolist()), strict=True):
        found[image].append(processor.spell(words.tolist()))
    return found


# ---------------------------------------------------------------------- the data set


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_caption_is_wholly_true_of_its_picture(language: Language) -> None:
    data = captioned(language)
    for captions, objects in zip(spelled(data, "train"), data.objects("train"), strict=True):
        assert len(captions) == CAPTIONS
        assert all(truth(caption, objects, language) for caption in captions), (captions, objects)


@pytest.mark.seconds
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_sentence_is_true_of_one_picture_in_twenty(language: Language) -> None:
    """Neither one of train nor one of a single object, which is vague where there are two."""
    data = captioned(language, 500)
    train, scenes = spelled(data, "train"), data.objects("train")
    single = {
        describe([SceneObject(kind, colour, size / KINDS[kind].area ** 0.5, x, 0.9)], np.zeros((1, DRAWS)), language)[0]
        for kind in KINDS
        for colour in COLOURS
        for size in (0.43, 0.59)
        for x in (0.2, 0.5, 0.8)
    }
    assert len(single) == 6 * 8 * 2 * 3
    sentences = {captions[0] for captions in train[:20]} | single
    best = max(np.mean([truth(sentence, objects, language) for objects in scenes]) for sentence in sentences)
    assert 0 < best < 0.05


def test_captions_are_the_same_on_every_machine() -> None:
    assert spelled(captioned("en", 1), "test")[0] == EN
    assert spelled(captioned("zh", 1), "test")[0] == ZH


def test_a_batch_holds_all_captions_of_its_pictures() -> None:
    data = captioned()
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, CaptionBatch) and batch.image.dtype == torch.uint8 and batch.image_index is not None
    batch.check({"channels": 3})
    assert batch.image_index.tolist() == [i for i in range(8) for _ in range(CAPTIONS)]
    assert isinstance(data.processor, CaptionProcessor) and data.processor.files == {}
    assert data.processor.pictures["train"](0).shape == (32, 32, 3)
    assert data.describe() == {"channels": 3, "height": 32, "width": 32, "vocabulary_size": len(words_of(data))}


def test_all_words_of_the_splits_are_in_the_vocabulary_of_train() -> None:
    data = captioned()
    assert isinstance(data.processor, CaptionProcessor) and data.processor.others == []
    assert words_of(data)[:5] == ["<unknown>", "<start>", "<end>", "a", "the"]
    assert data.digest(["train"]) != captioned("zh").digest(["train"])


def test_a_trained_vocabulary_is_used_and_another_language_refused() -> None:
    data = captioned()
    few = CaptionProcessor(words_of(data)[:9], 3, 32, 32)
    data.use_processor(few)
    assert words_of(data) == few.words and isinstance(data.processor, CaptionProcessor)
    assert len(data.processor.others) > 9
    assert truth(spelled(data, "test")[0][0], data.objects("test")[0], "en")
    with pytest.raises(UserError, match=r"the model's language is en; this data has zh: use --data.language en"):
        captioned("zh").use_processor(few)


def test_mirrored_pictures_would_make_captions_false() -> None:
    data = Scenes(4, 4, 4, 32, augment=Augment(flip="random"))
    data.batch_type = CaptionBatch
    with pytest.raises(UserError, match="flip random would make left right"):
        data.prepare_once()


# ---------------------------------------------------------------------- truth

TRUE = {
    "en": [
        "on the left a large red house and on the right a small blue car",
        "on the right a little blue car and on the left a big red house",
        "On the left a large  red house and on the right a small blue car",
    ],
    "zh": [
        "左边有一座红色的大房子右边有一辆蓝色的小汽车",
        "右边是一辆蓝色的小汽车左边是一座红色的大房子",
        "左边 有 一座 红色 的 大 房子 右边 有 一辆 蓝色 的 小 汽车",
    ],
}
FALSE = {
    "en": [
        "",
        "on the left a large red house",  # there are two objects
        "on the left a large red house and on the left a large red house",
        "on the left a large red house and on the left a small blue car",
        "on the left a large red house and on the right a small red car",
        "on the left a large red house and on the right a small blue tree",
        "on the left a small red house and on the right a small blue car",
        "a large red house and a small blue car",
        "on the left a large red house and on the right a small blue car and",
        "on the left a large red house and on the right a small blue car and in the middle a small blue tree",
    ],
    "zh": [
        "左边有一座红色的大房子",
        "左边有一座红色的大房子右边有一辆红色的小汽车",
        "左边有一棵红色的大房子右边有一辆蓝色的小汽车",
        "左边有一座红色的大房子右边",
        "左边有一座红色的大房子和右边有一辆蓝色的小汽车",
    ],
}


@pytest.mark.parametrize(("language", "caption"), [(lang, caption) for lang, some in TRUE.items() for caption in some])
def test_a_caption_is_true_if_all_its_claims_are(language: Language, caption: str) -> None:
    assert truth(caption, PAIR, language)
    assert truth(caption, [TREE, *PAIR], language)  # two are enough


@pytest.mark.parametrize(("language", "caption"), [(lang, caption) for lang, some in FALSE.items() for caption in some])
def test_a_caption_with_a_false_or_missing_claim_is_not_true(language: Language, caption: str) -> None:
    assert not truth(caption, PAIR, language)
    assert not truth(caption, [*PAIR, TREE], language)


def test_two_alike_objects_are_two_claims() -> None:
    assert truth("on the left a large red house and on the left a large red house", [HOUSE, HOUSE], "en")


@pytest.mark.parametrize(("x", "true"), [(0.2, "left"), (0.36, "left middle"), (0.5, "middle"), (0.69, "middle right")])
def test_an_object_between_two_places_is_at_either(x: float, true: str) -> None:
    places = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
    objects = [HOUSE._replace(x=x)]
    assert [p for p, text in places.items() if truth(f"{text} a large red house", objects, "en")] == true.split()


def test_the_grammar_names_two_from_the_left() -> None:
    first, second = describe([CAR, HOUSE, TREE], np.array([[0.0] * DRAWS, [0.99] * DRAWS]), "en")
    assert first == "on the left a large red house and on the right a small blue car"
    assert second == "on the left a big red house and on the right a little blue car"
    assert describe([TREE], np.zeros((1, DRAWS)), "zh") == ["中间 有 一棵 绿色 的 小 树"]
    assert describe([TREE], np.full((1, DRAWS), 0.99), "zh") == ["中间 是 一棵 绿色 的 小 树"]


def test_the_grammar_names_one_that_is_alone_at_its_place() -> None:
    beside, zeros = CAR._replace(x=0.9), np.zeros((1, DRAWS))
    assert describe([TREE, CAR, beside, HOUSE], zeros, "en")[0].startswith("on the left a large red house and")
    assert describe([TREE, CAR, beside], zeros, "en")[0].endswith("and on the right a small blue car")
