"""The chat tab, drawn and wired; what its buttons do is in conversation.py."""

import gradio as gr

from ui.answers import MAX_QUESTION
from ui.board import board
from ui.conversation import Conversations
from ui.core import Core
from ui.fields import HERE
from ui.options_panel import OptionsPanel
from ui.rating import Ratings
from ui.render import Html, el, icon, link
from ui.words import Words


class ChatTab:
    """Its components, for the page to fill at load."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.handlers = Conversations(core, words)
        self.options = OptionsPanel(core, words)
        self.ratings = Ratings(core, words)

    def build(self, kb: gr.Dropdown, value: gr.Textbox, reader: gr.Markdown) -> None:
        """Draw into the present Blocks context; `kb` is the page's choice of knowledge base, `value` that of a clicked link.

        Sources open in the `reader`.
        """
        words = self.words
        conversation = gr.State("")
        with gr.Row(elem_id="chat"):
            with gr.Column(elem_id="side"):
                board(self._side_head())
                listed = board(elem_id="listed")
            with gr.Column(elem_id="talk"):
                with gr.Column(elem_id="transcript"):
                    past = board(elem_id="past")
                    live = board(elem_id="live")
                chosen = self.options.build()
                with gr.Row(elem_id="composer"):
                    question = gr.Textbox(
                        label=words("chat.placeholder"),
                        placeholder=words("chat.placeholder"),
                        show_label=False,
                        container=False,
                        lines=1,
                        max_lines=8,
                        max_length=MAX_QUESTION,
                        autofocus=True,
                        elem_id="question",
                    )
                    send = gr.Button(words("chat.send"), elem_id="send", variant="primary")
                    stop = gr.Button(words("chat.stop"), elem_id="stop", visible=False)
                foot = self.options.foot()
            with gr.Column(elem_id="sources"):
                board(self._sources_head())
                sources = board(elem_id="source-list")
        view = self.view = [conversation, kb, past, live, sources, listed, question, send, stop]
        run = self.handlers

        def verb(name: str) -> gr.Button:
            return gr.Button(visible="hidden", elem_id=f"do-{name}")

        gr.on([question.submit, send.click], run.ask, [question, conversation, kb, *chosen], view, **HERE)
        verb("ask").click(run.ask, [value, conversation, kb, *chosen], view, **HERE)
        verb("retry").click(run.retry, [conversation, kb, *chosen], view, **HERE)
        verb("anyway").click(run.anyway, [conversation, kb, *chosen], view, **HERE)
        model, how = chosen[:2]
        gr.on([model.input, how.input], self.options.summed, [model, how], [foot], **HERE)
        verb("up").click(self.ratings.up, [value, conversation], None, **HERE)
        verb("down").click(self.ratings.down, [value, conversation], None, **HERE)
        # Its own queue: a stop must not wait for the answers it is meant to end.
        stop.click(run.stop, None, None, concurrency_limit=None, **HERE)
        verb("new").click(run.new, [kb], view, **HERE)
        kb.input(run.new, [kb], view, **HERE)
        verb("conversation").click(run.open, [value, kb], view, **HERE)
        verb("rename").click(run.rename, [value, conversation, kb], view, **HERE)
        verb("delete").click(run.delete, [value, conversation, kb], view, **HERE)
        verb("clear").click(run.clear, [conversation, kb], view, **HERE)
        verb("open").click(run.citations.open, [value, conversation], [reader, sources], **HERE)
        verb("sources").click(run.citations.show, [value, conversation], [sources], **HERE)

    def _side_head(self) -> Html:
        new = link("#do:new:", icon("plus"), self.words("chat.new"), class_="new")
        return el("div", new, el("h4", self.words("chat.list")), class_="side-head")

    def _sources_head(self) -> Html:
        close = link("#local:close-sources", icon("close", self.words("reader.close")), class_="close")
        return el("div", el("h4", self.words("source.title")), close, class_="sources-head")
