"""Two runs of the same questions side by side, and the questions that were won and lost."""

from collections.abc import Mapping, Sequence

from eval import Comparison, Difference
from ui.render import Html, el, join, link
from ui.report import figure, metric
from ui.words import Words

MAX_MOVED = 50


def table(words: Words, comparison: Comparison, a: str, asked: Mapping[str, tuple[int, str]]) -> Html:
    """`a`: what the first run is called; `asked`: id → (place in the second run, question)."""
    known = [one for one in comparison.differences if one.difference is not None]
    titles = (words("evaluate.difference"), words("evaluate.between"), "p", words("evaluate.wlt"))
    head = el("tr", [el("th", title) for title in (words("evaluate.metric"), "A", "B", *titles)])
    body = el("tbody", [_row(words, one) for one in known])
    said = words("evaluate.compare.said", a=a, cases=f"{comparison.cases:,}")
    moved = [_moved(words, one, asked) for one in known if (one.won or one.lost) and not one.metric.endswith("_ms")]
    return join(
        el("p", said, class_="minor"),
        el("div", el("table", el("thead", head), body, class_="numbers"), class_="scroll"),
        join(*moved) if moved else el("p", words("evaluate.same"), class_="empty"),
    )


def _row(words: Words, one: Difference) -> Html:
    name = one.metric
    between = f"{figure(name, one.interval[0], sign=True)} … {figure(name, one.interval[1], sign=True)}" if one.interval else "–"
    sure = one.interval is not None and (one.interval[0] > 0 or one.interval[1] < 0)
    return el(
        "tr",
        el("td", metric(words, name)),
        el("td", figure(name, one.a)),
        el("td", figure(name, one.b)),
        el("td", figure(name, one.difference, sign=True), class_=("worse" if one.dropped else "better") if sure else None),
        el("td", between),
        el("td", "–" if one.p is None else f"{one.p:.3f}"),
        el("td", f"{len(one.won)} / {len(one.lost)} / {one.ties}"),
    )


def _moved(words: Words, one: Difference, asked: Mapping[str, tuple[int, str]]) -> Html:
    title = words("evaluate.moved", metric=metric(words, one.metric), won=len(one.won), lost=len(one.lost))
    return el(
        "details",
        el("summary", title),
        _listed(words("evaluate.won"), one.won, asked),
        _listed(words("evaluate.lost"), one.lost, asked),
        class_="moved",
    )


def _listed(title: str, ids: Sequence[str], asked: Mapping[str, tuple[int, str]]) -> Html | None:
    known = [asked[id_] for id_ in ids[:MAX_MOVED] if id_ in asked]
    if not known:
        return None
    rows = [el("li", link(f"#do:case:{n}", question, class_="case-link")) for n, question in known]
    return join(el("h4", title), el("ul", rows))
