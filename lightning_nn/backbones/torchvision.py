"""The classic convolutional networks as modules, their bodies, and weights of others for them.

Each is described in `models.backbone`; all but mobilenet_v1 are torchvision's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import lightning_nn.compat  # noqa: F401  isort: skip

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models  # type: ignore[import-untyped]

from lightning_nn.backbones.mobilenet import MobileNetV1, unfolded
from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import Whitening, with_batch_norms
from lightning_nn.layers.images import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalize
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.saved_settings import names, shown
from lightning_nn.runs.weights_file import WeightsFile, common_prefix, download_weights

Network = Literal[
    "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50", "squeezenet1_1",
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
]  # fmt: skip
STRIDES = (4, 8, 16, 32)  # of the maps of a body
HEADS = ("avgpool", "dropout", "classifier", "fc")  # names of the modules after the last maps begin with these
_UNUSED = (*HEADS, "aux1.", "aux2.", "AuxLogits.")  # names of modules outside of the body begin with these
_FOREIGN_NAMES = {  # patterns of the names in weights files of other libraries
    "Hugging Face's transformers": r"(^|\.)(embedder|encoder\.(layer|stages)|conv_1x1|conv_stem\.first_conv)\.",
    "timm": r"(^|\.)(conv_stem|conv_head|patch_embed|stages\.\d+\.blocks|blocks\.\d+)\.",
    "TensorFlow": r"/|:0$",
    "detectron2": r"\bres[2-5]\.\d",
}
_LEAST = {"alexnet": 64, "inception_v3": 96}  # without borders, smaller images have no map of stride 32


class Form(NamedTuple):
    """Particulars of a network.

    Attributes:
        last_stage: its first layer after the last halving, or the last one but the head's.
        smallest: smallest height and width at which the first two halvings are kept.
        auxiliary: whether it has auxiliary classifiers.
        symmetric: whether its public weights take images scaled to -1 to 1, not ImageNet's mean and deviation.
    """

    last_stage: str
    smallest: int = 33
    auxiliary: bool = False
    symmetric: bool = False


FORMS = {
    "alexnet": Form("features.6"),
    "vgg16": Form("features.24", smallest=0),
    "googlenet": Form("inception5a", auxiliary=True, symmetric=True),
    "inception_v3": Form("Mixed_7a", smallest=75, auxiliary=True, symmetric=True),
    "resnet18": Form("layer4.0"),
    "resnet34": Form("layer4.0"),
    "resnet50": Form("layer4.0"),
    "squeezenet1_1": Form("features.9"),
    "mobilenet_v1": Form("dw.11", symmetric=True),
    "mobilenet_v2": Form("features.14"),
    "mobilenet_v3_small": Form("features.9"),
    "mobilenet_v3_large": Form("features.13"),
}


def make_network(network: Network, num_classes: int, multiplier: float = 1.0) -> nn.Module:
    """Make a network with random weights.

    Raises:
        UserError: the multiplier is not above 0.
    """
    if multiplier <= 0:
        raise UserError(f"multiplier is {multiplier}; it must be above 0")
    if network == "mobilenet_v1":
        return with_batch_norms(MobileNetV1(num_classes, multiplier))
    # Their own start gives inception_v3's logits a deviation of 3; batch norms need no special one.
    options = {"aux_logits": False, "init_weights": False} if FORMS[network].auxiliary else {}
    return with_batch_norms(models.get_model(network, weights=None, num_classes=num_classes, **options))


def top_layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """List the layers of a network by name: its children, or what is in them if they are plain sequences."""
    layers = []
    for name, child in net.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            layers += [(f"{name}.{inner}", layer) for inner, layer in child.named_children()]
        else:
            layers.append((name, child))
    return layers


@torch.no_grad()
def layer_shapes(net: nn.Module, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Compute the shape of the output of each layer for images of a size, in the order of execution.

    Args:
        net: from `make_network`, on any device; on "meta" nothing is computed.
        size: rows and columns.

    Raises:
        RuntimeError: the images are too small.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in top_layers(net)]
    try:
        net.eval()(torch.zeros(1, 3, *size, device=next(net.parameters()).device))
    finally:
        net.train()
        for hook in hooks:
            hook.remove()
    return shapes


def map_shapes(network: Network, size: tuple[int, int], multiplier: float = 1.0) -> dict[str, tuple[int, ...]]:
    """Compute the shape of the maps of each layer of a network; see `layer_shapes`. Nothing is run."""
    with torch.device("meta"):
        shapes = layer_shapes(make_network(network, 1, multiplier), size)
    return {name: shape for name, shape in shapes.items() if not name.startswith(HEADS)}


def keep_pixels(net: nn.Module) -> dict[str, str]:
    """Leave out the first two halvings of a network: convolutions get a stride of 1, a pooling layer goes.

    Returns:
        What was changed, by the name of the module.
    """
    changed: dict[str, str] = {}
    for name, module in list(net.named_modules()):
        if len(changed) == 2:
            break
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            module.stride = (1, 1)
            changed[name] = "stride 1 for small images"
        elif isinstance(module, nn.MaxPool2d):
            net.set_submodule(name, nn.Identity())
            changed[name] = "left out for small images"
    return changed


class LayersBody(nn.Module):
    """Layers of another network in a row, by its names, up to its last map.

    Args:
        modules: its modules; a layer may be within one of them.
        shapes: (C, H, W) of the output of each layer, in the order of execution, for images of `side` pixels.
        last_stage: the first layer with parameters after the last halving.
        side: rows and columns of those images.
        least: rows and columns that an image must have.

    Attributes:
        strides: stride of each layer whose output is a map.
        channels, least, layers, last_stage: as those of `SmallBody`; there may be no map of stride 16 or 32.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        shapes: Mapping[str, tuple[int, ...]],
        last_stage: str,
        side: int,
        least: int = STRIDES[-1],
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.least, self.last_stage, self._order = least, last_stage, list(shapes)
        last = {2 ** round(math.log2(side / shape[1])): name for name, shape in shapes.items()}
        self.strides = {name: stride for stride, name in last.items() if stride in STRIDES}
        self.channels = [shapes[name][0] for name in self.strides]
        self.layers = [name for name in shapes if any(True for _ in self.get_submodule(name).parameters())]
        border = next((m.weight.shape[-1] for m in modules.values() if isinstance(m, Whitening)), 1) - 1
        self._border = (border // 2, border - border // 2) * 2

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps of images (B, C, H, W), from the finest to the coarsest; H and W are multiples of 32."""
        (height, width), maps = x.shape[2:], []
        if any(self._border):
            x = F.pad(x, self._border, mode="replicate")
        for name in self._order:
            x = self.get_submodule(name)(x)
            if name in self.strides:
                maps.append(filled(x, height // self.strides[name], width // self.strides[name]))
        return maps


def filled(x: Tensor, height: int, width: int) -> Tensor:
    """Repeat the edges of maps (B, C, H, W) that layers without borders made smaller."""
    rows, columns = height - x.shape[2], width - x.shape[3]
    if not rows and not columns:
        return x
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="replicate")


def network_body(network: Network, multiplier: float = 1.0) -> LayersBody:
    """Make the body of a classic network, whose first convolution gets a border if it has none.

    Args:
        network: its name.
        multiplier: share of the channels of mobilenet_v1.
    """
    side, net = 256, make_network(network, 1, multiplier)
    shapes = map_shapes(network, (side, side), multiplier)
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    first.padding = (first.kernel_size[0] // 2, first.kernel_size[1] // 2)
    modules = {name: child for name, child in net.named_children() if not name.startswith(HEADS)}
    return LayersBody(modules, shapes, FORMS[network].last_stage, side, _LEAST.get(network, STRIDES[-1]))


def imagenet_file(network: Network, option: str) -> Path:
    """Find torchvision's file of weights, downloaded unless there.

    Args:
        network: the network.
        option: the option that chooses it, for the error.

    Raises:
        UserError: there is none, or it can't be downloaded.
    """
    if network == "mobilenet_v1":
        raise UserError(f"--finetune imagenet: torchvision has no {network}; use {option} mobilenet_v2, or name a file")
    return download_weights(models.get_model_weights(network).DEFAULT.url)


def form_of_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the multiplier of a mobilenet_v1 by the width of its last convolution; nothing for another network."""
    last = next((tensor for name, tensor in weights.items() if name.endswith("pw.12.conv.weight")), None)
    return {"multiplier": len(last) / 1024} if isinstance(last, Tensor) and last.dim() == 4 and len(last) else {}


@cache
def _body(network: Network, multiplier: float) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a network's body by its name, without the counts of batches."""
    with torch.device("meta"):
        weights = make_network(network, 1, multiplier).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in weights.items() if _counts(name)}


