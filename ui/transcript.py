"""The chat side of the page as HTML: messages, the list of conversations, the sources beside an answer."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from kb.records import Done, Failed, Hit, Quote, first_line
from ui.asking import Run
from ui.render import Child, Html, el, icon, join, link, markdown
from ui.words import Words

MAX_LISTED = 200
_SAID = 3  # sentences that are named
_ALSO = 3  # other places of a passage that are named


def place(source: str, path: str, several_sources: bool) -> str:
    """Where a hit stands, as people cite it."""
    return f"{source} / {path}" if several_sources and source != path else path


def lines(words: Words, start: int, end: int) -> str:
    return words("source.line", start=start) if start == end else words("source.lines", start=start, end=end)


def _citation(ordinal: int, hits: Sequence[Hit]) -> Any:
    known = {hit.n: hit for hit in hits}

    def cite(n: int) -> Html | None:
        hit = known.get(n)
        if hit is None:
            return None
        title = " › ".join((hit.path, *hit.chunk.heading))
        return link(f"#do:open:{ordinal}:{n}", str(n), class_="cite", title=title)

    return cite


def question(text: str) -> Html:
    return el("div", el("div", text, class_="question-text"), class_="message question")


def answer(
    words: Words,
    ordinal: int,
    text: str,
    hits: Sequence[Hit],
    *,
    refused: bool = False,
    last: bool = False,
    writing: bool = False,
    status: str = "",
    stopped: bool = False,
    seconds: float | None = None,
    rewritten: str = "",
    unsupported: Sequence[tuple[int, int]] = (),
    model: str = "",
    plain: bool = False,
    rated: bool | None = None,
) -> Html:
    """An answer; `status` is said while there is nothing to read yet. `unsupported`: where in `text` sentences stand that the
    passages they cite do not carry. `model` wrote it, `plain` without the knowledge base; `rated`: a thumb up or down.
    """
    body: list[Child] = [el("p", words("chat.rewritten", question=rewritten), class_="note")] if rewritten else []
    prose = el("div", markdown(text, _citation(ordinal, hits)), class_="prose-text") if text else None
    if refused:
        body.append(el("div", icon("nothing"), prose or words("chat.refused"), class_="refused"))
        if last and hits:
            body.append(el("p", link("#do:anyway:", words("chat.anyway"), class_="anyway"), class_="note"))
    elif prose:
        body.append(prose)
    if stopped:
        body.append(el("p", words("chat.stopped"), class_="note"))
    if unsupported:
        said = "；".join(f"“{' '.join(text[start:end].split())}”" for start, end in unsupported[:_SAID])
        body.append(el("p", icon("warning"), " ", words("chat.unsupported", sentences=said), class_="note"))
    if status:
        body.append(el("p", el("span", class_="pulse"), status, class_="status"))
    if not writing:
        by = words("chat.by.plain", model=model) if plain else model or words("chat.by.quotes")
        body.append(_tools(words, ordinal, text, hits, last=last, by=by, seconds=seconds, rated=rated))
    return el("div", *body, class_="message answer writing" if writing else "message answer", id=f"answer-{ordinal}")


def _tools(
    words: Words,
    ordinal: int,
    text: str,
    hits: Sequence[Hit],
    *,
    last: bool,
    by: str,
    seconds: float | None,
    rated: bool | None,
) -> Html:
    sources = (
        link(f"#do:sources:{ordinal}", icon("sources"), words("source.count", count=len(hits)), class_="tool tool-sources")
        if hits
        else None
    )
    copy = link("#local:copy-answer", icon("copy"), el("span", words("chat.copy"), class_="label"), class_="tool")
    retry = (
        link("#do:retry:", icon("retry"), el("span", words("chat.retry"), class_="label"), class_="tool tool-retry")
        if last
        else None
    )
    thumbs = [
        link(
            f"#do:{verb}:{ordinal}",
            icon(verb, said),
            class_="tool thumb pressed" if rated is (verb == "up") else "tool thumb",
            title=said,
        )
        for verb, said in (("up", words("chat.up")), ("down", words("chat.down")))
    ]
    took = words("chat.seconds", seconds=f"{seconds:.1f}") if seconds is not None else None
    said = el("span", " · ".join(filter(None, (by, took))), class_="took")
    return el("div", sources, copy, retry, thumbs, said, el("pre", text, hidden=True, class_="raw"), class_="tools")


def failure(words: Words, message: str) -> Html:
    retry = link("#do:retry:", icon("retry"), words("chat.retry"), class_="tool")
    return el(
        "div", el("p", icon("warning"), message, class_="failure"), el("div", retry, class_="tools"), class_="message answer"
    )


def exchange(words: Words, question_: str, run: Run, *, ended: bool = False) -> Html:
    """A question and its answer as far as it is written, or as it has `ended`."""
    end = run.end
    parts = [question(question_)]
    status = ""
    if not ended and not run.text:
        count = len({hit.chunk.document for hit in run.hits})
        status = words("chat.reading", passages=len(run.hits), documents=count) if run.hits else words("chat.searching")
        status = words("chat.writing", model=run.model) if run.plain else status
    done = end if isinstance(end, Done) else None
    if run.text or status or isinstance(end, Done):
        parts.append(
            answer(
                words,
                run.ordinal,
                run.text,
                run.hits,
                refused=bool(done and done.refused),
                last=ended and not isinstance(end, Failed),
                writing=not ended,
                status=status,
                stopped=ended and end is None,
                seconds=done.seconds if done else None,
                rewritten=run.rewritten,
                unsupported=done.unsupported if done else (),
                model=run.model,
                plain=run.plain,
            )
        )
    if ended and isinstance(end, Failed):
        parts.append(failure(words, end.message))
    elif ended and not run.text and end is None:
        parts.append(failure(words, words("chat.unanswered")))
    return frame(run.conversation, join(*parts))


def messages(
    words: Words, stored: Sequence[Any], last_is_open: bool = True, ratings: Mapping[int, bool] = MappingProxyType({})
) -> Html:
    """A conversation from the store; `ratings`: ordinal → thumb. A last question without an answer offers to answer it."""
    parts: list[Html] = []
    for ordinal, message in enumerate(stored):
        if message.role == "user":
            parts.append(question(message.content))
        else:
            last = last_is_open and ordinal == len(stored) - 1
            parts.append(
                answer(
                    words,
                    ordinal,
                    message.content,
                    message.hits,
                    refused=message.refused,
                    last=last,
                    rewritten=message.rewritten,
                    unsupported=message.unsupported,
                    model=message.model,
                    plain=message.plain,
                    rated=ratings.get(ordinal),
                )
            )
    if last_is_open and stored and stored[-1].role == "user":
        parts.append(failure(words, words("chat.unanswered")))
    return join(*parts)


def frame(conversation: str, content: Html) -> Html:
    """Marks the conversation that is shown, for the page's address."""
    return el("div", content, class_="conversation", id=f"conversation-{conversation}") if content else content


