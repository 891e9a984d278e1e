"""A run as HTML: the figures that matter as tiles, the parts of the set as a table and as bars, the history of a figure."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from eval import Run, RunInfo
from ui import plots
from ui.job_card import ago, duration
from ui.render import Html, el, join
from ui.words import WORDS, Words

TILES = (
    *("hit@1", "hit@5", "mrr@10", "citation_document_precision"),
    *("answer_key", "refusal_f1", "false_refusal_rate", "latency_p95_ms"),
)
BARS = ("hit@1", "hit@5", "mrr@10")
MAX_PARTS = 24
_PLAIN = ("mrr@10", "ndcg@10", "refusal_f1", "f1", "refusal_roc_auc", "refusal_best_f1")  # no shares: shown as they are

Intervals = Mapping[str, tuple[float, float] | None]


def metric(words: Words, name: str) -> str:
    """What a metric is called; those that only some sets have by their own name."""
    head, _, category = name.partition("refusal_recall_")
    if category and not head:
        return f"{words('metric.refusal_recall')}: {category}"
    return words(f"metric.{name}") if f"metric.{name}" in WORDS else name


def part(words: Words, name: str) -> str:
    """What a part of a set is called."""
    return words(f"slice.{name}") if f"slice.{name}" in WORDS else name


def figure(name: str, value: float | None, *, sign: bool = False) -> str:
    """A value as people read it; `sign`: a difference."""
    if value is None:
        return "–"
    if name.endswith("_ms"):
        shown = f"{value / 1000:+.1f} s" if abs(value) >= 10_000 else f"{value:+,.0f} ms"
    else:
        shown = f"{value:+.2f}" if name in _PLAIN else f"{100 * value:+.0f} %"
    if not sign or not re.search("[1-9]", shown):
        return shown[1:]
    return shown.replace("-", "−")


def moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def run_label(info: RunInfo) -> str:
    """A run in a list of choices."""
    return f"{moment(info.started)} · {info.questions.removesuffix('.jsonl')} · {info.total}"


def said(words: Words, run: Run) -> Html:
    """What was asked of what, when."""
    header = run.header
    settings = header["settings"]
    quotes = settings.get("answers") not in ("endpoint", "model")
    answers = words("evaluate.quotes") if quotes else str(settings.get("model") or settings.get("endpoint_model", "endpoint"))
    sentence = words(
        "evaluate.said",
        cases=f"{header['cases']:,}",
        questions=header["questions"],
        generation=header["generation"],
        answers=answers,
        when=ago(words, header["started"]).strip(),
        seconds=duration(words, header.get("ended", header["started"]) - header["started"]),
    )
    return el("p", sentence, class_="run-said")


def report(words: Words, run: Run, by_part: Mapping[str, Intervals]) -> Html:
    """The whole report; `by_part`: the intervals of BARS for each part."""
    return join(
        said(words, run),
        el("div", [_tile(words, name, run) for name in TILES], class_="tiles"),
        problems(words, run.problems),
        el("h4", words("evaluate.slices")),
        _bars(words, run, by_part),
        _table(words, run),
    )


def _tile(words: Words, name: str, run: Run) -> Html:
    value, between = run.overall.get(name), run.intervals.get(name)
    about = words(f"metric.{name}.about")
    interval = words("evaluate.interval", low=figure(name, between[0]), high=figure(name, between[1])) if between else "–"
    return el(
        "div",
        el("div", metric(words, name), class_="tile-name"),
        el("div", figure(name, value), class_="tile-value"),
        el("div", interval if value is not None else "–", class_="tile-interval"),
        el("div", about, class_="tile-about"),
        class_="tile",
    )


def problems(words: Words, found: Sequence[object]) -> Html | None:
    """Rows of a set that cannot be used, the first of them by name."""
    if not found:
        return None
    more = el("li", words("evaluate.more", count=f"{len(found) - MAX_PARTS:,}")) if len(found) > MAX_PARTS else None
    listed = el("ul", [el("li", str(one)) for one in found[:MAX_PARTS]], more)
    return el("div", el("p", words("evaluate.problems", count=f"{len(found):,}")), listed, class_="problems")


def _parts(words: Words, run: Run) -> list[tuple[str, str, dict[str, Any]]]:
    """(code, name, figures) of the whole and its parts."""
    parts = list(run.metrics["slices"].items())[:MAX_PARTS]
    return [("", words("evaluate.overall"), run.overall), *((code, part(words, code), figures) for code, figures in parts)]


def _bars(words: Words, run: Run, by_part: Mapping[str, Intervals]) -> Html | None:
    groups = []
    for code, name, figures in _parts(words, run):
        between = by_part.get(code, {}) if code else run.intervals
        rows = [
            plots.bar(plots.Point(metric(words, one), value, between.get(one), figure(one, value)))
            for one in BARS
            if (value := figures.get(one)) is not None
        ]
        if rows:
            head = el("div", el("strong", name), el("small", f"{figures['cases'] or 0:,.0f}"), class_="bars-head")
            groups.append(el("div", head, rows, class_="bars"))
    return el("div", el("p", words("evaluate.plot"), class_="minor"), el("div", groups, class_="bar-groups")) if groups else None


def _table(words: Words, run: Run) -> Html:
    shown = [name for name in TILES if run.overall.get(name) is not None]
    names = [el("th", metric(words, name)) for name in shown]
    head = el("tr", el("th", words("evaluate.slice")), el("th", words("evaluate.cases.count")), names)
    rows = [
        el(
            "tr",
            el("td", name),
            el("td", f"{figures['cases'] or 0:,.0f}"),
            [el("td", figure(one, figures.get(one))) for one in shown],
        )
        for _, name, figures in _parts(words, run)
    ]
    return el("div", el("table", el("thead", head), el("tbody", rows), class_="numbers"), class_="scroll")


def history(words: Words, name: str, runs: Sequence[Run]) -> Html:
    """One figure over runs of the same questions, the oldest first."""
    points = [
        plots.Point(moment(run.header["started"]), value, run.intervals.get(name), figure(name, value))
        for run in runs
        if (value := run.overall.get(name)) is not None
    ]
    if len(points) < 2:
        return el("p", words("evaluate.history.one"), class_="empty")
    highest = max(max(point.value, *(point.between or (0.0,))) for point in points)
    top = highest * 1.1 if name.endswith("_ms") else 1.0
    about = el("p", words("evaluate.history.said", count=len(points)), class_="minor")
    return join(about, plots.line(points, top, figure(name, top)))
