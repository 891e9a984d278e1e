"""The fine-tune tab: what is being taught, its examples, its recipe, its training, and the model that comes of it."""

from typing import Any

import gradio as gr

from finetune import Recipe, introduction
from kb import KBError
from ui import job_card, tools_row, tune_cards
from ui.board import board
from ui.core import Core
from ui.fields import HERE, given, linked, text
from ui.job_tab import JobButtons
from ui.notice import inform, warn
from ui.render import carry, el
from ui.tune_examples import Examples, introduced
from ui.tune_examples import introduction as introduction_form
from ui.tune_recipe import RecipePart
from ui.tune_training import Training
from ui.tune_view import Drawn, Look, View, attempt, known
from ui.words import Words

TICK = 2.0  # seconds between two looks at what runs


class TuneTab:
    """Draws the tab in one language and wires it."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.tools = JobButtons(core, words, "tools", "tool")
        self.examples = Examples(core, words, self.redraw)
        self.recipe = RecipePart(core, words, self.redraw)
        self.training = Training(core, words, self.redraw, self.recipe)

    def build(self, kb: gr.Dropdown, value: gr.Textbox) -> None:
        """Draw into the present Blocks context; `kb` is the page's choice of knowledge base, `value` that of a clicked link."""
        words = self.words
        self.chosen = gr.State("")
        at: dict[str, Any] = {"chosen": self.chosen, "seen": gr.State(""), "timer": gr.Timer(TICK, active=False)}
        with gr.Column(elem_id="tune"):
            board(el("div", el("h2", words("tune.title")), el("p", words("tune.about")), class_="totals"))
            at["tool"] = board(elem_id="tune-tool")
            at["tunes"] = board(elem_id="tunes")
            if self.core.public:
                board(el("p", words("tune.public"), class_="empty"))
            at |= self._new()
            with gr.Column(visible=False, elem_id="tune-body") as body:
                at["title"] = board(elem_id="tune-title")
                with gr.Tabs(elem_id="tune-steps"):
                    with gr.Tab(words("tune.examples"), render_children=True):
                        at |= self.examples.build()
                    with gr.Tab(words("tune.recipe"), render_children=True):
                        at |= self.recipe.build()
                    with gr.Tab(words("tune.training"), render_children=True):
                        at |= self.training.build()
                    with gr.Tab(words("tune.result"), render_children=True):
                        at |= self.training.build_result()
            at["body"] = body
        self.outputs = [at[name] for name in View._fields]
        self._wire(at, kb, value)

    def _new(self) -> dict[str, Any]:
        words = self.words
        with gr.Accordion(words("tune.new"), open=False, elem_classes="fold", elem_id="tune-new", visible=not self.core.public):
            with gr.Row(elem_classes="fold-row"):
                name = text(words("tune.name"), "tune-name", hint=words("tune.name.hint"))
                base = gr.Dropdown([], label=words("tune.base"), filterable=False, elem_id="tune-base", min_width=120)
            with gr.Row(elem_classes="fold-row"):
                self.form, self.create_button = introduction_form(self, "new")
            board(el("p", words("tune.copies.about"), class_="minor"))
        return {"new_name": name, "new_base": base}

    def _wire(self, at: dict[str, Any], kb: gr.Dropdown, value: gr.Textbox) -> None:
        outputs = self.outputs
        self.create_button.click(self.create, [self.chosen, at["new_name"], at["new_base"], *self.form], outputs, **HERE)
        for verb, handler in (("open-tune", self.open), ("remove-tune", self.remove), ("install-tool", self.install)):
            gr.Button(visible="hidden", elem_id=f"do-{verb}").click(handler, [self.chosen, value], outputs, **HERE)
        self.tools.build(value, [self.chosen], outputs, self.redraw)
        self.examples.wire(at, outputs, kb, value)
        self.recipe.wire(at, outputs)
        self.training.wire(at, outputs, value)
        at["timer"].tick(self.tick, [self.chosen, at["seen"]], outputs, **HERE)

    # Handlers

    def refresh(self, chosen: str) -> View:
        """The whole tab: the tune that was open, else the one at work, else the newest."""
        names = [tune.name for tune in self.core.tunes()]
        if chosen in names:
            return self.redraw(chosen)
        busy = [name for name in names if (job := self.training.job(name)) and job.alive]
        return self._opened((busy or names or [""])[0])

    def open(self, chosen: str, value: str) -> View:
        """Open the tune whose quoted name is `value`."""
        name = linked(value)
        if name in [tune.name for tune in self.core.tunes()]:
            return self._opened(name)
        warn(self.words("tune.gone"))
        return self.refresh(chosen)

    def create(self, chosen: str, name: str, base: Any, who: str, language: str, copies: float | None) -> View:
        """A new tune, with the self-introduction where a name is given for it."""
        name, who = given(name), given(who)

        def create() -> None:
            if not name:
                raise KBError(self.words("tune.noname"))
            if base not in self.core.teachable():
                raise KBError(self.words("tune.nobase"))
            examples = introduction(who, *introduced(self, language, copies)) if who else ()
            self.core.new_tune(name, Recipe(base), examples)
            inform(self.words("tune.created", name=name))

        return self._opened(name)._replace(new_name="") if attempt(self.core, self.words, create) else View()

    def remove(self, chosen: str, value: str) -> View:
        """Remove the tune whose quoted name is `value`; models that were made of it stay."""
        name = linked(value)

        def remove() -> None:
            self.core.remove_tune(known(self.words, name))
            inform(self.words("tune.removed", name=name))

        done = attempt(self.core, self.words, remove)
        return self.refresh("" if chosen == name else chosen) if done else View()

    def install(self, chosen: str, value: str) -> View:
        """Make XTuner's environment, as a job."""
        return self.redraw(chosen) if attempt(self.core, self.words, self.core.install_tool) else View()

    def tick(self, chosen: str, seen: str) -> View:
        """Look at what is under way; when something has ended, draw what it made."""
        job = self.training.job(chosen) if chosen else None
        running = self._running(job)
        if running["seen"] != seen:
            return self.redraw(chosen)
        return View(**running | (self.training.live(chosen, job) if job else {}))

    # What several of them need

    def redraw(self, chosen: str) -> View:
        """All but the fields of the recipe, in which somebody may be writing."""
        return self._drawn(chosen)

    def _opened(self, name: str) -> View:
        """The tab with a tune newly open: its fields too."""
        return self._drawn(name, fields=True)

    def _drawn(self, name: str, *, fields: bool = False) -> View:
        head = self._head(name)
        if not name:
            return View(**head, chosen="", body=gr.Column(visible=False))
        try:
            look = self._look(name)
            job = self.training.job(name)
            drawn = self.examples.draw(look) | self.recipe.draw(look) | self.training.draw(look.tune, job)
            if fields:
                drawn |= self.recipe.fill(look) | {
                    "editor": gr.Column(visible=False),
                    "read": "",
                    "merge_as": gr.Textbox(value="", placeholder=self.training.free_name(name)),
                }
        except KBError as error:
            warn(str(error))
            return View(**head, chosen="", body=gr.Column(visible=False))
        title = el("h3", name)
        return View(**head | self._running(job) | drawn, chosen=name, title=carry(title), body=gr.Column(visible=True))

    def _look(self, name: str) -> Look:
        tune = self.core.tune(name)
        try:
            return Look(tune, self.core.plan(name), "")
        except KBError as error:
            why = self.words("tune.examples.none") if tune.examples == tune.unfinished else str(error)
            return Look(tune, None, why)

    def _head(self, name: str) -> Drawn:
        words, fixed, models = self.words, self.core.public, self.core.teachable()
        drawn = tune_cards.tunes(words, self.core.tunes(), name, fixed=fixed)
        if not models and not fixed:
            drawn = el("div", el("p", words("tune.nomodel"), class_="notice"), drawn)
        base = gr.Dropdown(choices=models, value=models[0] if models else None)
        return {"tunes": carry(drawn), "new_base": base, **self._running(None)}

    def _running(self, job: Any) -> Drawn:
        tool, installing = self.core.tool(), next(iter(self.core.tool_jobs()), None)
        card = self.tools.card(installing) if installing and tools_row.shown(installing, tool) else None
        alive = self.training.alive(job) or tool.state == "installing"
        alive = alive or bool(installing and installing.alive)
        return {
            "tool": carry(tools_row.row(self.words, tool, card, fixed=self.core.public)),
            "seen": f"{self.training.mark(job)} {job_card.mark(installing)} {tool.state}",
            "timer": gr.Timer(active=alive),
        }
