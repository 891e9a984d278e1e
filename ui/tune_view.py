"""The outputs of the Fine-tune tab, and what its parts share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from finetune import Plan, Tune
from kb import KBError
from ui import fields
from ui.core import Core
from ui.notice import warn
from ui.words import Words

SKIP = gr.skip()
Act = Callable[[], object]


class View(NamedTuple):
    """What every handler of the tab returns; what is left out stays as it is."""

    chosen: Any = SKIP
    seen: Any = SKIP
    timer: Any = SKIP
    tool: Any = SKIP
    tunes: Any = SKIP
    body: Any = SKIP
    new_name: Any = SKIP
    new_base: Any = SKIP
    # Examples
    title: Any = SKIP
    count: Any = SKIP
    read: Any = SKIP
    rows: Any = SKIP
    page: Any = SKIP
    lengths: Any = SKIP
    editor: Any = SKIP
    edited: Any = SKIP
    earlier: Any = SKIP
    edit_system: Any = SKIP
    edit_question: Any = SKIP
    edit_answer: Any = SKIP
    edit_copies: Any = SKIP
    # Recipe
    base: Any = SKIP
    method: Any = SKIP
    rank: Any = SKIP
    alpha: Any = SKIP
    lr: Any = SKIP
    epochs: Any = SKIP
    iterations: Any = SKIP
    max_length: Any = SKIP
    batch_size: Any = SKIP
    accumulation: Any = SKIP
    packing: Any = SKIP
    save_every: Any = SKIP
    evaluate_every: Any = SKIP
    prompts: Any = SKIP
    system: Any = SKIP
    faults_model: Any = SKIP
    faults_pace: Any = SKIP
    faults_data: Any = SKIP
    faults_watch: Any = SKIP
    plan: Any = SKIP
    commands: Any = SKIP
    config_about: Any = SKIP
    config: Any = SKIP
    reset: Any = SKIP
    # Training and what came of it
    state: Any = SKIP
    job: Any = SKIP
    curves: Any = SKIP
    samples: Any = SKIP
    result: Any = SKIP
    merging: Any = SKIP
    merge_as: Any = SKIP
    task: Any = SKIP


Drawn = dict[str, Any]


class Part:
    """A part of the tab. `build` draws and returns its components by their names in View; `wire` comes when all are there."""

    def __init__(self, core: Core, words: Words, redraw: "Redraw") -> None:
        self.core = core
        self.words = words
        self.redraw = redraw

    def do(self, name: Any, change: Act) -> bool:
        """Change something about the tune `name`; whether that was done. If not, the user has been told why."""
        try:
            self.core.tune(known(self.words, name))
        except KBError as error:
            warn(str(error))
            return False
        return attempt(self.core, self.words, change)


Redraw = Callable[[Any], View]  # the tab, with a tune open


class Look(NamedTuple):
    """A tune, and what its recipe comes to; `why` not, if that cannot be said."""

    tune: Tune
    plan: Plan | None
    why: str


def attempt(core: Core, words: Words, change: Act) -> bool:
    """fields.attempt() with the sentence of this tab."""
    return fields.attempt(core, change, words("tune.public"))


def known(words: Words, name: Any) -> str:
    """`name` if it is a text; raises KBError."""
    if not isinstance(name, str) or not name:
        raise KBError(words("tune.gone"))
    return name
