"""Tunes and their examples as HTML. All of it is text that a user wrote or sent."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from ui import plots
from ui.render import Child, Html, el, icon, join, link
from ui.words import WORDS, Words

if TYPE_CHECKING:
    from finetune import Example, ExampleSet, Lengths, Tune

PER_PAGE = 20
_TOLD = 12  # bad rows of a file


def tunes(words: Words, every: "Sequence[Tune]", chosen: str, *, fixed: bool) -> Html:
    """The list; what is open is marked."""
    if not every:
        return el("p", words("tune.none"), class_="empty") if not fixed else el("p", words("tune.public"), class_="empty")
    return el("ul", [_tune(words, tune, open_=tune.name == chosen, fixed=fixed) for tune in every], class_="tunes")


def _tune(words: Words, tune: "Tune", *, open_: bool, fixed: bool) -> Html:
    name = quote(tune.name, safe="")
    said = [words("tune.line", base=tune.recipe.base, examples=f"{tune.examples:,}")]
    if tune.total and tune.state != "running":  # the card of its job tells that then
        said.append(words("tune.line.iterations", done=f"{tune.iteration:,}", total=f"{tune.total:,}"))
    remove = link(f"#confirm:remove-tune:{name}", words("tune.remove"), class_="tool")
    return el(
        "li",
        link(
            f"#do:open-tune:{name}",
            el("strong", tune.name),
            el("span", words(f"tune.state.{tune.state}"), class_=f"badge state-{tune.state}"),
            el("span", " · ".join(said), class_="minor"),
            class_="tune-link",
            title=words("tune.open"),
        ),
        None if fixed or tune.state == "running" else remove,
        class_="current" if open_ else None,
    )


def count(words: Words, tune: "Tune") -> Html:
    """How many examples there are, and how many lack an answer."""
    said = [words("tune.count", examples=f"{tune.examples:,}", copies=f"{tune.copies:,}")]
    if tune.unfinished:
        said.append(words("tune.count.unfinished", count=f"{tune.unfinished:,}"))
    return el("p", " · ".join(said), class_="minor")


def key(number: int, example: "Example") -> str:
    """What a link names an example by: its place, and a mark of what it says, since places move."""
    return f"{number}:{hashlib.sha256(repr(example.turns).encode()).hexdigest()[:12]}"


def examples(words: Words, listed: "Sequence[Example]", page: int, *, fixed: bool) -> Html:
    """A page of the rows, counted from 0."""
    if not listed:
        return el("p", words("tune.examples.none"), class_="empty")
    first = page * PER_PAGE
    rows = [_example(words, key(first + at, one), one, fixed=fixed) for at, one in enumerate(listed[first : first + PER_PAGE])]
    if len(listed) <= PER_PAGE:
        return el("ul", rows, class_="examples-list")
    back = link(f"#do:page-examples:{page - 1}", words("tune.page.back"), class_="tool") if page else None
    more = first + PER_PAGE < len(listed)
    on = link(f"#do:page-examples:{page + 1}", words("tune.page.on"), class_="tool") if more else None
    said = words("tune.earlier", first=first + 1, last=first + len(rows), count=f"{len(listed):,}")
    return join(el("ul", rows, class_="examples-list"), el("div", el("span", said), back, on, class_="pages minor"))


def _example(words: Words, which: str, one: "Example", *, fixed: bool) -> Html:
    source = words(f"tune.source.{one.source}") if f"tune.source.{one.source}" in WORDS else one.source
    about: list[Child] = [el("span", " · ".join(filter(None, (source, one.place))), class_="from")]
    if any(turn.role == "system" for turn in one.turns):
        about.append(el("span", words("tune.system.has")))
    if turns := sum(turn.role == "user" for turn in one.turns) - 1:
        about.append(el("span", words("tune.turns.has", count=turns)))
    if one.copies > 1:
        about.append(el("span", f"× {one.copies:,}", class_="times"))
    answer = el("p", icon("warning"), words("tune.unfinished"), class_="lacking") if one.unfinished else el("p", one.answer)
    acts = el(
        "span",
        link(f"#do:edit-example:{which}", words("tune.edit"), class_="tool"),
        link(f"#confirm:delete-example:{which}", words("tune.delete"), class_="tool"),
        class_="acts",
    )
    return el(
        "li",
        el("div", el("p", one.question, class_="asked"), answer, class_="said"),
        el("div", el("span", about, class_="about-row"), None if fixed else acts, class_="under"),
        class_="unfinished" if one.unfinished else None,
    )


def read(words: Words, name: str, found: "ExampleSet", added: int) -> Html:
    """What a file held, and which of its rows were left out."""
    said = words("tune.file.read", name=name, count=f"{len(found.examples):,}", format=found.format, encoding=found.encoding,
                 added=f"{added:,}")  # fmt: skip
    told = found.problems[:_TOLD]
    rows = [el("li", words("tune.file.row", row=one.row, why=one.why)) for one in told]
    if found.left_out > len(told):
        rows.append(el("li", words("tune.file.more", count=f"{found.left_out - len(told):,}")))
    return el(
        "div",
        el("p", said),
        el("p", words("tune.file.duplicates", count=f"{found.duplicates:,}")) if found.duplicates else None,
        el("p", words("tune.file.left", count=f"{found.left_out:,}")) if rows else None,
        el("ul", rows) if rows else None,
        class_="notice",
    )


def lengths(words: Words, found: "Lengths", most: int) -> Html:
    """How many examples have how many tokens, and where they are cut."""
    bins = dict(found.bins)
    while bins and max(bins) < most:  # as far as the line that marks the cut
        bins[2 * max(bins)] = 0
    columns = [
        plots.Point(f"{edge:,}", number, None, words("tune.lengths.bin", tokens=f"{edge:,}", count=f"{number:,}"))
        for edge, number in bins.items()
    ]
    cut = words("tune.lengths.cut", count=f"{found.cut:,}") if found.cut else words("tune.lengths.nocut")
    said = words("tune.lengths.about", total=f"{found.total:,}", longest=f"{found.longest:,}", most=f"{most:,}", cut=cut)
    return el(
        "div",
        el("h4", words("tune.lengths")),
        plots.columns(columns, list(bins), most, words("tune.lengths.most", most=f"{most:,}")),
        el("p", said, class_="minor"),
        class_="lengths",
    )
