from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import ShowAndTell, UserError
from lightning_nn.catalog import MODELS
from lightning_nn.data.batches import END, START, UNKNOWN
from lightning_nn.layers.recurrent import State
from lightning_nn.metrics.captions import CaptionCorpus, DocumentFrequencies, cider_d
from lightning_nn.tasks.captioning import VOCABULARY, CaptionTraining, references
from lightning_nn.tasks.self_critical import draw_captions, with_end
from tests.cases import CASES
from tests.contract import one_batch
from tests.tiny.captioning import TinyPictures

REFERENCES = [[[4, 5], [4, 4, 5]], [[5], [5, 4]], [[3, 5]]]


def any_word(state: State, ids: Tensor) -> tuple[Tensor, State]:
    """All words are equally probable."""
    return torch.full((len(ids), 6), 1 / 6).log(), state


def test_each_caption_is_compared_with_the_others_of_its_image() -> None:
    torch.manual_seed(0)
    drawn = draw_captions(any_word, torch.zeros(3, 1), VOCABULARY, REFERENCES, count=4, longest=5)
    ended = list(map(with_end, REFERENCES))
    for i in range(4):
        corpus = CaptionCorpus.of(with_end(drawn.captions[3 * i : 3 * i + 3]), ended)
        torch.testing.assert_close(
            drawn.reward[3 * i : 3 * i + 3].double(), torch.from_numpy(cider_d(corpus)), rtol=1e-5, atol=1e-6
        )
    reward, advantage = drawn.reward.view(4, 3), drawn.advantage.view(4, 3)
    torch.testing.assert_close(advantage[1], reward[1] - reward[[0, 2, 3]].mean(0))
    assert reward.max() > 0


def test_the_loss_is_the_advantage_times_the_log_probability() -> None:
    data = TinyPictures()
    data.prepare_once()
    case = CASES["show_and_tell"]
    model = ShowAndTell(**data.describe(), **{**case.arguments, **case.quiet, "training": {"self_critical": 3}})
    batch = one_batch(data)
    torch.manual_seed(1)
    means = model.training_means(batch)
    torch.manual_seed(1)
    state = model.decoder.start(model.features(batch.image))
    drawn = draw_captions(model.step, state, VOCABULARY, references(batch), count=3, longest=model.search.longest)
    again = batch._replace(
        words=torch.tensor([word for caption in drawn.captions for word in caption]),
        length=torch.tensor([len(caption) for caption in drawn.captions]),
        image_index=torch.arange(batch.size).repeat(3),
    )
    rows = model.rows(again)
    logits, first = model.forward(again), rows.inputs == START  # not in the order of the images
    logits[:, [START, UNKNOWN]] = -torch.inf
    logits[first, END] = -torch.inf
    losses = F.cross_entropy(logits, rows.targets, reduction="none")
    cut = (rows.targets == END) & (rows.lengths > model.search.longest).repeat_interleave(rows.lengths)
    expected = (drawn.advantage.repeat_interleave(rows.lengths) * losses.where(~cut, 0)).sum()
    torch.testing.assert_close(means.sums["loss"], expected)
    names, parameters = zip(*model.decoder.named_parameters(), strict=True)
    given, wanted = (torch.autograd.grad(loss, parameters) for loss in (means.sums["loss"], expected))
    for name, one, other in zip(names, given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)
    assert means.weight == len(rows.targets)
    torch.testing.assert_close(means.sums["reward"] / means.weight, drawn.reward.mean())


@pytest.mark.parametrize("longest", [1, 2])
def test_the_expected_gradient_is_that_of_the_expected_reward(longest: int) -> None:
    """Over all captions of 6 words, of which 3 may be drawn; of 2 words, the second may be the end."""
    torch.manual_seed(0)
    logits = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)  # of the next word, by the last one

    def step(state: State, ids: Tensor) -> tuple[Tensor, State]:
        return logits.log_softmax(1)[ids], state

    state = torch.zeros(1, 1, dtype=torch.float64)
    frequencies = DocumentFrequencies([with_end(images) for images in REFERENCES])
    drawn = draw_captions(step, state, VOCABULARY, REFERENCES[:1], frequencies, count=2000, longest=longest)
    found = dict(zip(map(tuple, drawn.captions), range(2000), strict=True))
    assert len(found) == {1: 3, 2: 3 + 9}[longest]
    expected_reward = torch.zeros((), dtype=torch.float64)
    for words, i in found.items():
        q = logits[START, 3:].softmax(0)[words[0] - 3]
        if longest == 2:  # the end, or one of three words
            q = q * logits[words[0], 2:].softmax(0)[words[1] - 2 if len(words) == 2 else 0]
        torch.testing.assert_close(drawn.log_probability[i].exp(), q, rtol=0, atol=1e-12)
        expected_reward = expected_reward + q * drawn.reward[i]
    ones = list(found.values())
    weights = drawn.log_probability[ones].exp().detach() * drawn.reward[ones]
    (estimated,) = torch.autograd.grad((weights * drawn.log_probability[ones]).sum(), logits, retain_graph=True)
    (true,) = torch.autograd.grad(expected_reward, logits)
    assert true.abs().max() > 0.01
    torch.testing.assert_close(estimated, true, rtol=0, atol=1e-12)


def test_rarity_is_counted_over_all_training_images() -> None:
    data = TinyPictures()
    data.prepare_once()
    model = ShowAndTell(**data.describe(), **{**CASES["show_and_tell"].arguments, "training": {"self_critical": 3}})
    model.begin(data.facts())
    train = data.sources["train"]
    all_of_train = references(train[np.arange(len(train))])
    counted = model._frequencies
    assert counted is not None and counted.images == len(all_of_train)
    corpus = CaptionCorpus.of([with_end(some)[0] for some in all_of_train], list(map(with_end, all_of_train)))
    np.testing.assert_allclose(cider_d(corpus, counted), cider_d(corpus))


@pytest.mark.parametrize("count", [-1, 1])
def test_one_caption_has_none_to_be_compared_with(count: int) -> None:
    with pytest.raises(UserError, match=f"self_critical is {count}; it must be 0, or 2 or more"):
        ShowAndTell(3, 32, 32, 9, training=CaptionTraining(self_critical=count))


def test_there_are_no_words_of_the_data_to_smooth_or_to_replace() -> None:
    with pytest.raises(UserError, match="reads no words of the data: leave label_smoothing"):
        ShowAndTell(3, 32, 32, 9, training=CaptionTraining(self_critical=2, label_smoothing=0.1))


@pytest.mark.parametrize("name", ["show_and_tell", "multimodal_rnn"])
def test_every_parameter_has_a_gradient(name: str) -> None:
    """As several processes need it."""
    data = TinyPictures()
    data.prepare_once()
    more = {"guidance": {"weight": 0.5}} if name == "show_and_tell" else {}
    model = MODELS[name].load()(
        **data.describe(), **{**CASES[name].arguments, "training": {"self_critical": 4}, **more}
    )
    torch.manual_seed(0)
    model.training_means(one_batch(data)).sums["loss"].backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
