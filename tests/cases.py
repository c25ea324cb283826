"""Cases of the contract tests, one per model of the catalog; a new topic adds its row to CASES.

    Case(data, raw, outputs, learned, wrong, perfect, arguments, quiet, truth, skips)

Nothing else in the contract depends on the task of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_nn import Digits, ImageBatch, Photos, Pictures, Scenes, TextBatch, TextData
from lightning_nn.data.batches import CaptionBatch, MaskBatch, StyleBatch
from lightning_nn.data.images.labeled_images import ImageSource
from lightning_nn.data.module import DataModule
from lightning_nn.data.text.vocabulary import TextVocabulary
from tests.tiny.captioning import START, TinyCaptions, TinyPictures
from tests.tiny.segmentation import TinyMasks


@dataclass(frozen=True)
class Case:
    """A model as the contract tests it.

    Attributes:
        data: makes, in a folder, data that the model can learn in seconds.
        raw: makes, in a folder, raw inputs as users have them: texts or files.
        outputs: function of a model and a batch that returns a tensor per sample: the values behind its predictions,
            0 to 1.
        learned: function of a model and a batch that returns the share it gets right, 0 to 1; 1 after overfitting it.
        perfect: training means that overfitting a batch also reaches, by name.
        wrong: batches that the model can't read, by the pattern of the error.
        arguments: arguments that make the model small.
        quiet: arguments that remove all randomness from training but the initial weights.
        truth: fields of a batch that `forward` does not read.
        skips: reason for each test that does not apply to this model, by its name.
    """

    data: Callable[[Path], DataModule]
    raw: Callable[[Path], list[str]]
    outputs: Callable[[Any, Any], list[Tensor]]
    learned: Callable[[Any, Any], float]
    wrong: Mapping[str, Any]
    perfect: Mapping[str, float] = field(default_factory=lambda: {"acc": 1.0})
    arguments: Mapping[str, Any] = field(default_factory=dict)
    quiet: Mapping[str, Any] = field(default_factory=dict)
    truth: tuple[str, ...] = ("label",)
    skips: Mapping[str, str] = field(default_factory=dict)

    def model(self, cls: Any, data: DataModule, *, quiet: bool = True) -> Any:
        """Make a small model for this data; a quiet one has no randomness but its initial weights."""
        model = cls.for_data(data, **{**self.arguments, **(self.quiet if quiet else {})})
        model.processor = data.processor
        return model


# ---------------------------------------------------------------------- data

SENTENCES = {
    "体育": ["球队昨晚赢了比赛", "主帅称赞了门将", "联赛还剩三轮"],
    "财经": ["股价今天上涨了", "央行公布了利率", "公司的利润下降"],
    "天气": ["明天有大雨", "气温将降到零度", "台风正在靠近海岸"],
}


def texts(count: int = 48) -> tuple[list[str], list[str]]:
    """Make documents of 1 to 4 sentences and their categories, always the same."""
    random = np.random.default_rng(0)
    categories = list(SENTENCES)
    labels = [categories[i % len(categories)] for i in range(count)]
    return ["。".join(random.choice(SENTENCES[label], random.integers(1, 5))) + "。" for label in labels], labels


def text_data(folder: Path) -> DataModule:
    """Write the documents to a file and make a data module of it."""
    file = folder / "documents.tsv"
    if not file.exists():  # other processes may be reading it
        file.write_text("".join(f"{text}\t{label}\n" for text, label in zip(*texts(), strict=True)), encoding="utf-8")
    return TextData(path=str(file), vocabulary=TextVocabulary("chars"), batch_size=8)


class FewDigits(Digits):
    """The first digits of each split."""

    def prepare(self) -> None:
        super().prepare()
        for split, source in self.sources.items():
            assert isinstance(source, ImageSource)
            self.sources[split] = ImageSource(source.images[source.indices[:40]], source.labels[:40])


def image_files(folder: Path) -> list[str]:
    """Write image files that differ in size and colour from the training images."""
    random = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


# ---------------------------------------------------------------------- outputs of a model for a batch


def class_probabilities(model: Any, batch: Any) -> list[Tensor]:
    """Return class probabilities, (K,) per sample."""
    return list(model.probabilities(model.logits(batch)))


def right_classes(model: Any, batch: Any) -> float:
    """Return the share of samples whose most probable class is the true one."""
    return float((model.predict_step(batch).argmax(1) == batch.label).float().mean())


def pixel_probabilities(model: Any, batch: MaskBatch) -> list[Tensor]:
    """Return class probabilities of each pixel, (K, H, W) per sample."""
    return list(model.probabilities(batch))


def right_pixels(model: Any, batch: MaskBatch) -> float:
    """Return the share of pixels, without ignored ones, whose most probable class is the true one."""
    assert batch.mask is not None
    counted = batch.mask != 255
    predicted = torch.from_numpy(np.stack([prediction.mask for prediction in model.predictions(batch)]))
    return float((predicted == batch.mask)[counted].float().mean())


def well_segmented(model: Any, batch: MaskBatch) -> float:
    """Return the share of images of which at least 95% of the pixels are right; corners are finer than a stride."""
    return float(np.mean([right_pixels(model, batch.select([i])) >= 0.95 for i in range(batch.size)]))


def word_probabilities(model: Any, batch: CaptionBatch) -> list[Tensor]:
    """Return probabilities of each word given those before, (T, V) per sample; of the first word without captions."""
    if batch.words is None:
        start = torch.full((batch.size,), START, device=batch.image.device)
        return list(model.step(start, model.start(batch.image))[0].softmax(1))
    assert batch.length is not None and batch.image_index is not None
    captions = model(batch).softmax(1).split((batch.length + 1).tolist())
    images = batch.image_index.tolist()
    return [torch.cat([c for c, i in zip(captions, images, strict=True) if i == n]) for n in range(batch.size)]


def next_words(model: Any, batch: CaptionBatch) -> list[Tensor]:
    """Return probabilities of each word given those before, (T, V) per sample; of the first word without captions."""
    if batch.words is None:
        start = torch.full((batch.size,), START, device=batch.image.device)
        return list(model.step(model.decoder.start(model.features(batch.image)), start)[0].exp())
    assert batch.length is not None and batch.image_index is not None
    captions = model(batch).softmax(1).split((batch.length + 1).tolist())
    images = batch.image_index.tolist()
    return [torch.cat([c for c, i in zip(captions, images, strict=True) if i == n]) for n in range(batch.size)]


def right_captions(model: Any, batch: CaptionBatch) -> float:
    """Return the share of images whose generated caption equals the true one."""
    spell = model.require_processor().spell
    captions = [spell(words.tolist()) for words in batch.words.split(batch.length.tolist())]
    true = dict(zip(batch.image_index.tolist(), captions, strict=True))
    return float(np.mean([p.caption == true[i] for i, p in enumerate(model.predictions(batch))]))


def picture_values(model: Any, batch: StyleBatch) -> list[Tensor]:
    """Return the pixels of each picture, 0 to 1."""
    assert batch.picture is not None
    return [model.result()[i].detach() / 255 for i in batch.picture.tolist()]


def less_loss(model: Any, batch: StyleBatch) -> float:
    """Return 1 if the loss of the pictures is at most a tenth of that of first ones, else 0."""
    first = type(model)(**model.hparams)
    return float(model(batch)["loss"].sum() <= 0.1 * first(batch)["loss"].sum())


def styled_pixels(model: Any, batch: StyleBatch) -> list[Tensor]:
    """Return the pixels of each stylised content, 0 to 1."""
    return list(model(batch) / 255)


def has_style(model: Any, batch: StyleBatch) -> float:
    """Return 1 if the style loss of the stylised contents is at most a quarter of the contents' own, else 0."""
    sums = model.training_means(batch).sums
    return float(sums["style"] <= 0.25 * sums["style_before"])


