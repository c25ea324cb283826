from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models  # type: ignore[import-untyped]

from lightning_nn import FCN, BackboneClassifier, ImageBatch, Scenes, ShowAndTell
from lightning_nn.backbones.encoder import Encoding
from lightning_nn.backbones.mobilenet import MobileNetV1
from lightning_nn.backbones.torchvision import FORMS, Network, recognise
from lightning_nn.data.images.processor import ImageProcessor
from lightning_nn.errors import UserError
from lightning_nn.models.backbone import scaled
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, open_weights
from tests.commands import command
from tests.contract import check_export, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")

NETWORKS: tuple[Network, ...] = get_args(Network)


def make(network: Network, size: int = 64, classes: int = 3, **arguments: Any) -> BackboneClassifier:
    return BackboneClassifier(3, size, size, classes, network, **arguments)


def test_every_network_has_its_form() -> None:
    assert FORMS.keys() == {*NETWORKS}


def test_the_head_of_inception_starts_without_an_opinion() -> None:
    torch.manual_seed(0)
    model = make("inception_v3", classes=6)
    assert float(model.net(torch.randn(8, 3, 64, 64)).detach().std()) < 1


@pytest.mark.parametrize("network", NETWORKS)
def test_its_layers_are_known_in_their_order(network: Network) -> None:
    with torch.device("meta"):
        model = make(network, 96)
    parameters = dict(model.named_parameters())
    assert {name for name in parameters if name.startswith(tuple(f"{layer}." for layer in model.layers))} == {
        *parameters
    }
    assert dict(model.net.named_parameters()).keys() == dict(bare(network).named_parameters()).keys()
    assert parameters[f"{model.layers[-1]}.bias"].shape == (3,), "the head is the last one"
    position = model.layers.index(f"net.{FORMS[network].last_stage}")
    assert 0 < position < len(model.layers) - 1


def bare(network: Network) -> torch.nn.Module:
    with torch.device("meta"):
        options = {"aux_logits": False, "init_weights": False} if FORMS[network].auxiliary else {}
        return make(network).net if network == "mobilenet_v1" else models.get_model(network, **options)


@pytest.mark.parametrize("network", sorted({*NETWORKS} - {"vgg16"}))
def test_small_images_keep_their_pixels(network: Network) -> None:
    with torch.device("meta"):
        small, full = make(network, 32), make(network, 96)
    assert len(small.kept_pixels) == 2 and not full.kept_pixels
    maps = [next(s for s in reversed(m.shapes.values()) if len(s) == 3 and s[1] > 1) for m in (small, full)]
    assert min(maps[0][1:]) >= 2, "places of the last map on 32 pixels"


def test_resnet_on_small_images_has_sixteen_times_the_places() -> None:
    small, full = (make("resnet18", 32, stem=stem).shapes["net.layer4.1"] for stem in ("auto", "full"))
    assert (small, full) == ((512, 4, 4), (512, 1, 1))


def test_the_table_says_what_was_left_out() -> None:
    rows = {row[0]: row[1:] for row in make("resnet18", 32).summary()}
    assert rows["images"] == ("3 x 32 x 32", "", "scaled by mean and deviation"), "it will be, by those of training"
    assert rows["conv1"] == ("64 x 32 x 32", "9,408", "trained; stride 1 for small images")
    assert rows["maxpool"] == ("64 x 32 x 32", "", "left out for small images")


def test_images_are_scaled_within_the_model() -> None:
    model = BackboneClassifier(3, 20, 40, 3, "squeezenet1_1", resize=40).eval()
    assert model.size == (40, 80) == scaled((20, 40), 40)
    assert model.summary()[1][1] == "3 x 40 x 80"
    assert model(ImageBatch(torch.zeros(2, 3, 20, 40, dtype=torch.uint8))).shape == (2, 3)


def test_gray_is_three_equal_colours() -> None:
    gray = BackboneClassifier(1, 40, 40, 3, "squeezenet1_1").eval()
    colour = make("squeezenet1_1", 40).eval()
    colour.load_state_dict(gray.state_dict())
    image = torch.randint(0, 256, (2, 1, 40, 40), dtype=torch.uint8)
    assert torch.equal(gray(ImageBatch(image)), colour(ImageBatch(image.expand(-1, 3, -1, -1))))


@pytest.mark.parametrize("network", ["mobilenet_v1", "mobilenet_v3_small", "resnet18"])
def test_a_last_batch_of_one_small_image_is_trained_on(network: Network) -> None:
    """The last map is one cell, so the image has no statistics of its own; the first ones have."""
    model = make(network, 8, stem="full")
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    means = model.training_means(ImageBatch(torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8), torch.tensor([1])))
    means.sums["loss"].backward()
    assert means.sums["loss"].isfinite() and model.training
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert norms[0].num_batches_tracked == 1 and norms[0].running_mean.any()  # type: ignore[union-attr]
    assert norms[-1].num_batches_tracked == 0


