"""Where HTML that render.py made is shown."""

import gradio as gr

from ui.render import Html, carry


def board(html: Html | None = None, elem_id: str | None = None) -> gr.Markdown:
    """A place for `carry(…)`. A document's dollar signs are shown as they are, not set as formulas."""
    return gr.Markdown(carry(html) if html is not None else "", elem_id=elem_id, latex_delimiters=[])