def _counts(name: str) -> bool:
    """Return whether a tensor distinguishes one network from another."""
    return not name.startswith(_UNUSED) and not name.endswith("num_batches_tracked")


class _Fit(NamedTuple):
    """Fit of the weights of a file to the body of a network.

    Attributes:
        prefix: of the network's names in the file.
        fitting: names with the network's shape.
        others: names with another shape, or in a part of the network that does not have them.
        lacking: names that the file does not have.
    """

    prefix: str
    fitting: list[str]
    others: list[str]
    lacking: list[str]


def _fit(weights: Mapping[str, Any], network: Network, multiplier: float) -> _Fit:
    body = _body(network, multiplier)
    prefix = common_prefix(weights, body)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    shapes = {
        name: tuple(tensor.shape) for name, tensor in tensors.items() if isinstance(tensor, Tensor) and _counts(name)
    }
    fitting = [name for name, shape in shapes.items() if body.get(name) == shape]
    parts = {name.partition(".")[0] for name in body}
    others = [name for name, shape in shapes.items() if name.partition(".")[0] in parts and body.get(name) != shape]
    return _Fit(prefix, fitting, others, [name for name in body if name not in shapes])


def recognise(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network, and its multiplier, whose body a file holds, by names and shapes; {} for any other file."""
    for network in get_args(Network):
        form = form_of_weights(weights) if network == "mobilenet_v1" else {}
        fit = _fit(unfolded(weights) if form else weights, network, form.get("multiplier", 1.0))
        if fit.fitting and not fit.others and not fit.lacking:
            return {"network": network, **form}
    return {}


def network_weights(
    weights: Checkpoint | WeightsFile, network: Network, prefix: str, state: Mapping[str, Any], option: str
) -> dict[str, Tensor]:
    """Return the weights of a network by the names of a model, with the scaling of the images they were trained on.

    Args:
        weights: an open file; a checkpoint of ours may hold another kind of model with this network.
        network: the network.
        prefix: of its names in the model.
        state: the model's state dict.
        option: the option that chooses the network, for errors.

    Raises:
        UserError: the file holds another network, or none.
    """
    tensors = unfolded(weights.state_dict) if network == "mobilenet_v1" else dict(weights.state_dict)
    last = state.get(f"{prefix}pw.12.conv.weight")
    multiplier = len(last) / 1024 if network == "mobilenet_v1" and last is not None else 1.0
    fit = _checked(weights, tensors, network, multiplier, option)
    body = {f"{prefix}{name.removeprefix(fit)}": tensor for name, tensor in tensors.items() if name.startswith(fit)}
    if isinstance(weights, Checkpoint):
        scaling = ((re.sub(r"^.*normalize\.", "normalize.", name), tensor) for name, tensor in tensors.items())
        return body | {name: tensor for name, tensor in scaling if name.startswith("normalize.")}
    if fit:
        weights.notes.append(f"names without their prefix {shown(fit)!r}")
    scale, symmetric = Normalize(3), FORMS[network].symmetric or "2x - 1" in weights.about
    scale.set(*(([127.5] * 3, [127.5] * 3) if symmetric else (IMAGENET_MEAN, IMAGENET_DEVIATION)))
    return body | {f"normalize.{name}": value for name, value in scale.state_dict().items()}


def _checked(
    weights: Checkpoint | WeightsFile, tensors: Mapping[str, Any], network: Network, multiplier: float, option: str
) -> str:
    """Return the prefix of a network's names in a file; a file of which a part fits by chance is refused.

    Raises:
        UserError: the file holds another network, or none.
    """
    fit, path = _fit(tensors, network, multiplier), weights.path
    form = recognise(weights.state_dict) if fit.others or fit.lacking else {}
    if fit.fitting and not fit.others and not form:
        one = fit.fitting[0]
        prefixes = {name.removesuffix(one) for name in tensors if name.endswith(f".{one}")} - {fit.prefix}
        if copies := [prefix for prefix in prefixes if all(f"{prefix}{name}" in tensors for name in fit.fitting)]:
            raise UserError(
                f"{path} holds {network} several times, under {names(sorted([fit.prefix, *copies]))}: save one alone"
            )
        return fit.prefix
    if form:
        options = f"{option} {form['network']}"
        options += f" --model.multiplier {form['multiplier']:g}" if "multiplier" in form else ""
        raise UserError(f"{path} holds {form['network']}, this model is made for {network}: {options}")
    if not fit.fitting:
        whose = next(
            (whose for whose, part in _FOREIGN_NAMES.items() if any(re.search(part, name) for name in tensors)), None
        )
        raise UserError(
            f"{path} has {f'the names of {whose}' if whose else 'other names'} ({names(list(tensors)[:3])}, ...), not "
            f"those of {network} ({names(list(_body(network, 1.0))[:2])}, ...): give a file with these names"
            f"{', or --finetune imagenet' if network != 'mobilenet_v1' else ''}"
        )
    raise UserError(
        f"{path} holds another network than {network}, which has no such tensors or of another shape: "
        f"{names(fit.others)}; it must be one of {', '.join(FORMS)}, which {option} chooses"
    )
