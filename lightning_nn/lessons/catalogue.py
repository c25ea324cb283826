"""The order of the course: chapters and their lessons. Imports nothing, so that listing them takes no time.

A lesson is a row here and the module `lightning_nn.lessons.NAME`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class Text(NamedTuple):
    """A text in both languages of the course."""

    en: str
    zh: str

    def into(self, language: Language) -> str:
        """Return the text in a language."""
        return self.en if language == "en" else self.zh


class Entry(NamedTuple):
    """A lesson of the listing.

    Attributes:
        name: of its module, its pages and its files.
        title: what is shown, in a few words.
    """

    name: str
    title: Text


class Chapter(NamedTuple):
    """Lessons that belong together, in the order in which they are read."""

    name: str
    title: Text
    lessons: tuple[Entry, ...]


CHAPTERS = (
    Chapter(
        "neuron",
        Text("The neuron", "神经元"),
        (
            Entry("neuron", Text("weights turn a line, the bias shifts it", "权重让直线转动，偏置让它平移")),
            Entry("logistic_regression", Text("the output of a neuron is a probability", "神经元的输出是概率")),
            Entry("softmax", Text("K neurons as one distribution", "K 个神经元合成一个概率分布")),
            Entry("losses", Text("certain and wrong: which loss still learns", "错得很自信时，哪种损失还学得动")),
            Entry("gradient_descent", Text("down the gradient, checked by differences", "沿梯度下降，用差商检验")),
            Entry("learning_rate", Text("too small, right, too large", "太小、正好、太大")),
            Entry(
                "computation_graph",
                Text("built first or traced, the same derivatives", "先建图还是边算边记，导数都一样"),
            ),
        ),
    ),
    Chapter(
        "descending",
        Text("Descending", "下降"),
        (
            Entry("batch_size", Text("one sample, a mini-batch, or all", "一个样本、小批量，还是全部")),
            Entry("local_minimum", Text("where descent stops, and what goes on", "下降停在哪里，怎样继续走")),
            Entry("saddle", Text("no slope, and yet no minimum", "没有坡度，却不是最低点")),
            Entry("momentum", Text("faster, through a trap, without zigzag", "更快，冲出陷阱，不再来回摆动")),
            Entry("adaptive", Text("Adam and Muon against SGD", "Adam 与 Muon，对比 SGD")),
        ),
    ),
    Chapter(
        "convolution",
        Text("Convolution", "卷积"),
        (
            Entry("convolution", Text("the same small kernels at every place", "同样的小卷积核，放到每个位置")),
            Entry("parameters", Text("what locality and sharing save", "局部性与权值共享省下多少")),
            Entry(
                "activations",
                Text("slopes, and what a deep stack leaves of the gradient", "斜率，以及叠深之后梯度剩多少"),
            ),
            Entry("pooling", Text("less changed by a shift, the exact place lost", "平移影响变小，准确位置丢失")),
            Entry("permuted_pixels", Text("who minds the order of the pixels", "谁在乎像素的次序")),
            Entry("fully_connected", Text("outputs without neighbours, nothing spatial", "输出没有邻居，不再有空间")),
            Entry("depth", Text("more layers, as long as they can be trained", "层数更多，只要还训得动")),
            Entry("networks", Text("five classic ones on one budget", "五个经典网络，同样的预算")),
            Entry("fcn", Text("a class for each pixel, at any size", "任意大小，每个像素一个类别")),
        ),
    ),
    Chapter(
        "craft",
        Text("The craft", "训练的手艺"),
        (
            Entry("zeros", Text("zeros do for one layer, not for several", "全零：一层可以，多层不行")),
            Entry("initialisation", Text("the spread from layer to layer", "一层一层往后，信号的大小")),
            Entry(
                "normalisation", Text("of inputs and of batches, the rates that work", "输入与批的归一化，能用的学习率")
            ),
            Entry("augmentation", Text("changes that keep the class close the gap", "不改变类别的变换，缩小差距")),
            Entry(
                "more_data",
                Text("the error falls about as a power of the number of images", "错误率大致随张数按幂律下降"),
            ),
            Entry(
                "more_steps",
                Text("the training loss falls on, the validation loss turns", "训练集损失接着降，验证集损失回头涨"),
            ),
            Entry("regularisation", Text("the squared norm of the weights", "权重的平方和")),
            Entry("overfit_small", Text("the check that finds a broken pipeline", "一项检查，找出流程里的错误")),
            Entry("balance", Text("accuracy hides the rare class", "准确率看不出少数类")),
            Entry(
                "fine_tuning",
                Text("ten images a class: what a trained body is worth", "每类十张图像：训练过的网络值多少"),
            ),
            Entry("saving", Text("continued equals uninterrupted, to the bit", "接着训练与没停过，一位不差")),
            Entry("several_processes", Text("two give the gradient of one", "两个进程的梯度等于一个的")),
        ),
    ),
    Chapter(
        "inside",
        Text("Looking inside", "看看里面"),
        (
            Entry("units_as_classifiers", Text("what a single unit knows of a class", "单个单元对类别知道多少")),
            Entry("content", Text("a photograph made anew from what a layer saw", "从一层所见重建照片")),
            Entry("gram", Text("texture, whatever stands where", "纹理：不管什么在哪里")),
            Entry("style", Text("content, style, or both", "内容、风格，或者都要")),
        ),
    ),
    Chapter(
        "sequences",
        Text("Sequences", "序列"),
        (
            Entry(
                "kinds", Text("what is read, and when it is answered, by one cell", "读什么，何时作答，都用同一个单元")
            ),
            Entry("recurrence", Text("one cell, the same weights at every step", "同一个单元，每一步用同一组权重")),
            Entry("direction", Text("what comes after takes reading backwards", "答案在后面，就得倒着读")),
            Entry("gates", Text("what to keep, and when to forget it", "记住什么，什么时候忘掉")),
            Entry("memory", Text("how many steps back the gradient reaches", "梯度能传回多少步")),
            Entry("parallel_gates", Text("many steps at once, and what that costs", "许多步一起算，代价是什么")),
        ),
    ),
    Chapter(
        "text",
        Text("Text", "文本"),
        (
            Entry("segmentation", Text("where words begin and end in Chinese", "中文的词从哪里断开")),
            Entry("vocabulary", Text("few words cover most of a text", "少数词就能覆盖大半文本")),
            Entry("embeddings", Text("near vectors: the same kind, or the same topic", "相近的词：同类，还是同话题")),
            Entry("embedding_compression", Text("how small a table of vectors may be", "词向量表能缩到多小")),
            Entry("order", Text("what a bag of words can't tell", "词袋分不清什么")),
            Entry("attention", Text("the sentence that decides, found and taken away", "找出决定的那句话，再把它拿走")),
            Entry(
                "explanations",
                Text("what each word contributes, by gradients and attention", "每个词贡献多少：积分梯度与注意力"),
            ),
        ),
    ),
    Chapter(
        "captions",
        Text("Picture to sentence", "看图说话"),
        (
            Entry("captions", Text("what is grammar, and what takes a look", "哪些靠语法，哪些要看图")),
            Entry("beam_search", Text("where greedy search errs, and why best is short", "贪心为何出错，最优为何太短")),
            Entry("metrics", Text("what BLEU and CIDEr see, and what they don't", "BLEU 和 CIDEr 看见什么")),
        ),
    ),
)


def entries() -> dict[str, Entry]:
    """Return all lessons by name, in the order of the course."""
    return {entry.name: entry for chapter in CHAPTERS for entry in chapter.lessons}


def following(name: str) -> str | None:
    """Return the name of the lesson after another; None after the last."""
    names = list(entries())
    position = names.index(name) + 1
    return names[position] if position < len(names) else None