def welcome(words: Words, name: str, manifest: Any, examples: Sequence[str]) -> Html:
    """An empty chat over an indexed knowledge base."""
    about = words("chat.welcome.about", kb=name, documents=f"{manifest.documents:,}", chunks=f"{manifest.chunks:,}")
    asks = [el("li", link("#do:ask:", example, class_="example")) for example in examples]
    tries = (el("p", words("chat.welcome.try"), class_="try"), el("ul", asks, class_="examples")) if asks else ()
    return el(
        "div",
        el("span", class_="mark-logo"),
        el("h2", words("chat.welcome")),
        el("p", about, class_="about"),
        *tries,
        class_="welcome",
        id="conversation-",
    )


def nothing_indexed(words: Words, sentence: str = "") -> Html:
    """An empty chat when there is nothing to ask."""
    go = link("#local:library", words("chat.open_library"), class_="button-link")
    return el(
        "div",
        el("span", class_="mark-logo"),
        el("h2", words("chat.welcome.none")),
        el("p", sentence or words("chat.welcome.none.about"), class_="about"),
        go,
        class_="welcome",
        id="conversation-",
    )


def conversations(words: Words, listed: Sequence[Any], current: str, kb: str) -> Html:
    """The list at the side; the base of a conversation is named where it is not the present one."""
    if not listed:
        return el("p", words("chat.none"), class_="empty")
    return el("ul", [_conversation(words, one, one.id == current, kb) for one in listed[:MAX_LISTED]], class_="conversations")


