from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lightning_nn import Optimizer, Photos, StyleTransfer
from lightning_nn.data.batches import StyleBatch
from lightning_nn.errors import UserError
from lightning_nn.layers.images import resize
from lightning_nn.models.style_transfer import Colours
from lightning_nn.tasks.stylization import StyleOptions, require_memory
from tests.cases import CASES
from tests.commands import command
from tests.contract import differing, one_batch, trainer
from tests.test_contract import SaveAt

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*Total length of `list` across ranks is zero.*"
)

CONTENT = (torch.arange(3 * 24 * 32).view(3, 24, 32) * 37 % 256).byte()
STYLE = (torch.arange(3 * 20 * 20).view(3, 20, 20) * 91 % 256).byte()


def last(steps: Any) -> Any:
    *_, step = steps
    return step


def fit(
    folder: Path, *, resume: Path | None = None, callbacks: Any = (), optimizer: str = "lbfgs", **arguments: Any
) -> StyleTransfer:
    data = CASES["style_transfer"].data(folder)
    data.prepare_once()
    model = StyleTransfer(**data.describe(), **{"size": 32, **arguments})
    model.optimizer = Optimizer(optimizer, lr=1.0)
    trainer(folder, max_epochs=3, callbacks=[*callbacks]).fit(model, datamodule=data, ckpt_path=resume)
    return model


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("step", [3, 11])
def test_a_run_resumed_at_any_scale_ends_with_the_same_bits(tmp_path: Path, optimizer: str, step: int) -> None:
    middle = tmp_path / "middle.ckpt"
    whole = fit(tmp_path, callbacks=[SaveAt(step, middle)], optimizer=optimizer, scales=2)
    resumed = fit(tmp_path, resume=middle, optimizer=optimizer, scales=2)
    assert whole.picture.shape == (1, 3, 24, 32)
    assert torch.load(middle, weights_only=True)["state_dict"]["picture"].shape[3] == (16 if step < 9 else 32)
    assert not differing(whole.state_dict(), resumed.state_dict())


def test_a_checkpoint_holds_the_picture_and_no_network(tmp_path: Path) -> None:
    model = fit(tmp_path)
    assert set(model.state_dict()) == {"picture", "begun", "original"}
    assert [name for name, _ in model.named_parameters()] == ["picture"]


