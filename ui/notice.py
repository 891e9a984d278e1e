"""Sentences for the user that appear over the page and go away."""

from html import escape

import gradio as gr

_SECONDS = 6.0


def warn(sentence: str) -> None:
    """Something could not be done."""
    gr.Warning(escape(sentence), duration=_SECONDS, title="")  # Gradio would take HTML in it for HTML


def inform(sentence: str) -> None:
    """Something has been done."""
    gr.Info(escape(sentence), duration=_SECONDS, title="")
