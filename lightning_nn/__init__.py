"""A course on neural networks as PyTorch Lightning modules: `from lightning_nn import HAN`.

Importing this package imports nothing heavy; each name is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_nn.data.batches import CaptionBatch, ImageBatch, MaskBatch, StyleBatch, TextBatch
    from lightning_nn.data.captions.data_module import CaptionData
    from lightning_nn.data.images.cifar10 import CIFAR10
    from lightning_nn.data.images.data_module import Images
    from lightning_nn.data.images.digits import Digits
    from lightning_nn.data.photos.data_module import Photos, Pictures
    from lightning_nn.data.segmentation.data_module import SegmentationData
    from lightning_nn.data.synthetic.bulletins.data_module import Bulletins
    from lightning_nn.data.synthetic.scenes.data_module import Scenes
    from lightning_nn.data.text.data_module import TextData
    from lightning_nn.errors import UserError
    from lightning_nn.models.backbone import BackboneClassifier
    from lightning_nn.models.convnet import ConvNet
    from lightning_nn.models.fast_style import FastStyleTransfer
    from lightning_nn.models.fcn import FCN
    from lightning_nn.models.han import HAN
    from lightning_nn.models.logistic import LogisticRegression
    from lightning_nn.models.lstm import LSTMClassifier
    from lightning_nn.models.multimodal_rnn import MultimodalRNN
    from lightning_nn.models.show_and_tell import ShowAndTell
    from lightning_nn.models.softmax import SoftmaxClassifier
    from lightning_nn.models.style_transfer import StyleTransfer
    from lightning_nn.settings import Loss, LRScheduler, Optimizer

__version__ = "0.1.0"

__all__ = [
    "CIFAR10",
    "FCN",
    "HAN",
    "BackboneClassifier",
    "Bulletins",
    "CaptionBatch",
    "CaptionData",
    "ConvNet",
    "Digits",
    "FastStyleTransfer",
    "ImageBatch",
    "Images",
    "LRScheduler",
    "LSTMClassifier",
    "LogisticRegression",
    "Loss",
    "MaskBatch",
    "MultimodalRNN",
    "Optimizer",
    "Photos",
    "Pictures",
    "Scenes",
    "SegmentationData",
    "ShowAndTell",
    "SoftmaxClassifier",
    "StyleBatch",
    "StyleTransfer",
    "TextBatch",
    "TextData",
    "UserError",
]

_HOME = {
    "CIFAR10": "data.images.cifar10",
    "FCN": "models.fcn",
    "HAN": "models.han",
    "BackboneClassifier": "models.backbone",
    "Bulletins": "data.synthetic.bulletins.data_module",
    "CaptionBatch": "data.batches",
    "CaptionData": "data.captions.data_module",
    "ConvNet": "models.convnet",
    "Digits": "data.images.digits",
    "FastStyleTransfer": "models.fast_style",
    "ImageBatch": "data.batches",
    "Images": "data.images.data_module",
    "LRScheduler": "settings",
    "LSTMClassifier": "models.lstm",
    "LogisticRegression": "models.logistic",
    "Loss": "settings",
    "MaskBatch": "data.batches",
    "MultimodalRNN": "models.multimodal_rnn",
    "Optimizer": "settings",
    "Photos": "data.photos.data_module",
    "Pictures": "data.photos.data_module",
    "Scenes": "data.synthetic.scenes.data_module",
    "SegmentationData": "data.segmentation.data_module",
    "ShowAndTell": "models.show_and_tell",
    "SoftmaxClassifier": "models.softmax",
    "StyleBatch": "data.batches",
    "StyleTransfer": "models.style_transfer",
    "TextBatch": "data.batches",
    "TextData": "data.text.data_module",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lightning_nn' has no attribute {name!r}")
    return getattr(import_module(f"lightning_nn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
