"""A course on neural networks as PyTorch Lightning modules: `from lightning_nn import HAN`.

Importing this package imports nothing heavy; each name is imported on first use. The public names are the classes of
the catalog, the batches and the groups of options.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker can't find in the catalog
    from lightning_nn.data.batches import CaptionBatch as CaptionBatch
    from lightning_nn.data.batches import ImageBatch as ImageBatch
    from lightning_nn.data.batches import MaskBatch as MaskBatch
    from lightning_nn.data.batches import StyleBatch as StyleBatch
    from lightning_nn.data.batches import TextBatch as TextBatch
    from lightning_nn.data.captions.data_module import CaptionData as CaptionData
    from lightning_nn.data.images.cifar10 import CIFAR10 as CIFAR10
    from lightning_nn.data.images.data_module import Images as Images
    from lightning_nn.data.images.digits import Digits as Digits
    from lightning_nn.data.photos.data_module import Photos as Photos
    from lightning_nn.data.photos.data_module import Pictures as Pictures
    from lightning_nn.data.segmentation.data_module import SegmentationData as SegmentationData
    from lightning_nn.data.synthetic.bulletins.data_module import Bulletins as Bulletins
    from lightning_nn.data.synthetic.scenes.data_module import Scenes as Scenes
    from lightning_nn.data.text.data_module import TextData as TextData
    from lightning_nn.errors import UserError as UserError
    from lightning_nn.models.backbone import BackboneClassifier as BackboneClassifier
    from lightning_nn.models.convnet import ConvNet as ConvNet
    from lightning_nn.models.fast_style import FastStyleTransfer as FastStyleTransfer
    from lightning_nn.models.fcn import FCN as FCN
    from lightning_nn.models.han import HAN as HAN
    from lightning_nn.models.logistic import LogisticRegression as LogisticRegression
    from lightning_nn.models.lstm import LSTMClassifier as LSTMClassifier
    from lightning_nn.models.multimodal_rnn import MultimodalRNN as MultimodalRNN
    from lightning_nn.models.show_and_tell import ShowAndTell as ShowAndTell
    from lightning_nn.models.softmax import SoftmaxClassifier as SoftmaxClassifier
    from lightning_nn.models.style_transfer import StyleTransfer as StyleTransfer
    from lightning_nn.settings import Loss as Loss
    from lightning_nn.settings import LRScheduler as LRScheduler
    from lightning_nn.settings import Optimizer as Optimizer

__version__ = "0.1.0"

_OTHERS = {
    "lightning_nn.data.batches": ("CaptionBatch", "ImageBatch", "MaskBatch", "StyleBatch", "TextBatch"),
    "lightning_nn.errors": ("UserError",),
    "lightning_nn.settings": ("LRScheduler", "Loss", "Optimizer"),
}


def _homes() -> dict[str, str]:
    """Return the module of each public name."""
    from lightning_nn.catalog import DATA, MODELS

    paths = [entry.path for table in (MODELS, DATA) for entry in table.values()]
    classes = [path.split(":") for path in paths if isinstance(path, str) and path.startswith("lightning_nn.")]
    others = {name: home for home, names in _OTHERS.items() for name in names}
    return {name: module for module, name in classes} | others


def __getattr__(name: str) -> Any:
    homes = _homes()
    if name == "__all__":
        return sorted(homes)
    if name not in homes:
        raise AttributeError(f"module 'lightning_nn' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), "__all__", *_homes()})
