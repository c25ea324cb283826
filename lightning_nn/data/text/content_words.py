"""Content words, which carry the subject of a text, and the count of texts whose content words a model does not know.

A word is a content word if it has a letter and is not one of `FUNCTION_WORDS`: words of grammar, time, degree and
number, which occur in texts of any subject, in Chinese and English. In texts of other languages every word with a
letter is a content word.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache

_ENGLISH = """
    a about above after again against all almost also although always am among an and any are aren't as at away back be
    became because become been before being below between both but by can can't cannot could couldn't did didn't do does
    doesn't doing don't done down during each either else enough even ever every few for from further get gets getting
    got had hadn't has hasn't have haven't having he he's her here hers herself him himself his how however i i'd i'll
    i'm i've if in into is isn't it it's its itself just last less let like made make many may me might mine more most
    much must my myself never next no nor not nothing now of off often on once one only or other others our ours
    ourselves out over own per perhaps quite rather really same several shall she she's should shouldn't since so some
    something soon still such than that that's the their theirs them themselves then there there's therefore these they
    they're they've thing things this those though through thus to together too toward towards two under until up upon
    us very was wasn't we we're we've well were weren't what when where whether which while who whom whose why will with
    within without won't would wouldn't yes yet you you're you've your yours yourself three first second
"""
_CHINESE = """
    的 地 得 着 了 过 之 所 们 吗 呢 吧 啊 呀 嘛 哦 哈 么 等 等等 第 个 只 位 些 次 种 件 年 月 日
    号 时 点 分 元 我 你 您 他 她 它 我们 你们 他们 她们 它们 咱 咱们 自己 大家 别人 本 该 其 其他
    其它 某 各 每 每个 谁 什么 哪 哪里 哪个 怎么 怎样 怎么样 多少 几 为什么 如何 这 那 这个 那个
    这些 那些 这里 那里 这儿 那儿 这样 那样 这么 那么 此 这种 那种 一些 一个 一种 一次 一样 一下
    一点 有点 有些 有的 东西 事 事情 人 时候 时间 在 从 到 往 向 对 对于 关于 为 为了 因 因为 由
    由于 于 以 按 按照 据 根据 把 被 让 给 跟 和 与 及 以及 同 或 或者 而 而且 并 并且 但 但是 可是
    不过 然而 却 虽然 尽管 如果 要是 假如 只要 只有 除了 所以 因此 于是 即 即使 无论 不管 还是 既 又
    也 都 还 再 就 才 仅 便 则 比 像 如 如此 例如 比如 通过 随着 之后 之前 之一 以后 以前 以来 以上
    以下 之间 是 有 没 没有 不 不是 没什么 别 未 无 非 会 能 能够 可以 可能 可 要 想 应 应该 应当
    必须 需要 得到 使 使得 成 成为 作为 做 作 说 看 来 去 上 下 里 外 中 内 前 后 左 右 上面 下面
    里面 外面 起 起来 出来 下来 进行 开始 觉得 感觉 知道 认为 很 太 非常 十分 特别 最 更 更加 比较
    相当 挺 真 真的 真是 好 多 少 大 小 几乎 差不多 完全 确实 其实 总 总是 总之 一直 已 已经 曾 曾经
    正 正在 将 将要 刚 刚刚 刚才 马上 立刻 终于 最后 最终 最近 首先 然后 接着 同时 当时 当 现在 目前
    今天 昨天 明天 今年 去年 明年 当天 常 经常 往往 有时 从来 永远 又是 也是 都是 就是 只是 另 另外
    此外 尤其 甚至 也许 大概 一 二 三 四 五 六 七 八 九 十 百 千 万 亿 两 零 第一 第二 第三 一定
    一般 一起 一共 所有 全部 全 许多 很多 不少 不会 不能 不要 还有 不同 相同
"""
FUNCTION_WORDS = frozenset(f"{_ENGLISH} {_CHINESE}".split())
_MOST = 0.5  # share of unknown content words above which a text is unfamiliar


@lru_cache(100_000)
def is_content(word: str) -> bool:
    """Return whether a word carries the subject of its text."""
    return any(map(str.isalpha, word)) and word.lower() not in FUNCTION_WORDS


class UnknownContent:
    """Count of unfamiliar texts, see `lightning_nn.data.processor.UnknownWords`.

    Of a text without content words, all words are counted.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.texts = self.unfamiliar = self.counted = 0
        self.words: list[str] = []

    def add(self, words: Iterable[str], vocabulary: Container[str]) -> None:
        """Count a text.

        Args:
            words: of the text.
            vocabulary: the known words.
        """
        distinct = dict.fromkeys(words)
        counted = [word for word in distinct if is_content(word)] or list(distinct)
        unknown = [word for word in counted if word not in vocabulary]
        self.texts += bool(counted)
        if len(unknown) <= _MOST * len(counted):
            return
        if not self.unfamiliar:
            self.words, self.counted = unknown, len(counted)
        self.unfamiliar += 1
