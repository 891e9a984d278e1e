"""The sources of an answer: the panel beside the chat, and one of them opened in its document."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr

from kb import BaseError, KBError
from ui import reader, transcript
from ui.asking import Run, cited_numbers
from ui.auth import owner, tab_of
from ui.core import Core
from ui.notice import warn
from ui.render import carry
from ui.words import Words

SKIP = gr.skip()


class Aside(NamedTuple):
    """An answer that belongs to no conversation, and the knowledge base it is from."""

    run: Run
    kb: str


class Citations:
    """Handlers that take a conversation, the ordinal of a message in it and the number of a source: never a path."""

    def __init__(self, core: Core, words: Words, runs: Mapping[tuple[str, str], Run]) -> None:
        self.core = core
        self.words = words
        self.runs = runs
        self.asides: dict[tuple[str, str], dict[str, Aside]] = {}  # browser tab → key → an answer that is not in a conversation

    def show(self, value: str, conversation: str, request: gr.Request) -> Any:
        """The panel for the answer whose ordinal is `value`."""
        try:
            return self.panel(self.found_by(value, conversation, request), self.kb_of(conversation, owner(request)))
        except KBError:
            return self._bad()

    def open(self, value: str, conversation: str, request: gr.Request) -> tuple[Any, Any]:
        """The reader and the panel. `value` is "ordinal:n", or "ordinal:n:lines around it"; the
        ordinal may be the key of an aside."""
        ordinal, n, around = [*(value or "").split(":"), "", ""][:3]
        aside = self.asides.get(tab_of(request), {}).get(ordinal)
        try:
            run = aside.run if aside else self.found_by(ordinal, conversation, request)
            hit = next(one for one in run.hits if str(one.n) == n)
            kb = aside.kb if aside else self.kb_of(conversation, owner(request))
        except (KBError, StopIteration):
            return self._bad(), SKIP
        permalink = None
        try:
            snapshot = self.core.base(kb).snapshot()
            document, note = reader.find_document(self.words, snapshot, run.generation, hit)
            if document:
                permalink = snapshot.permalink(hit)
        except KBError:  # the whole knowledge base is gone
            document, note = None, self.words("reader.changed")
        html = reader.opened(
            self.words,
            hit,
            run.quotes,
            document,
            note,
            permalink=permalink,
            id_="-".join(filter(None, ("" if aside else conversation, ordinal, n, around))),
            ordinal=ordinal,
            around=number(around, reader.AROUND, reader.MAX_AROUND),
            several=self._several(kb),
        )
        return carry(html), SKIP if aside else self.panel(run, kb)

    def found_by(self, ordinal: str, conversation: str, request: gr.Request) -> Run:
        """What an answer rests on: of the one being written, or of a stored one.

        Raises:
            BaseError: no such conversation of this user, or no such message in it.
        """
        run = self.runs.get(tab_of(request))
        if run and run.conversation == conversation and str(run.ordinal) == ordinal:
            return run
        stored = self.core.state.messages(conversation or "", owner(request))
        at = number(ordinal, -1, 10**6)
        if not 0 <= at < len(stored):
            raise BaseError(self.words("source.bad"))
        message = stored[at]
        return Run(conversation, at, message.content, message.hits, message.quotes, message.generation)

    def panel(self, run: Run, kb: str) -> str:
        """The cards of an answer's sources."""
        cited = cited_numbers(run.text, run.quotes)
        return carry(transcript.sources(self.words, run.ordinal, run.hits, run.quotes, cited=cited, several=self._several(kb)))

    def kb_of(self, conversation: str, who: str) -> str:
        """The knowledge base a conversation is about; raises BaseError for one that is not `who`'s."""
        for one in self.core.state.conversations(who):
            if one.id == conversation:
                return one.kb
        raise BaseError(self.words("chat.gone"))

    def _bad(self) -> Any:
        warn(self.words("source.bad"))
        return SKIP

    def _several(self, kb: str) -> bool:
        try:
            return len(self.core.base(kb).sources()) > 1
        except KBError:
            return True  # the base is gone; say the source's name rather than guess


def number(text: str, default: int, limit: int) -> int:
    return min(int(text), limit) if text.isascii() and text.isdecimal() and len(text) < 9 else default
