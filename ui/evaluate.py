"""The evaluate tab: a question set is asked of a knowledge base as a job; below it, what such runs brought."""

import gradio as gr

from kb import Job, KBError
from ui import job_card
from ui.board import board
from ui.core import GUIDE, Core
from ui.entries import choices, known
from ui.fields import HERE
from ui.job_tab import JobButtons
from ui.notice import inform, warn
from ui.options import LIVE
from ui.question_sets import QuestionSets
from ui.render import carry, el
from ui.results import Results, View
from ui.words import Words

TICK = 1.0  # seconds between two looks at a running job


class EvaluateTab:
    """Draws the tab in one language and wires it."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self.buttons = JobButtons(core, words, "evaluate", "eval")
        self.sets = QuestionSets(core, words)
        self.results = Results(core, words)

    def build(self, kb: gr.Dropdown, value: gr.Textbox) -> None:
        """Draw into the present Blocks context; `kb` is the page's choice of knowledge base, `value` that of a clicked link."""
        words = self.words
        seen = gr.State("")  # the job on the card, as "id:state"
        timer = gr.Timer(TICK, active=False)
        with gr.Column(elem_id="evaluate"):
            head = board(elem_id="eval-head")
            first = gr.Button(words("evaluate.first"), variant="primary", visible=False, elem_id="eval-first")
            with gr.Row(elem_id="eval-run", elem_classes="eval-row"):
                sets = gr.Dropdown([], label=words("evaluate.set"), filterable=False, elem_id="eval-set")
                answers = gr.Dropdown([], label=words("evaluate.answers"), filterable=False, elem_id="eval-answers")
                go = gr.Button(words("evaluate.run"), elem_id="eval-go", variant="primary", scale=0)
            job = board(elem_id="eval-job")
            self.sets.build(kb, sets)
            self.view = self.results.build(value, [kb, head, first, sets, answers, go, job, seen, timer])
        first.click(self.run_first, None, self.view, **HERE)
        go.click(self.run, [kb, sets, answers], self.view, **HERE)
        self.buttons.build(value, [kb], self.view, lambda kb: self._job_view(self._job(kb)))
        timer.tick(self.tick, [kb, seen], self.view, **HERE)
        kb.change(self.refresh, [kb], self.view, **HERE)

    # Handlers

    def refresh(self, kb: str | None) -> View:
        """The whole tab, from disk."""
        return self._whole(kb)

    def tick(self, kb: str | None, seen: str) -> View:
        """Look at the running job; when it has ended, draw what it made."""
        job = self._job(kb)
        if job_card.mark(job) != seen and not (job and job.alive):
            return self._whole(kb)
        return self._job_view(job)

    def run(self, kb: str | None, questions: str | None, model: str) -> View:
        """Put the questions of a set to a knowledge base, as a job; while one runs, that is the one that is shown."""
        if self.core.public:  # the button is there, and anyone can call this without it
            return _said(self.words("evaluate.public"))
        if not kb or not questions:
            return _said(self.words("evaluate.noset" if kb else "evaluate.nokb"))
        try:
            running = self._job(kb)
            if running and running.alive:
                inform(self.words("evaluate.running"))
            self.core.evaluate(kb, questions, known(self.words, self.core, model))
        except KBError as error:
            return _said(str(error))
        return self._job_view(self._job(kb))._replace(
            first=gr.Button(visible=False), go=gr.Button(interactive=False, variant="primary")
        )

    def run_first(self) -> View:
        """The questions that came with InternKB, asked of the knowledge base about it."""
        view = self.run(GUIDE, GUIDE, LIVE)
        if view == View():
            return view
        return view._replace(kb=gr.Dropdown(choices=self.core.names(), value=GUIDE), sets=self.sets.choices(GUIDE))

    # What several of them need

    def _job(self, kb: str | None) -> Job | None:
        jobs = self.core.evaluations(kb) if kb else []
        return jobs[0] if jobs else None

    def _job_view(self, job: Job | None) -> View:
        alive = bool(job and job.alive)
        return View(
            job=carry(self.buttons.card(job)) if job else "",
            seen=job_card.mark(job),
            timer=gr.Timer(active=alive),
            go=gr.Button(interactive=not alive),
        )

    def _whole(self, kb: str | None) -> View:
        words, every, job = self.words, self.core.runs(), self._job(kb)
        own = [info for info in every if info.kb == kb]
        view = View(results=gr.Column(visible=False), case="")
        if own:
            try:
                view = self.results.view(own[0])
            except KBError as error:  # a damaged report; the others can still be looked at
                warn(str(error))
        about = words("evaluate.none", kb=kb or "") if every else words("evaluate.empty")
        fresh = not every and GUIDE in self.core.names() and not self.core.public and not (job and job.alive)
        upper = self._job_view(job)
        return view._replace(
            head=carry(
                el("div", el("h2", words("evaluate.title")), el("p", words("evaluate.about") if own else about), class_="totals")
            ),
            first=gr.Button(visible=fresh),
            sets=self.sets.choices(own[0].questions if own else GUIDE),
            answers=gr.Dropdown(choices=choices(words, self.core, live=True), value=LIVE),
            go=gr.Button(interactive=not (job and job.alive), variant="secondary" if fresh else "primary"),
            job=upper.job,
            seen=upper.seen,
            timer=upper.timer,
        )


def _said(sentence: str) -> View:
    warn(sentence)
    return View()
