"""A job as a card: what it does, how far it is, how long it will take, its log, and what can be done about it."""

import time

from kb import Job, Progress
from ui.render import Child, Html, el, icon, link
from ui.words import WORDS, Words

LOG_LINES = 40
_AGAIN = ("failed", "cancelled", "lost")  # paused ones are resumed


def card(words: Words, job: Job, tab: str, *, fixed: bool = False) -> Html:
    """Redrawn from the job's folder each time, so that it survives a reload of the page and a restart of the app.

    `tab` is where its buttons lead (job_tab.py); `fixed` leaves them out.
    """
    log = job.tail(LOG_LINES)
    acts = None if fixed else el("span", _acts(words, job, tab), class_="job-acts")
    return el(
        "div",
        el("div", _sign(job), el("strong", headline(words, job)), acts, class_="job-head"),
        bar(job.progress) if job.state in ("starting", "running") else None,
        el("div", _figures(words, job.progress), class_="figures")
        if job.state == "running" and job.progress and _counts(job.progress)
        else None,
        _why(words, job, log),
        el("details", el("summary", words("job.log")), el("pre", log)) if log else None,
        class_=f"job job-{job.state}",
        id=f"job-{job.id}",
    )


def _sign(job: Job) -> Html:
    return el("span", class_="pulse") if job.alive else icon(job.state)


def _acts(words: Words, job: Job, tab: str) -> list[Child]:
    if job.alive:
        cancel = link(f"#confirm:cancel-{tab}:{job.id}", words("job.cancel"), class_="tool cancel")
        pause = link(f"#do:pause-{tab}:{job.id}", words("job.pause"), class_="tool pause")
        return [pause, cancel] if job.can_pause and job.state == "running" else [cancel]
    if job.state == "paused":
        return [link(f"#do:again-{tab}:{job.id}", words("job.resume"), class_="tool again")]
    return [link(f"#do:again-{tab}:{job.id}", words("job.again"), class_="tool again")] if job.state in _AGAIN else []


def _why(words: Words, job: Job, log: str) -> Html | None:
    """The sentence it failed with, which is the last line of its log."""
    if job.state != "failed":
        return None
    if job.signal:
        return el("p", words("job.killed", signal=job.signal), class_="failure")
    said = log.rpartition("\n")[2].strip()
    return el("p", said, class_="failure") if said else None


def mark(job: Job | None) -> str:
    """What tells whether the card has to be drawn anew."""
    return f"{job.id}:{job.state}" if job else ""


def headline(words: Words, job: Job) -> str:
    """What it is at, or how it ended and when."""
    if job.state == "running" and job.progress:
        stage = job.progress.stage
        known = (key for key in (f"stage.{job.kind}.{stage}", f"stage.{stage}") if key in WORDS)
        return next((words(key) for key in known), stage)
    if job.state == "waiting" and job.waits_for:
        return words("job.waits", title=job.waits_for)
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