@pytest.mark.parametrize("scales", [1, 2])
def test_without_a_trainer_the_same_picture_comes_out(tmp_path: Path, scales: int) -> None:
    model = fit(tmp_path, scales=scales)
    data = CASES["style_transfer"].data(tmp_path)
    data.prepare_once()
    batch: Any = data.sources["train"][[0]]  # type: ignore[index]
    step = last(StyleTransfer.stylize(batch.content[0], batch.style, steps=15, size=32, scales=scales))
    assert (step.number, step.total) == (15, 15)
    torch.testing.assert_close(step.image, model.result()[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("content", "style"), [(CONTENT, STYLE), (CONTENT, ()), (None, STYLE), (CONTENT, (STYLE, STYLE.flip(2)))]
)
def test_content_style_or_both(content: Tensor | None, style: Any) -> None:
    steps = list(StyleTransfer.stylize(content, style, steps=30, size=32, init="noise"))
    assert steps[-1].loss < 0.5 * steps[0].loss
    assert steps[-1].image.min() >= 0 and steps[-1].image.max() <= 255


def test_photographs_of_bytes_and_of_fractions_are_the_same() -> None:
    one, other = (
        last(StyleTransfer.stylize(content, style, steps=2, size=32, colours="luminance"))
        for content, style in ((CONTENT, STYLE), (CONTENT / 255, STYLE / 255))
    )
    torch.testing.assert_close(one.image, other.image, atol=0.1, rtol=0)
    with pytest.raises(UserError, match=r"image of a batch has floats of .* expected 0 to 1"):
        last(StyleTransfer.stylize(CONTENT.float(), STYLE, size=32))


@pytest.mark.parametrize(("style", "weight"), [((), 1.0), (STYLE, 0.0)])
def test_content_alone_is_found_from_noise(style: Any, weight: float) -> None:
    batch = one_batch(Photos())._replace(style=(style,) if weight == 0 else ())
    model = StyleTransfer(427, 640, size=64, loss=StyleOptions(0.03, weight, content_layers={"gelu2_1": 1.0}))
    model.measure([batch])
    small, start = resize(batch.content.float(), (43, 64)), model.result()
    first, *_, step = model.descend(batch, 60)
    assert step.loss < 0.3 * first.loss
    assert abs(likeness(start, small)) < 0.1 and likeness(step.image, small) > 0.6


def likeness(image: Tensor, other: Tensor) -> float:
    """Correlation of the details of two images, less the means around, which the network does not see."""
    details = torch.stack([each[..., 4:-4, 4:-4] - avg_pool2d(each, 9, 1) for each in (image.view_as(other), other)])
    return float(torch.corrcoef(details.flatten(1))[0, 1])


def test_style_alone_is_a_texture_without_the_content() -> None:
    step = last(StyleTransfer.stylize(CONTENT, STYLE, steps=30, size=32, loss={"content_weight": 0.0}))
    small = resize(CONTENT[None].float(), (24, 32))
    assert abs(float(torch.corrcoef(torch.stack([step.image.flatten(), small.flatten()]))[0, 1])) < 0.2


@pytest.mark.parametrize(
    ("content", "style", "arguments", "message"),
    [
        (CONTENT, (), {"loss": {"content_weight": 0.0}}, "there is no style, and content_weight is 0: nothing is left"),
        (None, STYLE, {"loss": {"style_weight": 0.0}}, "there is no content, and style_weight is 0: nothing is left"),
        (CONTENT, (), {"init": "style"}, "init is 'style', and there is no style: leave it out"),
        (None, STYLE, {"init": "content"}, "init is 'content', and there is no content: leave it out"),
        (CONTENT, STYLE, {"loss": {"style_weights": [1, 2]}}, "style_weights has 2 weights; there are 1 styles"),
        (CONTENT, STYLE, {"steps": 0}, "steps is 0"),
        (CONTENT[:, :4], STYLE, {}, "the picture has only 32 x 4 pixels at this size; .* needs 10 on each side"),
        (CONTENT, STYLE[:, :4], {}, "style 1 has only 32 x 6 pixels at this size"),
        (CONTENT, (STYLE, STYLE), {"loss": {"style_scale": 0.05}}, "style 1 has only 2 x 2 pixels at this size"),
        (CONTENT, STYLE[:, :9], {"scales": 2}, "style 1 has only 16 x 7 pixels .*: take a larger size or style_scale"),
    ],
)
def test_what_gives_no_picture_is_refused_before_the_first_step(
    content: Any, style: Any, arguments: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        next(StyleTransfer.stylize(content, style, **{"size": 32, **arguments}))


@pytest.mark.quick
def test_losses_of_layers_are_parts_of_the_total() -> None:
    model = StyleTransfer(
        24, 32, size=32, loss=StyleOptions(0.5, variation_weight=2.0, style_layers={"gelu1_1": 1, "gelu2_1": 3})
    )
    batch = StyleBatch(CONTENT[None], (STYLE,))
    model.measure([batch])
    with torch.no_grad():
        model.picture.add_(torch.randn(1, 3, 24, 32))
    parts = model(batch)
    content = next(value for name, value in parts.items() if name.startswith("content/"))
    total = 0.5 * content + 0.25 * parts["style/gelu1_1"] + 0.75 * parts["style/gelu2_1"] + 2 * parts["variation"]
    torch.testing.assert_close(parts["loss"], total)


def test_weights_of_styles() -> None:
    def style(batch: StyleBatch, weights: Any) -> Tensor:
        model = StyleTransfer(24, 32, size=32, loss=StyleOptions(0.0, style_weights=weights), init="content")
        return model(batch)["loss"].detach()

    one, other = STYLE, STYLE.flip(1) // 2
    alone = [style(StyleBatch(CONTENT[None], (each,)), None) for each in (one, other)]
    both = style(StyleBatch(CONTENT[None], (one, other)), [1.0, 3.0])
    torch.testing.assert_close(both, 0.25 * alone[0] + 0.75 * alone[1])


def test_the_colours_of_the_content_are_kept() -> None:
    step = last(StyleTransfer.stylize(CONTENT, STYLE, steps=4, size=32, colours="luminance", init="noise"))
    to_chroma = torch.tensor([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    inside = ((step.image > 1) & (step.image < 254)).all(0)
    ours, theirs = (torch.einsum("kc,chw->khw", to_chroma, image.float())[:, inside] for image in (step.image, CONTENT))
    torch.testing.assert_close(ours, theirs, atol=0.5, rtol=0)
    with pytest.raises(UserError, match="keeps those of a content, and there is none"):
        last(StyleTransfer.stylize(None, STYLE, colours="histogram", size=32))


@pytest.mark.parametrize(
    ("optimizer", "lr", "other"), [("sgd", 1e6, ", or take --optimizer.name adam"), ("adam", 1e5, "")]
)
@pytest.mark.parametrize("steps", [4, 50])
def test_a_loss_that_explodes_stops_the_run(optimizer: Any, lr: float, other: str, steps: int) -> None:
    remedy = re.escape(f"Lower --optimizer.lr (now {lr:g}){other}")
    with pytest.raises(UserError, match=rf"the loss has risen from .*\n{remedy}$"):
        list(StyleTransfer.stylize(CONTENT, STYLE, steps, Optimizer(optimizer, lr=lr), size=32))


def test_a_loss_that_is_not_finite_keeps_the_picture_before(tmp_path: Path) -> None:
    data = CASES["style_transfer"].data(tmp_path)
    data.prepare_once()
    batch: Any = data.sources["train"][[0]]  # type: ignore[index]
    model = StyleTransfer(**data.describe(), size=32)
    model.measure([batch])
    model.training_means(batch)
    good = model.picture.detach().clone()
    with torch.no_grad():
        model.picture.fill_(float("nan"))
    with pytest.raises(
        UserError, match="no longer a finite number: the run stopped, with the picture of the least loss"
    ):
        model.training_means(batch)
    torch.testing.assert_close(model.picture.detach(), good)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "bf16-mixed"}, "lbfgs doesn't go with --trainer.precision bf16-mixed"),
        ({"accumulate_grad_batches": 2}, "lbfgs doesn't go with --trainer.accumulate_grad_batches"),
    ],
)
def test_what_lbfgs_cannot_do_is_refused(tmp_path: Path, arguments: Any, message: str) -> None:
    data = CASES["style_transfer"].data(tmp_path)
    data.prepare_once()
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, **arguments).fit(StyleTransfer(**data.describe(), size=32), datamodule=data)


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16)])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_other_precisions_train(tmp_path: Path, precision: Any, dtype: torch.dtype, optimizer: Any) -> None:
    data = CASES["style_transfer"].data(tmp_path)
    data.prepare_once()
    model = StyleTransfer(**data.describe(), size=32, scales=2)
    model.optimizer = Optimizer(optimizer, lr=1.0)
    run = trainer(tmp_path, max_epochs=2, precision=precision)
    run.fit(model, datamodule=data)
    assert model.picture.dtype == dtype and model.picture.isfinite().all()


