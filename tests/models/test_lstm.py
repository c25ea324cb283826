from __future__ import annotations

from typing import Any

import pytest
import torch

from lightning_nn import LSTMClassifier, TextBatch, UserError

BATCH = TextBatch(torch.tensor([2, 1]), torch.tensor([2, 1, 4]), torch.tensor([5, 1, 2, 7, 0, 3, 3]))
LENGTHS = [3, 4]


def small(**arguments: Any) -> LSTMClassifier:
    return LSTMClassifier(vocabulary_size=9, num_classes=3, embedding_size=4, hidden_size=5, **arguments).eval()


def test_sentences_of_a_document_are_read_as_one_sequence() -> None:
    model = small()
    joined = BATCH._replace(documents=torch.tensor([1, 1]), sentences=torch.tensor(LENGTHS))
    torch.testing.assert_close(model(BATCH), model(joined))


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_poolings_equal_a_loop_over_documents(pooling: Any, direction: Any) -> None:
    model = small(pooling=pooling, direction=direction)
    expected = []
    for words in BATCH.words.split(LENGTHS):
        states = model.rnn(model.embedding(words), torch.tensor([len(words)]))
        if pooling == "last":
            ends = {"forward": [states[-1]], "backward": [states[0]], "both": [states[-1, :5], states[0, 5:]]}
            expected.append(torch.cat(ends[direction]))
        else:
            expected.append(states.mean(0) if pooling == "mean" else states.amax(0))
    torch.testing.assert_close(model(BATCH), model.output(torch.stack(expected)))


def test_several_poolings_stand_side_by_side() -> None:
    model = small(pooling=["max", "mean"])
    states = model.rnn(model.embedding(BATCH.words), torch.tensor(LENGTHS))
    pooled = torch.cat([model.pool(p, states, torch.tensor(LENGTHS)) for p in ("max", "mean")], dim=1)
    assert pooled.shape == (2, 20)
    torch.testing.assert_close(model(BATCH), model.output(pooled))


def test_a_forward_reader_that_keeps_its_last_state_sees_the_order_of_words() -> None:
    model = small(direction="forward", pooling="last")
    backwards = BATCH._replace(words=torch.cat([w.flip(0) for w in BATCH.words.split(LENGTHS)]))
    assert not torch.allclose(model(BATCH), model(backwards))


@pytest.mark.parametrize(
    ("pooling", "message"),
    [([], "pooling is empty; name at least one of last"), (["maxx"], "pooling is 'maxx'; did you mean 'max'?")],
)
def test_wrong_poolings(pooling: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(pooling=pooling)
