"""A glossary mined from the twins of a knowledge base: which Chinese word stands where which English word stands.

IBM model 1 (Brown et al., Computational Linguistics 1993) over aligned lines, in both directions; a pair is worth the
geometric mean of the two (after Liang, Taskar and Klein, NAACL 2006: alignment by agreement).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kb.words import CHINESE_RUN, STOP_EN, STOP_ZH, singular, words

_ROUNDS = 6
_DOUBT = 0.5  # counts as this much of other evidence: what was seen once is less sure
_LEAST, _SEEN = 0.2, 1.5  # a pair must be worth and expected that much to be kept
_MOST = 3  # translations of a word

_ENGLISH = re.compile(r"(?<![\w\-./])[a-z][a-z\-]{2,}(?![\w\-/])")
Translations = dict[str, list[tuple[str, float]]]


@dataclass(frozen=True, slots=True)
class Glossary:
    """Word → its translations, each with what it is worth, 0 to 1; best first."""

    to_english: Translations = field(default_factory=dict)
    to_chinese: Translations = field(default_factory=dict)

    def translations(self, word: str) -> list[tuple[str, float]]:
        """What a word is called in the other language."""
        return self.to_english.get(word) or self.to_chinese.get(word) or []


def mine(pairs: Iterable[tuple[str, str]]) -> Glossary:
    """The glossary that pairs of lines (Chinese, English) teach."""
    lines = [(chinese, english) for one, other in pairs if (chinese := _chinese(one)) and (english := _english(other, one))]
    if not lines:
        return Glossary()
    chinese_words = _numbered(word for chinese, _ in lines for word in chinese)
    english_words = _numbered(word for _, english in lines for word in english)
    row, column, line = _cooccurrences(lines, chinese_words, english_words)
    pair, of = np.unique(row * len(english_words) + column, return_inverse=True)
    first, second = pair // len(english_words), pair % len(english_words)
    by_english = np.unique(line * len(english_words) + column, return_inverse=True)[1]
    by_chinese = np.unique(line * len(chinese_words) + row, return_inverse=True)[1]
    forward, seen = _expectation_maximisation(of, by_english, first)
    backward, seen_back = _expectation_maximisation(of, by_chinese, second)
    worth, seen = np.sqrt(forward * backward), np.minimum(seen, seen_back)
    to_english: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    to_chinese: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    names = list(chinese_words), list(english_words)
    for at in np.argsort(-worth, kind="stable"):
        if worth[at] < _LEAST:
            break
        if seen[at] < _SEEN:
            continue
        one, other = names[0][first[at]], names[1][second[at]]
        for translations, word, into in ((to_english, one, other), (to_chinese, other, one)):
            if len(translations[word]) < _MOST:
                translations[word].append((into, round(float(worth[at]), 3)))
    return Glossary(dict(to_english), dict(to_chinese))


def _chinese(text: str) -> list[str]:
    found = words(" ".join(CHINESE_RUN.findall(text)))
    return sorted({word for word in found if len(word) > 1 and word not in STOP_ZH})


def _english(text: str, chinese: str) -> list[str]:
    """The English words of a line, but for those that the Chinese line has too: they explain themselves."""
    found = set(_ENGLISH.findall(text.lower())).difference(_ENGLISH.findall(chinese.lower()), STOP_EN)
    return sorted(found.union(map(singular, found)))


def _numbered(found: Iterable[str]) -> dict[str, int]:
    return {word: n for n, word in enumerate(dict.fromkeys(found))}


def _cooccurrences(
    lines: list[tuple[list[str], list[str]]], chinese_words: dict[str, int], english_words: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of a Chinese and an English word of a line: the one, the other, and the line, by their numbers."""
    numbers = [([chinese_words[w] for w in chinese], [english_words[w] for w in english]) for chinese, english in lines]
    rows = np.concatenate([np.repeat(np.array(chinese, np.int64), len(english)) for chinese, english in numbers])
    columns = np.concatenate([np.tile(np.array(english, np.int64), len(chinese)) for chinese, english in numbers])
    line = np.concatenate([np.full(len(c) * len(e), n, np.int64) for n, (c, e) in enumerate(numbers)])
    return rows, columns, line


def _expectation_maximisation(pair: np.ndarray, target: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p(target word | given word) and expected counts, of each pair of words.

    `pair`: of each co-occurrence, which pair of words it is; `target`: which word of which line it explains; `given`: of each
    pair, its given word.
    """
    probability = expected = np.ones(len(given))
    for _ in range(_ROUNDS):
        value = probability[pair]
        share = value / np.bincount(target, value)[target]
        expected = np.bincount(pair, share, minlength=len(given)).astype(np.float64)
        probability = expected / (np.bincount(given, expected)[given] + _DOUBT)
    return probability, expected
