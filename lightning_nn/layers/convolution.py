"""Convolutional networks from a list of layers, each an entry of a few words.

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
from functools import partial
from typing import Any, Literal, NamedTuple, get_type_hints

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lightning_nn.errors import UserError, nearest
from lightning_nn.layers.images import Normalize
from lightning_nn.layers.ragged import at_least_float32


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps, (B, C, H, W), or of flat samples, (B, C) (Ioffe and Szegedy 2015).

    Where several processes train, mean and variance are those of the batches of all of them together, on CPUs too
    (torch.nn.SyncBatchNorm needs GPUs), so that the gradient is that of one process.

    A batch with one value a channel has no variance, and torch raises an error in training; here such a batch is
    normalised by the running statistics, which it doesn't change. The last batch of an epoch may be a single sample.
    """

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
    def forward(ctx: Any, each: Tensor) -> Tensor:
        total = each.clone()
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
            places, grad = (each.permute(0, 2, 3, 1).reshape(batch, -1, channels) for each in (places, grad))
            pixels = grad.new_zeros(batch, height * width, channels).scatter_(1, places, grad)
            return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2), None, None
        pixels = grad.new_zeros(batch, channels, height * width).scatter_(2, places.flatten(2), grad.flatten(2))
        return pixels.view(batch, channels, height, width), None, None


_UNFOLDED = 8  # images at once; an unfolded image is K^2 times as large


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


Init = Literal["zeros", "normal", "xavier", "kaiming", "orthogonal", "dirac"]


def initialise(layer: nn.Conv2d | nn.Linear, init: Init, deviation: float = 0.01) -> None:
    """Initialise the weights of a layer, and set its bias to zero.

    Args:
        layer: the layer.
        init: zeros; normal, N(0, deviation^2); xavier (Glorot and Bengio 2010); kaiming, which preserves the variance
            after a ReLU (He et al. 2015); orthogonal (Saxe et al. 2014); or dirac: the first kernels of a convolution
            copy its input (Zagoruyko and Komodakis 2017), all other weights are kaiming.
        deviation: of normal.
    """
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


Shape = tuple[int, ...]  # (C, H, W) of an image, (F,) of a flat sample
Made = tuple[nn.Module, Shape]


