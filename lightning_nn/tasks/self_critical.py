"""Captions that a captioner draws of images, and how much better each is than the others.

Rennie, Marcheret, Mroueh, Ross and Goel, "Self-critical sequence training for image captioning" (CVPR 2017): the
gradient of the expected reward r of a drawn caption w is estimated by that of

    L = - (r(w) - b) sum over t of log p(w_t | w_1 ... w_{t-1}, I)

The reward is CIDEr-D, the end counted as a word. The baseline b is the mean reward of the other captions drawn of the
image (Luo 2020, arXiv:2003.09971), where the paper takes the reward of the greedy caption.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nn.data.batches import END
from lightning_nn.layers.beam_search import Step, Vocabulary, sample
from lightning_nn.layers.recurrent import State, select_state
from lightning_nn.metrics.captions import CaptionCorpus, cider_d


class Draws(NamedTuple):
    """Captions drawn of B images, `count` of each, those of all images one after another.

    Attributes:
        words: int64 (W,), ids of all words.
        length: int64 (count B,), words of each caption.
        image_index: int64 (count B,), index of its image.
        reward: (count B,), CIDEr-D.
        advantage: (count B,), reward less the mean reward of the image's other captions.
    """

    words: Tensor
    length: Tensor
    image_index: Tensor
    reward: Tensor
    advantage: Tensor


def draw_captions(
    step: Step, state: State, vocabulary: Vocabulary, references: list[list[list[int]]], *, count: int, longest: int
) -> Draws:
    """Draw captions and reward them.

    Document frequencies of CIDEr-D are those of these images, so there should be many.

    Args:
        step: the model.
        state: before the start of the sentence, of each image.
        vocabulary: of the model.
        references: word ids of the captions by people, of each image.
        count: captions of each image, at least 2.
        longest: maximum number of words.
    """
    images = len(references)
    device = (state if isinstance(state, Tensor) else state[0]).device
    index = torch.arange(images, device=device).repeat(count)
    captions = sample(step, select_state(state, index), vocabulary, longest=longest).lists(vocabulary.end)
    ended = [[[*caption, END] for caption in some] for some in references]
    corpora = [
        CaptionCorpus.of([[*caption, END] for caption in captions[i : i + images]], ended)
        for i in range(0, len(captions), images)
    ]
    reward = torch.stack([torch.from_numpy(cider_d(corpus)) for corpus in corpora]).float()  # (count, B)
    others = (reward.sum(0) - reward) / (count - 1)
    return Draws(
        torch.tensor([word for caption in captions for word in caption], device=device),
        torch.tensor([len(caption) for caption in captions], device=device),
        index,
        reward.flatten().to(device),
        (reward - others).flatten().to(device),
    )
