from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nn import HAN, UserError
from lightning_nn.data.batches import ImageBatch
from lightning_nn.data.text.processor import TextProcessor
from lightning_nn.runs.checkpoint import Checkpoint
from lightning_nn.runs.weights_file import WeightsFile
from lightning_nn.tasks.classification import Classifier


class Normed(Classifier):
    """Two classes behind a batch norm of any width; a buffer of its own."""

    name = "normed"

    def __init__(self, width: int = 3, steps: int = 2) -> None:
        super().__init__(2)
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.output = nn.Linear(width, 2)
        self.register_buffer("steps", torch.zeros(steps))
        self.register_buffer("passing", torch.zeros(1), persistent=False)

    def forward(self, batch: ImageBatch) -> Tensor:
        return self.output(self.norm(self.first(batch.image.flatten(1))))


def saved(model: Classifier) -> dict[str, Any]:
    """Its checkpoint."""
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.fixture
def trained() -> Normed:
    """Its statistics and its buffer are not those of a new one."""
    model = Normed()
    for _ in range(3):
        model(ImageBatch(torch.rand(8, 1, 2, 2), None))
    model.get_buffer("steps").fill_(7)
    return model


STATISTICS = ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]


def test_statistics_of_a_batch_norm_arrive(trained: Normed) -> None:
    model = Normed()
    loaded, kept = model.load_weights(Checkpoint.of(saved(trained), "mine.ckpt"))
    assert not kept
    assert loaded.keys() == model.state_dict().keys() >= {*STATISTICS, "steps"}
    assert int(model.norm.num_batches_tracked or 0) == 3
    batch = ImageBatch(torch.rand(5, 1, 2, 2), None)
    assert torch.equal(model.eval()(batch), trained.eval()(batch))


def test_a_module_is_loaded_as_a_whole_or_not_at_all(trained: Normed) -> None:
    model = Normed(width=5, steps=9)
    loaded, kept = model.load_weights(Checkpoint.of(saved(trained), "mine.ckpt"))
    assert not loaded
    assert kept["steps"] == "shape [9] here, [2] in the checkpoint"
    assert kept["norm.running_var"] == "shape [5] here, [3] in the checkpoint"
    assert kept["output.bias"] == "only with output.weight"
    assert int(model.norm.num_batches_tracked or 0) == 0 and not model.norm.running_mean.any()  # type: ignore[union-attr]


def test_statistics_are_not_loaded_without_the_layer_that_they_are_of(trained: Normed) -> None:
    checkpoint, model = saved(trained), Normed()
    checkpoint["state_dict"]["first.weight"] = torch.ones(3, 9)
    loaded, kept = model.load_weights(Checkpoint.of(checkpoint, "mine.ckpt"))
    assert loaded.keys() == {"output.weight", "output.bias", "steps"}
    assert kept["norm.running_mean"] == "its statistics are those of first, which is not loaded"
    assert not model.norm.running_mean.any()  # type: ignore[union-attr]


def test_tensors_that_are_missing_or_only_there_are_named(trained: Normed) -> None:
    checkpoint = saved(trained)
    for name in ("steps", *STATISTICS):
        del checkpoint["state_dict"][name]
    checkpoint["state_dict"]["norm.median"] = torch.zeros(3)
    loaded, kept = Normed().load_weights(Checkpoint.of(checkpoint, "mine.ckpt"))
    assert {kept[name] for name in ("steps", *STATISTICS[:2])} == {"not in the checkpoint"}
    assert kept["norm.weight"] == "only with norm.running_mean" and kept["norm.median"] == "only in the checkpoint"
    assert loaded.keys().isdisjoint(kept)


def test_a_count_of_batches_may_be_missing(trained: Normed) -> None:
    checkpoint = saved(trained)
    del checkpoint["state_dict"]["norm.num_batches_tracked"]
    loaded, kept = Normed().load_weights(Checkpoint.of(checkpoint, "mine.ckpt"))
    assert "norm.running_mean" in loaded and not kept


