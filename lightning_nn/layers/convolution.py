"""Convolutional networks: layers that torch lacks or has slower, and networks from a list of layers.

An entry of the list is a few words:

    conv 16 5 padding=2              16 kernels of 5 x 5, on a border of 2 zeros
    batch_norm                       Ioffe and Szegedy 2015
    relu                             or sigmoid, tanh, leaky_relu 0.01, elu, gelu
    max_pool 2                       or avg_pool 2: windows of 2 x 2, side by side
    residual conv 16 3 padding=1, relu      these layers' output is added to their input (He et al. 2016)
    flatten                          or global_avg_pool, global_max_pool: one number a channel
    linear 64                        fully connected
    dropout 0.5
    whitening 2                      fixed kernels of 2 x 2 that decorrelate neighbouring pixels

A window of K pixels has floor((N + 2P - K) / S) + 1 places on N pixels with a border of P, a stride of S apart.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lightning_nn.errors import UserError, nearest
from lightning_nn.layers.images import Normalize
from lightning_nn.layers.ragged import at_least_float32

Init = Literal["zeros", "normal", "xavier", "kaiming", "orthogonal", "dirac"]
Shape = tuple[int, ...]  # (C, H, W) of an image, (F,) of a flat sample
_UNFOLDED = 8  # images at once; an unfolded image is K^2 times as large


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps, (B, C, H, W), or of flat samples, (B, C) (Ioffe and Szegedy 2015).

    Where several processes train, mean and variance are those of the batches of all of them together, on CPUs too
    (torch.nn.SyncBatchNorm needs GPUs), so that the gradient is that of one process.

    A batch with one value a channel has no variance, and torch raises an error in training; here such a batch is
    normalised by the running statistics, which it doesn't change. The last batch of an epoch may be a single sample.

    Args:
        channels: number of channels, C.
        eps: added to the variance.
        momentum: share of the newest batch in the running statistics.
        scale: learn a factor on each channel; if False it stays 1.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float | None = 0.1, scale: bool = True) -> None:
        super().__init__(channels, eps, momentum)
        self.weight.requires_grad_(scale)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel, to the same shape."""
        if self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return self._over_processes(input)
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if input.dim() == 4:
            return super().forward(input)
        return super().forward(input[:, :, None, None]).flatten(1)

    def _over_processes(self, input: Tensor) -> Tensor:
        """Normalise by the mean and variance over the batches of all processes, which may differ in size."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        x = at_least_float32(input)
        others, shape = [0, *range(2, x.dim())], (-1, *[1] * (x.dim() - 2))  # all dimensions but that of channels
        count = x.new_tensor([x.numel() / self.num_features])
        total, count = _SumOverProcesses.apply(torch.cat([x.sum(others), count])).split([self.num_features, 1])
        mean = total / count
        centred = x - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(others)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        y = centred * (self.weight * (variance + self.eps).rsqrt()).view(shape) + self.bias.view(shape)
        return y.to(input.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total: Tensor = _SumOverProcesses.apply(gradient)
        return total


def with_batch_norms(net: nn.Module) -> nn.Module:
    """Replace the batch norms of a network just made by `BatchNorm`."""
    for name, norm in list(net.named_modules()):
        if type(norm) is nn.BatchNorm2d:
            net.set_submodule(name, BatchNorm(norm.num_features, norm.eps, norm.momentum))
    return net


class MaxPool2d(nn.MaxPool2d):
    """Maximum of each window, as torch's; while training on a CPU, windows side by side need less memory.

    torch keeps the input until the backward pass, though the places of the maxima are enough. After a wide convolution
    that is the largest tensor of a network.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool maps, (B, C, H, W) to (B, C, H', W')."""
        kernel, stride = int(self.kernel_size), int(self.stride)  # type: ignore[arg-type]
        if kernel > stride or self.padding or not (input.is_cpu and input.requires_grad and torch.is_grad_enabled()):
            return super().forward(input)
        return _MaxPool.apply(input, kernel, stride)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, kernel: int, stride: int) -> Tensor:
        output, places = F.max_pool2d(input, kernel, stride, return_indices=True)
        ctx.save_for_backward(places)
        ctx.shape = input.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,), (batch, channels, height, width) = ctx.saved_tensors, ctx.shape
        if places.is_contiguous(memory_format=torch.channels_last):
            places, grad = (values.permute(0, 2, 3, 1).reshape(batch, -1, channels) for values in (places, grad))
            pixels = grad.new_zeros(batch, height * width, channels).scatter_(1, places, grad)
            return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2), None, None
        pixels = grad.new_zeros(batch, channels, height * width).scatter_(2, places.flatten(2), grad.flatten(2))
        return pixels.view(batch, channels, height, width), None, None


class Whitening(nn.Module):
    """Convolution with fixed kernels that decorrelate the pixels of a patch (as in Jordan 2024, arXiv:2404.00498).

    The kernels are the eigenvectors of the covariance of patches, divided by the roots of their eigenvalues, and their
    negatives. Until `measure` has seen images they are orthogonal at random. The bias is learned.

    Args:
        channels: channels of the input, C.
        kernel: size of a patch, K; there are 2 C K K kernels.

    Attributes:
        measured: bool (2 C K K,), whether the kernels come from images.
    """

    weight: Tensor
    measured: Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        size = channels * kernel**2
        self.register_buffer("weight", self._kernels(nn.init.orthogonal_(torch.empty(size, size)), channels, kernel))
        self.register_buffer("measured", torch.zeros(2 * size, dtype=torch.bool))
        self.bias = nn.Parameter(torch.zeros(2 * size))

    def measure(self, images: Iterable[Tensor], eps: float = 5e-4) -> None:
        """Compute the kernels.

        Args:
            images: batches of normalised images (N, C, H, W).
            eps: added to the eigenvalues.
        """
        _, channels, kernel, _ = self.weight.shape
        covariance, count = torch.zeros(2, dtype=torch.float64)
        for some in (part for image in images for part in torch.split(image, _UNFOLDED)):
            patches = F.unfold(some.double(), kernel).transpose(1, 2).flatten(0, 1)  # (places, C K K)
            covariance = covariance + patches.T @ patches
            count = count + len(patches)
        values, vectors = torch.linalg.eigh(covariance / count)
        self.weight.copy_(self._kernels((vectors / (values + eps).sqrt()).T.flip(0), channels, kernel))
        self.measured.fill_(True)

    @staticmethod
    def _kernels(rows: Tensor, channels: int, kernel: int) -> Tensor:
        return torch.cat([rows, -rows]).view(-1, channels, kernel, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, 2 C K K, H - K + 1, W - K + 1)."""
        return F.conv2d(x, self.weight, self.bias)


