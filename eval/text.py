"""Texts made comparable: passages, and answers as the question answering sets compare them.

English: the official script of SQuAD (Rajpurkar et al., EMNLP 2016): lower case, without punctuation and articles; F1 over the
bag of words. Chinese: the official script of CMRC 2018 (Cui et al., EMNLP 2019): characters, words where letters are Latin,
without punctuation; F1 over the longest common run.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

_MARKUP = re.compile(r"[\s*_`~#>|\\]+")
_CITATION = re.compile(r"\s*\[\d{1,2}\](?!\()")
_QUOTE_MARK = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_CHINESE_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def bare(text: str) -> str:
    """Letters and marks only: no white space, no Markdown marks, no difference of case or width."""
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text)).casefold()


def plain(text: str) -> str:
    """White space made single, no difference of case or width."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def answer_text(markdown: str) -> str:
    """An answer without citation marks and Markdown quote marks."""
    return _QUOTE_MARK.sub("", _CITATION.sub("", markdown)).strip()


def answer_tokens(text: str, lang: str) -> list[str]:
    """What two answers are compared by: words, and for Chinese characters."""
    if lang == "zh":
        return _CHINESE_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    return _ARTICLE.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split()


def f1(prediction: Sequence[str], gold: Sequence[str], lang: str) -> float:
    """F1 of two lists of tokens, 0 to 1; 1 where both are empty."""
    if not prediction or not gold:
        return float(prediction == gold)
    if lang == "zh":
        # autojunk takes frequent tokens for noise, and counts them nowhere.
        match = SequenceMatcher(None, prediction, gold, autojunk=False).find_longest_match()
        common = match.size
    else:
        common = sum((Counter(prediction) & Counter(gold)).values())
    return 2 * common / (len(prediction) + len(gold))


def holds(text: Sequence[str], part: Sequence[str]) -> bool:
    """Whether the tokens `part` stand in `text` next to each other."""
    joined, wanted = "\0".join(("", *text, "")), "\0".join(("", *part, ""))
    return bool(part) and wanted in joined
