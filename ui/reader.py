"""One source opened: its passage in the whole document, with line numbers and the quoted part marked."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from kb import BaseError
from kb.records import Document, Hit, Quote
from ui.render import Child, Html, el, icon, join, link, web_link
from ui.transcript import lines, place
from ui.words import Words

AROUND = 200  # lines shown on each side of the passage, more on request
MORE = 600
MAX_AROUND = 20_000
MAX_LINE = 20_000  # characters of one line


def opened(
    words: Words,
    hit: Hit,
    quotes: Sequence[Quote],
    document: Document | None,
    note: str,
    *,
    permalink: str | None = None,
    id_: str,
    ordinal: str,
    around: int = AROUND,
    several: bool = False,
) -> Html:
    """The reader's content. Without a `document`, the passage alone, as it was stored with the answer.

    `permalink` is where the passage stands on the web.
    """
    own = [(quote.start, quote.end) for quote in quotes if quote.n == hit.n]
    if document is None:
        text, first, around = hit.chunk.text.split("\n"), hit.chunk.start, MAX_AROUND
    else:
        text, first = document.text.split("\n"), 1
    copies = (
        el("p", words("reader.copies", paths=", ".join(document.aliases)), class_="copies")
        if document and document.aliases
        else None
    )
    head = el(
        "header",
        link("#local:close-reader", icon("close", words("reader.close")), class_="close", title=words("reader.close")),
        el(
            "div",
            el("span", str(hit.n), class_="number"),
            el("span", place(hit.source, hit.path, several), class_="path"),
            class_="where",
        ),
        el("div", " › ".join(hit.chunk.heading), class_="heading-path") if hit.chunk.heading else None,
        el(
            "div",
            lines(words, hit.chunk.start, hit.chunk.end),
            _elsewhere(words, permalink) if permalink else None,
            class_="lines",
        ),
        el("p", note, class_="note") if note else None,
        copies,
    )
    body = _lines(words, text, first, hit, marked=own or [(hit.chunk.start, hit.chunk.end)], ordinal=ordinal, around=around)
    return el("div", head, el("div", body, class_="text", tabindex="0"), class_="reader", id=f"reader-{id_}")


def _elsewhere(words: Words, permalink: str) -> Html:
    return join(" · ", web_link(permalink, words("reader.permalink", host=urlsplit(permalink).hostname or "")))


def _lines(
    words: Words, text: Sequence[str], first: int, hit: Hit, *, marked: Sequence[tuple[int, int]], ordinal: str, around: int
) -> Html:
    last = first + len(text) - 1
    low = max(first, min(hit.chunk.start - around, last))
    high = min(last, hit.chunk.end + around)
    parts: list[Child] = []
    more = f"#do:open:{ordinal}:{hit.n}:{min(around + MORE, MAX_AROUND)}"
    if low > first:
        parts.append(_gap(words, "reader.above", low - first, more))
    for number in range(low, high + 1):
        content = text[number - first]
        content = content if len(content) <= MAX_LINE else content[:MAX_LINE] + "…"
        is_marked = any(start <= number <= end for start, end in marked)
        kind = "line in-chunk" if hit.chunk.start <= number <= hit.chunk.end else "line"
        parts.append(
            el(
                "div",
                el("span", str(number), class_="no"),
                el("span", el("mark", content) if is_marked and content.strip() else content, class_="tx"),
                class_=kind,
            )
        )
    if high < last:
        parts.append(_gap(words, "reader.below", last - high, more))
    return join(*parts)


def _gap(words: Words, key: str, count: int, more: str) -> Html:
    return el("p", words(key, count=f"{count:,}"), " · ", link(more, words("reader.more")), class_="gap")


def find_document(words: Words, snapshot: object, generation: int, hit: Hit) -> tuple[Document | None, str]:
    """The document of a hit and a note, if one is due.

    An answer may be older than the live generation. Its document is shown only if the passage still stands at the
    same lines; otherwise the passage that was stored with the answer speaks for itself.
    """
    try:
        document: Document = snapshot.document(hit.chunk.document)  # type: ignore[attr-defined]
    except BaseError:
        return None, words("reader.changed")
    if snapshot.number == generation:  # type: ignore[attr-defined]
        return document, ""
    standing = document.text.split("\n")[hit.chunk.start - 1 : hit.chunk.end]
    if _bare(hit.chunk.text) and _bare(hit.chunk.text) in _bare("\n".join(standing)):
        return document, words("reader.reindexed")
    return None, words("reader.changed")


def _bare(text: str) -> str:
    return "".join(text.split())
