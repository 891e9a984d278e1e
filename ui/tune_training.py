"""Training a tune, merging what it learned, comparing, and letting the new model answer."""

from typing import Any

import gradio as gr

from kb import Job, KBError, TuneError
from ui import job_card, model_cards, tune_progress
from ui.board import board
from ui.core_tune import KINDS
from ui.fields import HERE, given, linked, text
from ui.job_tab import JobButtons
from ui.render import carry, join
from ui.tune_recipe import RecipePart
from ui.tune_view import Drawn, Part, View


class Training(Part):
    """Draws the part in one language and wires it."""

    def __init__(self, core: Any, words: Any, redraw: Any, recipe: RecipePart) -> None:
        super().__init__(core, words, redraw)
        self.recipe = recipe
        self.buttons = JobButtons(core, words, "tune", *KINDS)

    def build(self) -> dict[str, Any]:
        """The tab of the training; build_result() draws the next one."""
        return {"state": board(elem_id="tune-state"), "job": board(elem_id="tune-job"), "curves": board(elem_id="tune-curves"),
                "samples": board(elem_id="tune-samples")}  # fmt: skip

    def build_result(self) -> dict[str, Any]:
        task = board(elem_id="tune-task")
        with gr.Row(visible=False, elem_classes="fold-row", elem_id="tune-merging") as merging:
            merge_as = text(self.words("tune.merge.as"), "merge-as", scale=2)
            self.go = gr.Button(self.words("tune.merge"), elem_id="merge-go", scale=0)
        return {"task": task, "merging": merging, "merge_as": merge_as, "result": board(elem_id="tune-result")}

    def wire(self, at: dict[str, Any], outputs: list[Any], value: gr.Textbox) -> None:
        chosen = at["chosen"]
        self.buttons.build(value, [chosen], outputs, self.redraw)
        for verb, handler, given_ in (
            ("train", self.train, [chosen, *self.recipe.fields]),
            ("start-over", self.start_over, [chosen, *self.recipe.fields]),
            ("compare-tune", self.compare, [chosen]),
            ("use-tuned", self.use, [chosen, value]),
        ):
            gr.Button(visible="hidden", elem_id=f"do-{verb}").click(handler, given_, outputs, **HERE)
        self.go.click(self.merge, [chosen, at["merge_as"]], outputs, **HERE)

    # Drawing

    def job(self, name: str) -> Job | None:
        """The newest that has to do with a tune."""
        return next(iter(self.core.tune_jobs(name)), None)

    def mark(self, job: Job | None) -> str:
        """What tells that more than the curves has to be drawn anew."""
        task = self.core.task()
        return f"{job_card.mark(job)} {task.mark if task else ''}"

    def alive(self, job: Job | None) -> bool:
        task = self.core.task()
        return bool((job and job.alive) or (task and task.alive))

    def live(self, name: str, job: Job | None) -> Drawn:
        """What moves while something runs."""
        task = self.core.task()
        samples = self._or_none(lambda: self.core.samples(name)) or []
        return {
            "job": carry(self.buttons.card(job)) if job and (job.alive or job.state != "done") else "",
            "curves": carry(tune_progress.curves(self.words, self._or_none(lambda: self.core.curves(name)) or [])),
            "samples": carry(tune_progress.samples(self.words, samples)),
            "task": carry(model_cards.task(self.words, task)) if task else "",
        }

    def draw(self, tune: Any, job: Job | None) -> Drawn:
        busy = bool(job and job.alive) or tune.state == "running"
        fixed, task = self.core.public, self.core.task()
        cards = [card for card in map(self.core.card, tune.models) if card]
        ready = self.core.tool().state == "ready"
        free = not (fixed or busy or (task and task.alive))
        pairs = self._or_none(lambda: self.core.pairs(tune.name)) or []
        can_merge = bool(tune.checkpoints) and not tune.changed and ready and not busy and not fixed
        told = bool(job and job.state == "failed")
        return self.live(tune.name, job) | {
            "state": carry(tune_progress.state(self.words, tune, busy=busy, ready=ready, fixed=fixed, told=told)),
            "result": carry(tune_progress.result(self.words, tune, cards, pairs, self.core.live_model(), free=free)),
            "merging": gr.Row(visible=can_merge),
            "merge_as": gr.Textbox(placeholder=self.free_name(tune.name)),
        }

    def free_name(self, name: str) -> str:
        """A name for the merged model that is not taken."""
        taken, number = self.core.model_names(), 2
        if name not in taken:
            return name
        while f"{name}-{number}" in taken:
            number += 1
        return f"{name}-{number}"

    def _or_none(self, read: Any) -> Any:
        """None where it cannot be read now: a base that was removed, a file that is being written."""
        try:
            return read()
        except KBError:
            return None

    # Handlers

    def train(self, chosen: str, *fields: Any) -> View:
        """Train, or go on from the last checkpoint, with what stands in the fields."""
        return self._train(chosen, fields, afresh=False)

    def start_over(self, chosen: str, *fields: Any) -> View:
        """Forget what was trained, and train."""
        return self._train(chosen, fields, afresh=True)

    def _train(self, chosen: str, fields: Any, *, afresh: bool) -> View:
        wrong = self.recipe.keep(chosen, fields)
        if wrong is not None:
            return wrong

        def start() -> None:
            if self.core.tool().state != "ready":
                raise TuneError(self.words("tool.needed"))
            self.core.plan(chosen)  # what cannot start says so here, and not in a log
            self.core.train(chosen, afresh=afresh)

        return self.redraw(chosen) if self.do(chosen, start) else View()

    def merge(self, chosen: str, model: str) -> View:
        """Make a model of what was learned, as a job."""
        done = self.do(chosen, lambda: self.core.merge(chosen, given(model) or self.free_name(chosen)))
        return self.redraw(chosen)._replace(merge_as="") if done else View()

    def compare(self, chosen: str) -> View:
        """Ask both models the evaluation prompts, as a job."""
        return self.redraw(chosen) if self.do(chosen, lambda: self.core.compare_tune(chosen)) else View()

    def use(self, chosen: str, value: str) -> View:
        """Let a model that was made of the tune answer, as in the Models tab."""

        def use() -> None:
            name = linked(value)
            if name not in self.core.tune(chosen).models:
                raise TuneError(self.words("tune.gone"))
            self.core.use_model(name)

        return self.redraw(chosen) if self.do(chosen, use) else View()


def nothing() -> Drawn:
    """Where no tune is open."""
    return dict.fromkeys(("state", "job", "curves", "samples", "result", "task"), carry(join()))