def test_too_large_a_picture_is_refused_with_the_largest_size() -> None:
    with pytest.raises(UserError, match=r"about 1,000,000.0 GB at 4096 pixels, .*that fits is --model.size \d+$"):
        require_memory(10**15, 4096, torch.device("cpu"))


@pytest.mark.parametrize("size", [100_000, 10**9])
@pytest.mark.parametrize("arguments", [{}, {"scales": 3}, {"colours": "luminance"}, {"colours": "histogram"}])
def test_a_size_beyond_memory_is_refused_before_anything_is_allocated(size: int, arguments: Any) -> None:
    model = StyleTransfer(24, 32, size=size, features="no/such/file", **arguments)
    assert "chain" not in vars(model), "the constructor read the network"
    model = StyleTransfer(24, 32, size=size, **arguments)
    assert sum(each.untyped_storage().nbytes() for each in model.state_dict().values()) < 100
    with pytest.raises(UserError, match=rf"GB at {size} pixels, .* are free; the largest size .* --model.size \d+$"):
        model.measure([StyleBatch(CONTENT[None], (STYLE,))])


@pytest.mark.parametrize(("scales", "begins"), [(1, []), (2, [6]), (3, [3, 6]), (4, [2, 4, 6])])
def test_scales_share_the_steps(scales: int, begins: list[int]) -> None:
    steps = StyleTransfer.stylize(CONTENT, STYLE, steps=10, size=128, scales=scales)
    widths = [step.image.shape[2] for step in steps]
    assert [i for i in range(1, 10) if widths[i] > widths[i - 1]] == begins and widths[-1] == 128


