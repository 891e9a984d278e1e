"""What can answer, as HTML: the memory there is, a card an entry, a swap under way. All of it is text from disk."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kb import Job
from ui import job_card
from ui.job_card import duration, size
from ui.model_core import Task
from ui.render import Child, Html, el, icon, join, link, web_link
from ui.words import WORDS, Words

if TYPE_CHECKING:
    from kb import Card
    from kb.serving import Entry, Memory

_BILLION, _MILLION = 1e9, 1e6
_STEPS = {"Loading": "loading", "Asking": "asking", "Waiting": "waiting"}  # how kb.serving begins to tell of each
_ORDER = {"memory": 0, "endpoint": 1, "quotes": 2}
_NO_STEP = ("merge", "quantise", "endpoint")  # origins that the step tells


def memory(words: Words, there: "Memory") -> Html:
    """How much memory models have, how much InternKB has taken of it, and how much others."""
    device = words(f"models.device.{there.device}") if f"models.device.{there.device}" in WORDS else there.device
    others = max(there.total - there.used - there.free, 0)
    own, rest = _share(there.used, there.total), _share(others, there.total)
    said = words("models.memory", used=size(there.used), total=size(there.total), free=size(there.free))
    return el(
        "div",
        el("div", el("strong", device), el("span", said), class_="memory-head"),
        el(
            "span",
            el("span", class_="fill", style=f"width: {own}"),
            el(
                "span",
                class_="fill others",
                style=f"left: {own}; width: {rest}",
            ),
            class_="track",
            title=said,
        ),
        class_="memory",
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * min(part / max(whole, 1), 1):.1f}%"


def task(words: Words, one: Task) -> Html:
    """A swap or a check: how far it is, or how it ended."""
    what = words(f"models.{one.what}.alive", name=one.name)
    if one.alive:
        return el(
            "div",
            el("div", el("span", class_="pulse"), el("strong", what), class_="job-head"),
            job_card.bar(one.progress),
            el("div", el("span", _stage(words, one.said)), class_="figures") if one.said else None,
            class_="job job-running",
        )
    if one.error:
        return el(
            "div",
            el("div", icon("warning"), el("strong", words(f"models.{one.what}.failed", name=one.name)), class_="job-head"),
            el("p", one.error, class_="failure"),
            class_="job job-failed",
        )
    if one.what == "check":
        problems = el("ul", [el("li", problem) for problem in one.problems], class_="model-problems") if one.problems else None
        said = words("models.check.bad" if one.problems else "models.check.good", name=one.name)
        shape = "job job-failed" if one.problems else "job job-done"
        head = el("div", icon("warning" if one.problems else "done"), el("strong", said), class_="job-head")
        return el("div", head, problems, class_=shape)
    return el(
        "div",
        el("div", icon("done"), el("strong", words("models.use.done", name=one.name)), class_="job-head"),
        el("div", [el("span", part) for part in _report(words, one)], class_="figures"),
        class_="job job-done",
    )


def _report(words: Words, one: Task) -> list[str]:
    swap = one.swap
    if swap is None:
        return []
    parts = [
        words("models.swap.took", seconds=duration(words, swap.seconds)),
        words("models.swap.memory", before=size(swap.used_before), after=size(swap.used_after), device=swap.device),
        words("models.swap.free", before=size(swap.free_before), after=size(swap.free_after)),
    ]
    return [*parts, words("models.swap.stopped")] if swap.stopped_first else parts


def _stage(words: Words, said: str) -> str:
    """Where a swap stands, in the page's language if it is one of the steps that are known."""
    if "stopped first" in said:
        return words("models.swap.stopping")
    return next((words(f"models.swap.{step}") for start, step in _STEPS.items() if said.startswith(start)), said)


def jobs(every: Sequence[Job], card: Callable[[Job], Html]) -> Html:
    """Models that are being added."""
    return join(*(el("div", el("p", job.title, class_="job-title"), card(job), class_="model-job") for job in every))


def cards(
    words: Words, entries: "Sequence[Entry]", there: "Memory", called: Callable[[str], str], *, fixed: bool, busy: bool
) -> Html:
    """All that can answer, the live one first. `fixed`: nothing may be changed here; `busy`: a swap or a check is under way."""
    none = all(entry.card is None for entry in entries)
    ordered = sorted(entries, key=lambda entry: (not entry.live, _ORDER[entry.kind]))
    return el(
        "div",
        el("div", el("p", words("models.none")), el("p", words("models.none.without")), class_="notice models-none")
        if none
        else None,
        el("ul", [_card(words, entry, there, called, fixed=fixed, busy=busy) for entry in ordered], class_="models"),
    )


