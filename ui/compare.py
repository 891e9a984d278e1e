"""The compare tab: one question, two ways of answering it, side by side."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import gradio as gr

from kb import KBError
from kb.records import Failed
from ui import options, side_by_side
from ui.answers import MAX_QUESTION
from ui.asking import Run, follow
from ui.auth import tab_of
from ui.board import board
from ui.citations import Aside
from ui.core import Core
from ui.entries import answered_by, choices
from ui.fields import HERE
from ui.notice import warn
from ui.options import WITH, WITHOUT, Options
from ui.render import Html, carry, el, link
from ui.words import Words

SKIP = gr.skip()
SIDES = {"left": "compare.left", "right": "compare.right"}
PRESETS = {"bare": "compare.bare", "models": "compare.models"}  # with and without the knowledge base, or one model and another
_KEPT = 200  # browser tabs whose sources can be opened
_log = logging.getLogger(__name__)


class View(NamedTuple):
    """The outputs of the handlers; what is left out stays as it is."""

    note: Any = SKIP
    left: Any = SKIP
    right: Any = SKIP
    go: Any = SKIP
    stop: Any = SKIP


class CompareTab:
    """Draws the tab in one language and wires it. `asides`: where the reader finds the sources of what is compared."""

    def __init__(self, core: Core, words: Words, asides: dict[tuple[str, str], dict[str, Aside]]) -> None:
        self.core = core
        self.words = words
        self.asides = asides
        self.runs: dict[tuple[str, str], tuple[Run, ...]] = {}
        self._numbers = itertools.count(1)

    def build(self, kb: gr.Dropdown) -> None:
        """Draw into the present Blocks context; `kb` is the page's choice of knowledge base."""
        words = self.words
        with gr.Column(elem_id="compare"):
            board(el("div", el("h2", words("compare.title")), el("p", words("compare.about")), class_="totals"))
            with gr.Row(elem_id="compare-ask"):
                question = gr.Textbox(
                    label=words("compare.question"),
                    placeholder=words("compare.question"),
                    show_label=False,
                    container=False,
                    lines=1,
                    max_lines=6,
                    max_length=MAX_QUESTION,
                    elem_id="compare-question",
                )
                go = gr.Button(words("compare.go"), elem_id="compare-go", variant="primary")
                stop = gr.Button(words("chat.stop"), elem_id="compare-stop", visible=False)
            board(self._presets(), elem_id="compare-presets")
            note = board(elem_id="compare-note")
            with gr.Row(elem_id="compare-sides"):
                fields, boards = zip(*(self._side(side) for side in SIDES), strict=True)
        chosen = [field for side in fields for field in side]
        self.view = [*chosen, note]
        view = [note, *boards, go, stop]
        gr.on([question.submit, go.click], self.run, [question, kb, *chosen], view, **HERE)
        stop.click(self.stop, None, None, concurrency_limit=None, **HERE)
        for preset in PRESETS:
            button = gr.Button(visible="hidden", elem_id=f"do-{preset}")
            button.click(getattr(self, preset), None, self.view, **HERE)

    def _presets(self) -> Html:
        every = [link(f"#do:{preset}:", self.words(key), class_="preset") for preset, key in PRESETS.items()]
        return el("div", el("span", self.words("compare.preset")), every, class_="presets")

    def _side(self, side: str) -> tuple[list[Any], gr.Markdown]:
        words = self.words
        with gr.Column(elem_classes="compare-side", elem_id=f"compare-{side}"):
            with gr.Row(elem_classes="compare-choice"):
                model = gr.Dropdown(
                    choices(words, self.core, live=True),
                    value=options.LIVE,
                    label=words(SIDES[side]),
                    filterable=False,
                    elem_id=f"{side}-model",
                )
                how = gr.Radio(
                    [(words("options.with"), WITH), (words("options.without"), WITHOUT)],
                    value=WITH if side == "left" else WITHOUT,
                    label=words("options.how"),
                    show_label=False,
                    container=False,
                    elem_id=f"{side}-how",
                )
            drawn = board(side_by_side.nothing(words), elem_id=f"{side}-answer")
        return [model, how], drawn

    # Handlers

    def refresh(self, left: str, left_how: str, right: str, right_how: str) -> tuple[Any, ...]:
        """Models come and go. Where quotations answer, a model is put in: without one there is nothing to compare."""
        if (left, right) == (options.LIVE, options.LIVE) and not self.core.model:
            left = right = next(iter(self._models()), options.LIVE)
        offered = choices(self.words, self.core, live=True)
        names = [value for _, value in offered]
        kept = [gr.Dropdown(choices=offered, value=one if one in names else options.LIVE) for one in (left, right)]
        return kept[0], SKIP, kept[1], SKIP, self._note(left, right)

    def bare(self) -> tuple[Any, ...]:
        """One model, with the knowledge base and without."""
        model = options.LIVE if self.core.model else next(iter(self._models()), options.LIVE)
        return self._set(model, WITH, model, WITHOUT)

    def models(self) -> tuple[Any, ...]:
        """What answers now and another model, both with the knowledge base."""
        live = self.core.live_model()
        other = next((name for name in self._models() if name != live), None)
        if other is None:
            warn(self.words("compare.onlyone"))
            return (SKIP,) * 5
        return self._set(options.LIVE, WITH, other, WITH)

    async def run(
        self, question: str, kb: str | None, left: str, left_how: str, right: str, right_how: str, request: gr.Request
    ) -> AsyncGenerator[View, None]:
        """Put the question to both sides."""
        tab = tab_of(request)
        try:
            question, both = self._read(question, tab, (left, left_how), (right, right_how))
        except KBError as error:
            warn(str(error))
            yield View()
            return
        # At once, before anything is awaited: a second question from this tab is refused from now on.
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        runs = self.runs[tab] = tuple(Run("", 0, loop=loop, plain=one.plain) for one in both)
        work, last = None, View()
        try:
            base, snapshot, at_once = await self._begin(kb, both, runs)
            self._remember(tab, {f"{side}{number}": Aside(run, str(kb)) for side, run in zip(SIDES, runs, strict=True)})
            changed = asyncio.Event()
            lanes = [self._lane(run, one, question, base, snapshot, changed) for run, one in zip(runs, both, strict=True)]
            work = asyncio.ensure_future(_together(lanes) if at_once else _in_turn(lanes))
            waiting = View("" if at_once else carry(side_by_side.in_turn(self.words)), go=gr.Button(visible=False),
                           stop=gr.Button(visible=True))  # fmt: skip
            yield waiting._replace(**self._drawn(runs, number))
            while not work.done():
                ticked = asyncio.ensure_future(changed.wait())
                await asyncio.wait((work, ticked), return_when=asyncio.FIRST_COMPLETED)
                ticked.cancel()
                changed.clear()
                yield View(**self._drawn(runs, number))
            same = side_by_side.same(self.words, *runs)
            last = View(carry(same) if same else "", go=gr.Button(visible=True), stop=gr.Button(visible=False),
                        **self._drawn(runs, number, ended=True))  # fmt: skip
        except KBError as error:
            warn(str(error))
        finally:
            # Also when the page was closed: nothing goes on behind it.
            self.runs.pop(tab, None)
            if work and not work.done():
                for run in runs:
                    run.stopped.set()
                await asyncio.wait((work,))
        yield last

    def stop(self, request: gr.Request) -> None:
        """End both answers; what stands so far is kept on the page."""
        for run in self.runs.get(tab_of(request), ()):
            run.stop()

    # What several of them need

    async def _begin(self, kb: str | None, both: list[Options], runs: tuple[Run, ...]) -> tuple[Any, Any, bool]:
        """What is asked, and whether both can answer at once; raises KBError where there is nothing to ask."""
        base = snapshot = None
        if not all(one.plain for one in both):
            if not kb:
                raise KBError(self.words("evaluate.nokb"))
            base = self.core.base(kb)
            snapshot = await asyncio.to_thread(base.snapshot)
        for run, one in zip(runs, both, strict=True):
            run.model = await asyncio.to_thread(answered_by, self.core, one.model)
        return base, snapshot, await asyncio.to_thread(self.core.at_once, *(one.model for one in both))

    async def _lane(self, run: Run, asked: Options, question: str, base: Any, snapshot: Any, changed: asyncio.Event) -> None:
        try:
            if not run.stopped.is_set():
                run.started = asyncio.get_running_loop().time()
                async with aclosing(follow(run, self.core.answer(question, (), base, snapshot, asked))) as steps:
                    async for _ in steps:
                        changed.set()
        except KBError as error:
            run.end = Failed(str(error))
        except Exception:  # a bug: the page must come back to life, the terminal gets the whole story
            _log.exception("Comparing failed.")
            run.end = Failed(self.words("chat.bug"))
        run.over.set()
        changed.set()

    def _read(self, question: str, tab: tuple[str, str], *sides: tuple[str, str]) -> tuple[str, list[Options]]:
        question = question.strip() if isinstance(question, str) else ""
        if tab in self.runs:
            raise KBError(self.words("chat.busy"))
        if not question or len(question) > MAX_QUESTION:
            raise KBError(self.words("chat.long", limit=MAX_QUESTION) if question else self.words("chat.empty"))
        sure, temperature, tokens = options.defaults(self.core.settings)
        names = self.core.model_names()
        read = [options.read(self.words, names, (model, how, sure, "", temperature, tokens)) for model, how in sides]
        for one in read:
            if one.plain and not answered_by(self.core, one.model):
                raise KBError(self.words("options.nomodel"))
        return question, [Options(one.model, one.plain, as_typed=True) for one in read]

    def _remember(self, tab: tuple[str, str], runs: dict[str, Aside]) -> None:
        self.asides.pop(tab, None)
        self.asides[tab] = runs
        while len(self.asides) > _KEPT:
            self.asides.pop(next(iter(self.asides)))

    def _drawn(self, runs: tuple[Run, ...], number: int, *, ended: bool = False) -> dict[str, str]:
        return {
            side: carry(side_by_side.column(self.words, f"{side}{number}", run, ended=ended or run.over.is_set()))
            for side, run in zip(SIDES, runs, strict=True)
        }

    def _models(self) -> list[str]:
        return [name for _, name in choices(self.words, self.core, live=False) if self.core.model_called(name)]

    def _set(self, left: str, left_how: str, right: str, right_how: str) -> tuple[Any, ...]:
        return left, left_how, right, right_how, self._note(left, right)

    def _note(self, left: str, right: str) -> str:
        return "" if self._models() else carry(side_by_side.no_model(self.words))


async def _together(lanes: list[Any]) -> None:
    await asyncio.gather(*lanes)


async def _in_turn(lanes: list[Any]) -> None:
    for lane in lanes:
        await lane