def test_memory_grows_with_picture_style_and_precision_and_is_said_before_the_start(tmp_path: Path) -> None:
    def looked(size: int, **arguments: Any) -> StyleTransfer:
        model = StyleTransfer(24, 32, size=size, **arguments)
        model.measure([StyleBatch(CONTENT[None], (STYLE,))])
        return model

    small, large, other = looked(64), looked(128), looked(64, loss={"style_scale": 8.0})
    assert large.need() == pytest.approx(4 * small.need(), rel=1e-3)
    pixels, (step, look) = 512 * 512, small.network(small.picture).values_per_pixel()
    assert other.need() > look * pixels and look > 3 * 16 and step > look  # 16 channels at the least
    assert small.summary()[-1][0].startswith("memory: about ")
    assert small.destination() == (torch.device("cpu"), 4)
    small.trainer = trainer(tmp_path, precision="64-true")
    assert small.destination() == (torch.device("cpu"), 8)


def test_the_table_of_layers_says_what_is_not_there() -> None:
    model = StyleTransfer(24, 32, size=32)
    assert [row[2] for row in model.summary()[1:-1]] == ["25%"] * 4 + [""]
    model.measure([StyleBatch(CONTENT[None])])
    assert model.summary()[1:-1] == [("gelu4_2", "100%", "none")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": {"content_weight": 0.0, "style_weight": 0.0}}, "nothing is left"),
        ({"loss": {"style_weight": float("nan")}}, "style_weight is nan"),
        ({"scales": 3, "size": 32}, "at least one scale, the smallest of 16"),
        ({"scales": 0}, "at least one scale"),
        ({"init": "noize"}, "did you mean 'noise'"),
        ({"loss": {"style_scale": 0.0}}, "style_scale is 0"),
        ({"loss": {"content_layers": {"relu1_1": -1.0}}}, "each with a weight above 0"),
        ({"loss": {"style_weights": [0.0]}}, "one of them above 0"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        StyleTransfer(24, 32, **arguments)


@pytest.mark.parametrize("colours", get_args(Colours))
def test_several_pictures_at_once_are_those_made_alone(colours: Any) -> None:
    contents = torch.stack([CONTENT, 255 - CONTENT.flip(2) // 3])
    model = StyleTransfer(24, 32, pictures=2, size=32, colours=colours)
    losses = model(StyleBatch(contents, (STYLE,), torch.arange(2)))["loss"]
    for content, loss in zip(contents, losses, strict=True):
        alone = StyleTransfer(24, 32, size=32, colours=colours)(StyleBatch(content[None], (STYLE,)))["loss"]
        torch.testing.assert_close(loss[None], alone)


def test_photos_by_default_are_two_of_scikit_learn() -> None:
    data = Photos()
    data.prepare_once()
    assert data.describe() == {"pictures": 1, "height": 427, "width": 640}
    assert data.processor.state_dict() == {"names": ["china.jpg"], "styles": ["flower.jpg"]}


def test_predict_names_out_and_a_size_beyond_memory_is_one_line(tmp_path: Path) -> None:
    CASES["style_transfer"].data(tmp_path)
    photographs = ("--data.content", "content.png", "--data.style", "style.png")
    short = ("--model", "style_transfer", *photographs, "--trainer.max_steps", "2", "--trainer.max_epochs", "-1")
    command(*short, "--model.size", "100000", cwd=tmp_path).refused("the largest size that fits is --model.size")
    command(*short, "--model.size", "16", cwd=tmp_path).ok()
    command("predict", "--model", "style_transfer", cwd=tmp_path).refused("--out picture.png")
    command("predict", "--model", "style_transfer", "--out", "picture.png", cwd=tmp_path).ok()
    with Image.open(tmp_path / "picture.png") as image:
        assert max(image.size) == 16
