"""Answer by quoting: the sentences, table rows or whole command blocks that carry the most of the question's words.

No weights: what a word is worth is its inverse document frequency in the knowledge base.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kb.index import Generation
from kb.records import Chunk, Hit, Quote
from kb.words import content_words, is_chinese, words

# Of the worth of the question's words, the share that the best passage must carry. Tuned on the dev questions.
ENOUGH = 0.45
_MAX_QUOTES = 3
_MAX_CHARS = 1200  # of one quotation
_HEADING_SHARE = 0.5  # a word in the heading counts half for the sentences under it
_NEXT_SHARE = 0.75  # a further quotation is worth at least this share of the first
_RANK_DISCOUNT = 0.06  # a later hit's sentences count that much less, each rank

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_SENTENCE = re.compile(r".+?(?:[。！？!?；]+[”’」』）)]*|\.(?=\s|$)|$)\s*", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)、])\s+")
_COMMAND = re.compile(
    r"命令|怎么|怎样|如何|安装|运行|启动|下载|转换|部署|代码|脚本|\b(?:how|command|install|run|start|launch|convert|download|"
    r"build|script|code|cli|serve|deploy|example)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a chunk that can be quoted by itself; lines of the document."""

    kind: str  # "sentence" | "code" | "row"
    text: str
    start: int
    end: int
    lead: str = ""  # what introduces a code block


@dataclass(frozen=True, slots=True)
class Quoted:
    """The answer as Markdown pieces, what it quotes, and whether it says that nothing fits."""

    pieces: tuple[str, ...]
    quotes: tuple[Quote, ...]
    refused: bool


def units(chunk: Chunk) -> Iterator[Unit]:
    """The sentences, table rows and code blocks of a chunk, in order."""
    lines = chunk.text.split("\n")
    at, lead = 0, ""
    while at < len(lines):
        line, number = lines[at], chunk.start + at
        if fence := _FENCE.match(line):
            mark = fence.group(1)
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(mark)), len(lines) - 1)
            yield Unit("code", "\n".join(lines[at : end + 1]), number, chunk.start + end, lead)
            at = end + 1
            continue
        if line.lstrip().startswith("|"):
            yield Unit("row", line.strip(), number, number)
        elif line.strip() and not line.lstrip().startswith(("#", "<!--", ":::", "..", "---", "===")):
            end = at
            while end + 1 < len(lines) and _continues(lines[end + 1]):
                end += 1
            lead = "\n".join(lines[at : end + 1])
            yield from _sentences(lead, number)
            at = end
        at += 1


def _continues(line: str) -> bool:
    """Whether a line goes on with the paragraph before it."""
    return bool(line.strip()) and not (_FENCE.match(line) or _BULLET.match(line) or line.lstrip().startswith(("|", "#", "..", ":::")))


def _sentences(paragraph: str, number: int) -> Iterator[Unit]:
    for match in _SENTENCE.finditer(paragraph):
        text = match.group()
        if text.strip():
            start = number + paragraph.count("\n", 0, match.start())
            yield Unit("sentence", text.strip(), start, start + text.rstrip().count("\n"))


class Worth:
    """What each word of a question is worth in a generation."""

    def __init__(self, question_words: Sequence[str], generation: Generation) -> None:
        total = max(1, generation.manifest.chunks)
        self._worth = {word: math.log(1 + total / (0.5 + generation.frequency(word))) for word in question_words}
        self.total = sum(self._worth.values()) or 1.0

    def of(self, text: str) -> dict[str, float]:
        """The question's words in `text`, each with its worth."""
        return {word: self._worth[word] for word in set(words(text)) & self._worth.keys()}

    def share(self, text: str) -> float:
        """The share of the question that `text` carries, 0 to 1."""
        return sum(self.of(text).values()) / self.total


def _passage(hit: Hit) -> str:
    return "\n".join((hit.path, hit.title, *hit.chunk.heading, hit.chunk.text))


def quote(question: str, before: Sequence[str], hits: Sequence[Hit], generation: Generation) -> Quoted:
    """Quote what answers `question`, asked after the questions `before`, out of `hits`; or say that nothing does."""
    asked = content_words(question)
    worth = Worth(list(dict.fromkeys([*asked, *(word for earlier in before for word in content_words(earlier))])), generation)
    own = Worth(asked, generation)
    if not hits or max(own.share(_passage(hit)) for hit in hits) < ENOUGH:
        return _refusal(question, bool(hits))
    command = bool(_COMMAND.search(question))
    scored: list[tuple[float, Hit, Unit]] = []
    for hit in hits:
        above = worth.of("\n".join((hit.path, *hit.chunk.heading)))
        for unit in units(hit.chunk):
            scored.append((_score(unit, worth, above, command) * (1 - _RANK_DISCOUNT * (hit.n - 1)), hit, unit))
    scored.sort(key=lambda entry: -entry[0])
    return _quoted(_choose(scored))


def _score(unit: Unit, worth: Worth, above: dict[str, float], command: bool) -> float:
    inside = worth.of(f"{unit.lead}\n{unit.text}" if unit.kind == "code" else unit.text)
    value = sum(inside.values()) + _HEADING_SHARE * sum(above[word] for word in above.keys() - inside.keys())
    if unit.kind == "code":
        return value * (1.3 if command else 0.7)
    short = min(1.0, len(unit.text) / 24)  # a title or a label is no answer
    long = min(1.0, 600 / len(unit.text))
    return value * short * long


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
    return sorted(chosen, key=lambda pair: (pair[0].n, pair[1].start)) if chosen else []


def _quoted(chosen: Sequence[tuple[Hit, Unit]]) -> Quoted:
    pieces = []
    for hit, unit in chosen:
        if unit.kind == "code":
            text = "\n".join(unit.text.split("\n")[:60])
            mark = _FENCE.match(text)
            if mark and not text.rstrip().endswith(mark.group(1)):
                text += f"\n{mark.group(1)}"
            intro = _BULLET.sub("", unit.lead.strip().split("\n")[-1])
            pieces.append(f"{intro} [{hit.n}]\n\n{text}\n\n" if intro else f"{text}\n\n[{hit.n}]\n\n")
        else:
            text = _BULLET.sub("", unit.text)[:_MAX_CHARS]
            pieces.append("> " + text.replace("\n", "\n> ") + f" [{hit.n}]\n\n")
    return Quoted(tuple(pieces), tuple(Quote(hit.n, unit.start, unit.end) for hit, unit in chosen), False)


def _refusal(question: str, near: bool) -> Quoted:
    if is_chinese(question):
        text = "文档中没有找到这个问题的答案。" + ("下面是最接近的段落。" if near else "")
    else:
        text = "The documents do not answer this." + (" The nearest passages are listed with the sources." if near else "")
    return Quoted((text,), (), True)


def best_quote(claim: str, hit: Hit, generation: Generation) -> Quote:
    """The part of `hit` that a claim citing it rests on most: its best sentence, row or block, else all of it."""
    worth = Worth(content_words(claim), generation)
    best = max(units(hit.chunk), key=lambda unit: worth.share(unit.text), default=None)
    if best is None or not worth.of(best.text):
        return Quote(hit.n, hit.chunk.start, hit.chunk.end)
    return Quote(hit.n, best.start, best.end)
