"""The folded options below the chat: drawn, filled and summed up in one line."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gradio as gr

from kb import KBError
from ui import options
from ui.board import board
from ui.core import Core
from ui.entries import answered_by, choices
from ui.fields import HERE
from ui.options import LIVE, WITH, WITHOUT
from ui.render import Html, carry, el, icon, link
from ui.words import Words


class OptionsPanel:
    """page.js unfolds it; style.css hides what does not go with the choice that is made."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words

    def build(self) -> list[Any]:
        """Draw the fields; their order is that of options.read()."""
        words = self.words
        sure, temperature, tokens = options.defaults(self.core.settings)
        with gr.Column(elem_id="options"):
            with gr.Row(elem_classes="option-row"):
                self.model = gr.Dropdown(
                    choices(words, self.core, live=True),
                    value=LIVE,
                    label=words("options.model"),
                    filterable=False,
                    elem_id="option-model",
                )
                self.how = gr.Radio(
                    [(words("options.with"), WITH), (words("options.without"), WITHOUT)],
                    value=WITH,
                    label=words("options.how"),
                    elem_id="option-how",
                )
            least = gr.Slider(
                0,
                100,
                value=sure,
                step=1,
                label=words("options.sure"),
                info=words("options.sure.about", default=sure),
                buttons=[],
                elem_id="option-sure",
            )
            system = gr.Textbox(
                label=words("options.system"),
                placeholder=words("options.system.hint"),
                lines=2,
                max_lines=5,
                max_length=options.MAX_SYSTEM,
                elem_id="option-system",
            )
            with gr.Row(elem_classes="option-row", elem_id="option-sampling"):
                heat = gr.Number(
                    temperature,
                    minimum=0,
                    maximum=options.MAX_TEMPERATURE,
                    step=0.1,
                    label=words("options.temperature"),
                    info=words("options.temperature.about"),
                    elem_id="option-temperature",
                )
                longest = gr.Number(
                    tokens,
                    minimum=options.LEAST,
                    maximum=options.MOST,
                    step=64,
                    label=words("options.tokens"),
                    info=words("options.tokens.about"),
                    elem_id="option-tokens",
                )
        self.fields: list[Any] = [self.model, self.how, least, system, heat, longest]
        # By a key of ours: one that Gradio makes up at each start could not read what was kept before.
        self.kept = gr.BrowserState(storage_key="internkb-options", secret="internkb-options")  # noqa: S106 - no secret
        # Left: what is pasted, or comes from an input method, Gradio sends only with the next key.
        changed = [*(field.input for field in self.fields), system.blur]
        gr.on(changed, self.keep, self.fields, [self.kept], trigger_mode="always_last", **HERE)
        return self.fields

    def foot(self) -> Any:
        """The line below, which unfolds the panel."""
        self.line = board(self.said(LIVE, WITH), elem_id="foot")
        return self.line

    # Handlers

    def keep(self, *chosen: Any) -> list[Any]:
        """For this browser, whose next page begins with them."""
        return list(chosen)

    def restore(self, kept: Any) -> tuple[Any, ...]:
        """The fields as this browser had them last, where they may still be so, and the line below."""
        sure, temperature, tokens = options.defaults(self.core.settings)
        fields: list[Any] = [LIVE, WITH, sure, "", temperature, tokens]
        if isinstance(kept, list) and len(kept) == len(fields):
            with suppress(KBError):
                read(self.core, self.words, [LIVE, *kept[1:]])
                fields = kept
        model, how, *rest = fields
        chosen, line = self.refresh(model, how)
        return chosen, how, *rest, line

    def refresh(self, model: str, how: str) -> tuple[gr.Dropdown, str]:
        """Models come and go, and another one may have become the live one."""
        offered = choices(self.words, self.core, live=True)
        kept = model if model in [value for _, value in offered] else LIVE
        return gr.Dropdown(choices=offered, value=kept), self.summed(kept, how)

    def summed(self, model: str, how: str) -> str:
        return carry(self.said(model, how))

    def said(self, model: str, how: str) -> Html:
        """Who answers, the keys, and a way to clear."""
        words = self.words
        known = model if isinstance(model, str) and model in self.core.model_names() else LIVE
        by = answered_by(self.core, known)
        line = words("chat.model", model=by) if by else words("chat.quotes_only")
        if how == WITHOUT:
            line = words("options.said.plain", model=by) if by else words("options.said.nomodel")
        return el(
            "div",
            link(
                "#local:options", icon("options"), el("span", line, class_="label"), class_="model", title=words("options.title")
            ),
            el("span", words("chat.keys"), class_="keys"),
            link("#confirm:clear:", icon("delete"), words("chat.clear"), class_="clear"),
            class_="foot",
        )


def read(core: Core, words: Words, chosen: Sequence[Any]) -> options.Options:
    """The fields' values as Options; raises KBError for one that the page does not offer."""
    return options.read(words, core.model_names() if chosen else (), chosen)