def _card(words: Words, entry: "Entry", there: "Memory", called: Callable[[str], str], *, fixed: bool, busy: bool) -> Html:
    card = entry.card
    title = called(entry.name) or words("options.quotes")
    head = el(
        "div",
        el("h4", title),
        el("span", words("models.live"), class_="badge live") if entry.live else None,
        el("span", words(f"models.kind.{entry.kind}"), class_="badge"),
        class_="model-head",
    )
    body = [
        _about(words, entry),
        _facts(words, card) if card else None,
        _origin(words, card) if card else None,
        _room(words, entry, there),
    ]
    acts = None if fixed else _acts(words, entry, busy=busy)
    return el("li", head, body, acts, class_="model live" if entry.live else "model")


def _about(words: Words, entry: "Entry") -> Html | None:
    if entry.kind == "quotes":
        return el("p", words("models.about.quotes"), class_="minor")
    if entry.card is None:
        return el("p", words("models.about.settings"), class_="minor")
    if entry.card.endpoint:
        served = (words("models.served.as", model=entry.card.endpoint.model),) if entry.card.endpoint.model else ()
        return el("p", " · ".join((entry.card.endpoint.url, *served)), class_="minor path")
    return None


def _facts(words: Words, card: "Card") -> Html | None:
    every = (
        ("parameters", count(card.parameters)),
        ("size", size(card.bytes) if card.bytes else ""),
        ("dtype", card.dtype),
        ("quantization", card.quantization),
        ("context", words("models.tokens", count=f"{card.context:,}") if card.context else ""),
        ("architecture", card.architecture),
        ("template", card.template),
        ("licence", card.licence),
    )
    known = [(name, value) for name, value in every if value]
    if not known or card.endpoint:
        return None
    return el(
        "dl",
        [el("div", el("dt", words(f"models.fact.{name}")), el("dd", value)) for name, value in known],
        class_="facts",
    )


def _origin(words: Words, card: "Card") -> Html:
    step = str(card.how.get("step", ""))
    parts: list[Child] = [] if card.endpoint or step in _NO_STEP else [_where(words, card.origin)]
    if card.made_from:
        parts.append(words("models.made_from", names=", ".join(card.made_from)))
    if f"models.step.{step}" in WORDS:
        parts.append(words(f"models.step.{step}", what=str(card.how.get("from") or card.how.get("tune") or "")).strip())
    if card.created:
        date = time.strftime("%Y-%m-%d", time.localtime(card.created))
        parts.append(el("span", words("models.created", date=date), class_="whole"))
    between: list[Child] = []
    for part in parts:
        between += [" · ", part] if between else [part]
    return el("p", *between, class_="minor origin")


def _where(words: Words, origin: str) -> Child:
    kind, _, rest = origin.partition(" ")
    id_, _, revision = rest.partition("@")
    at = f"@{revision[:8]}" if revision else ""
    if kind == "hub" and id_:
        return join(web_link(f"https://huggingface.co/{quote(id_)}", id_), at)
    if kind == "modelscope" and id_:
        return join(web_link(f"https://modelscope.cn/models/{quote(id_)}", id_), at, " · ModelScope")
    if kind == "folder" and rest:
        return words("models.origin.folder", folder=rest)
    return origin


def _room(words: Words, entry: "Entry", there: "Memory") -> Html | None:
    if entry.problem:
        return el("p", icon("warning"), el("span", entry.problem), class_="room bad")
    if entry.kind != "memory" or entry.live or not entry.needs:
        return None
    figures: dict[str, Any] = {"needs": size(entry.needs), "has": size(there.free)}
    if entry.fits is False:
        return el("p", icon("warning"), el("span", words("models.fits.not", **figures)), class_="room bad")
    return el("p", words("models.fits" if entry.fits else "models.fits.unknown", **figures), class_="room minor")


def _acts(words: Words, entry: "Entry", *, busy: bool) -> Html:
    name = quote(entry.name, safe="")
    acts: list[Child] = []
    if not entry.live and not busy:
        acts.append(link(f"#do:use-model:{name}", words("models.act.use"), class_="button"))
    if entry.card and not entry.card.endpoint and not busy:
        acts.append(link(f"#do:check-model:{name}", words("models.act.check"), class_="tool"))
    if entry.card and not entry.live:
        acts.append(link(f"#confirm:remove-model:{name}", words("models.act.remove"), class_="tool"))
    return el("div", acts, class_="acts")


def count(parameters: int) -> str:
    """A number of parameters for people: 1.9 B."""
    if parameters >= _BILLION:
        return f"{parameters / _BILLION:.1f} B"
    return f"{parameters / _MILLION:.1f} M" if parameters else ""
