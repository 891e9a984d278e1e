"""Whether the passages that a written answer cites say what it says: each sentence against its passages, by letter and by words.

A sentence must pass both. Its numbers, flags, code and names with digits stand in the passages as they are; and the passages
carry enough of the worth of its words (kb.worth), so that an invention, or the wrong number in brackets, is seen. No model: what
is told is that nothing was found to support a sentence, not that it is false.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from kb.index import Generation
from kb.records import Hit, above
from kb.twins import chinese_share
from kb.words import content_words, is_chinese
from kb.worth import Worth

_ENOUGH = 0.3  # share of the worth of a sentence's words (see decisions)
_FEW = 2  # words, without a citation: "Yes." claims nothing
_IN_CHINESE = 0.05  # share of Chinese characters of a passage that is

_MARK = r"\[\s*\d{1,3}(?:\s*[,，、]\s*\d{1,3})*\s*\](?!\()"  # [1] or [1, 2], which is no link
_CITATION = re.compile(rf"(\s{{0,3}})({_MARK})")
_BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,})[^`\n]*(?:\n|\Z)(?:.*?^[ \t]*\1[`~]*[ \t]*$|.*\Z)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(rf"(?ms:{_BLOCK.pattern})|(`+)[^`\n]+\2")
_END = re.compile(rf"(?:[。！？!?；]+|(?<!e\.g)(?<!i\.e)\.(?=[*)\"”’]*(?:\s|$|\[))|\n)[*)）\"”’」』]*(?:[ \t]*{_MARK})*")
_LISTED = re.compile(r"(?:\s|>|#{1,6}\s|[-*+]\s|\d+[.)、](?:\s|$))*")
_ABSENT = re.compile(r"(?:documents?|passages?|sources?) (?:do|does) not|(?:文档|资料)[中里]?(?:并?没有|未)", re.IGNORECASE)

_FLAG = re.compile(r"(?<![\w\-.])--?[A-Za-z][\w\-]*", re.ASCII)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_][\w./:\-]*\d(?:[\w./:\-]*\w)?", re.ASCII)
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)([A-Za-z]*)", re.ASCII)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SPELT = [
    {word: str(number) for number, word in enumerate(words.split())}
    for words in ("zero one two three four five six seven eight nine ten eleven twelve", "零 一 二 三 四 五 六 七 八 九 十")
]


def cited(sentence: str) -> list[int]:
    """The numbers of the passages that a sentence cites."""
    return [int(number) for _, marks in _CITATION.findall(_CODE.sub("", sentence)) for number in re.findall(r"\d+", marks)]


def without_dead_citations(text: str, hits: int) -> str:
    """`text` without the numbers in brackets that name none of `hits` passages; brackets in code stay."""

    def living(mark: re.Match[str]) -> str:
        numbers = re.findall(r"\d+", mark[2])
        alive = [number for number in numbers if 1 <= int(number) <= hits]
        return mark[0] if alive == numbers else f"{mark[1]}[{', '.join(alive)}]" if alive else ""

    parts, at = [], 0
    for code in _CODE.finditer(text):
        parts += [_CITATION.sub(living, text[at : code.start()]), code[0]]
        at = code.end()
    return "".join((*parts, _CITATION.sub(living, text[at:])))


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of the sentences, lines and list items of a Markdown text, with the citations behind each; code is not cut."""
    found: list[tuple[int, int]] = []
    at = 0
    for end in _ends(text):
        own = text[at:end].strip()
        if own and not _CITATION.sub("", own).strip() and found:
            found[-1] = found[-1][0], at + text[at:end].index(own) + len(own)
        elif own:
            start = at + text[at:end].index(own)
            found.append((start, start + len(own)))
        at = end
    return found


def _ends(text: str) -> Iterator[int]:
    """Where sentences end; what looks like an end in code, or the number of a list item, is none."""
    blocks = [block.span() for block in _BLOCK.finditer(text)]
    code = [span.span() for span in _CODE.finditer(text)]
    ends = {edge for span in blocks for edge in span}
    for mark in _END.finditer(text):
        line = text[text.rfind("\n", 0, mark.start()) + 1 : mark.end()]
        if not any(start <= mark.start() < end for start, end in code) and (mark[0] == "\n" or _LISTED.fullmatch(line) is None):
            ends.add(mark.end())
    yield from sorted(ends | {len(text)})


