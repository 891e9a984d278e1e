"""Example questions made from what is indexed: its own headings, so that each has an answer."""

import re
from collections.abc import Iterable
from typing import Literal

from kb.words import CHINESE, content_words

Language = Literal["zh", "en"]
_ASKS_EN = re.compile(r"^(how|what|why|when|where|which|who|can|does|do|is|are|should)\b", re.IGNORECASE)
_ASKS_ZH = re.compile(r"怎么|怎样|如何|什么|为什么|是否|哪|吗[？?]?$|[？?]$")
_NUMBERED = re.compile(r"^(?:[\d.]+|[一二三四五六七八九十]+、|第.{1,3}[章节])\s*")
_TOO_PLAIN = frozenset(
    "introduction overview usage example examples installation license contributing acknowledgement citation changelog "
    "features notes note references summary faq contents quickstart 介绍 简介 概述 使用 用法 示例 安装 许可证 致谢 引用 更新日志 "
    "特性 总结 参考 目录 常见问题 快速开始".split()
)


def example_questions(headings: Iterable[tuple[tuple[str, ...], str]], language: Language, count: int) -> list[str]:
    """`count` questions at most out of (heading path, document key) pairs, spread over the documents.

    Headings that ask a question themselves come first; in the other language where `language` has none.
    """
    pairs = list(headings)
    every = _candidates(pairs, language) or _candidates(pairs, "en" if language == "zh" else "zh")
    asking = [question for question, heading in every if question.startswith(heading)]
    pool = asking if len(asking) >= count else [question for question, _ in every]
    return pool[:: max(1, len(pool) // count)][:count]


def _candidates(headings: Iterable[tuple[tuple[str, ...], str]], language: Language) -> list[tuple[str, str]]:
    """(question, the heading it comes from) in one language, one a document at most."""
    first: dict[str, tuple[int, str, str]] = {}
    for path, document in headings:
        asked = heading_question(path[-1])
        if asked is None or bool(CHINESE.search(asked[1])) != (language == "zh"):
            continue
        question, text = asked
        rank = 0 if question.startswith(text) else 1
        if document not in first or rank < first[document][0]:
            first[document] = (rank, question, text)
    return list(dict.fromkeys((question, text) for _, question, text in sorted(first.values())))


def heading_question(heading: str) -> tuple[str, str] | None:
    """(a question that the section under `heading` answers, the heading without its number); None where it says too little."""
    text = _NUMBERED.sub("", heading).strip(" :：.。#*")
    chinese = bool(CHINESE.search(text))
    if text.lower() in _TOO_PLAIN or not _good_length(text, chinese):
        return None
    return _question(text, chinese), text


def _good_length(text: str, chinese: bool) -> bool:
    return 4 <= len(text) <= 24 if chinese else 2 <= len(text.split()) <= 9 and len(text) <= 60 and bool(content_words(text))


def _question(text: str, chinese: bool) -> str:
    if (_ASKS_ZH if chinese else _ASKS_EN).search(text):
        return text if text.endswith(("?", "？")) else text + ("？" if chinese else "?")
    return f"文档里怎么说“{text}”？" if chinese else f"What do the documents say about “{text}”?"