def test_a_batch_of_one_image_has_dropout() -> None:
    model = make("squeezenet1_1", 40)
    batch = ImageBatch(torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8), torch.tensor([1]))
    assert len({float(model.training_means(batch).sums["loss"].detach()) for _ in range(5)}) > 1


WRONG: dict[str, dict[str, Any]] = {
    "network is 'resnet19'; did you mean 'resnet18'": {"network": "resnet19"},
    "images of 16 x 16 pixels are too small for vgg16: --model.resize": {"network": "vgg16", "size": 16},
    "multiplier is -1; it must be above 0": {"network": "mobilenet_v1", "multiplier": -1},
    "resize is 0": {"network": "resnet18", "resize": 0},
    "unfreeze_at is 2; .* with --model.finetune.trainable head or last_stage": {
        "network": "resnet18",
        "finetune": {"unfreeze_at": 2},
    },
    "body_lr is 0": {"network": "resnet18", "finetune": {"body_lr": 0.0}},
}


@pytest.mark.parametrize("message", WRONG)
def test_arguments_that_make_no_sense(message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**WRONG[message])


def test_images_of_two_channels_are_refused() -> None:
    with pytest.raises(UserError, match="images of 2 channels; resnet18 reads 1 or 3"):
        BackboneClassifier(2, 32, 32, 3, "resnet18")


# ---------------------------------------------------------------------- weights of others


@pytest.mark.parametrize("form", [".pth", ".safetensors"])
def test_weights_of_torchvision_give_what_torchvision_gives(tmp_path: Path, form: str) -> None:
    theirs = models.squeezenet1_1(num_classes=7).eval()
    file = tmp_path / f"squeezenet{form}"
    if form == ".pth":
        torch.save(theirs.state_dict(), file)
    else:
        save_file(theirs.state_dict(), file)
    model = make("squeezenet1_1", classes=7)
    loaded, kept = model.load_weights(open_weights(file))
    assert not kept and len(loaded) == len(theirs.state_dict()) + 3
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    torch.testing.assert_close(model.eval()(ImageBatch(image)), theirs((image / 255 - mean) / deviation))


def test_the_scaling_of_images_is_that_of_the_weights(tmp_path: Path) -> None:
    file = tmp_path / "squeezenet.safetensors"
    save_file(models.squeezenet1_1(num_classes=7).state_dict(), file, {"about": "input RGB in [0, 1], then 2x - 1"})
    model = make("squeezenet1_1")
    model.load_weights(open_weights(file))
    model.measure([ImageBatch(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))])
    assert model.normalize.mean.unique().tolist() == model.normalize.deviation.unique().tolist() == [127.5]


def test_rows_of_the_head_follow_their_categories() -> None:
    one, other = make("squeezenet1_1"), make("squeezenet1_1")
    one.processor = ImageProcessor(["a", "b", "c"], 3, 64, 64)
    checkpoint: dict[str, Any] = {"state_dict": one.state_dict()}
    one.on_save_checkpoint(checkpoint)
    other.load_weights(Checkpoint.of(checkpoint, "one.ckpt"), ImageProcessor(["c", "a", "b"], 3, 64, 64))
    assert torch.equal(other.net.classifier[1].weight, one.net.classifier[1].weight[[2, 0, 1]])


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    few = ("--data.train_size", "8", "--data.val_size", "8", "--data.test_size", "8")
    for which, said in (
        ("imagenet", "torchvision has no mobilenet_v1; use --model.network mobilenet_v2"),
        ("embedded", "no weights of backbone, only of: convnet"),
    ):
        argv = ("--model", "backbone", *few, "--model.multiplier", "0.25", "--finetune", which)
        command(*argv, cwd=tmp_path).refused(f"--finetune {which}", said)
    assert not (tmp_path / "logs").exists()


def test_the_width_of_a_network_is_that_of_its_weights(tmp_path: Path) -> None:
    """Whatever the recipe says; what the command line says holds, and is refused."""
    save_file(MobileNetV1(10, 0.125).state_dict(), tmp_path / "other.safetensors")
    few = ("--data.train_size", "8", "--data.val_size", "8", "--data.test_size", "8", "--trainer.max_epochs", "1")
    argv = ("fit", "--model", "backbone", *few, "--finetune", "other.safetensors")
    said = command(*argv, cwd=tmp_path).ok().out
    assert "net.fc   " in said and "2: weight shape [6, 128] here" in said and "start at random" not in said
    command(*argv, "--model.multiplier", "0.5", cwd=tmp_path).refused("mobilenet_v1 --model.multiplier 0.125")


