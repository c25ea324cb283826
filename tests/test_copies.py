"""A model is copied, pickled, averaged and compiled, also after it has predicted."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import StochasticWeightAveraging

from lightning_nn import TextData, catalog
from lightning_nn.data.module import DataModule
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.tasks.classification import Classifier
from tests.cases import CASES
from tests.commands import process
from tests.contract import differing, to_plain, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def data_of(name: str, folder: Path) -> DataModule:
    """Small data; texts are segmented by jieba, whose tokenizer holds a lock."""
    data = CASES[name].data(folder)
    if isinstance(data, TextData):
        assert data.path is not None
        return TextData(path=data.path, vocabulary=TextVocabulary("jieba"), batch_size=8)
    return data


def trained(name: str, data: DataModule, folder: Path) -> Classifier:
    """A model that has been trained and has predicted."""
    model: Classifier = CASES[name].model(catalog.MODELS[name].load(), data)
    data.prepare_once()
    validates = {} if "val" in data.sources else {"limit_val_batches": 0}
    trainer(folder, max_epochs=1, **validates).fit(model, datamodule=data)
    if isinstance(data, TextData):
        model.predict(["球队昨晚赢了比赛。"])
    return model


@pytest.mark.parametrize("name", catalog.MODELS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_that_has_predicted_is_copied(
    name: str, duplicate: Callable[[Classifier], Classifier], tmp_path: Path
) -> None:
    data = data_of(name, tmp_path)
    model = trained(name, data, tmp_path)
    other = duplicate(model)
    assert not differing(model.state_dict(), other.state_dict())
    batch = next(iter(data.test_dataloader() if "test" in data.sources else data.train_dataloader()))
    with torch.no_grad():
        assert to_plain(other.eval().predict_step(batch)) == to_plain(model.eval().predict_step(batch))
    if isinstance(data, TextData):
        assert other.predict(["央行公布了利率。"]) == model.predict(["央行公布了利率。"])


def test_a_model_that_has_predicted_is_averaged(tmp_path: Path) -> None:
    data = data_of("han", tmp_path)
    model = trained("han", data, tmp_path)
    averaging = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    run: Any = trainer(tmp_path, max_epochs=2, callbacks=[averaging])
    run.fit(model, datamodule=data)
    assert int(averaging.state_dict()["n_averaged"]) == 2


COMPILED = """
import sys
from pathlib import Path
import torch
from lightning_nn import catalog
from tests.cases import CASES
from tests.contract import differing, to_plain, trainer
name, folder = sys.argv[1], Path(sys.argv[2])
data = CASES[name].data(folder)
model = CASES[name].model(catalog.MODELS[name].load(), data)
before = {key: value.clone() for key, value in model.state_dict().items()}
run = trainer(folder, max_epochs=1, limit_train_batches=2, limit_val_batches=1)
run.fit(torch.compile(model, backend="eager"), datamodule=data)
assert differing(before, model.state_dict())
assert run.callback_metrics["val/loss"].isfinite()
"""


@pytest.mark.parametrize(
    "name", [name if name == "softmax" else pytest.param(name, marks=pytest.mark.slow) for name in catalog.MODELS]
)
def test_a_compiled_model_is_trained(name: str, tmp_path: Path) -> None:
    """In a process of its own: torchmetrics looks for other packages at its first update, which dynamo can't follow."""
    process(name, str(tmp_path), script=COMPILED, cwd=tmp_path).ok()
