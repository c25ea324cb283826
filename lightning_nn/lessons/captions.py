"""Captions: a network sees a picture and writes a sentence; what it must look at, and when it gets to look.

    Show and Tell   s_0 = LSTM(picture),   s_t = LSTM(s_{t-1}, w_t),   p = softmax(W s_t)       the picture once
    m-RNN           r_t = relu(U r_{t-1} + w_t),   m_t = g(V_w w_t + V_r r_t + V_I picture)     at every word

Vinyals et al. 2015, eq. 10 to 13; Mao et al. 2014, eq. 2 and 3. Both minimise - sum_t log p(w_t | w_1 ... w_{t-1}, I).
With the picture of another caption, the loss of words that tell of the picture rises; that of grammar does not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nn import CaptionBatch, MultimodalRNN, Optimizer, Scenes, ShowAndTell
from lightning_nn.backbones.encoder import Encoding
from lightning_nn.data.batches import END
from lightning_nn.data.captions.processor import CaptionProcessor
from lightning_nn.data.synthetic.scenes.captions import truth
from lightning_nn.lessons.lesson import BLUE, ORANGE, Claim, Result, Row, Size
from lightning_nn.lessons.training import fit, split
from lightning_nn.tasks.captioning import Captioning, CaptionTraining, Search

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = ("12 3 stride=2 padding=1", "24 3 stride=2 padding=1", "48 3 stride=2 padding=1", "64 4")
ENCODER = Encoding(layers=[layer for width in WIDTHS for layer in (f"conv {width}", "batch_norm", "relu")])
OPTIMIZER = Optimizer(name="muon_adamw", lr=0.01, kernel_lr=0.07)
WORDS = {
    "grammar": ("the", "a"),
    "place": ("on", "in", "left", "middle", "right"),
    "size": ("large", "big", "small", "little"),
    "colour": ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"),
    "kind": ("house", "tree", "car", "mushroom", "balloon", "kite"),
    "whether more": ("and", ""),
}  # "" is the end


def scenes(size: Size, seed: int) -> Scenes:
    """Draw pictures of 32 x 32 pixels, with three captions each."""
    pictures = 1000 if size == "full" else 700
    data = Scenes(train_size=pictures, val_size=1, test_size=200, size=32, batch_size=32, seed=seed)
    data.batch_type = CaptionBatch
    return data


def losses(model: Captioning, batch: CaptionBatch, kind: Tensor) -> list[float]:
    """Compute the mean loss of each kind of word, given the right words before."""
    with torch.no_grad(), model.evaluating():
        loss = F.cross_entropy(model(batch), targets := model.rows(batch).targets, reduction="none")
    return [loss[kind[targets] == number].mean().item() for number in range(len(WORDS))]


def kinds_of(words: list[str]) -> Tensor:
    """Return the number of the kind of each word of the vocabulary, int64 (V,)."""
    kinds = {word: number for number, (_, some) in enumerate(WORDS.items()) for word in some}
    return torch.tensor([kinds.get(word, list(WORDS).index("whether more")) for word in words])


def true_share(model: Captioning, data: Scenes, features: Tensor) -> float:
    """Write a caption for each test picture, greedily, and measure how many are wholly true."""
    with torch.no_grad(), model.evaluating():
        written = model.write(features).lists(END)
    assert isinstance(data.processor, CaptionProcessor)
    captions = [data.processor.spell(ids) for ids in written]
    return float(np.mean([truth(*pair, "en") for pair in zip(captions, data.objects("test"), strict=True)]))


def run(seed: int = 0, size: Size = "full", *, epochs: int = 4) -> Result:
    """Train both networks, and give them their own pictures and those of other captions."""
    data = scenes(size, seed)
    data.prepare_once()
    options = {"encoder": ENCODER, "hidden_size": 64, "dropout": 0.0, "search": Search(beam=1)}
    options["training"] = CaptionTraining(captions_each=1)
    tell = ShowAndTell.for_data(data, embedding_size=64, **options)
    multimodal = MultimodalRNN.for_data(data, embedding_size=32, multimodal_size=128, **options)
    batch, kinds = split(data, "test"), kinds_of(data.processor.row_labels()["words"])
    columns: dict[str, list[float]] = {}
    true, curves = [], []
    for name, model in (("Show and Tell", tell), ("m-RNN", multimodal)):
        curve = fit(model, data, min(epochs, 2) if size == "test" else epochs, OPTIMIZER)
        curves.append(np.array(curve[: len(curve) // 10 * 10]).reshape(-1, 10).mean(1))
        with torch.no_grad(), model.evaluating():
            own = model.features(batch.image)
        for picture, features in (("own", own), ("other", own.roll(1, 0))):
            columns[f"{name}, {picture} picture"] = losses(model, batch._replace(image=features), kinds)
            true.append(true_share(model, data, features))
    rows: list[Row] = [
        {"word": kind, "choices": len(WORDS[kind])} | {column: values[number] for column, values in columns.items()}
        for number, kind in enumerate(WORDS)
    ]
    return Result(rows, {"true": np.array(true), "losses": np.stack(curves)})


def draw(result: Result, figure: Figure) -> None:
    """Draw the loss of each kind of word, own picture filled and other one outlined, and the loss over the steps."""
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    x = np.arange(len(WORDS))
    for shift, name, colour in ((-0.2, "Show and Tell", ORANGE), (0.2, "m-RNN", BLUE)):
        other, own = (result.column(f"{name}, {picture} picture") for picture in ("other", "own"))
        left.bar(x + shift, other, 0.36, facecolor="white", edgecolor=colour, hatch="//", linewidth=1)
        left.bar(x + shift, own, 0.36, color=colour)
    left.set(ylabel="L", xticks=x, xticklabels=["the", "on", "big", "red", "car", "."])
    steps = 10 * np.arange(1, result.arrays["losses"].shape[1] + 1)
    for curve, colour, style, label in zip(result.arrays["losses"], (ORANGE, BLUE), ("--", "-"), "12", strict=True):
        right.plot(steps, curve, style, color=colour, label=label)
    right.set(xlabel="t", ylabel="L", ylim=(0, 2))
    right.legend()


def claim(result: Result) -> list[Claim]:
    """Compare kinds of words, own and other pictures, and both networks."""
    loss = {row["word"]: row for row in result.rows}
    colour, pictures = loss["colour"], ("own picture", "other picture")
    of_networks = [f"{name}, {picture}" for name in ("Show and Tell", "m-RNN") for picture in pictures]
    tell, _, multimodal, other = map(float, result.arrays["true"])
    least = result.bound(full=1.0, test=0.4)
    return [
        Claim("grammar, highest loss", max(loss["grammar"][column] for column in of_networks), "<=", 0.15),
        Claim("size, lowest loss", min(loss["size"][column] for column in of_networks), ">=", 0.65),
        Claim("colour, m-RNN", colour["m-RNN, own picture"], "<=", result.bound(full=1.6, test=1.9)),
        Claim(
            "colour, m-RNN, other picture less own",
            colour["m-RNN, other picture"] - colour["m-RNN, own picture"],
            ">=",
            least,
        ),
        Claim(
            "colour, Show and Tell by m-RNN",
            colour["Show and Tell, own picture"] / colour["m-RNN, own picture"],
            ">=",
            result.bound(full=1.3, test=1.1),
        ),
        Claim("wholly true, m-RNN", multimodal, ">=", result.bound(full=0.1, test=0.01)),
        Claim("wholly true, m-RNN, other picture", other, "<=", 0.05),
        Claim("wholly true, m-RNN less Show and Tell", multimodal - tell, ">=", result.bound(full=0.07, test=0)),
    ]


def right_choice(result: Result) -> int:
    """Return the choice of who writes more captions that are wholly true."""
    tell, _, multimodal, _ = result.arrays["true"]
    return 3 if abs(tell - multimodal) < 0.05 else 1 if tell > multimodal else 2


def answer_1() -> list[Claim]:
    """Count the words for large things."""
    data = scenes("test", 0)
    batch = split(data, "train")
    names = data.processor.row_labels()["words"]
    big, large = (int((batch.words == names.index(word)).sum()) for word in ("big", "large"))
    share = big / (big + large)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return [Claim("entropy of big and large", round(float(entropy), 3), "==", 0.693)]


def answer_2() -> list[Claim]:
    """Say the most frequent captions of training about every test picture."""
    data = scenes("test", 0)
    batch = split(data, "train")
    assert isinstance(data.processor, CaptionProcessor)
    captions = Counter(data.processor.spell(words.tolist()) for words in batch.words.split(batch.length.tolist()))
    shares = [
        float(np.mean([truth(caption, objects, "en") for objects in data.objects("test")]))
        for caption, _ in captions.most_common(50)
    ]
    return [Claim("true of a test picture, best of 50 frequent captions", max(shares), "<=", 0.08)]
