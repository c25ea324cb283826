"""A course on neural networks as PyTorch Lightning modules: `from lightning_nn import HAN`.

Importing this package loads nothing heavy; each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_nn.data.batches import ImageBatch, TextBatch
    from lightning_nn.data.bulletins_data import Bulletins
    from lightning_nn.data.cifar10 import CIFAR10
    from lightning_nn.data.digits import Digits
    from lightning_nn.data.images import Images
    from lightning_nn.data.text import TextData
    from lightning_nn.errors import UserError
    from lightning_nn.models.han import HAN
    from lightning_nn.models.logistic import LogisticRegression
    from lightning_nn.models.lstm import LSTMClassifier
    from lightning_nn.models.optimization import Loss, LRScheduler, Optimizer
    from lightning_nn.models.softmax import SoftmaxClassifier

__version__ = "0.1.0"

__all__ = [
    "CIFAR10",
    "HAN",
    "Bulletins",
    "Digits",
    "ImageBatch",
    "Images",
    "LRScheduler",
    "LSTMClassifier",
    "LogisticRegression",
    "Loss",
    "Optimizer",
    "SoftmaxClassifier",
    "TextBatch",
    "TextData",
    "UserError",
]

_HOME = {
    "CIFAR10": "data.cifar10",
    "HAN": "models.han",
    "Bulletins": "data.bulletins_data",
    "Digits": "data.digits",
    "ImageBatch": "data.batches",
    "Images": "data.images",
    "LRScheduler": "models.optimization",
    "LSTMClassifier": "models.lstm",
    "LogisticRegression": "models.logistic",
    "Loss": "models.optimization",
    "Optimizer": "models.optimization",
    "SoftmaxClassifier": "models.softmax",
    "TextBatch": "data.batches",
    "TextData": "data.text",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lightning_nn' has no attribute {name!r}")
    return getattr(import_module(f"lightning_nn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
