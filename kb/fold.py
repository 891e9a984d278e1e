"""Passages that say the same become one: the two languages of a page, and text that stands in several documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kb.catalog import DocumentInfo
from kb.records import Chunk, Hit
from kb.twins import chinese_share

VOTE = 0.2  # share of its score that a passage gives to the one it is folded into
_OVERLAP = 0.5  # of the shorter of two places on a page and its twin
_SAME_LINES = 0.8
_LINE = 20  # characters; shorter lines are everywhere
_IN_CHINESE = 0.05  # share of Chinese characters; code in between has none
_OWN_LANGUAGE = 0.5  # a passage in the language of the question stands for its twin if it has that share of its score


@dataclass(slots=True, eq=False)
class Passage:
    """A chunk with its document and score, which become a hit; `also`: the paths of others that say the same; `joined`: see
    records.Hit.
    """

    chunk: Chunk
    info: DocumentInfo
    score: float
    also: list[str] = field(default_factory=list)
    joined: list[tuple[int, int, float]] = field(default_factory=list)

    def hit(self, n: int) -> Hit:
        others = dict.fromkeys((*self.info.aliases, *self.also))
        also = tuple(path for path in others if path != self.info.path)
        joined = tuple((start, end, round(score, 6)) for start, end, score in self.joined)
        return Hit(n, self.chunk, self.info.source, self.info.path, self.info.title, round(self.score, 6), also, joined)


def fold(ranked: Sequence[Passage], twins: Mapping[str, str], chinese: bool) -> list[Passage]:
    """`ranked` (best first) without those that say the same as one before them, whose score they raise; best first.

    `twins`: document key → that of the same page in the other language. Of twins, the one in the language of the question
    (`chinese`) is kept where it is good enough.
    """
    kept: list[Passage] = []
    lines: list[frozenset[str]] = []
    for passage in ranked:
        own = frozenset(line.strip() for line in passage.chunk.text.split("\n") if len(line.strip()) >= _LINE)
        at = next((at for at, other in enumerate(kept) if _says_the_same(passage, own, other, lines[at], twins)), None)
        if at is None:
            kept.append(Passage(passage.chunk, passage.info, passage.score))
            lines.append(own)
            continue
        other = kept[at]
        score = other.score + VOTE * passage.score
        if _speaks(passage, chinese) and not _speaks(other, chinese) and passage.score >= _OWN_LANGUAGE * other.score:
            kept[at] = Passage(passage.chunk, passage.info, score, [other.info.path, *other.also])
            lines[at] = own
        else:
            other.score = score
            other.also.append(passage.info.path)
    return sorted(kept, key=lambda passage: -passage.score)


def _says_the_same(
    one: Passage, lines: frozenset[str], other: Passage, other_lines: frozenset[str], twins: Mapping[str, str]
) -> bool:
    if one.info.key == other.info.key:
        return False
    if twins.get(one.info.key) == other.info.key:
        (a, b), (c, d) = _place(one), _place(other)
        return min(b, d) - max(a, c) >= _OVERLAP * min(b - a, d - c)
    fewer = min(len(lines), len(other_lines))
    return fewer > 0 and len(lines & other_lines) >= _SAME_LINES * max(len(lines), len(other_lines))


def _place(passage: Passage) -> tuple[float, float]:
    """Where a passage begins and ends on its page, 0 to 1: translators keep the order."""
    chunks = max(1, passage.info.chunks)
    return passage.chunk.ordinal / chunks, (passage.chunk.ordinal + 1) / chunks


def _speaks(passage: Passage, chinese: bool) -> bool:
    return (chinese_share(passage.chunk.text) >= _IN_CHINESE) == chinese
