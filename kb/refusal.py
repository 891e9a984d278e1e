"""What is said when the documents do not answer: what was looked for, and how sure it was."""

from collections.abc import Sequence

from kb.index import Generation
from kb.records import Found, above
from kb.words import content_words, is_chinese, names, words

_MOST = 8  # words that are named


def refusal(question: str, found: Found, generation: Generation, needed: float) -> str:
    """A sentence or three in the language of the question; `needed` is the confidence that an answer needs."""
    wanted = _whole(content_words(question))
    absent = [word for word in wanted if not generation.frequency(word) and not generation.translator.translations(word)]
    passages = set(words("\n".join(text for hit in found.hits for text in (above(hit), hit.chunk.text))))
    elsewhere = [name for name in names(question) if name not in passages and not any(name in word for word in absent)][:_MOST]
    there = [word for word in wanted if word not in absent and word not in elsewhere]
    sure, enough = f"{found.confidence:.0%}", f"{needed:.0%}"
    unsure = found.hits and found.confidence < needed
    if is_chinese(question):
        parts = ["文档中没有找到这个问题的答案。"]
        parts += [f"查找了：{'、'.join(there)}。"] if there else []
        parts += [f"文档里没有出现：{'、'.join(absent)}。"] if absent else []
        parts += [f"找到的段落里没有：{'、'.join(elsewhere)}。"] if elsewhere else []
        parts += [f"把握 {sure}，需要 {enough}；最接近的段落列在来源里。"] if unsure else []
        return "".join(parts)
    parts = ["The documents do not answer this."]
    parts += [f"Looked for: {', '.join(there)}."] if there else []
    parts += [f"No document has: {', '.join(absent)}."] if absent else []
    parts += [f"Not in the passages that were found: {', '.join(elsewhere)}."] if elsewhere else []
    parts += [f"{sure} sure, {enough} are needed; the nearest passages are listed with the sources."] if unsure else []
    return " ".join(parts)


def _whole(found: Sequence[str]) -> list[str]:
    """The words without single characters and those that are parts of another one."""
    distinct = [word for word in dict.fromkeys(found) if len(word) > 1]
    return [word for word in distinct if not any(word != other and word in other for other in distinct)][:_MOST]