def unsupported(text: str, hits: Sequence[Hit], generation: Generation) -> tuple[tuple[int, int], ...]:
    """(start, end) of the sentences of an answer that the passages they cite do not support; all `hits` where they cite none."""
    passages = {hit.n: f"{above(hit)}\n{hit.chunk.text}" for hit in hits}
    failed = []
    for start, end in sentences(text):
        named = [passages[number] for number in cited(text[start:end]) if number in passages]
        if not _support(text[start:end], named or list(passages.values()), generation, bool(named)):
            failed.append((start, end))
    return tuple(failed)


def _support(sentence: str, passages: Sequence[str], generation: Generation, cites: bool) -> bool:
    claim = _plain(sentence)
    literal = _plain("\n".join(passages))
    if block := _BLOCK.match(claim):
        lines = block[0].replace("\\\n", " ").split("\n")[1:]
        return all(_stands(line, literal) for line in lines if line.strip() and not line.lstrip().startswith(("#", "```", "~~~")))
    claim = _LISTED.sub("", _CITATION.sub("", claim), count=1)
    if not _literally(claim, literal):
        return False
    if not cites and (_ABSENT.search(claim) or claim.rstrip(" *").endswith((":", "："))):
        return True
    every = content_words(claim)
    if len(every) <= (0 if cites else _FEW):
        return True
    chinese = is_chinese(claim)
    ours = [passage for passage in passages if (chinese_share(passage) >= _IN_CHINESE) == chinese]
    theirs = [passage for passage in passages if passage not in ours]
    # A passage in the other language has only what is called the same there, or what the glossary knows.
    glossary = generation.learned.glossary
    shared = [word for word in every if glossary.translations(word) or (chinese and word.isascii())]
    if theirs and (_carry(shared, theirs, generation) if shared else not ours):
        return True
    return bool(ours) and _carry(every, ours, generation)


def _carry(words: Sequence[str], passages: Sequence[str], generation: Generation) -> bool:
    weights: Mapping[str, float] = dict.fromkeys(words, 1.0)
    return Worth(weights, generation).share("\n".join(passages)) >= _ENOUGH


def _plain(text: str) -> str:
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text))


def _literally(claim: str, passage: str) -> bool:
    """Whether the code, flags, names with digits and numbers of a claim stand in a passage."""
    for code in _CODE.finditer(claim):
        if not _stands(code[0].strip("`"), passage):
            return False
    claim = _CODE.sub(" ", claim)
    if not all(_stands(flag, passage) for flag in _FLAG.findall(claim)):
        return False
    claim = _FLAG.sub(" ", claim)
    if not all(_stands(name.lower(), passage.lower()) for name in _NAME.findall(claim)):
        return False
    return all(_counts(number, unit, passage) for number, unit in _NUMBER.findall(_NAME.sub(" ", claim)))


def _stands(literal: str, passage: str) -> bool:
    """Whether `literal` stands in `passage`, not as a part of a longer word or flag; white space and line ends aside."""
    literal, passage = (" ".join(text.replace("\\\n", " ").split()) for text in (literal, passage))
    before = r"(?<![\w\-])" if literal.startswith("-") else r"(?<!\w)" if literal[:1].isalnum() else ""
    after = r"(?![\w\-])" if literal.startswith("-") else r"(?!\w|\.\d)" if literal[-1:].isalnum() else ""
    return re.search(before + re.escape(literal) + after, passage, re.ASCII) is not None


def _counts(number: str, unit: str, passage: str) -> bool:
    """Whether a number stands in a passage, with its unit where one is joined to it; small ones may be spelt out."""
    end = rf"\s?{unit}(?![A-Za-z])" if unit else r"(?!\d|\.\d)"
    if re.search(rf"(?<![\d.])(?<![A-Za-uw-z_]){re.escape(number)}{end}", passage, re.ASCII | re.IGNORECASE):
        return True
    english, chinese = ([word for word, value in spelt.items() if value == number] for spelt in _SPELT)
    return any(re.search(rf"\b{word}\b", passage, re.IGNORECASE) for word in english) or any(word in passage for word in chinese)