def test_names_with_a_prefix_are_found(trained: Normed) -> None:
    weights = {f"model.module.{name}": value for name, value in trained.state_dict().items()}
    file = WeightsFile(Path("theirs.pth"), {**weights, "criterion.weight": torch.ones(2)})
    loaded, kept = Normed().load_weights(file)
    assert loaded.keys() == trained.state_dict().keys() and not kept
    assert file.notes == ["names without their prefix 'model.module.'"]


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.uint8])
def test_whole_numbers_are_no_weights(trained: Normed, dtype: torch.dtype) -> None:
    checkpoint, model = saved(trained), Normed()
    checkpoint["state_dict"]["first.bias"] = torch.ones(3, dtype=dtype)
    _, kept = model.load_weights(Checkpoint.of(checkpoint, "mine.ckpt"))
    assert kept["first.bias"] == f"torch.float32 here, {dtype} in the checkpoint"
    with pytest.raises(UserError, match=f"mine.ckpt does not fit this Normed: first.bias is .*{dtype}"):
        model.load_state(Checkpoint.of(checkpoint, "mine.ckpt"))


def test_the_refusal_of_other_shapes_names_the_way_to_load_the_rest(trained: Normed) -> None:
    with pytest.raises(UserError, match=r"size mismatch for first.weight.*model.load_weights\(open_weights"):
        Normed.from_checkpoint(Checkpoint.of(saved(trained), "mine.ckpt"), strict=False, width=5)


@pytest.mark.parametrize(
    ("part", "message"),
    [("state_dict", "mine.ckpt is damaged: "), ("lightning_nn", r"mine.ckpt was not written by lightning_nn")],
)
def test_a_dictionary_that_is_no_checkpoint_of_ours_is_refused(trained: Normed, part: str, message: str) -> None:
    checkpoint = saved(trained)
    del checkpoint[part]
    for foreign in (checkpoint, {**checkpoint, part: 3}):
        with pytest.raises(UserError, match=message):
            Normed().load_weights(Checkpoint.of(foreign, "mine.ckpt"))
    with pytest.raises(UserError, match=r"not written by lightning_nn.*load_state_dict"):
        Normed().load_weights(Checkpoint.of(dict(trained.state_dict()), "mine.ckpt"))


def test_a_parameter_under_two_names_is_loaded_once() -> None:
    """The second name would bring it back to the order of the checkpoint's words."""
    old = TextProcessor(["a", "b"], ["<unk>", "x", "y"], "chars", [], 9, 9)
    new = TextProcessor(["a", "b"], ["<unk>", "y", "x"], "chars", [], 9, 9)
    source, model = (HAN(3, 2, embedding_size=3, hidden_size=2, attention_size=2) for _ in range(2))
    for han in (source, model):
        han.tied = nn.Linear(3, 3, bias=False)
        han.tied.weight = han.embedding.table.weight
    source.processor = old
    model.load_weights(Checkpoint.of(saved(source), "mine.ckpt"), new)
    assert torch.equal(model.embedding.table.weight, source.embedding.table.weight[[0, 2, 1]])


@pytest.mark.parametrize("words", [["<unk>", "x"], ["<unk>", "x", "y", "z"]])
def test_rows_that_are_fewer_than_their_names_are_left(words: list[str]) -> None:
    """Of a checkpoint whose weights are not those of its reader."""
    new = TextProcessor(["a", "b"], ["<unk>", "y", "x"], "chars", [], 9, 9)
    source, model = (HAN(3, 2, embedding_size=3, hidden_size=2, attention_size=2) for _ in range(2))
    source.processor = TextProcessor(["a", "b"], words, "chars", [], 9, 9)
    loaded, kept = model.load_weights(Checkpoint.of(saved(source), "mine.ckpt"), new)
    if len(words) > 3:
        assert kept == {"embedding.table.weight": "3 rows in the checkpoint for 4 words"}
    else:
        assert loaded["embedding.table.weight"] == "2 of 3 words"


def test_spelling_is_that_of_the_new_words(tmp_path: Path) -> None:
    old = TextProcessor(["a", "b"], ["<unk>", "xy", "z"], "jieba", [], 9, 9)
    new = TextProcessor(["a", "b"], ["<unk>", "zw", "x"], "jieba", [], 9, 9)
    sizes = {"embedding_size": 3, "hidden_size": 2, "attention_size": 2, "character_vectors": True, "num_characters": 4}
    source, model = HAN(3, 2, **sizes), HAN(3, 2, **sizes)  # type: ignore[arg-type]
    source.processor = old
    loaded, kept = model.load_weights(Checkpoint.of(saved(source), "mine.ckpt"), new)
    assert "embedding.word_characters" not in {**loaded, **kept}, "it is no weight"
    assert not model.embedding.word_characters.any()
    model.processor = new
    spelled = [[new.vocabulary.characters[i] for i in row if i] for row in model.embedding.word_characters.tolist()]
    assert ["".join(word) for word in spelled] == ["", "zw", "x"]
