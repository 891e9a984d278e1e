"""A job as a card: what it does, how far it is, how long it will take, its log."""

import time

from kb import Job, Progress
from ui.render import Html, el, icon, link
from ui.words import WORDS, Words

LOG_LINES = 40


def card(words: Words, job: Job, cancel_verb: str = "cancel-job") -> Html:
    """Redrawn from the job's folder each time, so that it survives a reload of the page and a restart of the app."""
    running = job.state in ("starting", "running")
    cancel = link(f"#confirm:{cancel_verb}:{job.id}", words("job.cancel"), class_="tool cancel") if running else None
    log = job.tail(LOG_LINES)
    return el(
        "div",
        el(
            "div",
            el("span", class_="pulse") if running else icon(job.state),
            el("strong", _headline(words, job)),
            cancel,
            class_="job-head",
        ),
        bar(job.progress) if running else None,
        el("div", _figures(words, job.progress), class_="figures")
        if running and job.progress and _counts(job.progress)
        else None,
        el("details", el("summary", words("job.log")), el("pre", log)) if log else None,
        class_=f"job job-{job.state}",
        id=f"job-{job.id}",
    )


def mark(job: Job | None) -> str:
    """What tells whether the card has to be drawn anew."""
    return f"{job.id}:{job.state}" if job else ""


def _headline(words: Words, job: Job) -> str:
    if job.state == "running" and job.progress:
        return words(f"stage.{job.progress.stage}") if f"stage.{job.progress.stage}" in WORDS else job.progress.stage
    said = words(f"job.{job.state}")
    if job.ended is None:
        return said
    return f"{said} · {ago(words, job.ended)} · {words('job.took', seconds=duration(words, job.ended - job.started))}"


def bar(progress: Progress | None) -> Html:
    if progress and progress.total > 1:
        return el("progress", "", value=min(progress.done, progress.total), max=progress.total)
    return el("progress", "")  # no value: moving, without saying how far


def _figures(words: Words, progress: Progress) -> list[Html]:
    unit = words(f"unit.{progress.unit}") if f"unit.{progress.unit}" in WORDS else words("unit.other", unit=progress.unit)
    parts = [f"{progress.done:,} / {progress.total:,} {unit}" if progress.total else f"{progress.done:,} {unit}"]
    if progress.rate > 0:
        parts.append(words("job.rate", rate=f"{progress.rate:,.0f}" if progress.rate >= 10 else f"{progress.rate:.1f}"))
    if progress.left is not None:
        parts.append(words("job.left", left=duration(words, progress.left)))
    return [el("span", part) for part in parts]


def _counts(progress: Progress) -> bool:
    """Whether the figures say more than the name of the stage: "0 / 1 generations" does not."""
    return progress.total > 1 or progress.done > 1


def duration(words: Words, seconds: float) -> str:
    """A length of time, as precise as it matters."""
    if seconds < 10:
        return words("time.seconds", n=f"{max(seconds, 0):.1f}".removesuffix(".0"))
    if seconds < 90:
        return words("time.seconds", n=round(seconds))
    if seconds < 90 * 60:
        return words("time.minutes", n=round(seconds / 60))
    return words("time.hours", n=f"{seconds / 3600:.1f}")


def ago(words: Words, when: float) -> str:
    """How long ago something happened; a date when it is more than a day."""
    passed = time.time() - when
    if passed < 60:
        return words("time.ago.now")
    if passed < 3600:
        return words("time.ago.minutes", n=round(passed / 60))
    if passed < 24 * 3600:
        return words("time.ago.hours", n=round(passed / 3600))
    return words("time.date", date=time.strftime("%Y-%m-%d", time.localtime(when)))


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
