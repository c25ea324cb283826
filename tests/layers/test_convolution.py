from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nn.errors import UserError
from lightning_nn.layers.convolution import (
    MaxPool2d,
    Whitening,
    build,
    initialise,
    sequential,
)


def windows(x: Tensor, kernel: int, stride: int, padding: int) -> list[list[Tensor]]:
    """The windows (C, K, K) of an image (C, H, W) within a border of zeros, row by row: the places by definition."""
    c, h, w = x.shape
    wide = x.new_zeros(c, h + 2 * padding, w + 2 * padding)
    wide[:, padding : padding + h, padding : padding + w] = x
    tops = [i for i in range(0, wide.shape[1], stride) if i + kernel <= wide.shape[1]]
    lefts = [j for j in range(0, wide.shape[2], stride) if j + kernel <= wide.shape[2]]
    return [[wide[:, i : i + kernel, j : j + kernel] for j in lefts] for i in tops]


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Height, width, kernel, stride and padding."""
    kernel, padding = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    least = max(1, kernel - 2 * padding)
    return draw(st.integers(least, 8)), draw(st.integers(least, 8)), kernel, draw(st.integers(1, 3)), padding


@given(places(), st.integers(1, 3), st.integers(1, 4))
def test_convolution_is_a_weighted_sum_of_each_window(
    place: tuple[int, int, int, int, int], channels: int, kernels: int
) -> None:
    height, width, kernel, stride, padding = place
    x = torch.randn(channels, height, width, dtype=torch.float64)
    (layer,) = build([f"conv {kernels} {kernel} stride={stride} padding={padding}"], (channels, height, width))
    conv = layer.module.double()
    assert isinstance(conv, nn.Conv2d)
    rows = windows(x, kernel, stride, padding)
    by_hand = torch.zeros(kernels, len(rows), len(rows[0]), dtype=torch.float64)
    for k in range(kernels):
        for i, row in enumerate(rows):
            for j, window in enumerate(row):
                by_hand[k, i, j] = (conv.weight[k] * window).sum() + conv.bias[k]  # type: ignore[index]
    torch.testing.assert_close(conv(x[None])[0], by_hand)
    assert layer.outputs == by_hand.shape
    assert layer.outputs[1:] == tuple((n + 2 * padding - kernel) // stride + 1 for n in (height, width))


def test_gradients_of_a_convolution_are_those_of_the_hand_loop() -> None:
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    conv = build(["conv 3 3 stride=2 padding=1"], (2, 5, 6))[0].module.double()
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    sums = [
        [[(conv.weight[k] * each).sum() + conv.bias[k] for each in row] for row in windows(x, 3, 2, 1)]
        for k in range(3)
    ]
    by_hand = torch.stack([torch.stack([torch.stack(row) for row in of_kernel]) for of_kernel in sums])
    wanted = [x, conv.weight, conv.bias]
    weight = torch.randn_like(by_hand)
    one = torch.autograd.grad((conv(x[None])[0] * weight).sum(), wanted)
    torch.testing.assert_close(one, torch.autograd.grad((by_hand * weight).sum(), wanted))


@given(places())
def test_pooling_keeps_the_largest_or_the_mean_of_each_window(place: tuple[int, int, int, int, int]) -> None:
    height, width, kernel, stride, _ = place
    height, width = max(height, kernel), max(width, kernel)
    x = torch.randn(2, height, width, dtype=torch.float64)
    for entry, reduce in (("max_pool", torch.amax), ("avg_pool", torch.mean)):
        (layer,) = build([f"{entry} {kernel} stride={stride}"], (2, height, width))
        by_hand = [torch.stack([reduce(each, (1, 2)) for each in row], 1) for row in windows(x, kernel, stride, 0)]
        torch.testing.assert_close(layer.module(x[None])[0], torch.stack(by_hand, 1))
        assert layer.outputs == (2, len(by_hand), by_hand[0].shape[1])


def test_windows_of_a_pool_lie_side_by_side_unless_a_stride_is_given() -> None:
    assert build(["max_pool 3"], (4, 9, 10))[0].outputs == (4, 3, 3)
    assert build(["max_pool 3 stride=2"], (4, 9, 10))[0].outputs == (4, 4, 4)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("relu", F.relu),
        ("leaky_relu 0.1", lambda x: F.leaky_relu(x, 0.1)),
        ("elu", F.elu),
        ("gelu", F.gelu),
        ("global_avg_pool", lambda x: x.mean((2, 3))),
        ("global_max_pool", lambda x: x.amax((2, 3))),
        ("flatten", lambda x: x.flatten(1)),
        ("residual relu, avg_pool 1", lambda x: x + F.relu(x)),
    ],
)
def test_other_layers_compute_what_they_are_called(entry: str, expected: object) -> None:
    (layer,) = build([entry], (3, 4, 5))
    x = torch.randn(2, 3, 4, 5)
    out = layer.module(x)
    torch.testing.assert_close(out, expected(x))  # type: ignore[operator]
    assert layer.outputs == out.shape[1:]


def test_a_layer_before_a_norm_has_no_bias_unless_it_says_so() -> None:
    entries = ["conv 4 3", "max_pool 2", "batch_norm", "conv 4 3 bias=true", "batch_norm", "conv 4 1"]
    layers = build(entries, (1, 12, 12))
    assert [each.module.bias is not None for each in layers if isinstance(each.module, nn.Conv2d)] == [
        False,
        True,
        True,
    ]


def test_a_norm_without_scale_learns_its_bias_only() -> None:
    norm = build(["batch_norm momentum=0.4 scale=false"], (4, 2, 2))[0].module
    assert {name: p.requires_grad for name, p in norm.named_parameters()} == {"weight": False, "bias": True}


def test_layers_have_names_by_kind_and_number() -> None:
    layers = build(["conv 2 3", "relu", "conv 2 3", "flatten"], (1, 8, 8))
    assert [name for name, _ in sequential(layers).named_children()] == ["conv1", "relu1", "conv2", "flatten1"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["cnov 4 3"], r"layers\[0\] 'cnov 4 3': unknown layer; did you mean 'conv'\?"),
        (["relu", ""], r"layers\[1\] '': unknown layer"),
        (["conv 4"], r"layers\[0\] 'conv 4': kernel is missing; expected conv CHANNELS KERNEL stride=1 padding=0"),
        (["conv 4 3 1 1 1 true 7"], "7 is too much; expected conv CHANNELS KERNEL"),
        (["conv 4 3 pading=1"], "pading=1 is too much; expected conv"),
        (["conv 4 3 kernel=3"], "kernel=3 is too much"),
        (["conv four 3"], "can't read four; expected conv CHANNELS KERNEL"),
        (["conv 4 3 bias=1"], "can't read bias=1; expected conv"),
        (["conv 4 3 stride=0"], r"layers\[0\] 'conv 4 3 stride=0': stride is 0; it must be at least 1"),
        (["conv 4 3 groups=0"], "groups is 0; it must be at least 1"),
        (["conv 4 3 padding=-1"], "padding is -1; it must be at least 0"),
        (["conv 0 3"], "channels is 0; it must be at least 1"),
        (["max_pool 2 stride=0"], "stride is 0; it must be at least 1"),
        (["max_pool 2 padding=2"], r"layers\[0\] 'max_pool 2 padding=2': padding is 2; it must be at most half"),
        (["avg_pool 3 padding=2"], "padding is 2; it must be at most half of the kernel"),
        (["whitening 0"], "kernel is 0; it must be at least 1"),
        (["flatten", "linear 0"], r"layers\[1\] 'linear 0': features is 0; it must be at least 1"),
        (["flatten", "linear -1"], "features is -1"),
        (["dropout nan"], "p is nan; it must be at least 0, at most 1"),
        (["batch_norm eps=-1"], "eps is -1; it must be at least 1e-12, at most 1"),
        (["batch_norm momentum=nan"], "momentum is nan"),
        (["leaky_relu inf"], "slope is inf; it must be at least 0, at most 1"),
        (["residual batch_norm momentum=2"], r"layer \[0\] 'batch_norm momentum=2': momentum is 2; it must be"),
        (["max_pool 2"] * 4, r"layers\[3\] 'max_pool 2': a window of 2 x 2 is larger than its input, 1 x 1 x 1"),
        (["linear 4"], "its input is an image, 1 x 8 x 8; put flatten or global_avg_pool before it"),
        (["flatten", "conv 4 3"], "its input is flat"),
        (["flatten", "global_max_pool"], "its input is flat"),
        (["conv 4 3 groups=3"], "divisible by groups"),
        (["dropout 2"], "p is 2; it must be at least 0, at most 1"),
        (["relu", "whitening 2"], "it is measured on images, so it must be the first layer"),
        (["residual"], "expected residual LAYER, LAYER, ..."),
        (["residual conv 4 3, relu"], "its layers turn 1 x 8 x 8 into 4 x 6 x 6, which can't be added"),
        (["residual relu, cnov 4 3"], r"layers\[0\] 'residual relu, cnov 4 3', layer \[1\] 'cnov 4 3': unknown layer"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named(entries: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(entries, (1, 8, 8))


def test_whitened_patches_are_uncorrelated_and_of_equal_size() -> None:
    smooth = F.avg_pool2d(torch.randn(64, 3, 18, 18), 3, 1)  # neighbours go together, as in photographs
    layer = Whitening(3, 2)
    layer.measure([smooth[:40], smooth[40:]])
    before = torch.corrcoef(F.unfold(smooth, 2).transpose(1, 2).flatten(0, 1).T).fill_diagonal_(0).abs().max()
    out = layer(smooth).transpose(0, 1).flatten(1).detach()  # (24, places)
    after = torch.cov(out[:12])
    assert before > 0.5
    torch.testing.assert_close(after, torch.eye(12), atol=0.05, rtol=0)
    torch.testing.assert_close(out[12:], -out[:12], atol=1e-5, rtol=0)


def test_initial_weights_are_what_they_are_called() -> None:
    conv = nn.Conv2d(8, 16, 3, padding=1)
    with torch.no_grad():
        initialise(conv, "normal", 0.05)
        assert abs(float(conv.weight.std()) - 0.05) < 0.005
        initialise(conv, "orthogonal")
        rows = conv.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(16), atol=1e-5, rtol=0)
        initialise(conv, "dirac")
        x = torch.randn(2, 8, 5, 5)
        torch.testing.assert_close(conv(x)[:, :8], x)
        initialise(conv, "zeros")
        assert not conv.weight.any() and not conv.bias.any()  # type: ignore[union-attr]


def pooled(layer: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The output, the gradient, and what is kept between the two passes."""
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    image = image.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = layer(image)
    weight = torch.arange(output.numel(), dtype=output.dtype).view(output.shape)
    (gradient,) = torch.autograd.grad(output, image, weight)
    return output.detach(), gradient, kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 3, 0), (2, 3, 0), (3, 2, 0), (2, 2, 1), (1, 1, 0)]
)
def test_output_and_gradient_are_torchs(
    kernel: int, stride: int, padding: int, memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    image = torch.randn(3, 4, 9, 8, dtype=dtype).relu().contiguous(memory_format=memory_format)  # ties at 0
    one = pooled(MaxPool2d(kernel, stride, padding), image)
    other = pooled(nn.MaxPool2d(kernel, stride, padding), image)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_the_input_is_not_kept_for_the_backward_pass() -> None:
    image = torch.randn(3, 4, 8, 8)
    assert [each.shape for each in pooled(MaxPool2d(2, 2), image)[2]] == [(3, 4, 4, 4)]
    assert image.shape in [each.shape for each in pooled(nn.MaxPool2d(2, 2), image)[2]]
