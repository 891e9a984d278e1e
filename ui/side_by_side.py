"""Two answers to one question, as HTML."""

from kb.records import Done, Failed, Hit
from ui.asking import Run, cited_numbers
from ui.render import Child, Html, el, icon, join, link, markdown
from ui.transcript import lines
from ui.words import Words


def nothing(words: Words) -> Html:
    """A column before the first question."""
    return el("p", words("compare.empty"), class_="empty")


def no_model(words: Words) -> Html:
    """There is nothing to compare with yet."""
    return el("p", words("compare.nomodel"), " ", link("#local:models", words("compare.open_models")), class_="notice")


def in_turn(words: Words) -> Html:
    """Why the second side waits."""
    return el("p", words("compare.in_turn"), class_="notice")


def same(words: Words, left: Run, right: Run) -> Html | None:
    """Whether both were given the same passages; nothing where one of them was given none."""
    if left.plain or right.plain or not left.found or not right.found:
        return None
    ids = [[hit.chunk.id for hit in run.hits] for run in (left, right)]
    return el("p", words("compare.same", count=len(left.hits)), class_="notice") if ids[0] == ids[1] else None


def column(words: Words, key: str, run: Run, *, ended: bool) -> Html:
    """One answer as far as it is written. Its citations open under `key`."""
    end = run.end
    known = {hit.n: hit for hit in run.hits}

    def cite(n: int) -> Html | None:
        return link(f"#do:open:{key}:{n}", str(n), class_="cite", title=known[n].path) if n in known else None

    body: list[Child] = []
    prose = el("div", markdown(run.text, cite), class_="prose-text") if run.text else None
    if isinstance(end, Done) and end.refused:
        body.append(el("div", icon("nothing"), prose or words("chat.refused"), class_="refused"))
    elif prose:
        body.append(prose)
    if isinstance(end, Failed):
        body.append(el("p", icon("warning"), end.message, class_="failure"))
    elif ended and end is None:
        body.append(el("p", words("chat.stopped"), class_="note"))
    elif not ended and not run.text:
        body.append(el("p", el("span", class_="pulse"), _status(words, run), class_="status"))
    if ended:
        body += [_cited(words, key, run), _figures(words, run)]
    return el("div", *body, class_="message answer" if ended else "message answer writing", id=f"compared-{key}")


def _status(words: Words, run: Run) -> str:
    if not run.started:
        return words("compare.waiting")
    if run.plain:
        return words("chat.writing", model=run.model)
    count = len({hit.chunk.document for hit in run.hits})
    return words("chat.reading", passages=len(run.hits), documents=count) if run.hits else words("chat.searching")


def _cited(words: Words, key: str, run: Run) -> Html | None:
    cited = cited_numbers(run.text, run.quotes)
    hits = [hit for hit in run.hits if hit.n in cited]
    return el("ul", [_source(words, key, hit) for hit in hits], class_="compare-sources") if hits else None


def _source(words: Words, key: str, hit: Hit) -> Html:
    where = (el("span", hit.path, class_="path"), " ", el("small", lines(words, hit.chunk.start, hit.chunk.end)))
    return el("li", link(f"#do:open:{key}:{hit.n}", el("span", str(hit.n), class_="number"), *where, class_="compare-source"))


def _figures(words: Words, run: Run) -> Html:
    """Who answered, in which time, how fast."""
    by = words("chat.by.plain", model=run.model) if run.plain else run.model or words("chat.by.quotes")
    parts = [by]
    if isinstance(run.end, Done):
        parts.append(words("chat.seconds", seconds=f"{run.end.seconds:.1f}"))
    writing = run.last - run.began
    if run.model and run.pieces > 1 and writing > 0:
        parts.append(words("compare.rate", rate=f"{(run.pieces - 1) / writing:.0f}"))
    if run.hits:
        parts.append(words("source.count", count=len(run.hits)))
    return join(el("div", [el("span", part) for part in parts], class_="figures"))