# ---------------------------------------------------------------------- wrong input

IMAGE = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
LABEL = torch.tensor([0, 1])
ONE, TWO, FOUR = torch.tensor([1]), torch.tensor([2]), torch.tensor([1, 2, 3, 4])
FEATURES, MASK = IMAGE.flatten(1).float(), IMAGE[:, 0]

WRONG_IMAGES = {
    "image of a batch is empty": ImageBatch(IMAGE[:0], LABEL[:0]),
    "image of a batch is torch.int64 .*; expected torch.uint8": ImageBatch(IMAGE.long(), LABEL),
    r"image of a batch is torch.uint8 \(2, 8, 8\)": ImageBatch(IMAGE[:, 0], LABEL),
    "image of a batch has floats of 9 to 9; expected 0 to 1": ImageBatch(IMAGE + 9.0, LABEL),
    "image of a batch has floats of nan to nan; expected 0 to 1": ImageBatch(IMAGE + float("nan"), LABEL),
    r"images of \(1, 8, 4\); this model was made for (64 values|8 x 8 pixels)": ImageBatch(IMAGE[..., :4], LABEL),
    "label of a batch is torch.float32": ImageBatch(IMAGE, LABEL / 1),
    "a batch of 2 samples has 1 labels": ImageBatch(IMAGE, LABEL[:1]),
    r"labels go from 0 to 7; this model was made for 0 to \d": ImageBatch(IMAGE, LABEL * 7),
    "labels go from -1 to 0": ImageBatch(IMAGE, -LABEL),
    "a batch is a list; .* takes ImageBatch of": [IMAGE, LABEL],
    "a batch is a TextBatch; .* takes ImageBatch of": TextBatch(ONE, TWO, TWO, ONE),
}
WRONG_TEXTS = {
    "documents of a batch is empty": TextBatch(ONE[:0], ONE[:0], ONE[:0], ONE[:0]),
    "words of a batch is torch.float32": TextBatch(ONE, TWO, torch.tensor([1.0, float("nan")]), ONE),
    r"words of a batch is torch.int64 \(2, 1\)": TextBatch(ONE, TWO, torch.ones(2, 1, dtype=torch.int64), ONE),
    "sentences counts the words of each, at least 1; its sum is 2": TextBatch(ONE, TWO, FOUR, ONE),
    "documents counts the sentences of each, at least 1; its sum is 2": TextBatch(TWO, TWO, FOUR[:2], ONE),
    "its minimum 0": TextBatch(TWO, torch.tensor([0, 4]), FOUR, ONE),
    "word ids go from 1 to 4000": TextBatch(ONE, torch.tensor([4]), torch.tensor([1, 2, 3, 4000]), ONE),
    "labels go from 9 to 9": TextBatch(ONE, TWO, FOUR[:2], ONE * 9),
    "a batch is a ImageBatch; .* takes TextBatch of": ImageBatch(IMAGE, LABEL),
}