def measure_images(normalize: Normalize, net: nn.Module, batches: Iterable[Any]) -> None:
    """Set mean, deviation and whitening kernels to those of training images, unless they came with weights.

    Args:
        normalize: for mean and deviation.
        net: what follows; its whitening layers read normalised images.
        batches: of images; each pass yields the same ones.
    """
    channels = len(normalize.mean)
    if not normalize.measured.all():
        normalize.measure(batch.image.expand(-1, channels, -1, -1) for batch in batches)
    for module in net.modules():
        if isinstance(module, Whitening) and not module.measured.all():
            module.measure(normalize(batch.image.expand(-1, channels, -1, -1)) for batch in batches)


def initialise(net: nn.Module, init: Init, deviation: float = 0.01) -> None:
    """Initialise the weights of all convolutions and fully connected layers, and set their biases to zero.

    Args:
        net: a layer, or a network.
        init: zeros; normal, N(0, deviation^2); xavier (Glorot and Bengio 2010); kaiming, which preserves the variance
            after a ReLU (He et al. 2015); orthogonal (Saxe et al. 2014); or dirac: the first kernels of a convolution
            copy its input (Zagoruyko and Komodakis 2017), all other weights are kaiming.
        deviation: of normal.
    """
    for layer in net.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if init == "zeros":
            nn.init.zeros_(layer.weight)
        elif init == "normal":
            nn.init.normal_(layer.weight, std=deviation)
        elif init == "xavier":
            nn.init.xavier_uniform_(layer.weight)
        elif init == "orthogonal":
            nn.init.orthogonal_(layer.weight)
        else:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if init == "dirac" and isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight.data[: layer.weight.shape[1]])


