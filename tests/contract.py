"""What every model is tested on: a model of a few neurons, a data set of a few dozen samples, a short run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_nn import Digits, catalog
from lightning_nn.callbacks.step_seed import StepSeed
from lightning_nn.data.images.source import ImageSource
from lightning_nn.data.module import DataModule
from lightning_nn.runs.checkpoint import PlainCheckpointIO
from lightning_nn.tasks.classification import Classifier

SMALL: dict[str, dict[str, Any]] = {
    "logistic": {},
    "softmax": {"hidden": [8]},
    "lstm": {
        "embedding_size": 8,
        "hidden_size": 8,
        "layers": 2,
        "character_vectors": True,
        "pooling": ["last", "mean", "max", "attention"],
    },
    "han": {"embedding_size": 8, "hidden_size": 8, "attention_size": 8},
}
"""Arguments that make a model small; a new topic adds its row."""

CLASSES = {"logistic": 2}  # all others take three

SENTENCES = {
    "体育": ["球队昨晚赢了比赛", "主帅称赞了门将", "联赛还剩三轮"],
    "财经": ["股价今天上涨了", "央行公布了利率", "公司的利润下降"],
    "天气": ["明天有大雨", "气温将降到零度", "台风正在靠近海岸"],
}


def texts(count: int = 48) -> tuple[list[str], list[str]]:
    """Documents of 1 to 4 sentences and their categories, the same ones always."""
    random = np.random.default_rng(0)
    categories = list(SENTENCES)
    labels = [categories[i % len(categories)] for i in range(count)]
    return ["。".join(random.choice(SENTENCES[label], random.integers(1, 5))) + "。" for label in labels], labels


def write_tsv(path: Path) -> Path:
    """The documents as a file of a person's own."""
    rows = "".join(f"{text}\t{label}\n" for text, label in zip(*texts(), strict=True))
    path.write_text(rows, encoding="utf-8")
    return path


class FewDigits(Digits):
    """The first digits of each split."""

    def prepare(self) -> None:
        super().prepare()
        for split, source in self.sources.items():
            assert isinstance(source, ImageSource)
            self.sources[split] = ImageSource(source.images[source.indices[:40]], source.labels[:40])


def small_data(name: str, folder: Path, batch_size: int = 8) -> DataModule:
    """Data that a model of this name can learn in seconds."""
    if "image" in catalog.MODELS[name].batch_types:
        return FewDigits(classes=[3, 8, 1][: CLASSES.get(name, 3)], batch_size=batch_size)
    from lightning_nn.data.text.data_module import TextData

    return TextData(path=str(write_tsv(folder / "documents.tsv")), segmenter="chars", batch_size=batch_size)


def small_model(name: str, data: DataModule, *, quiet: bool = True) -> Classifier:
    """A model of a few neurons for this data; a quiet one has nothing random in it but its first weights."""
    cls = catalog.MODELS[name].load()
    data.prepare_once()
    wanted = cls.__init__.__annotations__
    described = {key: value for key, value in data.describe().items() if key in wanted}
    rates = {key: 0.0 for key in ("dropout", "word_dropout") if key in wanted and quiet}
    model: Classifier = cls(**described, **SMALL[name], **rates)
    model.processor = data.processor
    return model


def trainer(folder: Path, **arguments: Any) -> pl.Trainer:
    """A Trainer that is quiet, on the CPU, and writes nothing unless told to."""
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": str(folder),
        "callbacks": [StepSeed(0)],
        "plugins": [PlainCheckpointIO()],
    }
    return pl.Trainer(**{**defaults, **arguments})


def one_batch(data: DataModule) -> Any:
    """The whole training split."""
    data.prepare_once()
    source = data.sources["train"]
    return source[np.arange(len(source))]


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that differ in any bit."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
