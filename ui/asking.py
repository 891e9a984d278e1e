"""One answer being written: the stream of events, the stop button, and what is kept when it ends early."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from kb.records import Done, Event, Failed, Found, Hit, Quote, Token
from ui.render import CITATION

TICK = 0.06  # seconds between two redraws while an answer streams


@dataclass
class Run:
    """An answer that is being written in one browser tab. Sources can be opened before it is stored."""

    conversation: str
    ordinal: int
    text: str = ""
    hits: tuple[Hit, ...] = ()
    quotes: tuple[Quote, ...] = ()
    generation: int = 0
    rewritten: str = ""  # the question as a model put it to be searched for
    model: str = ""  # what writes it; empty: it is made of quotations
    plain: bool = False  # without the knowledge base
    pieces: int = 0  # that came so far
    started: float = 0.0  # when it was asked, where that is not at once
    began: float = 0.0  # when the first of them came, and the last
    last: float = 0.0
    found: bool = False  # retrieval has spoken
    end: Done | Failed | None = None
    left = False  # the page shows something else by now
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    over: threading.Event = field(default_factory=threading.Event)  # nothing of it will be drawn any more
    loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """End it early; from any thread."""
        if self.loop:
            self.loop.call_soon_threadsafe(self.stopped.set)

    def take(self, event: Event) -> None:
        match event:
            case Found():
                self.hits, self.generation, self.found = event.hits, event.generation, True
                self.rewritten = event.rewritten
            case Token():
                self.text += event.text
                self.pieces, self.last = self.pieces + 1, time.monotonic()
                self.began = self.began or self.last
            case Done():
                self.text, self.quotes, self.end = event.text, event.quotes, event
            case Failed():
                self.end = event


def cited_numbers(text: str, quotes: tuple[Quote, ...] = ()) -> set[int]:
    """The numbers an answer refers to."""
    written = {int(n) for group in CITATION.findall(text) for n in re.findall(r"\d+", group)}
    return written | {quote.n for quote in quotes}


async def follow(run: Run, events: AsyncIterator[Event]) -> AsyncGenerator[None, None]:
    """Feed `events` into `run`, yielding when it is worth drawing again; ends early when `run.stopped` is set.

    However this ends (answer complete, stop pressed, page closed), `events` is closed before it returns.
    """
    stopped = asyncio.create_task(run.stopped.wait())
    drawn = 0.0
    try:
        while not run.end and (event := await _next_or_stop(events, stopped)):
            run.take(event)
            now = time.monotonic()
            if not isinstance(event, Token) or now - drawn >= TICK:
                drawn = now
                yield
    finally:
        stopped.cancel()
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _next_or_stop(events: AsyncIterator[Event], stopped: "asyncio.Task[Any]") -> Event | None:
    following = asyncio.ensure_future(anext(events))
    try:
        await asyncio.wait((following, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not following.done():
            # A generator can be closed only when no step of it is under way.
            following.cancel()
            await asyncio.wait((following,))
    if following.cancelled():
        return None
    try:
        event = following.result()
    except StopAsyncIteration:
        return None
    return None if stopped.done() else event