def wrong_masks(channels: int, classes: int) -> dict[str, Any]:
    """Make batches that a model of images of so many channels and masks of so many classes can't read."""
    image, other = IMAGE.expand(2, channels, 8, 8), IMAGE.expand(2, 5, 8, 8)
    return {
        "image of a batch is empty": MaskBatch(image[:0], MASK[:0]),
        rf"images of \(5, 8, 8\); this model was made for {channels} channels": MaskBatch(other, MASK),
        "mask of a batch is torch.float32": MaskBatch(image, MASK / 1),
        rf"images \(2, {channels}, 8, 8\) has masks \(2, 8, 4\)": MaskBatch(image, MASK[..., :4]),
        rf"masks go up to {classes}; this model was made for 0 to {classes - 1}": MaskBatch(image, MASK + classes),
        "a batch is a ImageBatch; .* takes MaskBatch of": ImageBatch(image, LABEL),
    }


WRONG_CAPTIONS = {
    "image of a batch is empty": CaptionBatch(FEATURES[:0], ONE * 0, ONE, ONE),
    "32 features; this model was made for 64": CaptionBatch(FEATURES[:, :32], ONE * 0, ONE, ONE),
    "words of a batch is torch.float32": CaptionBatch(FEATURES, ONE * 0, ONE, ONE / 1),
    "length counts the words of each, at least 1; its sum is 2": CaptionBatch(FEATURES, ONE * 0, TWO, FOUR),
    "image_index of a batch must ascend": CaptionBatch(FEATURES, TWO, ONE, ONE),
    "word ids of a batch go from -4000": CaptionBatch(FEATURES, ONE * 0, ONE, ONE * -4000),
    "a batch is a MaskBatch; .* takes CaptionBatch of": MaskBatch(IMAGE, MASK),
}

