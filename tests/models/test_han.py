from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_nn import HAN, TextBatch, TextData
from lightning_nn.data.text.vocabulary import TextVocabulary
from lightning_nn.tasks.artifacts import Attention
from tests.contract import trainer

V, E, H, A, K = 12, 4, 3, 5, 3

document = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=5), min_size=1, max_size=4)
batches = st.lists(document, min_size=1, max_size=4)


def flat(documents: list[list[list[int]]]) -> TextBatch:
    sentences = [s for d in documents for s in d]
    return TextBatch(
        torch.tensor([len(d) for d in documents]),
        torch.tensor([len(s) for s in sentences]),
        torch.tensor([w for s in sentences for w in s]),
    )


def small() -> HAN:
    return HAN(V, K, embedding_size=E, hidden_size=H, attention_size=A).double().eval()


def gru(layer: nn.GRU, rows: Tensor) -> Tensor:
    """Equations 1 to 4 in both directions, a step at a time."""
    outputs = []
    for suffix, sequence in (("", rows), ("_reverse", rows.flip(0))):
        W, U, b, c = (getattr(layer, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, states = rows.new_zeros(H), []
        for x in sequence:
            (r, z, n), (hr, hz, hn) = (W @ x + b).chunk(3), (U @ h + c).chunk(3)
            n = torch.tanh(n + torch.sigmoid(r + hr) * hn)
            h = (1 - torch.sigmoid(z + hz)) * n + torch.sigmoid(z + hz) * h
            states.append(h)
        outputs.append(torch.stack(states if not suffix else states[::-1]))
    return torch.cat(outputs, dim=1)


def attend(layer: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 5 to 7, and 8 to 10."""
    u = torch.tanh(rows @ layer.projection.weight.T + layer.projection.bias)  # type: ignore[union-attr,operator]
    weights = (u @ layer.context.weight[0]).softmax(0)  # type: ignore[union-attr,index]
    return weights @ rows, weights


def by_hand(model: HAN, documents: list[list[list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and both maps, a document and a sentence at a time."""
    logits, word_maps, sentence_maps = [], [], []
    for sentences in documents:
        vectors = []
        for words in sentences:
            s, weights = attend(model.word_attention, gru(model.word_rnn.rnn, model.embedding.table.weight[words]))  # type: ignore[arg-type]
            vectors.append(s)
            word_maps.append(weights)
        v, weights = attend(model.sentence_attention, gru(model.sentence_rnn.rnn, torch.stack(vectors)))  # type: ignore[arg-type]
        sentence_maps.append(weights)
        logits.append(model.output(v))
    return torch.stack(logits), torch.cat(word_maps), torch.cat(sentence_maps)


@pytest.mark.quick
@given(batches)
def test_equals_the_papers_equations_on_each_document(documents: list[list[list[int]]]) -> None:
    model = small()
    output = model(flat(documents), return_attention=True)
    for got, expected in zip(output, by_hand(model, documents), strict=True):
        torch.testing.assert_close(got, expected)
    torch.testing.assert_close(model(flat(documents)), output.logits)


@pytest.mark.quick
def test_gradients_equal_those_of_the_papers_equations() -> None:
    model, documents = small(), [[[1, 2, 3], [4]], [[5, 5]]]
    weights = torch.linspace(-1, 1, 2 * K).double().view(2, K)
    ours = torch.autograd.grad((model(flat(documents)) * weights).sum(), list(model.parameters()))
    hand = torch.autograd.grad((by_hand(model, documents)[0] * weights).sum(), list(model.parameters()))
    for (name, _), a, b in zip(model.named_parameters(), ours, hand, strict=True):
        torch.testing.assert_close(a, b, msg=name)


@given(batches)
def test_maps_sum_to_one_within_each_sentence_and_document(documents: list[list[list[int]]]) -> None:
    batch = flat(documents)
    output = small()(batch, return_attention=True)
    for weights, lengths in ((output.word_attention, batch.sentences), (output.sentence_attention, batch.documents)):
        sums = torch.stack([w.sum() for w in weights.split(lengths.tolist())])
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert (weights > 0).all()


def test_a_run_shows_the_words_of_its_documents_and_marks_those_it_does_not_know(tmp_path: Path) -> None:
    rows = [f"{'好' if i % 2 else '坏'}\t天气{'很好' if i % 2 else '很坏'}。今天出门。\n" for i in range(40)]
    rare = "好\t麒麟天气很好。今天出门。\n"
    for split, lines in (("train", rows), ("val", [rare] * 4)):
        (tmp_path / f"{split}.tsv").write_text("label\ttext\n" + "".join(lines), encoding="utf-8")
    data = TextData(str(tmp_path), vocabulary=TextVocabulary("chars", min_count=2))
    model = HAN.for_data(data, embedding_size=E, hidden_size=H, attention_size=A)
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=data)
    (attention,) = (artifact for artifact in model.artifacts("val") if isinstance(artifact, Attention))
    assert len(attention.documents) == 4
    for explanation in attention.documents:
        assert ["".join(sentence) for sentence in explanation.sentences] == ["麒麟天气很好。", "今天出门。"]
        assert explanation.unknown == {"麒", "麟"}
