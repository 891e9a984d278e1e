"""Thumbs below an answer: what they say is kept for fine-tuning."""

import gradio as gr

from kb import KBError
from ui.auth import owner
from ui.citations import number
from ui.core import Core
from ui.notice import inform, warn
from ui.words import Words


class Ratings:
    """The handlers, for one language of the page; `ordinal` is that of the answer in its conversation."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words

    def up(self, ordinal: str, conversation: str, request: gr.Request) -> None:
        self._rate(ordinal, conversation, request, up=True)

    def down(self, ordinal: str, conversation: str, request: gr.Request) -> None:
        self._rate(ordinal, conversation, request, up=False)

    def _rate(self, ordinal: str, conversation: str, request: gr.Request, *, up: bool) -> None:
        who = owner(request)
        try:
            self.core.state.rate(str(conversation or ""), who, number(str(ordinal), -1, 10**6), 1 if up else -1)
        except KBError as error:
            return warn(str(error))
        return inform(self.words("chat.rated.up" if up else "chat.rated.down"))