WRONG_PICTURE_CAPTIONS = {
    "image of a batch is empty": CaptionBatch(IMAGE[:0], ONE * 0, ONE, ONE),
    r"images of \(1, 8, 4\); this model was made for 8 x 8 pixels": CaptionBatch(IMAGE[..., :4], ONE * 0, ONE, ONE),
    "64 features; this model was made for 128": CaptionBatch(FEATURES, ONE * 0, ONE, ONE),
    "words of a batch is torch.float32": CaptionBatch(IMAGE, ONE * 0, ONE, ONE / 1),
    "length counts the words of each, at least 1; its sum is 2": CaptionBatch(IMAGE, ONE * 0, TWO, FOUR),
    "image_index of a batch must ascend": CaptionBatch(IMAGE, TWO, ONE, ONE),
    "a batch has no captions": CaptionBatch(IMAGE),
    "a batch is a MaskBatch; .* takes CaptionBatch of": MaskBatch(IMAGE, MASK),
}

PHOTOGRAPH = torch.zeros(1, 3, 24, 32, dtype=torch.uint8)
WRONG_STYLES = {
    "a batch has neither content nor style": StyleBatch(None),
    "image of a batch is empty": StyleBatch(PHOTOGRAPH[:0]),
    r"images of \(1, 24, 32\); this model was made for 3 channels": StyleBatch(PHOTOGRAPH[:, :1]),
    "style of a batch is torch.int64": StyleBatch(PHOTOGRAPH, (PHOTOGRAPH[0].long(),)),
    r"a style of \(1, 24, 32\); it must have 3 channels": StyleBatch(PHOTOGRAPH, (PHOTOGRAPH[0, :1],)),
    "pictures go from 7 to 7": StyleBatch(PHOTOGRAPH, (PHOTOGRAPH[0],), torch.tensor([7])),
    "a batch is a ImageBatch; .* takes StyleBatch of": ImageBatch(IMAGE, LABEL),
}

WRONG_CONTENTS = {
    "a batch lacks content or style": StyleBatch(PHOTOGRAPH),
    **{k: v for k, v in WRONG_STYLES.items() if not k.startswith("pictures go")},
}

# ---------------------------------------------------------------------- the cases


def image_classifier(classes: list[int], **changes: Any) -> Case:
    """Make the case of an image classifier, on a few digits of these classes."""
    return Case(
        data=lambda folder: FewDigits(classes=classes, batch_size=8),
        raw=image_files,
        outputs=class_probabilities,
        learned=right_classes,
        wrong=WRONG_IMAGES,
        **changes,
    )


def few_scenes(folder: Path) -> DataModule:
    """Draw a few small scenes with masks."""
    data = Scenes(train_size=40, val_size=10, test_size=10, size=32, batch_size=8)
    data.batch_type = MaskBatch
    return data


def captioner(**arguments: Any) -> Case:
    """Make the case of a captioner with a convolutional network, on images of one rectangle each."""
    return Case(
        data=lambda folder: TinyPictures(),
        raw=image_files,
        outputs=next_words,
        learned=right_captions,
        wrong=WRONG_PICTURE_CAPTIONS,
        arguments={
            "encoder": {"layers": ["conv 8 3 padding=1", "batch_norm", "relu"]},
            "search": {"longest": 6},
            **arguments,
        },
        quiet={"dropout": 0.0},
        truth=(),
    )


