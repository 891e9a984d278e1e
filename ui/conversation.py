"""What the chat tab's other buttons do: conversations are opened, named and deleted. Hidden or not, anyone can call a handler."""

import logging
from contextlib import suppress

import gradio as gr

from kb import KBError
from ui import transcript
from ui.answers import MAX_TITLE, SKIP, Answers, View
from ui.auth import owner
from ui.render import Html, carry

EXAMPLES = 4
_log = logging.getLogger(__name__)


class Conversations(Answers):
    """The handlers of the chat, for one language of the page."""

    def load(self, kb: str | None, request: gr.Request) -> View:
        """A freshly loaded page: the conversation that its address names, or an empty chat."""
        wanted = str(request.query_params.get("c", ""))
        if wanted:
            with suppress(KBError):  # deleted meanwhile, or someone else's: an empty chat will do
                return self._shown(wanted, request)
        return self.new(kb, request)

    def new(self, kb: str | None, request: gr.Request) -> View:
        """An empty chat."""
        self._leave(request)
        return View(
            "",
            past=carry(self._welcome(kb)),
            live="",
            sources=carry(transcript.no_sources(self.words)),
            listed=self._list("", kb, request),
        )

    def open(self, conversation: str, kb: str | None, request: gr.Request) -> View:
        """A stored conversation, with the sources of its last answer."""
        self._leave(request)
        return self._guarded(self._shown, conversation, request) or self.new(kb, request)

    def refresh(self, conversation: str, kb: str | None, request: gr.Request) -> View:
        """Back from another tab: an empty chat, or one of another knowledge base, is drawn anew."""
        if not conversation and request.query_params.get("c"):
            return View()  # Gradio also selects the first tab of a page that is being loaded; `load` knows what it shows
        with suppress(KBError):
            if conversation and self.citations.kb_of(conversation, owner(request)) == kb:
                return View()
        return self.new(kb, request)

    def rename(self, value: str, conversation: str, kb: str | None, request: gr.Request) -> View:
        """`value` is "id:new title"."""
        target, _, title = value.partition(":")
        title = " ".join(title.split())[:MAX_TITLE]
        if title:
            self._guarded(self.core.state.rename, target, owner(request), title)
        return View(listed=self._list(conversation, kb, request))

    def delete(self, target: str, conversation: str, kb: str | None, request: gr.Request) -> View:
        """Delete a conversation; `conversation` is the one on the page."""
        self._guarded(self.core.state.delete, target, owner(request))
        return self.new(kb, request) if target == conversation else View(listed=self._list(conversation, kb, request))

    def clear(self, conversation: str, kb: str | None, request: gr.Request) -> View:
        """Delete the messages on the page."""
        self._leave(request)
        if conversation:
            self._guarded(self.core.state.truncate, conversation, owner(request), 0)
        return self.new(kb, request) if not conversation else self.open(conversation, kb, request)

    # Drawing

    def _shown(self, conversation: str, request: gr.Request) -> View:
        stored = self.core.state.messages(conversation, owner(request))
        kb = self.citations.kb_of(conversation, owner(request))
        last = max((at for at, message in enumerate(stored) if message.role == "assistant"), default=None)
        panel = carry(transcript.no_sources(self.words))
        if last is not None:
            panel = self.citations.panel(self.citations.found_by(str(last), conversation, request), kb)
        content = self._past(conversation, stored, request) if stored else self._welcome(kb)
        return View(
            conversation,
            kb=gr.Dropdown(choices=self.core.names(), value=kb) if kb in self.core.names() else SKIP,
            past=carry(transcript.frame(conversation, content)),
            live="",
            sources=panel,
            listed=self._list(conversation, kb, request),
        )

    def _welcome(self, kb: str | None) -> Html:
        if not kb or kb not in self.core.names():
            return transcript.nothing_indexed(self.words)
        try:
            snapshot = self.core.base(kb).snapshot()
            if snapshot.manifest.chunks:
                return transcript.welcome(self.words, kb, snapshot.manifest, snapshot.examples(self.words.language, EXAMPLES))
        except KBError as error:
            _log.info("No welcome for %s: %s", kb, error)
        return transcript.nothing_indexed(self.words)
