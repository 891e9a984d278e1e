"""How a training goes and what came of it, as HTML: where it stands, curves, sample answers, models, before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ui import plots
from ui.render import Child, Html, el, icon, join, link
from ui.words import Words

if TYPE_CHECKING:
    from finetune import Pair, Point, Sample, Tune
    from kb import Card

_FEW = 2
_HASH = 12  # characters of a hash that are shown


def state(words: Words, tune: "Tune", *, busy: bool, ready: bool, fixed: bool) -> Html:
    """Where it stands, and what can be done. `busy`: a job of it runs; `ready`: the tool is there."""
    stands = "running" if busy else tune.state
    said = words(f"tune.said.{stands}", done=f"{tune.iteration:,}", total=f"{tune.total:,}")
    changed = el("p", words("tune.said.changed"), class_="minor") if tune.changed and not busy else None
    error = el("p", icon("warning"), el("span", tune.error), class_="failure") if tune.error and not busy else None
    needed = el("p", words("tool.needed"), class_="minor") if not ready and not busy else None
    acts = el("div", _acts(words, tune), class_="acts") if not (fixed or busy) and ready else None
    return el("div", el("p", said), changed, error, needed, acts, class_="train-state")


def _acts(words: Words, tune: "Tune") -> list[Child]:
    name = quote(tune.name, safe="")
    over = link(f"#confirm:start-over:{name}", words("tune.over"), class_="tool")
    if tune.changed or not (tune.checkpoints or tune.state in ("trained", "merged")):
        return [link(f"#do:train:{name}", words("tune.go"), class_="button primary")]
    if tune.state in ("trained", "merged"):
        return [over]
    goon = words("tune.goon", at=f"{tune.checkpoints[-1].iteration:,}")
    return [link(f"#do:train:{name}", goon, class_="button primary"), over]


def curves(words: Words, points: "Sequence[Point]") -> Html:
    """Loss and learning rate, live."""
    losses = [(point.iteration, point.loss) for point in points if point.loss is not None]
    bad = sum(point.nan for point in points)
    nan = el("p", icon("warning"), words("tune.nan", count=bad), class_="room bad") if bad else None
    if len(losses) < _FEW:
        return join(el("p", words("tune.curve.few"), class_="minor"), nan) if points else join(nan)
    values = [loss for _, loss in losses]
    at, last = losses[-1]
    rates = [(point.iteration, point.lr) for point in points]
    return el(
        "div",
        _plot(words("tune.loss"), words("tune.loss.now", value=f"{last:.3g}", at=f"{at:,}"), losses, min(0, *values)),
        _plot(words("tune.lr.curve"), words("tune.loss.now", value=f"{rates[-1][1]:.2e}", at=f"{at:,}"), rates, 0),
        nan,
        class_="curves",
    )


def _plot(title: str, said: str, at: Sequence[tuple[float, float]], low: float) -> Html:
    high = max(y for _, y in at)
    drawn = plots.curve(at, low, high if high > low else low + 1, (f"{low:.3g}", f"{high:.3g}"))
    return el("div", el("div", el("strong", title), el("span", said), class_="curve-head"), drawn, class_="curve")


def samples(words: Words, every: "Sequence[Sample]") -> Html:
    """The latest answers and the first ones; those in between folded."""
    if not every:
        return join()
    rounds: dict[int, list[tuple[str, str]]] = {}
    for one in every:
        rounds.setdefault(one.iteration, []).append((one.prompt, one.answer))
    steps = sorted(rounds, reverse=True)
    between = steps[1:-1]
    folded = None
    if between:
        inner = [_round(words, at, rounds[at]) for at in between]
        folded = el("details", el("summary", words("tune.samples.earlier", count=len(between))), inner)
    shown = [_round(words, steps[0], rounds[steps[0]]), folded]
    if len(steps) > 1:
        shown.append(_round(words, steps[-1], rounds[steps[-1]]))
    return el("div", el("h4", words("tune.samples")), shown, class_="samples", id="tune-sample-answers")


def _round(words: Words, at: int, asked: Sequence[tuple[str, str]]) -> Html:
    when = words("tune.samples.at", at=f"{at:,}") if at else words("tune.samples.before")
    rows = [el("div", el("dt", prompt), el("dd", answer or words("tune.silent"))) for prompt, answer in asked]
    return el("div", el("p", when, class_="minor"), el("dl", rows), class_="round")


def result(words: Words, tune: "Tune", cards: "Sequence[Card]", pairs: "Sequence[Pair]", live: str, *, free: bool) -> Html:
    """Models that were made of it, newest first, then the answers before and after. `free`: something may be started."""
    if not cards:
        said = None if tune.checkpoints else el("p", words("tune.result.none"), class_="minor")
        return join(said)
    rows = [_model(words, card, live=card.name == live, free=free) for card in reversed(cards)]
    compare = link(f"#do:compare-tune:{quote(tune.name, safe='')}", words("tune.compare"), class_="button") if free else None
    return join(
        el("ul", rows, class_="models"),
        el("div", compare, class_="acts compare-acts") if compare else None,
        _pairs(words, tune.recipe.base, tune.models[-1], pairs) if pairs else None,
    )


def _model(words: Words, card: "Card", *, live: bool, free: bool) -> Html:
    how = card.how
    recipe: dict[str, Any] = how.get("recipe") or {}
    line = words("tune.model.line", base=", ".join(card.made_from), iterations=f"{how.get('iteration', 0):,}",
                 method={"lora": "LoRA", "qlora": "QLoRA"}.get(str(recipe.get("method")), "?"), rank=recipe.get("rank", "?"),
                 lr=recipe.get("lr", "?"))  # fmt: skip
    data = words("tune.model.data", hash=str(how.get("data_sha256", ""))[:_HASH])
    use = link(f"#do:use-tuned:{quote(card.name, safe='')}", words("tune.use"), class_="button")
    return el(
        "li",
        el(
            "div",
            el("h4", card.name),
            el("span", words("models.live"), class_="badge live") if live else None,
            class_="model-head",
        ),
        el("p", line, class_="minor"),
        el("p", data, class_="minor"),
        el("div", use, class_="acts") if free and not live else None,
        class_="model live" if live else "model",
    )


def _pairs(words: Words, base: str, model: str, pairs: "Sequence[Pair]") -> Html:
    rows = [
        el(
            "div",
            el("p", pair.prompt, class_="asked"),
            el("div", _said(words, "before", base, pair.before), _said(words, "after", model, pair.after), class_="two"),
            class_="pair",
        )
        for pair in pairs
    ]
    return el("div", rows, class_="pairs")


def _said(words: Words, which: str, model: str, text: str) -> Html:
    said = words(f"tune.{which}", model=model)
    return el("div", el("p", said, class_="minor"), el("p", text or words("tune.silent"), class_="answer-text"), class_=which)
