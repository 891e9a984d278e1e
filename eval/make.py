"""Questions without a person, made of what a knowledge base holds: sentences with a gap, and headings.

They are easier than what people ask, because they use the document's own words: good to see that something broke, and a first
set to put better questions into.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Literal, get_args

from eval.cases import Case
from kb.base import KnowledgeBase
from kb.errors import KBError
from kb.example_questions import heading_question
from kb.index import Generation
from kb.records import Chunk
from kb.words import CHINESE, STOP_EN, STOP_ZH, cut_chinese, is_chinese

Language = Literal["both", "zh", "en"]
GAP = "____"
MOST = 500
_DOCUMENTS = 400  # that questions are drawn from, at most
_HEADINGS = 4  # one question in so many is a heading, where there is a good one
_LENGTHS = {"en": (40, 240), "zh": (16, 120)}  # characters of a sentence
_LETTERS = 0.6  # share of a sentence that are letters: less is a table or code
_FENCE = re.compile(r"\s*(```|~~~)")
_BREAK = re.compile(r"\s*(#|\||>|\.\. |:\w+:|[-=*_]{3,}\s*$|$)")  # lines that no sentence runs across
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_SENTENCE_END = re.compile(r"(?<=[。！？；])|(?<=[.!?])\s+")
_MARKUP = re.compile(r"\]\(|\]\[|https?://|<\w|\\|\$|\*\*|__")  # a gap in it would tear it, or give it away
_CHINESE_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\s*\n\s*(?=[\u3000-\u9fff\uff00-\uffef])")
_CODE = re.compile(r"`([^`\n]{2,40})`")
_NUMBER = re.compile(r"(?<![\w.,-])\d[\d.,]*\d%?(?![\w.-])")
_WORD = re.compile(r"(?<![\w-])[A-Za-z][A-Za-z-]{3,}(?![\w-])")

# A language, a document, its questions in the order they are wanted.
_Pools = dict[str, dict[str, list[Case]]]


def make_questions(base: KnowledgeBase, count: int, language: Language = "both") -> list[Case]:
    """At most `count` questions, spread over the documents and the languages; always the same for the same content.

    A sentence lacks its rarest word, number or code span, which is the answer key; the sentence is the span. A heading has its
    document as gold alone. What stands in more than one document is not asked.

    Raises:
        KBError: nothing is indexed, or nothing in it makes a question.
    """
    if not 1 <= count <= MOST or language not in get_args(Language):
        raise KBError(f"Make 1 to {MOST} questions, in 'zh', 'en' or 'both'.")
    snapshot = base.snapshot()
    pools = _pools(snapshot, several=len(base.sources()) > 1)
    wanted = [pools[one] for one in ("en", "zh") if language in ("both", one)]
    # One document after another and, where both are wanted, one language after the other.
    turns = [[case for turn in zip_longest(*pool.values()) for case in turn if case] for pool in wanted]
    made = [case for turn in zip_longest(*turns) for case in turn if case][:count]
    if not made:
        raise KBError(f"Nothing in {base.name!r} makes a question: it needs headings, or whole sentences, in that language.")
    return [replace(case, id=f"made-{number:03}") for number, case in enumerate(made, start=1)]


def _pools(snapshot: Generation, several: bool) -> _Pools:
    names = {one.key: f"{one.source}/{one.path}" if several else one.path for one in snapshot.documents()}
    chunks = snapshot.some_chunks(_DOCUMENTS)
    rarity = Counter(key.casefold() for chunk in chunks for key in {key for key, _, _ in _keys(chunk.text)})
    by_document: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_document[chunk.document].append(chunk)
    documents = sorted(by_document, key=lambda key: names[key])
    draw = random.Random(0)  # noqa: S311 - a sample, no secret
    draw.shuffle(documents)
    everywhere = Counter(text for own in by_document.values() for text in {*_asked_of(own)})
    pools: _Pools = {"en": {}, "zh": {}}
    for at, key in enumerate(documents):
        document = snapshot.document(key).text
        gaps = [case for chunk in by_document[key] for case in _gaps(chunk, names[key], document, rarity, everywhere)]
        heads = list(_heads(by_document[key], names[key], everywhere))
        draw.shuffle(gaps)
        for lang, pool in pools.items():
            mixed = _mixed([one for one in gaps if one.lang == lang], [one for one in heads if one.lang == lang], at)
            if mixed:
                pool[key] = mixed
    return pools


def _mixed(gaps: list[Case], heads: list[Case], at: int) -> list[Case]:
    """Both kinds, the headings at every fourth place; `at` moves these, so that a question a document still has some of each."""
    mixed: list[Case] = []
    gap, head = iter(gaps), iter(heads)
    for place in range(at, at + len(gaps) + len(heads)):
        first, second = (head, gap) if place % _HEADINGS == _HEADINGS - 1 else (gap, head)
        case = next(first, None) or next(second, None)
        if case:
            mixed.append(case)
    return mixed


def _asked_of(chunks: Sequence[Chunk]) -> Iterator[str]:
    """Everything of a document that may become a question."""
    for chunk in chunks:
        yield from sentences(chunk.text)
        yield from chunk.heading[-1:]


def _gaps(chunk: Chunk, name: str, document: str, rarity: Counter[str], everywhere: Counter[str]) -> Iterator[Case]:
    for sentence in sentences(chunk.text):
        keys = [one for one in _keys(sentence) if _leaves_a_question(sentence, one[0])]
        if not keys or everywhere[sentence] > 1 or sentence not in document:
            continue
        key, start, _ = min(keys, key=lambda one: (rarity[one[0].casefold()], one[2], one[1]))
        asked = _one_line(sentence[:start] + GAP + sentence[start + len(key) :])
        yield _case(asked, name, "zh" if is_chinese(sentence) else "en", key, sentence)


def _heads(chunks: Sequence[Chunk], name: str, everywhere: Counter[str]) -> Iterator[Case]:
    for heading in dict.fromkeys(chunk.heading[-1] for chunk in chunks if len(chunk.heading) > 1):
        question = heading_question(heading)
        if question and everywhere[heading] == 1:
            yield _case(question[0], name, "zh" if CHINESE.search(heading) else "en")


def _case(question: str, name: str, lang: str, key: str = "", span: str = "") -> Case:
    return Case(
        id=question,
        question=question,
        lang=lang,
        gold_doc_ids=(name,),
        gold_spans=((name, span),) if span else (),
        answer_keys=(key,) if key else (),
    )


def sentences(text: str) -> list[str]:
    """The sentences of a passage that read as prose, as they stand there: not cut out of code, tables or headings."""
    paragraphs: list[list[str]] = [[]]
    fenced = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _BREAK.match(line) and not line.startswith(("    ", "\t")):
            item = _ITEM.match(line)
            if item:
                paragraphs.append([])
            paragraphs[-1].append(line[item.end() :] if item else line)
            continue
        paragraphs.append([])
    parts = (part.strip() for lines in paragraphs for part in _SENTENCE_END.split("\n".join(lines)))
    return [part for part in parts if _is_good(part)]


def _is_good(sentence: str) -> bool:
    shortest, longest = _LENGTHS["zh" if is_chinese(sentence) else "en"]
    letters = sum(map(str.isalpha, sentence))
    whole = sentence.count("`") % 2 == 0 and sentence[-1:] in ".!?。！？；"
    return shortest <= len(sentence) <= longest and whole and letters > _LETTERS * len(sentence) and not _MARKUP.search(sentence)


def _keys(text: str) -> list[tuple[str, int, int]]:
    """(what may be left out, where it stands, its kind: code before numbers before words)."""
    found: list[tuple[str, int, int]] = []
    for kind, pattern in enumerate((_CODE, _NUMBER, _WORD)):
        group = pattern.groups
        found += [(match[group], match.start(group), kind) for match in pattern.finditer(text) if _carries(match[group])]
    at = 0
    for word in cut_chinese(text) if CHINESE.search(text) else ():
        if len(word) > 1 and all(map(CHINESE.match, word)) and word not in STOP_ZH:
            found.append((word, at, 2))
        at += len(word)
    return found


def _leaves_a_question(sentence: str, key: str) -> bool:
    """Whether enough is left of a sentence without `key`, and does not say it once more."""
    left = len(sentence) - len(key) >= _LENGTHS["zh" if is_chinese(sentence) else "en"][0]
    return left and sentence.casefold().count(key.casefold()) == 1


def _carries(key: str) -> bool:
    return any(map(str.isalnum, key)) and key == key.strip() and "|" not in key and key.casefold() not in STOP_EN


def _one_line(text: str) -> str:
    """A sentence that ran over several lines; Chinese has no space where its line ended."""
    return " ".join(_CHINESE_BREAK.sub("", text).split())
