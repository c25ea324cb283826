from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import ConvNet, Digits, ImageBatch
from lightning_nn.callbacks.resume import StepSeed
from lightning_nn.data.augmentation import (
    LUMINANCE,
    Augment,
    augmented,
    change_colours,
    matrix,
    rotation,
    sample,
    sample_mask,
    shift,
)
from lightning_nn.data.batches import IGNORED, MaskBatch, Origin
from lightning_nn.errors import UserError
from lightning_nn.layers.images import fractions
from tests.commands import command, same_bits
from tests.contract import differing, trainer
from tests.test_contract import SaveAt

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

EVERYTHING: dict[str, Any] = {
    "flip": "random",
    "translate": 2,
    "crop": 0.5,
    "stretch": 1.3,
    "rotate": 15.0,
    "shear": 10.0,
    "perspective": 0.2,
    "scale": 1.2,
    "cutout": 3,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
}
CPU = torch.device("cpu")


def images(count: int = 6, channels: int = 3, height: int = 12, width: int = 10) -> Tensor:
    """Random bytes."""
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


def smooth(count: int = 4, size: int = 32) -> Tensor:
    """Images without fine detail, which interpolation keeps."""
    return F.interpolate(torch.rand(count, 3, 5, 5), size=(size, size), mode="bicubic").clamp(0, 1)


def batch(image: Tensor, epoch: int = 0, number: int = 0, seed: int = 0, **more: Any) -> ImageBatch:
    """Images as the loader gives them."""
    index = torch.arange(len(image))
    return ImageBatch(image, more.get("label", index % 3), index, Origin(seed, more.get("rank", 0), epoch, number))


# ---------------------------------------------------------------------- geometry