class Residual(nn.Module):
    """Layers whose output is added to their input.

    Args:
        layers: the layers; their output has the shape of their input.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Compute x + layers(x), (B, C, H, W)."""
        return x + self.layers(x)


class Layer(NamedTuple):
    """A layer of a network whose layers form a chain.

    Attributes:
        name: name of the module; in a network made from a list its kind and a number, such as conv2.
        module: the layer.
        inputs: shape of its input, without the batch.
        outputs: shape of its output.
        entry: its entry in the list; "" in a network that was not made from one.
    """

    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape
    entry: str = ""

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def trace(layers: Iterable[tuple[str, nn.Module]], shape: Shape) -> list[Layer]:
    """Find the shapes between layers by one pass on the meta device, which computes nothing.

    Args:
        layers: names and modules of a chain.
        shape: of the input, (C, H, W) or (F,).

    Raises:
        RuntimeError: a layer doesn't fit its input.
    """
    x, traced = torch.empty(1, *shape, device="meta"), []
    for name, module in layers:
        with torch.no_grad():
            y = deepcopy(module).to("meta").eval()(x)
        traced.append(Layer(name, module, tuple(x.shape[1:]), tuple(y.shape[1:])))
        x = y
    return traced


def sequential(layers: Iterable[Layer]) -> nn.Sequential:
    """Chain layers in a module that knows them by name."""
    chain = nn.Sequential()
    for layer in layers:
        chain.add_module(layer.name, layer.module)
    return chain


# A maker of each kind of layer: the first argument is the number of channels of its input, the others are options.
KINDS: dict[str, Callable[..., nn.Module]] = {
    "conv": lambda inputs, channels, kernel, stride=1, padding=0, groups=1, bias=True: nn.Conv2d(
        inputs, channels, kernel, stride, padding, groups=groups, bias=bias
    ),
    "max_pool": lambda inputs, kernel, stride=None, padding=0: MaxPool2d(kernel, stride, padding),
    "avg_pool": lambda inputs, kernel, stride=None, padding=0: nn.AvgPool2d(kernel, stride, padding),
    "global_avg_pool": lambda inputs: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "global_max_pool": lambda inputs: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "sigmoid": lambda inputs: nn.Sigmoid(),
    "tanh": lambda inputs: nn.Tanh(),
    "relu": lambda inputs: nn.ReLU(),
    "leaky_relu": lambda inputs, slope=0.01: nn.LeakyReLU(slope),
    "elu": lambda inputs: nn.ELU(),
    "gelu": lambda inputs: nn.GELU(),
    "batch_norm": lambda inputs, momentum=0.1, eps=1e-5, scale=True: BatchNorm(inputs, eps, momentum, scale),
    "dropout": lambda inputs, p=0.5: nn.Dropout(p),
    "flatten": lambda inputs: nn.Flatten(),
    "linear": lambda inputs, features, bias=True: nn.Linear(inputs, features, bias=bias),
    "whitening": lambda inputs, kernel: Whitening(inputs, kernel),
}

# Type of each option, its least and its largest value.
OPTIONS: dict[str, tuple[type, float, float]] = {
    **dict.fromkeys(("channels", "kernel", "stride", "groups", "features"), (int, 1, math.inf)),
    "padding": (int, 0, math.inf),
    **dict.fromkeys(("momentum", "p", "slope"), (float, 0, 1)),
    "eps": (float, 1e-12, 1),
    **dict.fromkeys(("bias", "scale"), (bool, 0, 1)),
}


def build(entries: Iterable[str], shape: Shape, where: str = "layers") -> list[Layer]:
    """Make the layers of a list.

    A convolution or linear layer before a batch_norm has no bias unless its entry says so: the norm has one.

    Args:
        entries: as in the head of this file.
        shape: of the input, (C, H, W) or (F,).
        where: name of the list in errors.

    Raises:
        UserError: an entry is unknown or doesn't fit its input; the message names it.
    """
    entries = [str(entry).strip() for entry in entries]
    kinds = [entry.partition(" ")[0] for entry in entries]
    counts: Counter[str] = Counter()
    layers: list[Layer] = []
    for i, (entry, kind) in enumerate(zip(entries, kinds, strict=True)):
        place = f"{where}[{i}] {entry!r}"
        following = next((later for later in kinds[i + 1 :] if not later.endswith("_pool")), "")
        try:
            if kind == "residual":
                module: nn.Module = _residual(entry, shape, place)
            else:
                options = _options(kind, entry.split()[1:])
                _check_input(kind, options, shape, first=not i)
                if following == "batch_norm" and kind in ("conv", "linear"):
                    options.setdefault("bias", False)
                module = KINDS[kind](shape[0], **options)
            counts[kind] += 1
            (layer,) = trace([(f"{kind}{counts[kind]}", module)], shape)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{place}: {error}") from None
        layers.append(layer._replace(entry=entry))
        shape = layer.outputs
    return layers


