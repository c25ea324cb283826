"""Show and Tell, the m-RNN, and what they share: encoders, writing, frozen features."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import UserError, catalog
from lightning_nn.backbones.encoder import Encoder, Encoding
from lightning_nn.data.batches import END, START, CaptionBatch
from lightning_nn.layers.beam_search import beam_search
from lightning_nn.layers.recurrent import select_state
from lightning_nn.models.multimodal_rnn import MultimodalDecoder, scaled_tanh
from lightning_nn.models.show_and_tell import LSTMDecoder, ShowAndTell
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile, embedded_weights
from lightning_nn.tasks.captioning import VOCABULARY, Decoder, references, some_captions
from lightning_nn.tasks.fine_tuning import FineTune
from tests.cases import CASES
from tests.commands import command
from tests.contract import one_batch, trainer
from tests.layers.ragged_batches import gradients
from tests.tiny.captioning import TinyPictures

CAPTIONERS = ("show_and_tell", "multimodal_rnn")
DECODERS = {
    "lstm": lambda: LSTMDecoder(5, 9, 4, 6, 1, 0.0, False),
    "two lstms": lambda: LSTMDecoder(5, 9, 4, 6, 2, 0.0, False),
    "tied": lambda: LSTMDecoder(5, 9, 6, 6, 1, 0.0, True),
    "multimodal": lambda: MultimodalDecoder(5, 9, 4, 6, 7, 0.0),
}

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def small(name: str, **changes: Any) -> Any:
    """A small captioner, and its data."""
    data = TinyPictures()
    data.prepare_once()
    arguments = {**CASES[name].arguments, **CASES[name].quiet}
    for option, value in changes.items():
        arguments[option] = {**arguments.get(option, {}), **value} if isinstance(value, dict) else value
    model = catalog.MODELS[name].load()(**data.describe(), **arguments)
    model.processor = data.processor
    return model, data


# ---------------------------------------------------------------------- decoders


@pytest.mark.parametrize("name", DECODERS)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_single_steps_give_the_logits_of_whole_captions(name: str, lengths: list[int]) -> None:
    decoder: Decoder = DECODERS[name]().double().eval()
    features = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    image = torch.arange(len(lengths)) % 2
    words = torch.randint(0, 9, (sum(lengths),))
    whole = decoder(select_state(decoder.start(features), image), words, torch.tensor(lengths))
    steps = []
    for number, caption in enumerate(words.split(lengths)):
        state = decoder.start(features[image[number], None].expand(2, -1))  # batch norms are in evaluation
        for word in caption:
            logits, state = decoder.step(state, word.expand(2))
            steps.append(logits[0])
    torch.testing.assert_close(whole, torch.stack(steps))
    moved = (features, *decoder.parameters())
    torch.testing.assert_close(gradients(whole, *moved), gradients(torch.stack(steps), *moved))


@pytest.mark.quick
def test_the_multimodal_layer_is_its_equations() -> None:
    decoder = MultimodalDecoder(5, 9, 4, 6, 7, 0.0).double()
    features, words = torch.randn(1, 5, dtype=torch.float64), [START, 4, 7]
    r = torch.zeros(6, dtype=torch.float64)
    expected = []
    for word in words:
        w = decoder.second_embedding(decoder.embedding.weight[word])
        r = (decoder.recurrent.recurrent.weight @ r + w).relu()
        m = decoder.from_word.weight @ w + decoder.from_recurrent.weight @ r + decoder.from_picture(features[0])
        expected.append(decoder.output(1.7159 * torch.tanh(2 * m / 3)))
    found = decoder(decoder.start(features), torch.tensor(words), torch.tensor([3]))
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(scaled_tanh(torch.tensor([-1.0, 1.0])), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)


def test_tied_outputs_share_the_table() -> None:
    decoder = LSTMDecoder(5, 9, 6, 6, 1, 0.0, True)
    assert decoder.output.weight is decoder.embedding.weight
    with pytest.raises(UserError, match="they are 4 and 6"):
        LSTMDecoder(5, 9, 4, 6, 1, 0.0, True)


# ---------------------------------------------------------------------- words


def test_a_caption_is_read_from_its_start_and_predicted_to_its_end() -> None:
    model, _ = small("show_and_tell")
    image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    batch = CaptionBatch(image, torch.tensor([0, 1]), torch.tensor([2, 1]), torch.tensor([3, 900, 5]))
    rows = model.rows(batch)
    assert rows.inputs.tolist() == [START, 3, 0, START, 5], "900 is beyond the vocabulary: unknown"
    assert rows.targets.tolist() == [3, 0, END, 5, END]
    assert rows.lengths.tolist() == [3, 2]


def test_the_loss_is_the_mean_over_words_and_ends() -> None:
    model, data = small("multimodal_rnn", training={"label_smoothing": 0.1})
    batch = one_batch(data)
    means = model.training_means(batch)
    targets = model.rows(batch).targets
    assert means.weight == len(batch.words) + len(batch.length) == len(targets)
    expected = F.cross_entropy(model(batch), targets, label_smoothing=0.1)
    torch.testing.assert_close(means.sums["loss"] / means.weight, expected)


def test_only_loaded_layers_are_slow_not_what_guides_them() -> None:
    model, _ = small("show_and_tell", guidance={"weight": 0.5})
    model.pretrained = True
    scale = {id(p): group.get("scale", 1.0) for group in model.parameter_groups() for p in group["params"]}
    scales = {name: scale[id(p)] for name, p in model.named_parameters()}
    assert {name for name, each in scales.items() if each == 1} == {n for n in scales if not n.startswith("encoder.")}


@pytest.mark.parametrize("positions", [1, 2])
def test_guidance_adds_the_loss_of_words_predicted_from_picture_and_position(positions: int) -> None:
    model, data = small("show_and_tell", guidance={"weight": 0.5, "positions": positions})
    batch = one_batch(data)
    rows, picture = model.rows(batch), model.decoder.look(model.features(batch.image))
    guesses = model.guide(picture).unflatten(1, (positions, -1))
    position = torch.cat([torch.arange(length).clamp(max=positions - 1) for length in rows.lengths.tolist()])
    guess = guesses[rows.image_index.repeat_interleave(rows.lengths), position]
    more = 0.5 * F.cross_entropy(guess, rows.targets, reduction="sum")
    torch.testing.assert_close(model.further_loss(picture, rows), more)
    plain = F.cross_entropy(model(batch), rows.targets, reduction="sum")
    looks: list[Any] = []
    model.decoder.picture.register_forward_hook(lambda *_: looks.append(1))
    torch.testing.assert_close(model.training_means(batch).sums["loss"], plain + more)
    assert len(looks) == 1, "its batch norms are moved once a step"
    with pytest.raises(UserError, match=r"guidance\.weight is -1"):
        small("show_and_tell", guidance={"weight": -1.0})


def test_the_best_epoch_is_chosen_by_the_search_that_is_tested(tmp_path: Path) -> None:
    model, data = small("show_and_tell", search={"beam": 2})
    beams: set[int] = set()
    write = model.write
    model.write = lambda image: beams.add(model.search.beam) or write(image)
    run = trainer(tmp_path, max_epochs=1)
    for verb in (run.fit, run.validate, run.test):
        verb(model, datamodule=data)
        assert beams == {2}, verb
        beams.clear()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_step_reads_some_captions_of_each_image(count: int) -> None:
    length = torch.tensor([1, 2, 3, 1, 2, 2])
    image_index = torch.tensor([0, 0, 0, 2, 3, 3])
    words = torch.tensor([4, 5, 5, 6, 6, 6, 7, 8, 8, 9, 9])
    batch = CaptionBatch(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), image_index, length, words)
    whole = references(batch)
    torch.manual_seed(0)
    seen = set()
    for _ in range(30):
        chosen = references(some_captions(batch, count))
        for some, all_of_it in zip(chosen, whole, strict=True):
            assert len(some) == min(count, len(all_of_it)) and all(caption in all_of_it for caption in some)
        seen.add(str(chosen))
    assert len(seen) == {1: 6, 2: 3, 9: 1}[count], "each choice occurs"


def test_the_loss_is_that_of_the_captions_that_are_read() -> None:
    model, data = small("show_and_tell", training={"captions_each": 1})
    batch = one_batch(data)
    torch.manual_seed(0)
    means = model.training_means(batch)
    torch.manual_seed(0)
    read = some_captions(batch, 1)
    assert read.length is not None and len(read.length) < len(batch.length)
    expected = F.cross_entropy(model(read), model.rows(read).targets, reduction="sum")
    torch.testing.assert_close(means.sums["loss"], expected)
    with pytest.raises(UserError, match="captions_each is 0"):
        small("show_and_tell", training={"captions_each": 0})
    with pytest.raises(UserError, match="self_critical reads no words"):
        small("show_and_tell", training={"captions_each": 1, "self_critical": 2})


def test_scheduled_sampling_replaces_words_but_never_the_start(tmp_path: Path) -> None:
    model, data = small("show_and_tell", training={"scheduled_sampling": 1.0})
    batch = one_batch(data)
    rows = model.rows(batch)
    model._sampled = 1.0
    logits = torch.full((len(rows.inputs), 8), -30.0)
    logits[:, 5] = 30
    drawn = model._partly_drawn(rows.inputs, logits, rows.lengths)
    assert (drawn[rows.inputs != START] == 5).all() and (drawn[rows.inputs == START] == START).all()
    trainer(tmp_path, max_epochs=2, limit_val_batches=0).fit(model, datamodule=data)
    assert 0.8 < model._sampled < 1, "grows over the run"


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", CAPTIONERS)
def test_captions_are_sentences_with_their_log_probability(name: str) -> None:
    model, data = small(name)
    model.double().eval()
    raw = [image[0] for image in one_batch(data).image[:5].numpy()]
    for beam in (1, 3):
        found = model.caption(raw, beam=beam)
        batch = model.processor.encode(raw)
        with torch.inference_mode():
            start = model.decoder.start(model.features(batch.image))
            expected = beam_search(model.step, start, VOCABULARY, beam=beam, longest=6)
        assert [prediction.caption for prediction in found] == [model.processor.spell(w) for w in expected.lists(END)]
        for i, words in enumerate(expected.lists(END)):
            caption = CaptionBatch(batch.image[[i]], torch.tensor([0]), torch.tensor([len(words)]), torch.tensor(words))
            logp = model(caption).log_softmax(1).gather(1, model.rows(caption).targets[:, None]).sum()
            assert found[i].log_probability == pytest.approx(logp.item())
    assert model.search.beam == 3
    with pytest.raises(UserError, match="beam is 0"):
        model.caption(raw, beam=0)


def test_a_trained_model_writes_pages_and_a_table_and_predicts(tmp_path: Path) -> None:
    sizes = ["--data.train_size", "16", "--data.val_size", "8", "--data.test_size", "8", "--data.size", "32"]
    tiny = ["--model.encoder.layers", "[conv 8 3 stride=4, batch_norm, relu]", "--model.hidden_size", "16"]
    short = ["--trainer.max_epochs", "1", "--trainer.logger", "false", "--folder", str(tmp_path), "--name", "one"]
    command("--model", "show_and_tell", *sizes, *tiny, "--model.embedding_size", "16", *short, cwd=tmp_path).ok()
    run = tmp_path / "show_and_tell" / "one"
    assert {"captions.html", "best.html", "worst.html"} <= {path.name for path in run.iterdir()}
    text = (run / "predictions.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ["file", "truths", "caption", "log_probability", "cider"] and len(rows) == 8
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(np.full((40, 30, 3), 120, np.uint8)).save(folder / "gray.png")
    best = str(run / "checkpoints" / "best.ckpt")
    for name in ("predictions.csv", "best.html"):
        (run / name).unlink()
    command("test", "--ckpt_path", best, cwd=tmp_path).ok()
    assert (run / "predictions.csv").read_text(encoding="utf-8-sig") == text and (run / "best.html").is_file()
    for out in ("captions.csv", "captions.html"):
        command("predict", "--ckpt_path", best, "--data.file", str(folder), "--out", out, cwd=tmp_path).ok()
    (row,) = csv.DictReader((tmp_path / "captions.csv").read_text(encoding="utf-8-sig").splitlines())
    page = (tmp_path / "captions.html").read_text(encoding="utf-8")
    greedy = ("--model.search.beam", "1", "--model.search.longest", "2")
    for verb in ("validate", "test"):
        other = json.loads(command(verb, "--ckpt_path", best, *greedy, cwd=tmp_path).ok().out)
        own = json.loads((run / "results.json").read_text(encoding="utf-8"))
        name = "val/bp" if verb == "validate" else "test/bp"
        assert other[name] < own[name] and (run / "predictions.csv").read_text(encoding="utf-8-sig") == text
        command(verb, "--ckpt_path", best, "--model.search.beam", "0", cwd=tmp_path).refused("beam is 0")
        shown = command(verb, "--model", "show_and_tell", "--help", cwd=tmp_path).ok().out
        assert "--model.search.length_norm" in shown and "--model.dropout" not in shown
    predicted = command("predict", "--ckpt_path", best, "--data.file", str(folder), *greedy, cwd=tmp_path).ok().out
    assert len(next(csv.DictReader(predicted.splitlines()))["caption"].rstrip(".").split()) <= 2
    assert row["caption"] and float(row["log_probability"]) < 0
    assert f"<h2>{row['caption']}</h2>" in page and page.count("<img") == 1 and "://" not in page


# ---------------------------------------------------------------------- encoders


@pytest.mark.parametrize("network", ["mobilenet_v1", "mobilenet_v2", "resnet18", "squeezenet1_1"])
def test_networks_give_their_last_maps_in_cells(network: Any) -> None:
    encoder = Encoder((3, 64, 96), Encoding(network, grid=2)).eval()
    image = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    features = encoder(image)
    assert features.shape == (2, encoder.features) and features.isfinite().all()
    assert not [name for name, _ in encoder.named_parameters() if "fc" in name or "classifier" in name]
    assert encoder.last_stage in encoder.layers


def test_cells_tell_where() -> None:
    encoder = Encoder((1, 8, 8), Encoding(layers=["conv 4 1", "relu", "global_avg_pool"], grid=2)).eval()
    image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    image[0, :, :4, :4], image[1, :, 4:, 4:] = 255, 255
    features: Tensor = encoder(image).view(2, 4, 2, 2)
    assert not torch.equal(features[0], features[1])
    torch.testing.assert_close(features[0].mean((1, 2)), features[1].mean((1, 2)))


@pytest.mark.parametrize("network", ["convnet", "mobilenet_v1"])
def test_a_picture_and_its_mirror_image_have_the_same_mean_features(network: Any) -> None:
    layers = ["conv 4 3 stride=2", "relu"]
    options = [Encoding(network, layers, 2, mirrored) for mirrored in (True, False)]
    mirrored, plain = (Encoder((3, 64, 64), encoding).eval() for encoding in options)
    plain.load_state_dict(mirrored.state_dict())
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(mirrored(image), (plain(image) + plain(image.flip(3))) / 2)
    torch.testing.assert_close(mirrored(image), mirrored(image.flip(3)))
    assert str(mirrored) != str(plain), "features in the cache are told apart"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": {"network": "mobilnet_v1"}}, "did you mean 'mobilenet_v1'"),
        ({"encoder": {"grid": 0}}, "grid is 0"),
        ({"encoder": {"layers": ["flatten"]}}, "not in maps"),
        ({"encoder": {"network": "inception_v3"}}, "too small for inception_v3"),
        ({"search": {"longest": 0}}, "longest is 0"),
        ({"search": {"beam": 0}}, "beam is 0"),
        ({"search": {"length_norm": -1.0}}, "length_norm is -1.0"),
        ({"search": {"length_norm": float("nan")}}, "length_norm is nan; it must be 0 to 10"),
        ({"search": {"length_norm": 400.0}}, "length_norm is 400.0"),
        ({"training": {"label_smoothing": 1.0}}, "label_smoothing is 1.0; it must be 0 or above and below 1"),
        ({"guidance": {"weight": float("nan")}}, "guidance.weight is nan; it must be 0 to 100"),
        ({"guidance": {"weight": float("inf")}}, "guidance.weight is inf"),
        ({"guidance": {"positions": 0}}, "guidance.positions is 0; it must be at least 1"),
        ({"training": {"scheduled_sampling": 1.5}}, "scheduled_sampling is 1.5"),
        ({"vocabulary_size": 3}, "vocabulary_size is 3"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ShowAndTell(**{"channels": 3, "height": 16, "width": 16, "vocabulary_size": 9, **arguments})


def test_weights_of_a_classifier_become_the_encoders() -> None:
    checkpoint = embedded_weights("convnet")
    form = ShowAndTell.form_of("convnet", checkpoint.arguments)
    model = ShowAndTell(3, 32, 32, 9, embedding_size=8, hidden_size=8, **form)
    loaded, kept = model.load_weights(checkpoint)
    assert {name for name in kept if name.startswith("encoder.")} == {"encoder.head.bias", "encoder.head.weight"}
    assert {name for name in model.state_dict() if name.startswith("encoder.")} == loaded.keys()
    with pytest.raises(UserError, match="no such weights of a convnet; see --finetune embedded"):
        model.imagenet_weights()


def test_features_of_one_activation_are_not_those_of_another() -> None:
    keys = set()
    for activation in ("relu", "gelu"):
        model, _ = small(
            "show_and_tell", finetune={"trainable": "head"}, encoder={"layers": ["conv 8 3 padding=1", activation]}
        )
        state = {name.removeprefix("encoder."): torch.ones_like(v) for name, v in model.encoder.state_dict().items()}
        model.load_weights(WeightsFile(Path("encoder.pth"), state))
        frozen = model.frozen_encoder()
        assert frozen is not None
        keys.add(frozen.key)
    assert len(keys) == 2, "the weights are equal, the features are not"


def test_a_frozen_encoder_gives_the_same_captions_by_its_features() -> None:
    model, data = small("show_and_tell", finetune={"trainable": "head"})
    assert model.frozen_encoder() is None, "its weights are random"
    state = {name.removeprefix("encoder."): value for name, value in model.encoder.state_dict().items()}
    model.load_weights(WeightsFile(Path("encoder.pth"), state))
    frozen = model.frozen_encoder()
    assert frozen is not None
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    resumed, _ = small("show_and_tell", finetune={"trainable": "head"})
    resumed.load_state(Checkpoint.of(checkpoint, "last.ckpt"))
    assert resumed.frozen_encoder().key == frozen.key, "a run that goes on computes no features again"
    model.double().eval()
    batch = one_batch(data)
    by_image, by_features = (
        [prediction.caption for prediction in model.predictions(each)]
        for each in (batch, batch._replace(image=frozen.compute(batch.image).double()))
    )
    assert by_image == by_features
    with torch.no_grad():
        next(model.encoder.net.parameters()).mul_(2)
    again = model.frozen_encoder()
    assert again is not None and again.key != frozen.key
    model.finetune = FineTune()
    assert model.frozen_encoder() is None


def test_an_evaluation_reads_the_features_of_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["--data.train_size", "16", "--data.val_size", "8", "--data.test_size", "8", "--data.size", "32"]
    tiny = ["--model.encoder.layers", "[conv 8 3 stride=4, batch_norm, relu]", "--trainer.max_epochs", "1"]
    argv = ["--model", "show_and_tell", *sizes, *tiny]
    command(*argv, "--name", "one", cwd=tmp_path).ok()
    own = [
        "--finetune",
        "logs/show_and_tell/one/checkpoints/last.ckpt",
        "--model.finetune.trainable",
        "head",
        "--name",
        "two",
    ]
    command(*argv, *own, cwd=tmp_path).ok()

    def fail(*_: Any) -> Tensor:
        raise AssertionError("features were computed again")

    monkeypatch.setattr(Encoder, "forward", fail)
    run = tmp_path / "logs/show_and_tell/two"
    for verb, split in (("test", "test"), ("validate", "val")):
        said = json.loads(command(verb, "--ckpt_path", str(run / "checkpoints/best.ckpt"), cwd=tmp_path).ok().out)
        assert said[f"{split}/cider"] == json.loads((run / "results.json").read_text())[f"{split}/cider"]
