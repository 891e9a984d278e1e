"""A line and its case to figures: what one question brought, metric by metric.

A figure of a set is the weighted mean of its cases' values (`RATIOS`), or is read off the set as a whole (`eval.figures`).
A case that failed counts on the bad side of every metric it takes part in, but has no latency.

Documents. Those of the hits, in the order of their best passage; an entry is right if any of its names is a gold id (twins, the
same page in another language, are names of one entry). hit@k: a right one is among the first k. mrr@10: 1 / rank of the first
right one, 0 after 10. ndcg@10 (Järvelin and Kekäläinen 2002): an entry gains 1 where it brings a gold id that none before it
had, so gold documents that one entry names count once, in the ideal order too; those that were not found count each. Computed by
ir-measures (trec_eval).

Citations are the passages that an answer cites, each once. Of cases with gold spans: one is right if it holds one of the spans
(which are places of the same answer, so any will do), compared without white space, Markdown marks and case.
citation_precision: share of right ones over all citations. citation_recall: share of the answered (not refused) cases with a
right one. citation_document_precision: of cases with gold ids, the share of citations into a gold document.

Answers. answer_key: share of the answerable with keys whose answer contains one of them; a refusal contains none. em, f1,
answer_contained: against `answers`, the best of them, see eval.text.

Refusals. Positive: an unanswerable question is refused. false_refusal_rate: share of the answerable that are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from eval.cases import Case
from eval.lines import CaseLine
from eval.text import answer_text, answer_tokens, bare, f1, holds, plain

RETRIEVAL = ("hit@1", "hit@5", "hit@10", "mrr@10", "ndcg@10")
RATIOS = (
    *RETRIEVAL,
    *("citation_precision", "citation_recall", "citation_document_precision"),
    *("answer_key", "em", "f1", "answer_contained"),
    *("refusal_precision", "refusal_recall", "refusal_f1", "false_refusal_rate"),
)
RECALL_OF = "refusal_recall_"  # and a category
LOWER_IS_BETTER = frozenset({"false_refusal_rate", "latency_ms", "retrieval_ms"})


@dataclass(frozen=True, slots=True)
class CaseScore:
    """The values of one case, each 0 to 1, and the weights of those that do not weigh 1 in the figure of a set.

    `confidence` is that of retrieval, times are in milliseconds; None where the case failed before.
    """

    id: str
    slices: tuple[str, ...]
    should_refuse: bool
    values: dict[str, float]
    weights: dict[str, float] = field(default_factory=dict)
    confidence: float | None = None
    latency_ms: float | None = None
    retrieval_ms: float | None = None
    failed: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score_from(value: dict[str, Any]) -> CaseScore:
    """The inverse of as_json(). Raises TypeError or KeyError where it is none."""
    return CaseScore(**value | {"slices": tuple(value["slices"])})


def score_cases(cases: Sequence[Case], lines: Mapping[str, CaseLine]) -> list[CaseScore]:
    """The scores of those cases that have a line, in their order."""
    pairs = [(case, lines[case.id]) for case in cases if case.id in lines]
    retrieval = _retrieval(pairs)
    return [_score(case, line, retrieval.get(case.id, {})) for case, line in pairs]


def _retrieval(pairs: Sequence[tuple[Case, CaseLine]]) -> dict[str, dict[str, float]]:
    """Case id → the metrics of RETRIEVAL, of the answerable cases with gold ids."""
    import ir_measures
    from ir_measures import RR, Qrel, ScoredDoc, Success, nDCG

    measures = {Success @ 1: "hit@1", Success @ 5: "hit@5", Success @ 10: "hit@10", RR @ 10: "mrr@10", nDCG @ 10: "ndcg@10"}
    qrels, run = [], []
    scored = {case.id: line for case, line in pairs if case.answerable and case.gold_doc_ids}
    golds = {case.id: set(case.gold_doc_ids) for case, _ in pairs}
    for id_, line in scored.items():
        missing = set(golds[id_])
        for rank, names in enumerate(() if line.failed else line.ranked):
            run.append(ScoredDoc(id_, f"rank {rank}", -float(rank)))
            if missing & set(names):
                qrels.append(Qrel(id_, f"rank {rank}", 1))
                missing -= set(names)
        qrels += [Qrel(id_, f"missing {gold}", 1) for gold in missing]
    values: dict[str, dict[str, float]] = {id_: dict.fromkeys(RETRIEVAL, 0.0) for id_ in scored}
    for metric in ir_measures.iter_calc(list(measures), qrels, run) if run else ():
        values[metric.query_id][measures[metric.measure]] = round(metric.value, 6)
    return values


def _score(case: Case, line: CaseLine, retrieval: dict[str, float]) -> CaseScore:
    values, weights = dict(retrieval), dict[str, float]()
    _refusal(case, line, values, weights)
    if case.answerable:
        _citations(case, line, values, weights)
        _answer(case, line, values)
    failed = bool(line.failed)
    # At every threshold on the wrong side.
    confidence = (1.0 if not case.answerable else 0.0) if failed else line.confidence
    return CaseScore(
        id=case.id,
        slices=case.slices,
        should_refuse=not case.answerable,
        values=values,
        weights=weights,
        confidence=confidence,
        latency_ms=None if failed or line.seconds is None else round(1000 * line.seconds, 1),
        retrieval_ms=None if failed or line.found_seconds is None else round(1000 * line.found_seconds, 1),
        failed=line.failed,
    )


def _refusal(case: Case, line: CaseLine, values: dict[str, float], weights: dict[str, float]) -> None:
    """Each is a ratio of sums over cases; F1 = 2 TP / (2 TP + FP + FN), so a true positive weighs 2 and a true negative 0."""
    if case.answerable:
        refused = line.refused or bool(line.failed)
        values["false_refusal_rate"] = float(refused)
        values["refusal_f1"] = float(not refused)
        weights["refusal_f1"] = float(refused)
        if refused:
            values["refusal_precision"] = 0.0
        return
    refused = line.refused and not line.failed
    values["refusal_recall"] = values[f"{RECALL_OF}{case.category}"] = values["refusal_f1"] = float(refused)
    if refused:
        values["refusal_precision"] = 1.0
        weights["refusal_f1"] = 2.0


def _citations(case: Case, line: CaseLine, values: dict[str, float], weights: dict[str, float]) -> None:
    hits = {hit.n: hit for hit in line.hits}
    cited = [] if line.failed else [hits[n] for n in dict.fromkeys(quote.n for quote in line.quotes)]
    if case.gold_spans:
        spans = [bare(span) for _, span in case.gold_spans]
        right = [any(span in bare(hit.text) for span in spans) for hit in cited]
        if not line.refused or line.failed:
            values["citation_recall"] = float(any(right))
        if right:
            values["citation_precision"], weights["citation_precision"] = sum(right) / len(right), float(len(right))
    if case.gold_doc_ids and cited:
        names = {names[0]: set(names) for names in line.ranked}
        gold = set(case.gold_doc_ids)
        in_gold = [bool(gold & {hit.path, *hit.also, f"{hit.source}/{hit.path}", *names.get(hit.path, ())}) for hit in cited]
        values["citation_document_precision"] = sum(in_gold) / len(in_gold)
        weights["citation_document_precision"] = float(len(in_gold))


def _answer(case: Case, line: CaseLine, values: dict[str, float]) -> None:
    answer = "" if line.failed or line.refused else answer_text(line.answer)
    if case.answer_keys:
        values["answer_key"] = float(any(plain(key) in plain(answer) for key in case.answer_keys))
    if case.answers:
        tokens = answer_tokens(answer, case.lang)
        golds = [answer_tokens(gold, case.lang) for gold in case.answers]
        values["em"] = float(bool(answer) and any(tokens == gold for gold in golds))
        values["f1"] = max(f1(tokens, gold, case.lang) for gold in golds) if answer else 0.0
        values["answer_contained"] = float(any(holds(tokens, gold) for gold in golds))
