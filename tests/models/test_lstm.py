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


@pytest.mark.parametrize("pooling", ["attention", ["max", "attention"]])
def test_attention_is_shown_by_sentence_and_by_word(pooling: Any) -> None:
    model = small(pooling=pooling)
    logits, words, sentences = model(BATCH, return_attention=True)
    torch.testing.assert_close(logits, model(BATCH))
    states = model.rnn(model.embedding(BATCH.words), torch.tensor(LENGTHS))
    assert model.attends and model.attention is not None
    of_documents = model.attention(states, torch.tensor(LENGTHS))[1]
    torch.testing.assert_close(
        sentences, torch.stack([of_documents[:2].sum(), of_documents[2], of_documents[3:].sum()])
    )
    torch.testing.assert_close(words * sentences.repeat_interleave(BATCH.sentences), of_documents)
    for weights in words.split(BATCH.sentences.tolist()):
        torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_a_sentence_whose_weight_vanishes_has_words_of_none() -> None:
    model = small(pooling="attention")
    assert model.attention is not None
    with torch.no_grad():
        model.attention.context.weight.mul_(1e6)
    _, words, sentences = model(BATCH, return_attention=True)
    assert float(sentences.detach().min()) == 0.0 and bool(words.isfinite().all())


@pytest.mark.parametrize(("cell", "gate"), [("lstm", "forget"), ("gru", "update")])
def test_without_attention_the_gate_that_keeps_the_state_is_shown(cell: Any, gate: str) -> None:
    model = small(cell=cell, layers=2)
    assert not model.attends and (model.explains, model.gate) == ("gates", gate)
    kept = model.kept(BATCH)
    assert list(kept) == [f"layer {layer}, {way}" for layer in (1, 2) for way in ("forward", "backward")]
    first = model.rnn.gates(model.embedding(BATCH.words), torch.tensor(LENGTHS))[0][gate]
    torch.testing.assert_close(kept["layer 1, backward"], first[:, 5:].mean(1))
    with pytest.raises(UserError, match="LSTMClassifier has no attention"):
        model.explanations(BATCH)


def test_a_plain_cell_has_nothing_to_explain() -> None:
    model = small(cell="rnn")
    assert model.explains is None and model.kept(BATCH) == {}
    with pytest.raises(UserError, match="neither attention nor gates"):
        model.gate_explanations(BATCH)
