"""The same page in two languages: which documents are twins, and which of their lines say the same.

Repositories keep translations beside each other under names that differ in a mark of the language alone
(`docs/en/x.md` and `docs/zh_cn/x.md`, `README.md` and `README_zh-CN.md`), and translators keep the order of headings, code,
tables and technical words.
"""

import re
from collections.abc import Sequence

import numpy as np

from kb.words import CHINESE

_MARK = re.compile(
    r"(?:^|(?<=[/_.\-]))(?:zh(?:[-_]?(?:cn|hans|hant|tw|hk))?|cn|chinese|en(?:[-_]?(?:us|gb))?|english)(?=[/_.\-]|$)",
    re.IGNORECASE,
)
_JOINTS = re.compile(r"[/_.\-]+")
_MOST_CELLS = 4_000_000  # of the table that aligns two documents; larger ones are left
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_MARKUP_ONLY = re.compile(r"[-=|:+~^*#\s]*")
_LISTED = re.compile(r"(?:[-*+]|\d+[.)、])\s")
_ANCHOR = re.compile(r"[A-Za-z_][\w\-./]{2,}|\d+(?:\.\d+)*")  # what a translation leaves as it is


def page_of(path: str) -> str:
    """The name of a page without its language: equal for twins."""
    return _JOINTS.sub("/", _MARK.sub("", path.lower())).strip("/")


def chinese_share(text: str) -> float:
    """The share of its characters that are Chinese, 0 to 1."""
    return len(CHINESE.findall(text)) / max(1, len(text))


def are_twins(one: float, other: float) -> bool:
    """Whether two documents of one page, with these shares of Chinese characters, are in different languages.

    A page that is mostly code has few in either; what tells is that one has many times more.
    """
    less, more = sorted((one, other))
    return more > 0.02 and less < 0.25 * more


def aligned_lines(chinese: str, english: str) -> list[tuple[str, str]]:
    """Pairs of lines that say the same, in order; code is matched as a whole and left out.

    The best monotone alignment by dynamic programming: lines of one kind match the better the more of the Chinese line's
    Latin words and numbers the English one has.
    """
    ours, theirs = _lines(chinese), _lines(english)
    if not ours or not theirs or len(ours) * len(theirs) > _MOST_CELLS:
        return []
    likeness = _likeness(ours, theirs)
    best = np.zeros((len(ours) + 1, len(theirs) + 1), np.float32)
    for row, scores in enumerate(likeness, start=1):
        np.maximum.accumulate(np.maximum(best[row - 1, 1:], best[row - 1, :-1] + scores), out=best[row, 1:])
    pairs: list[tuple[str, str]] = []
    i, j = len(ours), len(theirs)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            if ours[i][0] != "code":
                pairs.append((ours[i][1], theirs[j][1]))
    return pairs[::-1]


def _lines(text: str) -> list[tuple[str, str]]:
    """(kind, text) of the lines that hold words; a block of code is one."""
    found: list[tuple[str, str]] = []
    code: list[str] | None = None
    for line in text.split("\n"):
        if _FENCE.match(line):
            if code is not None:
                found.append(("code", "\n".join(code)))
            code = [] if code is None else None
        elif code is not None:
            code.append(line)
        elif not _MARKUP_ONLY.fullmatch(line):
            found.append((_kind(line.strip()), line.strip()))
    return found


def _kind(line: str) -> str:
    if line[0] == "#":
        return f"heading {len(line) - len(line.lstrip('#'))}"
    if line[0] == "|":
        return "row"
    return "item" if _LISTED.match(line) else "text"


def _likeness(ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Of shape (len(ours), len(theirs)); 0 where the kinds differ."""
    anchors = [[{word.lower() for word in _ANCHOR.findall(text)} for _, text in lines] for lines in (ours, theirs)]
    column = {word: n for n, word in enumerate({word for own in anchors[0] for word in own})}
    have = [np.zeros((len(lines), max(1, len(column))), np.float32) for lines in anchors]
    for matrix, lines in zip(have, anchors, strict=True):
        for row, own in enumerate(lines):
            matrix[row, [column[word] for word in own if word in column]] = 1
    counts = have[0].sum(axis=1)
    shared = (have[0] @ have[1].T) / np.maximum(counts, 1)[:, None]
    plain = np.array([not own for own in anchors[1]])
    shared[counts == 0] = 0.1 * plain
    kinds = {kind: n for n, kind in enumerate({kind for kind, _ in (*ours, *theirs)})}
    kind = [np.array([kinds[kind] for kind, _ in lines]) for lines in (ours, theirs)]
    weight = np.array([1.5 if name == "code" or name.startswith("heading") else 1.0 for name, _ in ours], np.float32)
    return np.where(kind[0][:, None] == kind[1][None, :], weight[:, None] * (0.3 + shared), 0).astype(np.float32)
