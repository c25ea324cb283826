"""Contributions of words: they sum to the change of the prediction, for each document by itself."""

from __future__ import annotations

import pytest
import torch

from lightning_nn import HAN, LSTMClassifier, TextBatch
from lightning_nn.tasks.text_classification import TextClassifier

BATCH = TextBatch(torch.tensor([2, 1]), torch.tensor([3, 2, 4]), torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 0]))


@pytest.mark.parametrize("kind", [HAN, LSTMClassifier])
def test_contributions_sum_to_what_the_words_change(kind: type[TextClassifier]) -> None:
    model, category = kind(9, 3, embedding_size=8, hidden_size=4), torch.tensor([2, 0])
    torch.nn.init.normal_(model.embedding.table.weight)
    contributions = model.contributions(BATCH, category, steps=200)
    with torch.no_grad(), model.evaluating():
        with_words, without = (model(BATCH._replace(words=words)) for words in (BATCH.words, 0 * BATCH.words))
        change = (with_words.log_softmax(1) - without.log_softmax(1)).gather(1, category[:, None])[:, 0]
    of_documents = torch.stack([part.sum() for part in contributions.split([5, 4])])
    torch.testing.assert_close(of_documents, change, rtol=0, atol=1e-3)
    assert contributions[-1] == 0  # the unknown word is its own baseline
    assert change.abs().min() > 0.01 and model.training
