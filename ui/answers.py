"""Answering in the chat: asking, asking again, stopping. Every handler checks what it is given: anyone can call it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, NamedTuple, ParamSpec, TypeVar

import gradio as gr

from kb import BaseError, KBError
from kb.records import Done, Failed, Turn
from ui import options_panel, transcript
from ui.asking import Run, follow
from ui.auth import owner, tab_of
from ui.citations import Citations
from ui.core import Core
from ui.entries import answered_by
from ui.notice import warn
from ui.options import Options
from ui.render import Html, carry
from ui.words import Words

MAX_QUESTION = 4000
MAX_TITLE = 80
SKIP = gr.skip()
_PATIENCE = 2.0  # seconds to wait for an answer to end
_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


class View(NamedTuple):
    """The outputs of every handler that changes the chat; what is left out stays as it is."""

    conversation: Any = SKIP
    kb: Any = SKIP
    past: Any = SKIP
    live: Any = SKIP
    sources: Any = SKIP
    listed: Any = SKIP
    question: Any = SKIP
    send: Any = SKIP
    stop: Any = SKIP


class Answers:
    """The handlers, for one language of the page. `chosen` is what the options' fields hold, in the order of options.read()."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.runs: dict[tuple[str, str], Run] = {}  # browser tab → the answer that is being written in it
        self.citations = Citations(core, words, self.runs)

    async def ask(
        self, question: str, conversation: str, kb: str | None, request: gr.Request, *chosen: Any
    ) -> AsyncGenerator[View, None]:
        """Answer a question in a conversation; "" starts a new one."""
        question = (question or "").strip()
        options = self._guarded(options_panel.read, self.core, self.words, chosen)
        problem = self._problem(question, request, options)
        if not options or problem:
            warn(problem) if problem else None
            yield View()
            return
        async with aclosing(self._answer(question, conversation, kb, None, options, request)) as views:
            async for view in views:
                yield view

    async def anyway(self, conversation: str, kb: str | None, request: gr.Request, *chosen: Any) -> AsyncGenerator[View, None]:
        """Answer the last question, which was refused, from what was found."""
        async with aclosing(self._again(conversation, kb, request, chosen, sure=0.0)) as views:
            async for view in views:
                yield view

    async def retry(self, conversation: str, kb: str | None, request: gr.Request, *chosen: Any) -> AsyncGenerator[View, None]:
        """Answer the last question of the conversation again, in place of what stands there."""
        async with aclosing(self._again(conversation, kb, request, chosen)) as views:
            async for view in views:
                yield view

    async def _again(
        self, conversation: str, kb: str | None, request: gr.Request, chosen: Sequence[Any], **changed: Any
    ) -> AsyncGenerator[View, None]:
        stored = self._guarded(self.core.state.messages, conversation, owner(request)) or []
        asked = [at for at, message in enumerate(stored) if message.role == "user"]
        options = self._guarded(options_panel.read, self.core, self.words, chosen)
        problem = self._problem("-", request, options) or ("" if asked else self.words("chat.nothing_to_retry"))
        if not options or problem:
            warn(problem) if problem else None
            yield View()
            return
        question, options = stored[asked[-1]].content, replace(options, **changed)
        async with aclosing(self._answer(question, conversation, kb, asked[-1], options, request)) as views:
            async for view in views:
                yield view

    def stop(self, request: gr.Request) -> None:
        """End the answer that is being written in this browser tab; what stands so far is kept."""
        run = self.runs.get(tab_of(request))
        if run:
            run.stop()

    async def _answer(
        self, question: str, conversation: str, kb: str | None, keep: int | None, options: Options, request: gr.Request
    ) -> AsyncGenerator[View, None]:
        # At once, before anything is awaited: a second question from this tab is refused from now on.
        tab = tab_of(request)
        run = self.runs[tab] = Run(conversation, 0, loop=asyncio.get_running_loop(), plain=options.plain)
        try:
            run.model = await asyncio.to_thread(answered_by, self.core, options.model)
            history, name, base, snapshot = await asyncio.to_thread(self._begin, run, question, kb, keep, owner(request))
            yield View(
                run.conversation,
                past=carry(self._past(run.conversation, history, request, last_is_open=False)),
                live=carry(transcript.exchange(self.words, question, run)),
                sources=carry(transcript.no_sources(self.words)),
                listed=self._list(run.conversation, name, request),
                question="",
                send=gr.Button(visible=False),
                stop=gr.Button(visible=True),
            )
            turns = [Turn(message.role, message.content) for message in history]
            async with aclosing(follow(run, self.core.answer(question, turns, base, snapshot, options))) as steps:
                sources_of = 0
                async for _ in steps:
                    # The panel is drawn when the passages are found, not with every word.
                    drawn = SKIP if sources_of == len(run.hits) else self.citations.panel(run, name)
                    sources_of = len(run.hits)
                    yield View(live=carry(transcript.exchange(self.words, question, run)), sources=drawn)
        except KBError as error:
            run.end = Failed(str(error))
        except Exception:  # a bug: the page must come back to life, the terminal gets the whole story
            _log.exception("Answering failed.")
            run.end = Failed(self.words("chat.bug"))
        finally:
            # Also when the page was closed: what was written is kept, and nothing goes on behind it.
            self.runs.pop(tab, None)
            self._keep(run, owner(request))
            run.over.set()
        if run.ordinal == 0:  # refused before it began: the page stays as it is
            warn(run.end.message if isinstance(run.end, Failed) else self.words("chat.bug"))
            yield View()
            return
        last = View(send=gr.Button(visible=True), stop=gr.Button(visible=False))
        if not run.left:
            panel = self.citations.panel(run, name) if run.found else SKIP
            last = last._replace(live=carry(transcript.exchange(self.words, question, run, ended=True)), sources=panel)
        yield last

    def _begin(self, run: Run, question: str, kb: str | None, keep: int | None, who: str) -> tuple[list[Any], str, Any, Any]:
        state = self.core.state
        name = (self.citations.kb_of(run.conversation, who) if run.conversation else kb) or ""
        if not name and not run.plain:
            raise BaseError(self.words("chat.welcome.none.about"))
        base = None if run.plain else self.core.base(name)
        snapshot = base and base.snapshot()
        conversation = run.conversation or state.new_conversation(who, name, " ".join(question.split())[:MAX_TITLE])
        if keep is not None:
            state.truncate(conversation, who, keep)
        history = state.messages(conversation, who)
        state.add_message(conversation, who, "user", question)
        run.conversation, run.ordinal = conversation, len(history) + 1
        return history, name, base, snapshot

    def _leave(self, request: gr.Request) -> None:
        """The page turns to something else: the answer being written in it is ended, and must not draw over that."""
        run = self.runs.get(tab_of(request))
        if run:
            run.left = True
            run.stop()
            run.over.wait(_PATIENCE)

    def _keep(self, run: Run, who: str) -> None:
        if run.text and not isinstance(run.end, Failed):
            done = run.end if isinstance(run.end, Done) else None
            with suppress(KBError):  # the conversation was deleted while the answer was written
                self.core.state.add_message(
                    run.conversation,
                    who,
                    "assistant",
                    run.text,
                    generation=run.generation,
                    hits=run.hits,
                    quotes=run.quotes,
                    refused=bool(done and done.refused),
                    rewritten=run.rewritten,
                    model=run.model,
                    plain=run.plain,
                    unsupported=done.unsupported if done else (),
                )

    # What several of them need

    def _guarded(self, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T | None:
        """The call's value; None, and a sentence on the page, when it fails with one of our errors."""
        try:
            return call(*arguments, **named)
        except KBError as error:
            warn(str(error))
            return None

    def _problem(self, question: str, request: gr.Request, options: Options | None) -> str:
        if tab_of(request) in self.runs:
            return self.words("chat.busy")
        if options and options.plain and not answered_by(self.core, options.model):
            return self.words("options.nomodel")
        if not question:
            return self.words("chat.empty")
        return self.words("chat.long", limit=MAX_QUESTION) if len(question) > MAX_QUESTION else ""

    def _past(self, conversation: str, stored: Sequence[Any], request: gr.Request, *, last_is_open: bool = True) -> Html:
        """The stored messages of a conversation, with their thumbs."""
        rated = {at: vote > 0 for at, vote in self.core.state.votes(conversation, owner(request)).items()}
        return transcript.messages(self.words, stored, last_is_open, rated)

    def _list(self, conversation: str, kb: str | None, request: gr.Request) -> str:
        return carry(transcript.conversations(self.words, self.core.state.conversations(owner(request)), conversation, kb or ""))
