"""The one path from a question to an answer: the page, the command line and the evaluation all take it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from kb.base import KnowledgeBase
from kb.errors import KBError
from kb.index import Generation
from kb.llm.extract import Quoted, best_quote, quote
from kb.prompt import NOT_FOUND, messages
from kb.records import Done, Event, Failed, Found, Quote, Token, Turn
from kb.refusal import refusal
from kb.retrieve import asked
from kb.settings import Settings
from kb.standalone import rewrite
from kb.support import cited, sentences, unsupported, without_dead_citations
from kb.words import is_chinese


async def ask(
    question: str, history: Sequence[Turn], base: KnowledgeBase, settings: Settings, snapshot: Generation | None = None
) -> AsyncGenerator[Event]:
    """Found, then Tokens, then Done; or Failed with a sentence at any point. Closing the iterator stops all of it."""
    started = time.monotonic()
    if not question.strip():
        yield Failed("Ask a question.")
        return
    try:
        if snapshot is None:
            snapshot = await asyncio.to_thread(base.snapshot)
        standalone = await rewrite(question, history, snapshot, settings)
        generation, found = await asyncio.to_thread(base.find, question, history, snapshot, standalone)
        yield found
        text, refused = "", False
        quotes: tuple[Quote, ...] = ()
        failed: tuple[tuple[int, int], ...] = ()
        sure = bool(found.hits) and found.confidence >= settings.refuse_below
        if sure and settings.endpoint_url:
            async with aclosing(_generate(question, history, found, settings)) as pieces:
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
    except KBError as error:
        yield Failed(str(error))


def _quote(question: str, history: Sequence[Turn], found: Found, snapshot: Generation) -> Quoted:
    question, before = asked(question, history)
    return quote(question, before, found.hits, snapshot)


async def _generate(question: str, history: Sequence[Turn], found: Found, settings: Settings) -> AsyncGenerator[tuple[str, bool]]:
    """Pieces of the model's reply, and whether it refuses; its word for that is replaced by a sentence."""
    from kb.llm import endpoint

    held: str | None = ""  # the start of the reply, until it cannot be that word any more
    async with aclosing(endpoint.stream(messages(question, history, found.hits, settings.prompt_chars), settings)) as pieces:
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
        raise KBError("The model answered with nothing: ask again, or look at its server.")


def _cited(text: str, found: Found, snapshot: Generation) -> tuple[Quote, ...]:
    """For each [n] in the answer, the part of hit n that the claim before it rests on."""
    quotes: dict[Quote, None] = {}
    for start, end in sentences(text):
        for number in cited(text[start:end]):
            if 1 <= number <= len(found.hits):
                quotes[best_quote(text[start:end], found.hits[number - 1], snapshot)] = None
    return tuple(quotes)