def _conversation(words: Words, one: Any, current: bool, kb: str) -> Html:
    other = el("small", one.kb) if one.kb != kb else None
    title = el("a", el("span", one.title, class_="title"), other, href=f"#do:conversation:{one.id}", class_="go", title=one.title)
    rename = link(f"#prompt:rename:{one.id}", icon("edit", words("chat.rename")), class_="act", title=words("chat.rename"))
    delete = link(f"#confirm:delete:{one.id}", icon("delete", words("chat.delete")), class_="act", title=words("chat.delete"))
    return el("li", title, rename, delete, class_="current" if current else None)


def sources(words: Words, ordinal: int, hits: Sequence[Hit], quotes: Sequence[Quote], *, cited: set[int], several: bool) -> Html:
    """The panel beside the chat: the passages an answer cites first, then the others that were found."""
    first = [hit for hit in hits if hit.n in cited]
    rest = [hit for hit in hits if hit.n not in cited]
    cards = [_card(words, ordinal, hit, quotes, several=several, cited=True) for hit in first]
    others = [_card(words, ordinal, hit, quotes, several=several, cited=False) for hit in rest]
    if not hits:
        return el("p", words("source.nothing"), class_="empty")
    between = el("h4", words("source.others")) if first and rest else None
    return el("div", cards, between, others, class_="cards", id=f"sources-{ordinal}")


def no_sources(words: Words) -> Html:
    return el("p", words("source.none"), class_="empty")


def _card(words: Words, ordinal: int, hit: Hit, quotes: Sequence[Quote], *, several: bool, cited: bool) -> Html:
    href = f"#do:open:{ordinal}:{hit.n}"
    heading = " › ".join(hit.chunk.heading)
    where = el(
        "div",
        el("span", str(hit.n), class_="number"),
        el("span", place(hit.source, hit.path, several), class_="path"),
        class_="where",
    )
    return el(
        "article",
        link(href, where, class_="card-head", title=words("source.open")),
        el("div", heading, class_="heading-path") if heading else None,
        el("a", _excerpt(hit, quotes), href=href, class_="excerpt", tabindex="-1"),
        el("div", lines(words, hit.chunk.start, hit.chunk.end), class_="lines"),
        el("div", words("source.also", paths=", ".join(hit.also[:_ALSO])), class_="also") if hit.also else None,
        class_="card cited" if cited else "card",
    )


def _excerpt(hit: Hit, quotes: Sequence[Quote]) -> Html:
    """The passage, from its first quoted line, with what was quoted marked."""
    quoted = [(quote.start, quote.end) for quote in quotes if quote.n == hit.n]
    chunk, first = hit.chunk, min((start for start, _ in quoted), default=0)
    return el("span", marked(chunk.text, chunk.start, chunk.end, quoted, first), class_="passage")


def marked(text: str, start: int, end: int, quoted: Sequence[tuple[int, int]], first: int = 0) -> list[Child]:
    """The text of lines `start` to `end` from line `first` on, quoted lines marked; a table header that is repeated on top has no
    line of its own.
    """
    parts: list[Child] = []
    for number, line in enumerate(text.split("\n"), first_line(start, end, text)):
        if number >= first:
            is_quoted = any(low <= number <= high for low, high in quoted)
            parts += [el("mark", line) if is_quoted and line.strip() else line, "\n"]
    return parts
