"""The questions of a run: a table of them, and one opened with everything that was found and answered."""

from collections.abc import Callable, Mapping

from eval import Case, CaseLine, CaseScore, Run, faults, rank
from ui.render import Child, Html, el, icon, join, link, markdown
from ui.transcript import lines, marked
from ui.words import Words

MAX_ROWS = 200
_COLUMNS = (
    *("evaluate.question", "evaluate.rank", "evaluate.refused"),
    *("evaluate.confidence", "evaluate.cited", "evaluate.seconds"),
)
FILTERS: dict[str, Callable[[CaseScore], bool]] = {
    "all": lambda score: True,
    "wrong": lambda score: bool(faults(score)),
    "refused": lambda score: "refused" in faults(score),
    "answered": lambda score: "answered" in faults(score),
}


def counts(words: Words, run: Run) -> list[tuple[str, str]]:
    """Choices of the filter: (label with count, code)."""
    return [(f"{words(f'evaluate.filter.{code}')} ({sum(map(shown, run.scores)):,})", code) for code, shown in FILTERS.items()]


def table(words: Words, run: Run, which: str) -> Html:
    """The cases that a filter lets through. A row is named by its place in the run, never by an id out of the file."""
    kept = [(n, score) for n, score in enumerate(run.scores) if FILTERS[which](score)]
    if not kept:
        return el("p", words("evaluate.filter.none"), class_="empty")
    head = el("tr", [el("th", words(key)) for key in _COLUMNS])
    rows = [_row(words, n, score, (run.lines or {}).get(score.id)) for n, score in kept[:MAX_ROWS]]
    hidden = len(kept) - MAX_ROWS
    more = el("p", words("evaluate.filter.more", count=f"{hidden:,}"), class_="empty") if hidden > 0 else None
    return join(el("div", el("table", el("thead", head), el("tbody", rows), class_="cases"), class_="scroll"), more)


def _row(words: Words, n: int, score: CaseScore, line: CaseLine | None) -> Html:
    wrong = bool(faults(score))
    mark = el("span", icon("warning" if wrong else "done"), class_="verdict bad" if wrong else "verdict good")
    asked = link(f"#do:case:{n}", line.question if line else score.id, class_="case-link")
    return el(
        "tr",
        el("td", el("div", mark, asked, class_="case-question")),
        el("td", _rank(words, score)),
        el("td", _yes(words, line.refused) if line and not line.failed else "–"),
        el("td", "–" if score.confidence is None else f"{score.confidence:.2f}"),
        el("td", "–" if (right := cited_rightly(score)) is None else _yes(words, right)),
        el("td", "–" if score.latency_ms is None else f"{score.latency_ms / 1000:.2f}"),
        class_="wrong" if wrong else None,
    )


def cited_rightly(score: CaseScore) -> bool | None:
    """Whether a citation opens the answer; where no passage is known, a document that holds it. None: nothing says."""
    right = score.values.get("citation_recall", score.values.get("citation_document_precision"))
    return None if right is None else right > 0


def _rank(words: Words, score: CaseScore) -> str:
    at = rank(score)
    return "–" if at is None else f"#{at}" if at else words("evaluate.notfound")


def _yes(words: Words, is_so: bool) -> str:
    return words("evaluate.yes" if is_so else "evaluate.no")


def opened(words: Words, run: Run, cases: Mapping[str, Case], n: int, id_: str) -> Html:
    """Case `n` of a run: what was asked and expected, what came, and why that counts as wrong."""
    score = run.scores[n]
    line, case = (run.lines or {}).get(score.id), cases.get(score.id)
    head = el(
        "header",
        link("#local:close-case", icon("close", words("reader.close")), class_="close", title=words("reader.close")),
        el("div", words("evaluate.case.of", n=n + 1, total=len(run.scores)), class_="lines"),
        el("div", el("span", line.question if line else score.id, class_="path"), class_="where"),
    )
    gold = set(case.gold_doc_ids) if case else set[str]()
    body = [
        _verdict(words, score),
        _history(words, case),
        _expected(words, case),
        _answer(words, line),
        _passages(words, line, gold),
    ]
    return el("div", head, el("div", body, class_="text", tabindex="0"), class_="reader case", id=f"case-{id_}-{n}")


def _verdict(words: Words, score: CaseScore) -> Html:
    wrong = faults(score)
    if not wrong:
        return el("p", icon("done"), words("evaluate.case.right"), class_="right-case")
    return el("ul", [el("li", words(f"fault.{code}", detail=score.failed)) for code in wrong], class_="faults")


def _history(words: Words, case: Case | None) -> Html | None:
    if not case or not case.history:
        return None
    turns = [el("li", turn.content, class_=f"turn-{turn.role}") for turn in case.history]
    return join(el("h4", words("evaluate.case.history")), el("ul", turns, class_="turns"))


def _expected(words: Words, case: Case | None) -> Html:
    if case is None:
        return el("p", words("evaluate.case.unkept"), class_="empty")
    if not case.answerable:
        return el("p", words("evaluate.case.refuse"))
    keys = (*case.answer_keys, *case.answers)
    parts: list[Child] = []
    if case.gold_doc_ids:
        spans = dict(reversed(case.gold_spans))  # the first of a document counts
        listed = [
            el("li", el("span", one, class_="path"), el("div", spans[one], class_="passage") if spans.get(one) else None)
            for one in case.gold_doc_ids
        ]
        parts += [el("h4", words("evaluate.case.gold")), el("ul", listed, class_="golds")]
    if keys:
        shown: list[Child] = [join(" · " if at else "", el("code", key)) for at, key in enumerate(keys)]
        parts += [el("h4", words("evaluate.case.keys")), el("p", shown, class_="keys-wanted")]
    return join(*parts)


def _answer(words: Words, line: CaseLine | None) -> Html | None:
    if line is None:
        return None
    known = {hit.n for hit in line.hits}
    prose = markdown(line.answer, lambda n: el("span", str(n), class_="number") if n in known else None)
    body: Child = prose if line.answer else line.failed or words("chat.refused")
    refused = el("div", icon("nothing"), el("div", body, class_="prose-text"), class_="refused")
    return join(
        el("h4", words("evaluate.case.answer")),
        el("div", refused if line.refused else el("div", body, class_="prose-text"), class_="message"),
    )


def _passages(words: Words, line: CaseLine | None, gold: set[str]) -> Html | None:
    if line is None or not line.hits:
        return None
    cards = []
    for hit in line.hits:
        is_gold = bool(gold & {hit.path, *hit.also, f"{hit.source}/{hit.path}"})
        quoted = [(quote.start, quote.end) for quote in line.quotes if quote.n == hit.n]
        tag = el("small", words("evaluate.case.isgold"), class_="gold-tag") if is_gold else None
        where = el("div", el("span", str(hit.n), class_="number"), el("span", hit.path, class_="path"), tag, class_="where")
        heading = el("div", " › ".join(hit.heading), class_="heading-path") if hit.heading else None
        text = el("div", marked(hit.text, hit.start, hit.end, quoted), class_="passage")
        place = el("div", lines(words, hit.start, hit.end), class_="lines")
        cards.append(el("article", where, heading, text, place, class_="card cited" if is_gold else "card"))
    return join(el("h4", words("evaluate.case.found")), el("div", cards, class_="cards"))
