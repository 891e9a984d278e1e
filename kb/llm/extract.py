"""Answer by quoting: the sentences, table rows or whole command blocks that carry the most of the question's words.

No weights: what a word is worth is its inverse document frequency in the knowledge base.
"""

import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kb.index import Generation
from kb.records import Chunk, Hit, Quote
from kb.words import is_chinese, weighted_words, words

# What the best passage must carry of the question (see `_support`). Set on the dev questions, where it refuses 5 of the 80
# that have an answer and 6 of the 10 that are off the topic.
ENOUGH = 0.4
_MAX_QUOTES = 3
_MAX_LINES = 60  # of one quotation
_PARAGRAPH = 400  # characters; a longer one is quoted by the sentence
_LED = 1000  # characters of a list or block that belongs to the line that introduces it
_HEADING_SHARE = 0.5  # a word in the heading counts half for what stands under it,
_ASKED_BY_HEADING = 0.8  # but in full where the headings have that share of the question: there they ask it themselves
_NEXT_SHARE = 0.6  # a further quotation is worth at least this share of the first
_RANK_DISCOUNT = 0.06  # what a later hit says counts that much less, each rank

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_SENTENCE = re.compile(r".+?(?:[。！？!?；]+[”’」』）)]*|\.(?=\s|$)|$)\s*", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)、])\s+")
_NO_TEXT = re.compile(r"\s*(?:#|<!--|:::|\.\.(?:\s|$)|[-=|:+~^\s]+$)")  # headings, markers, rules, table borders
_COMMAND = re.compile(
    r"命令|怎么|怎样|如何|安装|运行|启动|下载|转换|部署|代码|脚本|\b(?:how|command|install|run|start|launch|convert|download|"
    r"build|script|code|cli|serve|deploy|example)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a chunk that can be quoted by itself: a text, a table row, or a code block with what introduces it."""

    kind: Literal["text", "row", "code"]
    text: str
    start: int  # lines of the document, inclusive
    end: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer as Markdown pieces, what it quotes, and whether it says that nothing fits."""

    pieces: tuple[str, ...]
    quotes: tuple[Quote, ...]
    refused: bool


def units(chunk: Chunk) -> list[Unit]:
    """The paragraphs (sentences of long ones), list items, table rows and code blocks of a chunk, in order.

    A line that ends in a colon takes along the list or block that it introduces.
    """
    found: list[Unit] = []
    in_list = False  # the last unit is a list with the line that introduces it
    for block in _blocks(chunk):
        before, item = found[-1] if found else None, bool(_BULLET.match(block.text))
        led = before is not None and before.kind == "text" and (_introduces(before) or block.kind == "code" or (in_list and item))
        if before and led and len(before.text) + len(block.text) <= _LED:
            gap = "" if item else "\n"
            kind = "code" if block.kind == "code" else before.kind
            found[-1] = Unit(kind, f"{before.text}\n{gap}{block.text}", before.start, block.end)
            in_list = item
        else:
            found.append(block)
            in_list = False
    return [part for unit in found for part in (_sentences(unit) if unit.kind == "text" else [unit])]


def _introduces(unit: Unit) -> bool:
    return unit.text.rstrip(" *`").endswith((":", "："))


def _blocks(chunk: Chunk) -> Iterator[Unit]:
    lines = chunk.text.split("\n")
    at, header, in_list = 0, "", False
    while at < len(lines):
        line, number, end = lines[at], chunk.start + at, at
        if fence := _FENCE.match(line):
            mark = fence.group(1)
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(mark)), len(lines) - 1)
            yield Unit("code", "\n".join(lines[at : end + 1]), number, chunk.start + end)
        elif line.startswith("    ") and line.strip() and not in_list:
            end = max(i for i in range(at, _indented_to(lines, at)) if lines[i].strip())
            code = textwrap.dedent("\n".join(lines[at : end + 1]))
            yield Unit("code", f"```\n{code}\n```", number, chunk.start + end)
        elif line.lstrip().startswith("|") and not _NO_TEXT.fullmatch(line):
            if not (at and lines[at - 1].lstrip().startswith("|")):
                header = line.strip()
            else:
                rule = re.sub(r"[^|]+", "---", header)
                yield Unit("row", f"{header}\n{rule}\n{line.strip()}", number, number)
        elif line.strip() and not _NO_TEXT.match(line):
            while end + 1 < len(lines) and _continues(lines[end + 1]):
                end += 1
            in_list = bool(_BULLET.match(line)) or (in_list and line.startswith(" "))
            yield Unit("text", "\n".join(lines[at : end + 1]).strip(), number, chunk.start + end)
        at = end + 1


def _indented_to(lines: list[str], at: int) -> int:
    """Where the indented block that starts at `at` ends, exclusive."""
    return next((i for i in range(at, len(lines)) if lines[i].strip() and not lines[i].startswith("    ")), len(lines))


def _continues(line: str) -> bool:
    """Whether a line goes on with the paragraph before it."""
    return bool(line.strip()) and not (
        _FENCE.match(line) or _BULLET.match(line) or _NO_TEXT.match(line) or line.lstrip().startswith("|")
    )


def _sentences(unit: Unit) -> Iterator[Unit]:
    if len(unit.text) <= _PARAGRAPH:
        yield unit
        return
    for match in _SENTENCE.finditer(unit.text):
        if text := match.group().strip():
            start = unit.start + unit.text.count("\n", 0, match.start())
            yield Unit("text", text, start, start + text.count("\n"))


class Worth:
    """What each word of a question is worth in a generation."""

    def __init__(self, weights: dict[str, float], generation: Generation) -> None:
        self._count = len(weights)
        total = max(1, generation.manifest.chunks)
        in_chunks = {word: generation.frequency(word) for word in weights}
        self._worth = {word: weights[word] * math.log(1 + total / (0.5 + n)) for word, n in in_chunks.items() if n}
        # A word that no document has is worth as much as the rarest that some have: it cannot be matched, but it counts.
        rarest = max(self._worth.values(), default=1.0)
        missing = rarest * sum(weights[word] for word, n in in_chunks.items() if not n)
        self.total = (sum(self._worth.values()) + missing) or 1.0

    def __len__(self) -> int:
        return self._count

    def of(self, text: str) -> dict[str, float]:
        """The question's words in `text`, each with its worth."""
        return {word: self._worth[word] for word in set(words(text)) & self._worth.keys()}

    def share(self, text: str) -> float:
        """The share of the question that `text` carries, 0 to 1."""
        return sum(self.of(text).values()) / self.total


def _above(hit: Hit) -> str:
    """Where a passage stands: what its text need not repeat."""
    return "\n".join((hit.path, hit.title, *hit.chunk.heading))


def _support(hits: Sequence[Hit], worth: Worth) -> float:
    """The largest share of the question that a passage carries, and half the largest that headings name, 0 to 1.5."""
    passages = max(worth.share(f"{_above(hit)}\n{hit.chunk.text}") for hit in hits)
    return passages + 0.5 * max(worth.share(_above(hit)) for hit in hits)


def quote(question: str, before: Sequence[str], hits: Sequence[Hit], generation: Generation) -> Quoted:
    """Quote what answers `question`, asked after the questions `before`, out of `hits`; or say that nothing does."""
    worth = Worth(weighted_words(question, before), generation)
    own = Worth(weighted_words(question, ()), generation)
    changes_topic = len(own) > 2 and bool(hits) and _support(hits, own) < ENOUGH / 2
    if not hits or changes_topic or _support(hits, worth) < ENOUGH:
        return _refusal(question, bool(hits))
    command = bool(_COMMAND.search(question))
    scored: list[tuple[float, Hit, Unit]] = []
    for hit in hits:
        above = worth.of(_above(hit))
        if sum(above.values()) < _ASKED_BY_HEADING * worth.total:
            above = {word: _HEADING_SHARE * value for word, value in above.items()}
        for unit in units(hit.chunk):
            scored.append((_score(unit, worth, above, command) * (1 - _RANK_DISCOUNT * (hit.n - 1)), hit, unit))
    scored.sort(key=lambda entry: -entry[0])
    return _quoted(_choose(scored))


def _score(unit: Unit, worth: Worth, above: dict[str, float], command: bool) -> float:
    inside = worth.of(unit.text)
    value = sum(inside.values()) + sum(above[word] for word in above.keys() - inside.keys())
    if unit.kind == "code":
        return value * (1.3 if command else 0.8)
    return value * min(1.0, len(unit.text) / 24)  # a title or a label is no answer


def _choose(scored: Sequence[tuple[float, Hit, Unit]]) -> list[tuple[Hit, Unit]]:
    chosen: list[tuple[Hit, Unit]] = []
    seen: set[str] = set()
    for score, hit, unit in scored:
        if len(chosen) == _MAX_QUOTES or score < _NEXT_SHARE * scored[0][0] or score <= 0:
            break
        text = " ".join(unit.text.split())
        if text not in seen:
            seen.add(text)
            chosen.append((hit, unit))
    return sorted(chosen, key=lambda pair: (pair[0].n, pair[1].start))


def _quoted(chosen: Sequence[tuple[Hit, Unit]]) -> Quoted:
    pieces = []
    for hit, unit in chosen:
        lines = unit.text.split("\n")[:_MAX_LINES]
        if unit.kind == "text":
            lines[0] = _BULLET.sub("", lines[0])
            pieces.append("\n".join(f"> {line}" for line in lines) + f" [{hit.n}]\n\n")
        else:
            if unit.kind == "code" and sum(bool(_FENCE.match(line)) for line in lines) % 2:
                lines.append(next(fence.group(1) for line in lines if (fence := _FENCE.match(line))))
            pieces.append("\n".join(lines) + f"\n\n[{hit.n}]\n\n")
    return Quoted(tuple(pieces), tuple(Quote(hit.n, unit.start, unit.end) for hit, unit in chosen), False)


def _refusal(question: str, near: bool) -> Quoted:
    if is_chinese(question):
        text = "文档中没有找到这个问题的答案。" + ("下面是最接近的段落。" if near else "")
    else:
        text = "The documents do not answer this." + (" The nearest passages are listed with the sources." if near else "")
    return Quoted((text,), (), True)


def best_quote(claim: str, hit: Hit, generation: Generation) -> Quote:
    """The part of `hit` that a claim citing it rests on most: its best sentence, row or block, else all of it."""
    worth = Worth(weighted_words(claim, ()), generation)
    best = max(units(hit.chunk), key=lambda unit: worth.share(unit.text), default=None)
    if best is None or not worth.of(best.text):
        return Quote(hit.n, hit.chunk.start, hit.chunk.end)
    return Quote(hit.n, best.start, best.end)
