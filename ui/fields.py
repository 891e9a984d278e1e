"""What the tabs share: how handlers are wired, fields of text, reading what came back, and changing something."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import gradio as gr

from kb import KBError
from ui.core import Core
from ui.notice import warn

MAX_TEXT = 1000  # characters of a line
HERE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}  # of every handler


def text(label: str, elem_id: str, *, hint: str = "", scale: int = 1, **more: Any) -> gr.Textbox:
    """A field of one line, unless `more` says otherwise."""
    return gr.Textbox(label=label, placeholder=hint, elem_id=elem_id, scale=scale, min_width=120,
                      **({"max_lines": 1, "max_length": MAX_TEXT} | more))  # fmt: skip


def given(value: Any, most: int = MAX_TEXT) -> str:
    """What stands in a field of text, without the space around it; empty for what is no text."""
    return value.strip()[:most] if isinstance(value, str) else ""


def linked(value: Any) -> str:
    """The name that a clicked link carries, quoted; empty for what is no text."""
    return unquote(value) if isinstance(value, str) else ""


def whole(value: Any, least: int, most: int) -> int | None:
    """A whole number within limits that a field was given; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        return None
    return int(value)


def attempt(core: Core, change: Callable[[], object], public: str) -> bool:
    """Call `change` unless the page is public; whether it succeeded. If not, the user has been told why, in the words of `public`
    or of the error."""
    if core.public:  # the page draws no buttons then, but anyone can call a handler
        warn(public)
        return False
    try:
        change()
    except KBError as error:
        warn(str(error))
        return False
    return True
