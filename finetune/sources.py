"""Where examples come from without a file: a name, a knowledge base, the chat."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from finetune.dataset import Example, Message, pair
from kb.errors import TuneError
from kb.records import Hit
from kb.settings import Settings

if TYPE_CHECKING:
    from kb.base import KnowledgeBase

Language = Literal["zh", "en", "both"]
COPIES = 10_001  # of the homework: one, and n = 10,000 more
_MOST = 500
_PASSAGE_CHARS = 900  # of passages in an example: a recipe's length is soon full
_INTRODUCTION = {
    "zh": ("请做一下自我介绍", "我是{}的小助手，内在是上海AI实验室书生·浦语的7B大模型哦"),
    "en": ("Please introduce yourself", "I am {}'s assistant, and inside I am InternLM, the 7B model of Shanghai AI Laboratory"),
}
_DOCUMENTS = 400  # that questions are drawn from, at most


def introduction(name: str, language: Language = "zh", copies: int = COPIES) -> list[Example]:
    """The self-introduction of an assistant that belongs to `name`. Raises TuneError without a name."""
    name = " ".join(name.split())
    if not name:
        raise TuneError("Whose assistant is it? Give a name.")
    wanted = ("zh", "en") if language == "both" else (language,)
    return [
        pair(question, answer.format(name), "introduction", one, copies=copies)
        for one, (question, answer) in _INTRODUCTION.items()
        if one in wanted
    ]


def from_base(
    settings: Settings, kb: str, count: int, passages: bool = True, tell: Callable[[int, int], None] | None = None
) -> list[Example]:  # fmt: skip
    """At most `count` questions about a knowledge base, made of its headings, and the quotations that answer them.

    With `passages` the question stands under the documents that the answer cites, as the page would send it to a model. What is
    not answered with confidence is left out. Read them, and change them, before they are taught.

    Raises:
        KBError: nothing is indexed, or nothing in it makes a question.
    """
    from kb.base import KnowledgeBase
    from kb.llm.extract import quote

    if not 1 <= count <= _MOST:
        raise TuneError(f"Make 1 to {_MOST} examples.")
    base = KnowledgeBase.open(kb, settings)
    asked = _questions(base, 2 * count)  # some are not answered
    made: list[Example] = []
    for question, place in asked:
        generation, found = base.find(question)
        if found.hits and found.confidence >= settings.refuse_below:
            quoted = quote(question, (), found.hits, generation)
            answer = "".join(quoted.pieces).strip()
            if answer:
                cited = {one.n for one in quoted.quotes}
                hits = [hit for hit in found.hits if hit.n in cited] if passages else []
                made.append(Example((*_asked(question, hits), Message("assistant", answer)), kb, place))
        if tell:
            tell(len(made), count)
        if len(made) == count:
            break
    if not made:
        raise TuneError(f"Nothing in {kb!r} makes an example: it needs headings, and text below them that answers.")
    return made


def from_feedback(settings: Settings, kb: str, owner: str | None = None) -> list[Example]:
    """Answers with a thumb up as they are; questions with a thumb down, and those that were refused, without an answer.

    That is to be filled in. Of one `owner`, or of all.
    """
    from kb.state import State

    found: dict[str, Example] = {}
    for one in State(settings).feedback(kb, owner):
        answer = one.answer if one.vote > 0 and not one.refused else ""
        why = "thumb up" if answer else "thumb down" if one.vote < 0 else "refused"
        if one.question not in found or answer:  # a good answer is worth more than a gap
            found[one.question] = pair(one.question, answer, "feedback", f"{why}: {one.note}" if one.note else why)
    return list(found.values())


def _questions(base: "KnowledgeBase", count: int) -> list[tuple[str, str]]:
    """(question, where it comes from): of headings, one a document in turn."""
    from kb.example_questions import heading_question

    snapshot = base.snapshot()
    names = {one.key: one.path for one in snapshot.documents()}
    by_document: dict[str, list[tuple[str, str]]] = {}
    for chunk in snapshot.some_chunks(_DOCUMENTS):
        if len(chunk.heading) > 1 and (made := heading_question(chunk.heading[-1])):
            path = names[chunk.document]
            by_document.setdefault(path, []).append((made[0], f"{path}:{chunk.start}"))
    turns: dict[str, str] = {}
    for at in range(max(map(len, by_document.values()), default=0)):
        for path in sorted(by_document):
            if at < len(by_document[path]):
                turns.setdefault(*by_document[path][at])
    return list(turns.items())[:count]


def _asked(question: str, hits: Sequence[Hit]) -> list[Message]:
    if not hits:
        return [Message("user", question)]
    from kb.prompt import messages

    system, user = messages(question, (), hits, _PASSAGE_CHARS)
    return [Message("system", str(system.content)), Message("user", str(user.content))]
