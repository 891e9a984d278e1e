"""Text to words for the lexical leg: Chinese cut by jieba, identifiers, flags, paths and versions kept whole and in parts.

The index and the question go through the same function, so only agreement between the two matters.
"""

import logging
import re
import threading
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

VERSION = "1"

# A run of Chinese, Japanese or Korean characters, or a "technical word": letters and digits joined by the marks that
# stand inside identifiers, flags, paths, versions and file names.
_TOKEN = re.compile(
    r"(?P<cjk>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+)"
    r"|(?P<word>-{0,2}[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+"
    r"(?:[-./:@+][^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+)*\+{0,2})"
)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
CHINESE_RUN = re.compile(r"[\u4e00-\u9fff]+")
_SEGMENT = re.compile(r"[^-./:@+_]+")
_CAMEL = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]{2})|[A-Z]?[a-z]{2,}|[A-Z]{2,}")
_LETTERS = re.compile(r"[a-z]{3,}(?=\d)")
_BEGINS = re.compile(r"(?:^|[.?!:\n])[\s\"'(*`]*$")  # what stands before the first word of a sentence
HISTORY_WEIGHT = 0.5  # of a word that only an earlier question had
_MAX_WORD = 64  # longer runs are hashes or base64: parts of them find nothing

# Words that carry no topic. Short on purpose: BM25 weighs the rest down by itself.
STOP_EN = frozenset(
    "a an and are as at be by can could do does doe did for from had has have how i if in into is it its me my of on or our "
    "should so than that the their them then there these they this to us was we were what when where which who why "
    "will with would you your".split()
)
STOP_ZH = frozenset(
    "的 了 和 是 在 有 我 我们 你 你们 他 它 这 那 个 一个 吗 呢 吧 啊 么 什么 怎么 怎样 如何 哪 哪个 哪些 哪里 为什么 "
    "多少 请问 请 能 可以 要 想 把 被 与 及 或 对 从 到 用 会 都 也 就 还 又 是否 有没有 一下 里 中 上 下 时 时候".split()
)

_lock = threading.Lock()


def _jieba() -> Any:
    with _lock:  # a second thread waits for the first to load it
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Any:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    # No dictionary cache: it would be a marshal file in a folder that every user of the machine can write to.
    cutter = jieba.Tokenizer()
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    return cutter


def warm() -> None:
    """Load the dictionary now, in a thread of its own, for who will need it in a second or two."""
    threading.Thread(target=_jieba, daemon=True).start()


def singular(word: str) -> str:
    """Fold the English plural; more stemming than that joins identifiers that differ."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _forms(whole: str) -> list[str]:
    """A technical word and its parts: `--maxShard-size` → itself, without dashes, maxshard, max, shard, size."""
    bare = whole.lstrip("-")
    forms = [whole.lower(), bare.lower()]
    for segment in _SEGMENT.findall(bare):
        lower = segment.lower()
        camel = _CAMEL.findall(segment)
        forms += [lower, singular(lower), *_LETTERS.findall(lower)]
        if len(camel) > 1 and sum(map(len, camel)) >= 6:
            forms += [singular(part.lower()) for part in camel]
    return list(dict.fromkeys(forms))


def words(text: str) -> list[str]:
    """All words of `text`, lower-cased and in order; a compound is followed by its parts."""
    found: list[str] = []
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text)):
        if match.lastgroup == "cjk":
            found.extend(_jieba().cut_for_search(match.group()))
        elif len(match.group()) <= _MAX_WORD:
            found.extend(_forms(match.group()))
    return found


def cut_chinese(text: str) -> list[str]:
    """Chinese text cut into words that do not overlap."""
    return list(_jieba().cut(text))


def content_words(text: str) -> list[str]:
    """The words of a question that carry its topic: stop words left out, unless nothing else is there."""
    every = words(text)
    kept = [word for word in every if word not in STOP_EN and word not in STOP_ZH]
    return kept or every


def names(text: str) -> list[str]:
    """What a question calls by its name, in lower case and in parts: people say everything else in other words.

    In Chinese text that is every Latin word; else a flag, or a word with a digit, an underscore or a capital that does not only
    begin a sentence.
    """
    text = unicodedata.normalize("NFKC", text)
    chinese = is_chinese(text)
    found: dict[str, None] = {}
    for match in _TOKEN.finditer(text):
        word = match.group()
        if match.lastgroup == "cjk" or word.lower() in STOP_EN or len(word) > _MAX_WORD:
            continue
        named = (
            chinese or word[0] == "-" or any(mark.isdigit() or mark == "_" for mark in word) or any(map(str.isupper, word[1:]))
        )
        if named or (word[0].isupper() and not _BEGINS.search(text, 0, match.start())):
            parts = (part.lower() for part in _SEGMENT.findall(word) if len(part) > 1 and not part.isdigit())
            found |= dict.fromkeys(map(singular, parts))
    return list(found)


def weighted_words(question: str, before: Sequence[str]) -> dict[str, float]:
    """The words to look for, each with its weight; a follow-up's own words count more than those of the questions before it."""
    inherited = dict.fromkeys((word for earlier in before for word in content_words(earlier)), HISTORY_WEIGHT)
    return inherited | dict.fromkeys(content_words(question), 1.0)


def possible_words(text: str) -> set[str]:
    """Runs of two to four Chinese characters: the dictionary cuts 把显存放掉 into 显 and 存放, and 显存 is not among them."""
    runs = CHINESE_RUN.findall(text)
    return {run[at : at + n] for run in runs for n in (2, 3, 4) for at in range(len(run) - n + 1)} - STOP_ZH


def is_chinese(text: str) -> bool:
    """Whether a question is asked in Chinese: its Chinese characters outweigh its Latin words."""
    chinese = len(CHINESE.findall(text))
    return chinese > 0 and chinese * 2 >= len(re.findall(r"[A-Za-z]+", text))
