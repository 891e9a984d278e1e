"""The environment of a tool: what state it is in, and a button that makes it."""

from kb import Job
from kb.tools import Tool
from ui.job_card import duration, size
from ui.render import Html, el, link
from ui.words import WORDS, Words

_TITLES = {"xtuner": "XTuner"}


def row(words: Words, tool: Tool, card: Html | None, *, fixed: bool) -> Html:
    """`card`: of the job that installs it, if there is one to show. `fixed` leaves the button out."""
    ready = tool.state == "ready"
    takes = words("tool.takes", size=size(tool.bytes), licence=tool.licence, time=duration(words, tool.seconds))
    why = words(f"tool.why.{tool.state}") if f"tool.why.{tool.state}" in WORDS else tool.detail
    button = words("tool.install" if tool.state == "absent" else "tool.reinstall")
    act = None
    if not fixed and tool.state in ("absent", "outdated", "broken"):
        act = link(f"#do:install-tool:{tool.name}", button, class_="button")
    state = words(f"tool.state.{tool.state}")
    return el(
        "div",
        el(
            "div",
            el(
                "div",
                el("strong", _TITLES.get(tool.name, tool.name)),
                el("span", f"{state} {tool.detail}".strip() if ready else state, class_="badge live" if ready else "badge"),
                el("span", words("tool.about"), class_="minor"),
                class_="tool-name",
            ),
            None if ready else el("p", " ".join(filter(None, (why, takes))), class_="minor"),
            class_="tool-said",
        ),
        act,
        card,
        class_=f"tool-row tool-{tool.state}",
    )


def shown(job: Job | None, tool: Tool) -> bool:
    """Whether the card of the last installation says something that the row does not."""
    return job is not None and (job.alive or (job.state != "done" and tool.state != "ready"))
