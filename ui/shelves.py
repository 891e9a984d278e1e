"""The library as HTML: totals, sources, the list of documents, and what was left out."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from kb.records import PROBLEMS, Skipped, Source
from ui.job_card import ago, duration, size
from ui.render import Html, el, icon, join, link
from ui.transcript import place
from ui.words import WORDS, Words

MAX_ROWS = 200


def totals(words: Words, name: str, manifest: Any) -> Html:
    """The heading of the page; `manifest` is None for a base that was never indexed."""
    known = el("span", name, hidden=True, class_="kb-name") if name else None  # page.js puts it into the address
    if manifest is None:
        return el("div", known, el("h2", name or words("library.title")), class_="totals")
    said = words(
        "library.totals",
        documents=f"{manifest.documents:,}",
        chunks=f"{manifest.chunks:,}",
        bytes=size(manifest.bytes),
        when=ago(words, manifest.created),
        seconds=duration(words, manifest.seconds),
    )
    return el(
        "div",
        known,
        el("h2", name),
        el("p", said),
        el("p", words("library.model", model=manifest.model), class_="minor"),
        _last_run(words, manifest.report),
        class_="totals",
    )


def _last_run(words: Words, report: dict[str, Any]) -> Html | None:
    """What the run did that made the live generation, folded away; None where there is no report, as of an imported base."""
    if "seconds" not in report:
        return None
    counts = {name: f"{report[name]:,}" for name in ("added", "changed", "moved", "removed", "unchanged")}
    embedded, reused = report["embedded"], report["reused"]
    chunks = words("library.run.chunks", embedded=f"{embedded:,}", reused=f"{reused:,}")
    if embedded and report["seconds"].get("embed"):
        chunks += " · " + words("library.run.rate", rate=f"{embedded / report['seconds']['embed']:,.0f}")
    longest = max(report["seconds"].values(), default=0)
    stages = [
        join(
            el("span", words(f"stage.{stage}") if f"stage.{stage}" in WORDS else stage),
            el("progress", "", value=round(1000 * seconds), max=round(1000 * longest)),
            el("span", duration(words, seconds)),
        )
        for stage, seconds in report["seconds"].items()
    ]
    return el(
        "details",
        el("summary", words("library.run")),
        el("p", words("library.run.rebuilt", why=report["rebuilt"])) if report["rebuilt"] else None,
        el("p", words("library.run.files", **counts)),
        el("p", chunks),
        el("div", stages, class_="stages") if longest else None,
        class_="last-run",
    )


def sources(words: Words, listed: Sequence[Source], *, fixed: bool) -> Html:
    """The folders and files; `fixed` leaves out the buttons that change them."""
    if not listed:
        return el("p", words("library.sources.none"), class_="empty")
    return el("ul", [_source(words, one, fixed) for one in listed], class_="sources")


def _source(words: Words, one: Source, fixed: bool) -> Html:
    which = quote(one.name, safe="")
    pause = link(f"#do:pause-source:{which}", words("library.resume" if one.paused else "library.pause"), class_="tool")
    remove = link(f"#confirm:remove-source:{which}", words("library.remove"), class_="tool")
    return el(
        "li",
        icon("folder"),
        el("strong", one.name),
        el("span", one.where, class_="path"),
        el("small", words("library.paused")) if one.paused else None,
        None if fixed else el("span", pause, remove, class_="acts"),
        class_="paused" if one.paused else None,
    )


def documents(words: Words, listed: Sequence[Any], search: str = "") -> Html:
    """The documents whose path or title has all words of `search`."""
    if not listed:
        return el("p", words("library.documents.none"), class_="empty")
    wanted = search.lower().split()
    found = [one for one in listed if all(word in f"{one.source}/{one.path} {one.title}".lower() for word in wanted)]
    if not found:
        return el("p", words("library.documents.nomatch", text=search.strip()), class_="empty")
    several = len({one.source for one in listed}) > 1
    head = el("tr", el("th", words("library.document")), el("th", words("library.size")), el("th", words("library.chunks")))
    rows = [_document(words, one, several) for one in found[:MAX_ROWS]]
    more = el("p", words("library.more", count=f"{len(found) - MAX_ROWS:,}"), class_="empty") if len(found) > MAX_ROWS else None
    return join(el("table", el("thead", head), el("tbody", rows), class_="documents"), more)


def _document(words: Words, one: Any, several: bool) -> Html:
    path = place(one.source, one.path, several)
    copies = el("small", words("library.copies", count=len(one.aliases)), title="\n".join(one.aliases)) if one.aliases else None
    title = el("div", one.title, class_="doc-title") if one.title and one.title != one.path else None
    return el(
        "tr", el("td", title, el("div", path, copies, class_="path")), el("td", size(one.bytes)), el("td", f"{one.chunks:,}")
    )


def reasons(words: Words, skipped: Sequence[Skipped]) -> list[tuple[str, str]]:
    """Choices of the filter: (label with count, code), the most frequent first; "" is all of them."""
    counts = Counter(one.reason for one in skipped)
    every = (f"{words('library.skipped.all')} ({len(skipped):,})", "")
    return [every, *((f"{words.reason(code)} ({count:,})", code) for code, count in counts.most_common())]


def left_out(words: Words, skipped: Sequence[Skipped], reason: str = "") -> Html:
    if not skipped:
        return el("p", words("library.skipped.none"), class_="empty")
    # What somebody should look at comes first; the rest was left out by design.
    found = sorted((one for one in skipped if reason in ("", one.reason)), key=lambda one: one.reason not in PROBLEMS)
    several = len({one.source for one in skipped}) > 1
    head = el("tr", el("th", words("library.skipped.file")), el("th", words("library.skipped.why")))
    rows = [
        el(
            "tr",
            el("td", place(one.source, one.path, several), class_="path"),
            el("td", words.why(one.reason, one.detail)),
        )
        for one in found[:MAX_ROWS]
    ]
    more = (
        el("p", words("library.skipped.more", count=f"{len(found) - MAX_ROWS:,}"), class_="empty")
        if len(found) > MAX_ROWS
        else None
    )
    return join(el("table", el("thead", head), el("tbody", rows), class_="skipped"), more)
