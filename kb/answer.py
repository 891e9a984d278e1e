"""The one path from a question to an answer: the page, the command line and the evaluation all take it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from kb.base import KnowledgeBase
from kb.errors import KBError
from kb.index import Generation
from kb.llm.chat import Chat
from kb.llm.extract import Quoted, best_quote, quote
from kb.prompt import NOT_FOUND, conversation, messages
from kb.records import Done, Event, Failed, Found, Quote, Sampling, Token, Turn
from kb.refusal import refusal
from kb.retrieve import asked
from kb.serving import leased
from kb.settings import Settings
from kb.standalone import rewrite
from kb.support import cited, sentences, unsupported, without_dead_citations
from kb.words import is_chinese

_NOTHING = "The model answered with nothing: ask again, or look at its server."
_ASIDE = 600  # tokens of the rules, the question and the marks of the template
_FEWEST_CHARS = 1.5  # in a token: Chinese has the fewest
_NO_LIMIT = 1 << 40


async def ask(
    question: str,
    history: Sequence[Turn],
    base: KnowledgeBase,
    settings: Settings,
    snapshot: Generation | None = None,
    model: str = "",
    sampling: Sampling | None = None,
) -> AsyncGenerator[Event]:
    """Found, then Tokens, then Done; or Failed with a sentence at any point. Closing the iterator stops all of it.

    `model` is the name of what is to answer (see kb.serving), by default what answers now.
    """
    if not question.strip():
        yield Failed("Ask a question.")
        return
    try:
        async with leased(settings, model) as chat:
            system = (sampling.system if sampling else None) or ""
            answered = _answer(question, history, base, _sampled(settings, sampling), snapshot, chat, system)
            async with aclosing(answered) as events:
                async for event in events:
                    yield event
    except KBError as error:
        yield Failed(str(error))


async def talk(
    turns: Sequence[Turn], settings: Settings, model: str = "", sampling: Sampling | None = None
) -> AsyncGenerator[Token | Done | Failed]:
    """The reply to the last of `turns` by the model alone, with no documents: Tokens, then Done; or Failed with a sentence.

    Closing the iterator stops it. The system prompt is that of `sampling`, or the one that the model was trained with.
    """
    started = time.monotonic()
    if not (turns and turns[-1].content.strip()):
        yield Failed("Ask a question.")
        return
    settings = _sampled(settings, sampling)
    try:
        async with leased(settings, model) as chat:
            if chat is None:
                raise KBError("Answers are quotations of documents now: choose a model to talk to.")
            given = sampling.system if sampling else None
            said = conversation(turns, chat.system if given is None else given, _room(chat, settings))
            text = ""
            async with aclosing(chat.stream(said, settings)) as pieces:
                async for piece in pieces:
                    text += piece
                    yield Token(piece)
        if not text.strip():
            raise KBError(_NOTHING)
        yield Done(text, False, (), round(time.monotonic() - started, 3))
    except KBError as error:
        yield Failed(str(error))


async def _answer(
    question: str,
    history: Sequence[Turn],
    base: KnowledgeBase,
    settings: Settings,
    snapshot: Generation | None,
    chat: Chat | None,
    system: str,
) -> AsyncGenerator[Event]:
    started = time.monotonic()
    if snapshot is None:
        snapshot = await asyncio.to_thread(base.snapshot)
    standalone = await rewrite(question, history, snapshot, settings, chat)
    generation, found = await asyncio.to_thread(base.find, question, history, snapshot, standalone)
    yield found
    text, refused = "", False
    quotes: tuple[Quote, ...] = ()
    failed: tuple[tuple[int, int], ...] = ()
    sure = bool(found.hits) and found.confidence >= settings.refuse_below
    if sure and chat is not None:
        prompt = messages(question, history, found.hits, min(settings.prompt_chars, _room(chat, settings)), system)
        async with aclosing(_generate(question, chat.stream(prompt, settings))) as pieces:
            async for piece, refuses in pieces:
                text, refused = text + piece, refuses
                yield Token(piece)
        if not refused:
            text = without_dead_citations(text, len(found.hits))
            quotes = await asyncio.to_thread(_cited, text, found, generation)
            failed = await asyncio.to_thread(unsupported, text, found.hits, generation)
    elif sure:
        quoted = await asyncio.to_thread(_quote, question, history, found, generation)
        for piece in quoted.pieces:
            yield Token(piece)
        text, quotes = "".join(quoted.pieces).strip(), quoted.quotes
    if not text:
        text, refused = refusal(asked(question, ())[0], found, generation, settings.refuse_below), True
        yield Token(text)
    yield Done(text, refused, quotes, round(time.monotonic() - started, 3), failed)


def _sampled(settings: Settings, sampling: Sampling | None) -> Settings:
    given = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens} if sampling else {}
    return settings.model_copy(update={name: value for name, value in given.items() if value is not None})


def _room(chat: Chat, settings: Settings) -> int:
    """Characters of passages, or of a conversation, that the model's context surely holds beside the rest and its reply."""
    return max(0, int((chat.context - settings.max_tokens - _ASIDE) * _FEWEST_CHARS)) if chat.context else _NO_LIMIT


def _quote(question: str, history: Sequence[Turn], found: Found, snapshot: Generation) -> Quoted:
    question, before = asked(question, history)
    return quote(question, before if found.query != question else (), found.hits, snapshot)  # else the topic has changed


async def _generate(question: str, reply: AsyncGenerator[str]) -> AsyncGenerator[tuple[str, bool]]:
    """Pieces of the model's reply, and whether it refuses; its word for that is replaced by a sentence."""
    held: str | None = ""  # the start of the reply, until it cannot be that word any more
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            if held is None:
                yield piece, False
                continue
            held += piece
            if not NOT_FOUND.startswith(held.strip()[: len(NOT_FOUND)]):
                yield held, False
                held = None
    if held is None:
        return
    if held.strip().startswith(NOT_FOUND):
        yield ("文档中没有这个问题的答案。" if is_chinese(question) else "The documents do not say."), True
    elif held.strip():
        yield held, False
    else:
        raise KBError(_NOTHING)


def _cited(text: str, found: Found, snapshot: Generation) -> tuple[Quote, ...]:
    """For each [n] in the answer, the part of hit n that the claim before it rests on."""
    quotes: dict[Quote, None] = {}
    for start, end in sentences(text):
        for number in cited(text[start:end]):
            if 1 <= number <= len(found.hits):
                quotes[best_quote(text[start:end], found.hits[number - 1], snapshot)] = None
    return tuple(quotes)
