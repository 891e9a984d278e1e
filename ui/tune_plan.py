"""What a recipe comes to, as HTML: its faults, its memory, its schedule, what will run."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ui.job_card import size
from ui.render import Html, code, el, icon, join
from ui.words import WORDS, Words

if TYPE_CHECKING:
    from finetune import Estimate, Plan, Remark, Schedule


def fault(words: Words, remark: "Remark") -> str:
    """One sentence about a field of the recipe."""
    values = dict(remark.values)
    if remark.code == "range":
        empty = math.isnan(values["value"])
        values["what"] = words(f"tune.{values.pop('name')}")
        values["value"] = words("tune.fault.empty") if empty else values["value"]
    return words(f"tune.fault.{remark.code}", **values)


def faults(words: Words, found: "Mapping[str, Remark]", fields: Sequence[str]) -> Html:
    """The sentences about some fields, to stand below these."""
    return join(*(el("p", fault(words, found[name]), class_="fault") for name in fields if name in found))


def warning(words: Words, remark: "Remark", memory: "Estimate") -> str:
    """A warning of the plan in the page's language."""
    if remark.code == "memory":
        return " ".join(filter(None, (words("tune.memory.not"), advice(words, memory))))
    values = {name: f"{value:,}" if isinstance(value, int) else value for name, value in remark.values.items()}
    return words(f"tune.warning.{remark.code}", **values) if f"tune.warning.{remark.code}" in WORDS else str(remark)


def advice(words: Words, memory: "Estimate") -> str:
    """What helps where the memory is not enough."""
    change = memory.advice.values.get("change", ())
    said = words("tune.change.or").join(words(f"tune.change.{field}") for field in change)
    return words("tune.change.said", what=said) if said else ""


def plan(words: Words, made: "Plan") -> Html:
    """Warnings, then memory and schedule beside each other."""
    warnings = [el("li", icon("warning"), el("span", warning(words, one, made.memory))) for one in made.warnings]
    return el(
        "div",
        el("ul", warnings, class_="warnings") if warnings else None,
        el("div", _memory(words, made.memory), _schedule(words, made.schedule), class_="plan-two"),
        class_="plan",
    )


def _memory(words: Words, memory: "Estimate") -> Html:
    head = el("h4", words("tune.memory"))
    if memory.fits is None:
        return el("div", head, el("p", words("tune.memory.unknown"), class_="minor"), class_="plan-memory")
    device = words("tune.memory.ram") if memory.device == "RAM" else memory.device
    said = words("tune.memory.said", needs=size(memory.total), free=size(memory.available), device=device)
    whole = max(memory.total, memory.available, 1)
    left, slices = 0.0, []
    for number, part in enumerate(memory.parts):
        wide = 100 * part.bytes / whole
        slices.append(
            el(
                "span",
                class_=f"fill part-{number % 8}",
                title=f"{words(f'tune.part.{part.code}')}: {size(part.bytes)}",
                style=f"left:{left:.2f}%;width:{wide:.2f}%",
            )
        )
        left += wide
    limit = 100 * memory.available / whole
    free = el("span", class_="limit", style=f"left:{limit:.2f}%") if not memory.fits else None
    rows = [
        el(
            "div",
            el("span", class_=f"swatch part-{number % 8}"),
            el("dt", words(f"tune.part.{part.code}")),
            el("dd", size(part.bytes)),
        )
        for number, part in enumerate(memory.parts)
    ]
    return el(
        "div",
        head,
        el("p", said, class_="minor" if memory.fits else "minor over"),
        el("span", slices, free, class_="track parts"),
        el("dl", rows, class_="parts-list"),
        class_="plan-memory",
    )


def _schedule(words: Words, one: "Schedule") -> Html:
    every = (
        ("sequences", one.sequences),
        ("per_epoch", one.per_epoch),
        ("total", one.total),
        ("warmup", one.warmup),
        ("steps", one.steps),
    )
    rows = [el("div", el("dt", words(f"tune.schedule.{name}")), el("dd", f"{value:,}")) for name, value in every]
    return el("div", el("h4", words("tune.schedule")), el("dl", rows, class_="parts-list"), class_="plan-schedule")


def commands(words: Words, lines: Sequence[str]) -> Html:
    """What runs, for eyes."""
    return el("div", el("p", words("tune.exact.commands"), class_="minor"), code("\n".join(lines)))
