"""Self-critical training of captioners: captions are drawn, and those above the mean reward made likelier.

Rennie, Marcheret, Mroueh, Ross and Goel, "Self-critical sequence training for image captioning" (CVPR 2017). The
gradient of the expected reward r of a drawn caption w is estimated by that of

    L = - (r(w) - b) sum over t of log q(w_t | w_1 ... w_{t-1}, I)

q is what captions are drawn from: the model's distribution over the words that may stand in a caption, so neither the
start nor the unknown word, and no end before the first word. A caption cut at the maximum of words has an end that was
not drawn, which has no part in the sum. The reward is CIDEr-D, the end counted as a word. The baseline b is the mean
reward of the other captions drawn of the image (Luo 2020, arXiv:2003.09971), where the paper takes the reward of the
greedy caption. The loss of a training step is the mean over the words drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nn.data.batches import END
from lightning_nn.layers.beam_search import Step, Vocabulary, sample
from lightning_nn.layers.recurrent import State, select_state
from lightning_nn.metrics.captions import CaptionCorpus, DocumentFrequencies, cider_d


class Draws(NamedTuple):
    """Captions drawn of B images, `count` of each, those of all images one after another.

    Attributes:
        captions: ids of the words of each, without the end.
        log_probability: (count B,), of drawing each, log q(w), with its gradient.
        reward: (count B,), CIDEr-D.
        advantage: (count B,), reward less the mean reward of the image's other captions.
    """

    captions: list[list[int]]
    log_probability: Tensor
    reward: Tensor
    advantage: Tensor


def draw_captions(
    step: Step,
    state: State,
    vocabulary: Vocabulary,
    references: list[list[list[int]]],
    frequencies: DocumentFrequencies | None = None,
    *,
    count: int,
    longest: int,
) -> Draws:
    """Draw captions and reward them.

    Args:
        step: the model.
        state: before the start of the sentence, of each image.
        vocabulary: of the model.
        references: word ids of the captions by people, of each image.
        frequencies: of the n-grams of captions by people, with their end; None for those of these images, of which
            there should be many.
        count: captions of each image, at least 2.
        longest: maximum number of words.
    """
    images = len(references)
    device = (state if isinstance(state, Tensor) else state[0]).device
    index = torch.arange(images, device=device).repeat(count)
    drawn = sample(step, select_state(state, index), vocabulary, longest=longest)
    captions = drawn.lists(vocabulary.end)
    ended = list(map(with_end, references))
    corpus = CaptionCorpus.of(with_end(captions), ended * count)
    frequencies = DocumentFrequencies(ended) if frequencies is None else frequencies
    assert drawn.log_draw is not None
    reward = torch.from_numpy(cider_d(corpus, frequencies)).to(drawn.log_draw).view(count, images)
    others = (reward.sum(0) - reward) / (count - 1)
    return Draws(captions, drawn.log_draw, reward.flatten(), (reward - others).flatten())


def with_end(captions: list[list[int]]) -> list[list[int]]:
    """Return captions with the end as their last word."""
    return [[*caption, END] for caption in captions]
