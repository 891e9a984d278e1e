"""What earlier evaluations brought: a report, its questions, two runs compared, a figure over all of them."""

from typing import Any, NamedTuple

import gradio as gr

from eval import Run, RunInfo, compare_runs, read_questions, slice_intervals
from kb import KBError
from ui import cases, comparison, report
from ui.board import board
from ui.core import Core
from ui.fields import HERE
from ui.notice import warn
from ui.render import carry, el
from ui.words import Words

SKIP = gr.skip()
_HISTORY = 30  # runs in the line, at most


class View(NamedTuple):
    """The outputs of the whole tab's handlers; what is left out stays as it is."""

    kb: Any = SKIP
    head: Any = SKIP
    first: Any = SKIP
    sets: Any = SKIP
    answers: Any = SKIP
    go: Any = SKIP
    job: Any = SKIP
    seen: Any = SKIP
    timer: Any = SKIP
    results: Any = SKIP
    runs: Any = SKIP
    report: Any = SKIP
    which: Any = SKIP
    cases: Any = SKIP
    case: Any = SKIP
    other: Any = SKIP
    compared: Any = SKIP
    history: Any = SKIP


class Results:
    """Draws the lower part of the tab in one language and wires it."""

    def __init__(self, core: Core, words: Words) -> None:
        self.core = core
        self.words = words
        self._by_part: dict[tuple[str, float], dict[str, Any]] = {}  # (folder, start) of a run → intervals of its parts

    def build(self, value: gr.Textbox, upper: list[Any]) -> list[Any]:
        """Draw into the present Blocks context; `value` is that of a clicked link. Returns the components of a View.

        `upper` are the first of these, which the tab has drawn itself.
        """
        with gr.Column(visible=False, elem_id="eval-results") as results:
            runs = self._shelf("evaluate.report", "evaluate.runs", "eval-runs")
            shown = board(elem_id="report")
            which = self._shelf("evaluate.cases", "evaluate.filter", "eval-filter")
            table = board(elem_id="eval-cases")
            other = self._shelf("evaluate.compare", "evaluate.compare.with", "eval-other")
            compared = board(elem_id="compared")
            metric = self._shelf("evaluate.history", "evaluate.metric", "eval-metric")
            metric.choices = [(report.metric(self.words, name), name) for name in report.TILES]
            metric.value = report.TILES[0]
            history = board(elem_id="eval-history")
        case = board(elem_id="case")
        view = [*upper, results, runs, shown, which, table, case, other, compared, history]
        runs.input(self.choose, [runs, metric], view, **HERE)
        which.input(self.filter, [runs, which], [table], **HERE)
        gr.Button(visible="hidden", elem_id="do-case").click(self.open_case, [value, runs], [case], **HERE)
        other.input(self.compare, [runs, other], [compared], **HERE)
        metric.input(self.follow, [runs, metric], [history], **HERE)
        return view

    def _shelf(self, title: str, label: str, elem_id: str) -> gr.Dropdown:
        with gr.Row(elem_classes="shelf-head"):
            board(el("h3", self.words(title)))
            return gr.Dropdown([], label=self.words(label), show_label=False, container=False, filterable=False, elem_id=elem_id)

    # Handlers

    def choose(self, run: str | None, metric: str) -> View:
        """Another run: its report, its questions, what it can be compared with."""
        try:
            return self.view(self.info(run), metric)
        except KBError as error:
            return _warned(str(error), View())

    def filter(self, run: str | None, which: str) -> Any:
        """The questions of a run of one kind."""
        try:
            return carry(cases.table(self.words, self._read(run), which if which in cases.FILTERS else "all"))
        except KBError as error:
            return _warned(str(error))

    def open_case(self, value: str, run: str | None) -> Any:
        """The question whose place in the run is `value`."""
        try:
            read, info = self._read(run), self.info(run)
            text = str(value or "")
            n = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else -1
            if not 0 <= n < len(read.scores):
                raise KBError(self.words("evaluate.nocase"))
        except KBError as error:
            return _warned(str(error))
        return carry(cases.opened(self.words, read, read_questions(info.folder), n, info.folder.name))

    def compare(self, run: str | None, other: str | None) -> Any:
        """The run that is shown against another one of the same questions."""
        if not other:
            return ""
        try:
            info, before = self.info(run), self.info(other)
            if info.sha256 != before.sha256:
                raise KBError(self.words("evaluate.norun"))
            read = self._read(run)
            found = compare_runs(self._read(other), read)
        except KBError as error:
            return _warned(str(error))
        lines = read.lines or {}
        asked = {one.id: (n, lines[one.id].question if one.id in lines else one.id) for n, one in enumerate(read.scores)}
        return carry(comparison.table(self.words, found, report.moment(before.started), asked))

    def follow(self, run: str | None, metric: str) -> Any:
        """One metric over the runs of the same knowledge base and questions."""
        try:
            return self._history(self.info(run), metric)
        except KBError as error:
            return _warned(str(error))

    # What several of them need

    def info(self, run: str | None) -> RunInfo:
        """Raises KBError for a run that is not there; `run` is only ever compared, never made into a path."""
        for info in self.core.runs():
            if info.folder.name == run:
                return info
        raise KBError(self.words("evaluate.norun"))

    def _read(self, run: str | None) -> Run:
        return self.core.run(self.info(run).folder)

    def view(self, info: RunInfo, metric: str = report.TILES[0]) -> View:
        """A run, drawn."""
        words, run, every = self.words, self.core.run(info.folder), self.core.runs()
        chosen = info.folder.name
        others = [
            (report.run_label(one) + ("" if one.kb == info.kb else f" · {one.kb}"), one.folder.name)
            for one in every
            if one.sha256 == info.sha256 and one.folder != info.folder
        ]
        hint = words("evaluate.compare.choose" if others else "evaluate.compare.none")
        return View(
            results=gr.Column(visible=True),
            runs=gr.Dropdown(
                choices=[(report.run_label(one), one.folder.name) for one in every if one.kb == info.kb], value=chosen
            ),
            report=carry(report.report(words, run, self._intervals(info, run))),
            which=gr.Dropdown(choices=cases.counts(words, run), value="all"),
            cases=carry(cases.table(words, run, "all")),
            case="",
            other=gr.Dropdown(choices=[(hint, ""), *others], value=""),
            compared="",
            history=self._history(info, metric),
        )

    def _intervals(self, info: RunInfo, run: Run) -> dict[str, Any]:
        """Drawn once a run: a bootstrap for each part takes its time where there are thousands of questions."""
        which = (info.folder.name, info.started)
        if which not in self._by_part:
            self._by_part[which] = slice_intervals(run.scores, report.BARS)
        return self._by_part[which]

    def _history(self, info: RunInfo, metric: str) -> str:
        same = [one for one in self.core.runs() if (one.kb, one.sha256) == (info.kb, info.sha256)]
        runs = [self.core.run(one.folder, texts=False) for one in reversed(same[:_HISTORY])]
        name = metric if metric in report.TILES else report.TILES[0]
        return carry(report.history(self.words, name, runs))


def _warned(sentence: str, view: Any = SKIP) -> Any:
    warn(sentence)
    return view