def _residual(entry: str, shape: Shape, place: str) -> Residual:
    inner = [part for part in entry.partition(" ")[2].split(",") if part.strip()]
    if not inner:
        raise ValueError("expected residual LAYER, LAYER, ...")
    layers = build(inner, shape, f"{place}, layer ")
    if (outputs := layers[-1].outputs) != shape:
        raise ValueError(f"its layers turn {text(shape)} into {text(outputs)}, which can't be added")
    return Residual(sequential(layers))


def _options(kind: str, words: Sequence[str]) -> dict[str, Any]:
    """Read the words of an entry after its kind: values in the order of the options, or NAME=VALUE."""
    if kind not in KINDS:
        raise ValueError(f"unknown layer{nearest(kind, [*KINDS, 'residual'])}")
    empty = inspect.Parameter.empty
    defaults = {name: p.default for name, p in inspect.signature(KINDS[kind]).parameters.items() if name != "inputs"}
    written = {name: "KERNEL" if default is None else str(default).lower() for name, default in defaults.items()}
    usage = [name.upper() if default is empty else f"{name}={written[name]}" for name, default in defaults.items()]
    expected = f"expected {' '.join([kind, *usage])}"
    options: dict[str, Any] = {}
    for word, free in zip(words, [*defaults, *[""] * len(words)], strict=False):
        name, value = word.split("=", 1) if "=" in word else (free, word)
        if name not in defaults or name in options:
            raise ValueError(f"{word} is too much; {expected}")
        of_type, least, most = OPTIONS[name]
        try:
            options[name] = {"true": True, "false": False}[value] if of_type is bool else of_type(value)
        except (KeyError, ValueError):
            raise ValueError(f"can't read {word}; {expected}") from None
        if not least <= options[name] <= most:
            raise ValueError(f"{name} is {value}; it must be at least {least:g}" + f", at most {most:g}" * (most == 1))
    if missing := [n for n, default in defaults.items() if default is empty and n not in options]:
        raise ValueError(f"{missing[0]} is missing; {expected}")
    return options


def _check_input(kind: str, options: dict[str, Any], shape: Shape, *, first: bool) -> None:
    """Refuse a layer that its input doesn't suit, in clearer words than torch's."""
    kernel, padding = options.get("kernel"), options.get("padding", 0)
    if kind == "whitening" and not first:
        raise ValueError("it is measured on images, so it must be the first layer")
    if kind == "linear" and len(shape) != 1:
        raise ValueError(f"its input is an image, {text(shape)}; put flatten or global_avg_pool before it")
    if (kernel or kind.startswith("global_")) and len(shape) != 3:
        raise ValueError("its input is flat")
    if kind.endswith("_pool") and kernel and 2 * padding > kernel:
        raise ValueError(f"padding is {padding}; it must be at most half of the kernel")
    if kernel and kernel > min(shape[1:]) + 2 * padding:
        raise ValueError(f"a window of {kernel} x {kernel} is larger than its input, {text(shape)}")


def text(shape: Shape) -> str:
    """Write a shape, such as 16 x 8 x 8."""
    return " x ".join(map(str, shape))


def last_stage(layers: Sequence[Layer]) -> list[str]:
    """List the names of the layers with parameters since the last halving that any of them follows."""
    names = [layer.name for layer in layers if layer.parameters]
    for i, layer in enumerate(layers):
        halves = len(layer.outputs) == 3 and 2 * layer.outputs[1] <= layer.inputs[1] + 1 < 2 * layer.inputs[1]
        if halves and (since := [later.name for later in layers[i:] if later.parameters]):
            names = since
    return names