@pytest.mark.parametrize("border", ["reflect", "black"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_indexed_shifts_and_flips_are_those_of_a_loop(border: Any, dtype: torch.dtype) -> None:
    image = images(40).to(dtype)
    dx, dy = torch.randint(-4, 5, (2, 40))
    mirrored = torch.rand(40) < 0.5
    found = shift(image, dx, dy, mirrored, border)
    assert found.dtype == dtype
    for i in range(40):
        one = image[i].flip(2) if mirrored[i] else image[i]
        mode = "reflect" if border == "reflect" else "constant"
        wide = F.pad(one.float(), (4, 4, 4, 4), mode=mode)
        expected = wide.roll((int(dy[i]), int(dx[i])), (1, 2))[:, 4:-4, 4:-4]
        assert torch.equal(found[i].float(), expected), (i, int(dx[i]), int(dy[i]), bool(mirrored[i]))


def test_a_shift_beyond_the_image_is_mirrored_again_and_again() -> None:
    row = torch.arange(4, dtype=torch.uint8).view(1, 1, 4)
    zero = torch.zeros(1, dtype=torch.int64)
    moved = [shift(row, torch.tensor([d]), zero, None, "reflect").flatten().tolist() for d in range(7)]
    assert moved[6] == [0, 1, 2, 3] and moved[3] == [3, 2, 1, 0] and moved[5] == [1, 2, 3, 2]
    assert shift(torch.full((1, 1, 1), 7), zero + 3, zero, None, "reflect").flatten().tolist() == [7]


@pytest.mark.parametrize("border", ["reflect", "black"])
def test_the_sampling_step_and_the_index_agree_on_whole_pixels(border: Any) -> None:
    image, mask = images(20), torch.randint(0, 5, (20, 12, 10), dtype=torch.uint8)
    dx, dy = torch.randint(-3, 4, (2, 20))
    mirrored = torch.rand(20) < 0.5
    places = matrix(20, CPU, xx=1.0 - 2.0 * mirrored) @ matrix(20, CPU, x1=-dx.float(), y1=-dy.float())
    expected = shift(image, dx, dy, mirrored, border) / 255
    torch.testing.assert_close(sample(image, places, border), expected, atol=1e-5, rtol=0)
    of_mask = shift(mask, dx, dy, mirrored, border, fill=IGNORED)
    assert torch.equal(sample_mask(mask, places, border), of_mask)


def test_one_composed_step_equals_one_step_after_another_up_to_interpolation() -> None:
    image, angle = smooth(), torch.tensor([10.0, -20.0, 5.0, 30.0])
    one = rotation(angle)
    two = matrix(4, CPU, xx=torch.full((4,), 0.8), yy=torch.full((4,), 0.9), x1=torch.full((4,), 1.5))
    three = matrix(4, CPU, **{"1x": torch.full((4,), 0.004), "xy": torch.full((4,), 0.1)})
    composed = sample(image, one @ two @ three, "black")
    in_turn = sample(sample(sample(image, one, "black"), two, "black"), three, "black")
    inside = (slice(None), slice(None), slice(10, 22), slice(10, 22))
    assert (composed - image)[inside].abs().mean() > 0.02
    assert (composed - in_turn)[inside].abs().mean() < 0.004


def test_a_quarter_turn_is_torchs() -> None:
    image = images(3, height=9, width=9)
    turned = sample(image, rotation(torch.full((3,), 90.0)), "black")
    torch.testing.assert_close(turned, image.rot90(1, (2, 3)) / 255, atol=1e-4, rtol=0)


@pytest.mark.parametrize("border", ["reflect", "black"])
@pytest.mark.parametrize("options", [{"flip": "random", "translate": 3}, {**EVERYTHING, "cutout": 0}])
def test_masks_move_with_their_images(options: dict[str, Any], border: Any) -> None:
    """An image that is its own mask stays its own mask; across an edge, one of both may be nearer."""
    blobs = (F.interpolate(torch.rand(32, 1, 4, 4), size=(24, 24), mode="bicubic") > 0.5).to(torch.uint8)
    colourless = {**options, **dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0), "border": border}
    one = MaskBatch(blobs * 200, blobs[:, 0], torch.arange(32), Origin(0, 0, 0, 0))
    found = augmented(one, Augment(**colourless))
    assert found.mask.dtype == torch.uint8
    kept = found.mask != IGNORED
    agree = ((fractions(found.image)[:, 0] > 0.4) == (found.mask == 1))[kept].float().mean()
    assert (agree == 1) if "rotate" not in options else (agree > 0.98), float(agree)
    assert bool(kept.all()) == (border == "reflect")
    assert not torch.equal(found.mask, one.mask)


def test_cutout_paints_a_square_of_each_image_and_ignores_it_in_the_mask() -> None:
    image = torch.zeros(50, 3, 16, 12, dtype=torch.uint8)
    one = MaskBatch(image, image[:, 0], torch.arange(50), Origin(0, 0, 0, 0))
    found = augmented(one, Augment(cutout=4))
    painted = (found.image == 128).all(1)
    assert torch.equal(painted, found.mask == IGNORED)
    sizes = painted.flatten(1).sum(1)
    assert sizes.max() == 16 and sizes.min() >= 4, sizes
    assert painted.any(0).all(), "every place of an image may be painted"


def test_a_window_is_a_square_of_each_image_and_of_its_mask() -> None:
    image = torch.arange(20 * 12).view(1, 1, 20, 12).expand(60, 3, 20, 12).to(torch.uint8)
    one = MaskBatch(image, image[:, 0], torch.arange(60), Origin(0, 0, 0, 0))
    found = augmented(one, Augment(window=7))
    assert found.image.shape == (60, 3, 7, 7) and torch.equal(found.image[:, 1], found.mask)
    corners = found.mask[:, 0, 0].tolist()
    assert {*corners} <= {12 * y + x for y in range(14) for x in range(6)} and len({*corners}) > 20
    assert torch.equal(found.mask[3], image[0, 0, corners[3] // 12 :, corners[3] % 12 :][:7, :7])
    assert augmented(one, Augment(window=15)).mask.shape == (60, 15, 12)
    with pytest.raises(UserError, match="window is for images with masks"):
        augmented(batch(images()), Augment(window=7))


# ---------------------------------------------------------------------- colour, labels


def test_colour_changes_equal_those_of_torchvision() -> None:
    from torchvision.transforms.v2 import functional as reference  # type: ignore[import-untyped]

    image = smooth(size=16) * 0.5 + 0.24  # far from 0 and 1, where torchvision clips after each change
    for name, factor, function in (
        ("brightness", 1.2, reference.adjust_brightness),
        ("contrast", 0.6, reference.adjust_contrast),
        ("saturation", 0.5, reference.adjust_saturation),
    ):
        found = change_colours(image, **{name: torch.full((4,), factor)})
        torch.testing.assert_close(found, function(image, factor), atol=1e-3, rtol=0)
    in_turn = reference.adjust_saturation(reference.adjust_contrast(reference.adjust_brightness(image, 1.2), 0.6), 0.5)
    factors = {name: torch.full((4,), f) for name, f in (("brightness", 1.2), ("contrast", 0.6), ("saturation", 0.5))}
    torch.testing.assert_close(change_colours(image, **factors), in_turn, atol=1e-3, rtol=0)


def test_hue_turns_the_circle_and_leaves_luminance_and_gray_alone() -> None:
    image = smooth(size=8) * 0.4 + 0.27
    weights = torch.tensor(LUMINANCE)
    third = torch.full((4,), 1 / 3)
    found = change_colours(image, hue=third)
    torch.testing.assert_close(
        torch.einsum("bchw,c->bhw", found, weights), torch.einsum("bchw,c->bhw", image, weights), atol=4e-5, rtol=0
    )
    assert (found - image).abs().mean() > 0.02
    torch.testing.assert_close(change_colours(change_colours(found, hue=third), hue=third), image, atol=4e-5, rtol=0)
    gray = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(change_colours(gray, hue=third), gray, atol=8e-4, rtol=0)


def test_mixup_mixes_images_and_labels_by_the_same_share() -> None:
    label = torch.arange(8) % 4
    image = (label * 60).to(torch.uint8).view(8, 1, 1, 1).expand(8, 1, 2, 2)
    found = augmented(batch(image, label=label), Augment(mixup=1.0), 4)
    assert found.label.shape == (8, 4)
    torch.testing.assert_close(found.label.sum(1), torch.ones(8))
    torch.testing.assert_close(found.label @ torch.arange(4.0) * 60 / 255, found.image[:, 0, 0, 0])
    assert ((found.label > 0).sum(1) == 2).all()
    assert torch.equal(found.label.argmax(1), label), "an image's own share is the larger one"
    with pytest.raises(UserError, match="mixup mixes labels of classes"):
        augmented(MaskBatch(image, image[:, 0], None, Origin(0, 0, 0, 0)), Augment(mixup=1.0), 4)


# ---------------------------------------------------------------------- chance


def test_what_is_drawn_depends_on_seed_process_epoch_and_batch_alone() -> None:
    image, options = images(16), Augment(**EVERYTHING)

    def draw(state: int, **place: int) -> Tensor:
        torch.manual_seed(state)
        found: Tensor = augmented(batch(image, **place), options).image
        return found

    whole = draw(0)
    assert torch.equal(whole, draw(1)), "torch's own generator matters"
    for place in ({"seed": 1}, {"rank": 1}, {"epoch": 1}, {"number": 1}):
        assert not torch.equal(whole, draw(0, **place)), place


def test_each_image_of_a_batch_is_changed_in_its_own_way() -> None:
    image = images(1).expand(12, -1, -1, -1)
    found = augmented(batch(image), Augment(**EVERYTHING)).image
    assert len({each.numpy().tobytes() for each in found}) == 12


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_bytes_and_floats_are_augmented_alike(dtype: torch.dtype) -> None:
    image = images(8)
    given = image if dtype == torch.uint8 else image.to(dtype) / 255
    found = augmented(batch(given), Augment(**EVERYTHING)).image
    torch.testing.assert_close(
        found.double(), augmented(batch(image), Augment(**EVERYTHING)).image.double(), atol=4e-4, rtol=0
    )
    painted = augmented(batch(given), Augment(cutout=4)).image
    same = fractions(augmented(batch(image), Augment(cutout=4)).image).double()
    torch.testing.assert_close(fractions(painted).double(), same, atol=1e-6, rtol=0)
    assert found.min() >= 0 and found.max() <= 1 and found.dtype in (torch.float32, torch.float64)
    moved = augmented(batch(given), Augment(flip="random", translate=2)).image
    assert moved.dtype == dtype, "whole pixels are moved as they are"


def test_alternating_flips_show_both_sides_in_two_epochs() -> None:
    image = images(1000, channels=1, height=2, width=2)
    flipped = [
        (augmented(batch(image, epoch=epoch), Augment(flip="alternate")).image == image.flip(3)).flatten(1).all(1)
        for epoch in range(4)
    ]
    same = (image == image.flip(3)).flatten(1).all(1)
    assert torch.equal(flipped[0][~same], ~flipped[1][~same])
    assert torch.equal(flipped[0], flipped[2]) and torch.equal(flipped[1], flipped[3])
    assert 0.45 < flipped[0].float().mean() < 0.56
    few = torch.tensor([7, 3, 500])
    part = ImageBatch(image[few], few % 3, few, Origin(0, 0, 0, 5))
    again = augmented(part, Augment(flip="alternate")).image == image[few].flip(3)
    assert torch.equal(again.flatten(1).all(1), flipped[0][few]), "it is the image that counts, not its place"


# ---------------------------------------------------------------------- in a run


def train(folder: Path, seed: int, resume: Path | None = None, callbacks: Any = ()) -> dict[str, Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", str(seed))
        torch.manual_seed(seed)
        gray = {name: value for name, value in EVERYTHING.items() if name not in ("saturation", "hue")}
        data = Digits(batch_size=256, augment=Augment(**{**gray, "flip": "alternate", "mixup": 0.3}))
        model = ConvNet(1, 8, 8, 10, layers=["conv 4 3", "relu", "dropout 0.2", "flatten"])
        run = trainer(folder, max_epochs=3, callbacks=[StepSeed(seed), *callbacks])
        run.fit(model, datamodule=data, ckpt_path=None if resume is None else str(resume))
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_run_resumed_in_the_middle_of_an_epoch_sees_the_same_images(tmp_path: Path) -> None:
    checkpoint = tmp_path / "middle.ckpt"
    whole = train(tmp_path, 3, callbacks=[SaveAt(7, checkpoint)])
    assert not differing(whole, train(tmp_path, 99, resume=checkpoint))
    assert differing(whole, train(tmp_path, 4))


class Seen(ConvNet):
    """Keeps the batches of each stage."""

    def on_fit_start(self) -> None:
        self.batches: dict[str, list[ImageBatch]] = {"train": [], "val": []}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.batches["train"].append(batch)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.batches["val"].append(batch)
        super().validation_step(batch, batch_idx)


def test_only_training_images_are_changed(tmp_path: Path) -> None:
    data = Digits(batch_size=512, augment=Augment(translate=2))
    model = Seen(1, 8, 8, 10)
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)
    for split, seen in model.batches.items():
        source = data.sources[split]
        for each in seen:
            assert each.index is not None and each.origin is None
            original = source[each.index.numpy()].image  # type: ignore[attr-defined]
            assert torch.equal(each.image, original) == (split == "val")


def test_what_the_network_sees_is_drawn(tmp_path: Path) -> None:
    argv = ["--model", "convnet", "--data.augment.translate", "1", "--data.augment.rotate", "9", "--name", "r"]
    out = command("fit", *argv, "--data.show", cwd=tmp_path).ok().out
    file = tmp_path / "logs/convnet/r/augmented.png"
    assert "what the network sees: logs/convnet/r/augmented.png" in out
    assert [each.name for each in file.parent.iterdir() if each.name != ".lock"] == ["augmented.png"]
    shown = np.asarray(Image.open(file))
    command("fit", *argv, "--trainer.max_epochs", "1", cwd=tmp_path).ok()
    assert np.array_equal(shown, np.asarray(Image.open(file))), "the same is shown as is trained on"
    events = EventAccumulator(str(file.parent))
    events.Reload()
    assert events.Tags()["images"].count("train/augmented") == 1


def test_options_are_kept_in_the_checkpoint_and_resumed_with(tmp_path: Path) -> None:
    argv = ["fit", "--model", "convnet", "--data.augment.translate", "1", "--data.augment.flip", "alternate"]
    whole, first = tmp_path / "whole", tmp_path / "first"
    for folder, epochs in ((whole, "2"), (first, "1")):
        folder.mkdir()
        command(
            *argv, "--name", "r", "--lr_scheduler.name", "constant", "--trainer.max_epochs", epochs, cwd=folder
        ).ok()
    command("fit", "--ckpt_path", "last", "--trainer.max_epochs", "2", cwd=first).ok()
    last = Path("logs/convnet/r/checkpoints/last.ckpt")
    assert same_bits(whole / last, first / last)
    kept = torch.load(first / last, weights_only=True)["datamodule_hyper_parameters"]["augment"]
    assert (kept["translate"], kept["flip"], kept["rotate"]) == (1, "alternate", 0.0)
    config = yaml.safe_load((first / "logs/convnet/r/config.yaml").read_text(encoding="utf-8"))
    assert config["data"]["augment"]["flip"] == "alternate"
    command("test", "--ckpt_path", "last", cwd=first).ok()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data.augment.flip", "alternatel"), ("--data.augment.flip", "alternate")),
        (("--data.augment.crop", "2"), ("--data.augment.crop is 2.0; it must be 0.01 to 1",)),
        (("--data.augment.translate", "-1"), ("--data.augment.translate is -1; it must be 0 or above",)),
        (("--data.augment.translate", "few"), ("--data.augment.translate is few; it must be of type int",)),
        (("--data.augment.hue", "0.1"), ("--data.augment.hue is for colour images; these have 1 channel",)),
        (("--data.augment.flp", "random"), ("unknown option --data.augment.flp", "--data.augment.flip")),
    ],
)
def test_a_wrong_option_is_a_user_error(tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    command("fit", "--model", "convnet", *options, cwd=tmp_path).refused(*words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {augment: {flp: random}}", ("mine.yaml: unknown option data.augment.flp", "data.augment.flip")),
        ("data: {augment: random}", ("mine.yaml: data.augment is random; expected its settings by name",)),
        ("data: {augment: {translate: few}}", ("mine.yaml: data.augment.translate is few; it must be of type int",)),
    ],
)
def test_a_wrong_option_in_a_file_is_named(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    command("fit", "--model", "convnet", "-c", "mine.yaml", cwd=tmp_path).refused(*words)


def test_the_run_of_a_file_is_augmented_and_texts_have_no_such_option(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {augment: {translate: 1}}", encoding="utf-8")
    argv = ("fit", "--model", "convnet", "-c", "mine.yaml", "--data.augment.flip", "random", "--print_config")
    said = yaml.safe_load(command(*argv, cwd=tmp_path).ok().out)["data"]["augment"]
    assert (said["translate"], said["flip"]) == (1, "random")
    command("fit", "--model", "han", "--data.augment.flip", "random", cwd=tmp_path).refused("unknown option")


def test_a_batch_without_a_place_is_refused() -> None:
    with pytest.raises(UserError, match="the data module's own loader"):
        augmented(ImageBatch(images()), Augment(flip="random"))


def test_every_option_is_documented_in_its_order() -> None:
    documented = docstring_parser.parse(Augment.__doc__ or "")
    assert [p.arg_name for p in documented.params] == [field.name for field in fields(Augment)]