def file_of(network: str, prefix: str = "", **classes: int) -> WeightsFile:
    """Return a file of torchvision's names and shapes, all weights zero, in no memory."""
    with torch.device("meta"):
        net = MobileNetV1(10, 0.25) if network == "mobilenet_v1" else models.get_model(network, **classes)
    found = {
        f"{prefix}{name}": torch.zeros((), dtype=each.dtype).expand(each.shape)
        for name, each in net.state_dict().items()
    }
    return WeightsFile(Path(f"{network}.pth"), found)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_is_recognised_by_names_and_shapes(network: Network) -> None:
    form = {"multiplier": 0.25} if network == "mobilenet_v1" else {}
    assert recognise(file_of(network, "module.").state_dict) == {"network": network, **form}


@pytest.mark.parametrize("network", ["resnet101", "wide_resnet50_2", "vgg13", "densenet121"])
def test_other_networks_are_not_recognised(network: str) -> None:
    assert recognise(file_of(network).state_dict) == {}


@pytest.mark.parametrize(
    ("network", "model"), [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("mobilenet_v2", "resnet18")]
)
def test_another_network_is_refused_with_the_option_that_takes_it(network: str, model: Network) -> None:
    with pytest.raises(UserError, match=f"^{network}.pth holds {network}, .* {model}: --model.network {network}$"):
        make(model).load_weights(file_of(network))
    body: Any = model
    with pytest.raises(UserError, match=f"--model.body {network}$"):
        FCN(3, 2, body=body).load_weights(file_of(network))
    with pytest.raises(UserError, match=f"--model.encoder.network {network}$"):
        ShowAndTell(3, 64, 64, 9, encoder=Encoding(model)).load_weights(file_of(network))


@pytest.mark.parametrize("network", ["resnet101", "wide_resnet50_2"])
def test_a_network_that_fits_by_chance_is_refused(network: str) -> None:
    with pytest.raises(UserError, match=f"{network}.pth holds another network than resnet50.*layer"):
        make("resnet50").load_weights(file_of(network))


@pytest.mark.parametrize(
    ("names", "whose"),
    [
        ("resnet.embedder.embedder.convolution.weight", "the names of Hugging Face's transformers"),
        ("conv_stem.weight", "the names of timm"),
        ("resnet50/conv1/kernel:0", "the names of TensorFlow"),
        ("backbone.bottom_up.res2.0.conv1.norm.weight", "the names of detectron2"),
        ("body.0.weight", "other names"),
    ],
)
def test_names_of_others_are_refused_by_their_owner(names: str, whose: str) -> None:
    file = WeightsFile(Path("theirs.bin"), {names: torch.ones(1)})
    with pytest.raises(UserError, match=f"theirs.bin has {whose} .*not those of squeezenet1_1 .*--finetune imagenet"):
        make("squeezenet1_1").load_weights(file)


def test_a_prefix_is_left_out_and_other_tensors_with_it() -> None:
    file = file_of("squeezenet1_1", "module.encoder.")
    file.state_dict["module.criterion.weight"] = torch.ones(2)
    loaded, _ = make("squeezenet1_1").load_weights(file)
    assert len(loaded) == 53 and file.notes == ["names without their prefix 'module.encoder.'"]
    twice = {name.replace("encoder", "teacher"): each for name, each in file.state_dict.items()}
    with pytest.raises(UserError, match=r"several times, under module.encoder., module.teacher.: save one alone"):
        make("squeezenet1_1").load_weights(replace(file, state_dict={**file.state_dict, **twice}))


def test_a_checkpoint_of_ours_with_another_network_is_refused() -> None:
    model = make("squeezenet1_1")
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    saved = Checkpoint.of(checkpoint, "one.ckpt")
    loaded, _ = FCN(3, 2, body="squeezenet1_1").load_weights(saved)
    assert {"body.features.12.expand3x3.bias", "normalize.mean"} <= loaded.keys()
    with pytest.raises(UserError, match=r"one.ckpt holds squeezenet1_1, .*--model.network squeezenet1_1"):
        make("resnet18").load_weights(saved)


# ---------------------------------------------------------------------- every name trains and is exported


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_exported(network: Network) -> None:
    model = make(network, 80).eval()
    check_export(model, ImageBatch(torch.randint(0, 256, (4, 3, 80, 80), dtype=torch.uint8)))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_a_short_run_on_scenes(network: Network, tmp_path: Path) -> None:
    data = Scenes(train_size=32, val_size=16, test_size=16, batch_size=16)
    data.batch_type = ImageBatch
    data.prepare_once()
    model = make(network, classes=6)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    assert float(run.callback_metrics["train/loss"]) < 3
    run.save_checkpoint(tmp_path / "one.ckpt")
    loaded = BackboneClassifier.load_from_checkpoint(tmp_path / "one.ckpt")
    batch = data.sources["test"][[0, 1, 2]]
    assert torch.equal(loaded(batch), model.eval()(batch))