def two_photographs(folder: Path) -> DataModule:
    """Write a small content, colours from dark to light, and a small style, squares in two colours."""
    rows, columns = np.mgrid[:24, :32]
    content = np.stack([rows * 10, columns * 8, 250 - rows * 10], 2).astype(np.uint8)
    style = np.where(((rows // 4 + columns // 4) % 2 == 0)[..., None], [250, 180, 20], [20, 60, 160]).astype(np.uint8)
    for name, pixels in (("content", content), ("style", style)):
        if not (file := folder / f"{name}.png").exists():  # other processes may be reading it
            Image.fromarray(pixels).save(file)
    return Photos(str(folder / "content.png"), str(folder / "style.png"), steps=5)


def few_contents(folder: Path) -> DataModule:
    """Write a few small contents, gradients in all directions, beside the style."""
    two_photographs(folder)
    (folder / "contents").mkdir(exist_ok=True)
    with Image.open(folder / "content.png") as image:
        for turn in range(24):
            if not (file := folder / "contents" / f"{turn:02}.png").exists():
                image.resize((16, 16)).rotate(15 * turn).save(file)
    return Pictures(str(folder / "contents"), str(folder / "style.png"), size=16, batch_size=3)


def text_classifier(**arguments: Any) -> Case:
    """Make the case of a text classifier, on short documents."""
    return Case(
        data=text_data,
        raw=lambda folder: [*texts(4)[0], "ABC, 没见过的字", ""],
        outputs=class_probabilities,
        learned=right_classes,
        wrong=WRONG_TEXTS,
        arguments={"embedding_size": 8, **arguments},
        quiet={"dropout": 0.0, "word_dropout": 0.0},
    )


CASES = {
    "logistic": image_classifier([3, 8]),
    "softmax": image_classifier([3, 8, 1], arguments={"hidden": [8]}),
    "convnet": image_classifier(
        [3, 8, 1],
        arguments={"layers": ["conv 4 3", "batch_norm", "relu", "max_pool 2", "dropout 0.2", "flatten"]},
        quiet={"layers": ["conv 4 3", "batch_norm", "relu", "max_pool 2", "flatten"]},
    ),
    "backbone": image_classifier([3, 8, 1], arguments={"network": "mobilenet_v1", "multiplier": 0.25}),
    "fcn": Case(
        data=few_scenes,
        raw=image_files,
        outputs=pixel_probabilities,
        learned=well_segmented,
        wrong=wrong_masks(3, 8),
        perfect={},
        arguments={"first_channels": 8},
        truth=("mask",),
    ),
    "style_transfer": Case(
        data=two_photographs,
        raw=lambda folder: ["content.png"],
        outputs=picture_values,
        learned=less_loss,
        wrong=WRONG_STYLES,
        perfect={},
        arguments={
            "size": 32,
            "init": "noise",
            "loss": {"style_weight": 0.05, "content_weight": 0.002},
        },  # for SGD's rate
        truth=("content", "style"),
        skips={
            "test_float64_and_bfloat16_agree_with_float32": "a prediction computes nothing; see tests/models",
            "test_a_loss_that_is_not_finite_stops_the_run_before_a_checkpoint": "a run sets its parameter first; see "
            "tests/models",
            "test_two_processes_measure_as_one": "it refuses two processes, and measures nothing",
            "test_trains_in_other_precisions": "its L-BFGS refuses mixed precision; see tests/models",
            "test_every_epoch_has_the_same_samples_in_an_order_of_its_own": "there is one sample",
            "test_batch_size_order_and_neighbours_change_no_prediction": "there is one sample, and nothing is computed",
        },
    ),
    "fast_style": Case(
        data=few_contents,
        raw=image_files,
        outputs=styled_pixels,
        learned=has_style,
        wrong=WRONG_CONTENTS,
        perfect={},
        arguments={"first_channels": 8, "blocks": 1, "loss": {"content_weight": 0.0}},
        truth=("style", "picture"),
        skips={
            "test_two_processes_measure_as_one": "there is no test split",
            "test_float64_and_bfloat16_agree_with_float32": "weights that large saturate each pixel; see tests/models",
        },
    ),
    "lstm": text_classifier(
        hidden_size=8, layers=2, character_vectors=True, pooling=["last", "mean", "max", "attention"]
    ),
    "han": text_classifier(hidden_size=8, attention_size=8),
    "show_and_tell": captioner(embedding_size=64, hidden_size=64),
    "multimodal_rnn": captioner(embedding_size=64, hidden_size=64, multimodal_size=64),
    "tiny_segmenter": Case(
        data=lambda folder: TinyMasks(),
        raw=image_files,
        outputs=pixel_probabilities,
        learned=right_pixels,
        wrong=wrong_masks(1, 3),
        quiet={"dropout": 0.0},
        truth=("mask",),
    ),
    "tiny_captioner": Case(
        data=lambda folder: TinyCaptions(),
        raw=image_files,
        outputs=word_probabilities,
        learned=right_captions,
        wrong=WRONG_CAPTIONS,
        quiet={"dropout": 0.0},
        truth=(),
    ),
}