class BuiltLayer(NamedTuple):
    """A layer made from its entry.

    Attributes:
        entry: its text.
        name: name of the module: its kind and a number, such as conv2.
        module: the layer.
        inputs: shape of its input, without the batch.
        outputs: shape of its output.
    """

    entry: str
    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Count the places of a window on `size` pixels: floor((size + 2 padding - kernel) / stride) + 1."""
    return (size + 2 * padding - kernel) // stride + 1


# ---------------------------------------------------------------------- the kinds of layers


def _slide(shape: Shape, channels: int, kernel: int, stride: int, padding: int) -> Shape:
    if len(shape) != 3:
        raise ValueError("its input is flat")
    size = [output_size(each, kernel, stride, padding) for each in shape[1:]]
    if min(size) < 1:
        raise ValueError(f"a window of {kernel} x {kernel} is larger than its input, {text(shape)}")
    return (channels, *size)


def _conv(
    shape: Shape, channels: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1, bias: bool = True
) -> Made:
    out = _slide(shape, channels, kernel, stride, padding)
    return nn.Conv2d(shape[0], channels, kernel, stride, padding, groups=groups, bias=bias), out


def _pool(pool: type[nn.Module], shape: Shape, kernel: int, stride: int = 0, padding: int = 0) -> Made:
    if 2 * padding > kernel:
        raise ValueError(f"padding is {padding}; it must be at most half of the kernel")
    out = _slide(shape, shape[0], kernel, stride or kernel, padding)
    return pool(kernel, stride or kernel, padding), out


def _global_pool(pool: Callable[[int], nn.Module], shape: Shape) -> Made:
    _slide(shape, shape[0], 1, 1, 0)
    return nn.Sequential(pool(1), nn.Flatten()), shape[:1]


def _batch_norm(shape: Shape, momentum: float = 0.1, eps: float = 1e-5, scale: bool = True) -> Made:
    norm = BatchNorm(shape[0], eps, momentum)
    norm.weight.requires_grad_(scale)
    return norm, shape


def _flatten(shape: Shape) -> Made:
    return nn.Flatten(), (torch.Size(shape).numel(),)


def _linear(shape: Shape, features: int, bias: bool = True) -> Made:
    if len(shape) != 1:
        raise ValueError(f"its input is an image, {text(shape)}; put flatten or global_avg_pool before it")
    return nn.Linear(shape[0], features, bias=bias), (features,)


def _dropout(shape: Shape, p: float = 0.5) -> Made:
    return nn.Dropout(p), shape


def _leaky_relu(shape: Shape, slope: float = 0.01) -> Made:
    return nn.LeakyReLU(slope), shape


def _plain(activation: type[nn.Module], shape: Shape) -> Made:
    return activation(), shape


def _whitening(shape: Shape, kernel: int) -> Made:
    out = _slide(shape, 2 * shape[0] * kernel**2, kernel, 1, 0)
    return Whitening(shape[0], kernel), out


RANGES = {
    **dict.fromkeys(("channels", "kernel", "stride", "groups", "features"), (1, math.inf)),
    "padding": (0, math.inf),
    **dict.fromkeys(("momentum", "p", "slope"), (0, 1)),
    "eps": (1e-12, 1),
}

KINDS: dict[str, Callable[..., Made]] = {
    "conv": _conv,
    "max_pool": partial(_pool, MaxPool2d),
    "avg_pool": partial(_pool, nn.AvgPool2d),
    "global_avg_pool": partial(_global_pool, nn.AdaptiveAvgPool2d),
    "global_max_pool": partial(_global_pool, nn.AdaptiveMaxPool2d),
    "sigmoid": partial(_plain, nn.Sigmoid),
    "tanh": partial(_plain, nn.Tanh),
    "relu": partial(_plain, nn.ReLU),
    "leaky_relu": _leaky_relu,
    "elu": partial(_plain, nn.ELU),
    "gelu": partial(_plain, nn.GELU),
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "flatten": _flatten,
    "linear": _linear,
    "whitening": _whitening,
}


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


# ---------------------------------------------------------------------- from entries to layers


def build(entries: Iterable[str], shape: Shape, where: str = "layers") -> list[BuiltLayer]:
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
    kinds = [_kind(entry) for entry in entries]
    counts: Counter[str] = Counter()
    layers = []
    for i, (entry, kind) in enumerate(zip(entries, kinds, strict=True)):
        place = f"{where}[{i}] {entry!r}"
        following = next((each for each in kinds[i + 1 :] if not each.endswith("_pool")), "")
        try:
            if kind == "whitening" and i:
                raise ValueError("it is measured on images, so it must be the first layer")
            if kind == "residual":
                module, out = _residual(entry, shape, place)
            else:
                module, out = _make(kind, entry.split()[1:], shape, normed=following == "batch_norm")
        except (ValueError, TypeError) as error:
            raise UserError(f"{place}: {error}") from None
        counts[kind] += 1
        layers.append(BuiltLayer(entry, f"{kind}{counts[kind]}", module, shape, out))
        shape = out
    return layers


def _kind(entry: str) -> str:
    return (entry.split() or [""])[0]


def _residual(entry: str, shape: Shape, place: str) -> Made:
    inner = [each for each in entry.partition(" ")[2].split(",") if each.strip()]
    if not inner:
        raise ValueError("expected residual LAYER, LAYER, ...")
    layers = build(inner, shape, f"{place}, layer ")
    if (out := layers[-1].outputs) != shape:
        raise ValueError(f"its layers turn {text(shape)} into {text(out)}, which can't be added")
    return Residual(sequential(layers)), shape


def _make(kind: str, words: Sequence[str], shape: Shape, *, normed: bool) -> Made:
    if kind not in KINDS:
        raise ValueError(f"unknown layer{nearest(kind, [*KINDS, 'residual'])}")
    maker = KINDS[kind]
    parameters = dict(list(inspect.signature(maker).parameters.items())[1:])
    hints = get_type_hints(maker.func if isinstance(maker, partial) else maker)
    given: dict[str, Any] = {}
    for word, free in zip(words, [*parameters, *[""] * len(words)], strict=False):
        name, equals, value = word.partition("=")
        name, value = (name, value) if equals else (free, word)
        if name not in parameters or name in given:
            raise ValueError(f"{word} is too much; expected {_usage(kind, parameters)}")
        given[name] = _value(value, hints[name], f"{word}; expected {_usage(kind, parameters)}")
        least, most = RANGES.get(name, (0, 1))
        if not least <= given[name] <= most:
            raise ValueError(f"{name} is {value}; it must be at least {least:g}" + f", at most {most:g}" * (most == 1))
    if missing := [name for name, each in parameters.items() if each.default is each.empty and name not in given]:
        raise ValueError(f"{missing[0]} is missing; expected {_usage(kind, parameters)}")
    if normed and "bias" in parameters:
        given.setdefault("bias", False)
    return maker(shape, **given)


def _usage(kind: str, parameters: dict[str, inspect.Parameter]) -> str:
    words = [n.upper() if p.default is p.empty else f"{n}={str(p.default).lower()}" for n, p in parameters.items()]
    return " ".join([kind, *words])


def _value(word: str, kind: type, expected: str) -> Any:
    try:
        return {"true": True, "false": False}[word] if kind is bool else kind(word)
    except (KeyError, ValueError):
        raise ValueError(f"can't read {expected}") from None


def sequential(layers: Iterable[BuiltLayer]) -> nn.Sequential:
    """Chain layers in a module that knows them by name."""
    chain = nn.Sequential()
    for layer in layers:
        chain.add_module(layer.name, layer.module)
    return chain


def with_parameters(layers: Iterable[BuiltLayer]) -> list[str]:
    """List the names of the layers that have parameters."""
    return [layer.name for layer in layers if any(True for _ in layer.module.parameters())]


def last_stage(layers: Sequence[BuiltLayer]) -> list[str]:
    """List the names of the layers with parameters since the last halving that any of them follows."""
    found = with_parameters(layers)
    for i, layer in enumerate(layers):
        halves = len(layer.outputs) == 3 and 2 * layer.outputs[1] <= layer.inputs[1] + 1 < 2 * layer.inputs[1]
        if halves and (since := with_parameters(layers[i:])):
            found = since
    return found


# ---------------------------------------------------------------------- the table


def text(shape: Shape) -> str:
    """Write a shape, such as 16 x 8 x 8."""
    return " x ".join(map(str, shape))


def layer_table(layers: Iterable[BuiltLayer]) -> list[tuple[str, ...]]:
    """Build the rows of a table of layers, header first.

    The last column is the reason for convolution: the parameters of a fully connected layer from all values of the
    input to all values of the output.
    """
    rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "fully connected")]
    for entry, _, module, inputs, outputs in layers:
        count = sum(parameter.numel() for parameter in module.parameters())
        full = (torch.Size(inputs).numel() + 1) * torch.Size(outputs).numel()
        dense = f"{full:,}" if isinstance(module, nn.Conv2d | nn.Linear) else ""
        rows.append((entry, text(outputs), f"{count:,}" if count else "", dense))
    return rows
