"""Every metric against values computed by hand."""

from dataclasses import replace
from math import log2
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.cases import Case
from eval.figures import aggregate, intervals, slices
from eval.lines import CaseLine, LineHit, LineQuote
from eval.score import RETRIEVAL, CaseScore, score_cases
from eval.text import answer_text, answer_tokens, f1, holds


def hit(n: int, path: str, text: str = "", also: tuple[str, ...] = (), source: str = "docs") -> LineHit:
    return LineHit(n, source, path, also, 1, 1, (), text, 1 / n)


def line(*ranked: str, **more: Any) -> CaseLine:
    """A line whose documents are given as "path" or "path=twin"."""
    names = tuple(tuple(text.split("=")) for text in ranked)
    hits = tuple(hit(n, own[0], also=own[1:]) for n, own in enumerate(names, start=1))
    return CaseLine(
        "q", "?", 1, **{"ranked": names, "hits": hits, "confidence": 0.5, "seconds": 0.1, "found_seconds": 0.01} | more
    )


def case(*gold: str, **more: Any) -> Case:
    return Case("q", "?", "en", gold_doc_ids=gold, **more)


def values(case_: Case, line_: CaseLine) -> dict[str, float]:
    return score_cases([case_], {"q": line_})[0].values


@pytest.mark.parametrize(
    ("gold", "ranked", "expected"),
    [
        (("a",), ("a", "b"), (1, 1, 1, 1, 1)),
        (("b",), ("a", "b"), (0, 1, 1, 1 / 2, 1 / log2(3))),
        (("z",), ("a", "b"), (0, 0, 0, 0, 0)),
        (("z",), (), (0, 0, 0, 0, 0)),
        (("f",), tuple("abcdef"), (0, 0, 1, 1 / 6, 1 / log2(7))),
        (("k",), tuple("abcdefghijk"), (0, 0, 0, 0, 0)),
        # Two gold documents found apart; one of two found; two that one entry names count once, in the ideal order too.
        (("a", "c"), ("a", "b", "c"), (1, 1, 1, 1, (1 + 1 / 2) / (1 + 1 / log2(3)))),
        (("a", "z"), ("a", "b"), (1, 1, 1, 1, 1 / (1 + 1 / log2(3)))),
        (("a", "a2"), ("a=a2", "b"), (1, 1, 1, 1, 1)),
        (("a2",), ("b", "a=a2"), (0, 1, 1, 1 / 2, 1 / log2(3))),
        # The twin again further down brings nothing new.
        (("a", "a2"), ("a=a2", "a2"), (1, 1, 1, 1, 1)),
        (("docs/a",), ("b", "a=docs/a"), (0, 1, 1, 1 / 2, 1 / log2(3))),
    ],
)
def test_retrieval(gold: tuple[str, ...], ranked: tuple[str, ...], expected: tuple[float, ...]) -> None:
    found = values(case(*gold), line(*ranked))
    assert [found[name] for name in RETRIEVAL] == pytest.approx(expected, abs=1e-5)


def test_retrieval_is_scored_where_gold_is_known() -> None:
    assert "hit@1" not in values(case(), line("a"))
    assert "hit@1" not in values(case("a", answerable=False), line("a"))


@given(st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=14), st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_retrieval_against_the_definitions(ranked: list[str], gold: set[str]) -> None:
    found = values(case(*sorted(gold)), line(*ranked))
    ranks = [rank for rank, path in enumerate(ranked[:10], start=1) if path in gold]
    for k in (1, 5, 10):
        assert found[f"hit@{k}"] == float(any(rank <= k for rank in ranks))
    assert found["mrr@10"] == pytest.approx(1 / ranks[0] if ranks else 0, abs=1e-5)
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(10, len(gold)) + 1))
    assert found["ndcg@10"] == pytest.approx(sum(1 / log2(rank + 1) for rank in ranks) / ideal, abs=1e-5)


def test_citations() -> None:
    hits = (
        hit(1, "a.md", "Boil for `four`  minutes."),
        hit(2, "b.md", "Salt.", also=("a.md",)),
        hit(3, "c.md", "boil FOR four minutes"),
    )
    quotes = tuple(LineQuote(n, "", 1, 1, "") for n in (1, 2, 3, 2))
    gold = case("a.md", gold_spans=(("a.md", "Boil for\n**four** minutes"), ("a.md", "elsewhere")))
    answered = line("a.md", "b.md", "c.md", hits=hits, quotes=quotes)
    [score] = score_cases([gold], {"q": answered})
    assert score.values["citation_precision"] == 2 / 3  # any document whose passage says it; a passage cited twice is one
    assert score.values["citation_document_precision"] == 2 / 3  # by name or by a twin's
    assert score.weights["citation_precision"] == score.weights["citation_document_precision"] == 3
    assert score.values["citation_recall"] == 1
    refused = score_cases([gold], {"q": replace(answered, refused=True, quotes=())})[0].values
    assert not {"citation_precision", "citation_recall", "citation_document_precision"} & refused.keys()
    uncited = score_cases([gold], {"q": replace(answered, quotes=())})[0].values
    assert uncited["citation_recall"] == 0
    assert "citation_precision" not in uncited
    # Over citations, not over cases: (2 of 3) and (1 of 1) are 3 of 4.
    one = replace(answered, id="r", quotes=quotes[:1])
    assert aggregate(score_cases([gold, replace(gold, id="r")], {"q": answered, "r": one}))["citation_precision"] == 3 / 4


def test_answers() -> None:
    known = case("a", answers=("The four minutes!", "four"), answer_keys=("FOUR  minutes", "4"))
    right = values(known, line("a", answer="> Four minutes. [1]\n\n"))
    assert (right["em"], right["f1"], right["answer_contained"], right["answer_key"]) == (1, 1, 1, 1)
    longer = values(known, line("a", answer="> Boil them four minutes [1]"))
    assert (longer["em"], longer["answer_contained"], longer["answer_key"]) == (0, 1, 1)
    assert longer["f1"] == pytest.approx(2 * 2 / (4 + 2))
    refused = values(known, line("a", answer="four minutes", refused=True))
    assert (refused["em"], refused["f1"], refused["answer_contained"], refused["answer_key"]) == (0, 0, 0, 0)
    assert not {"em", "answer_key"} & values(case("a", reference="four"), line("a", answer="four")).keys()


@pytest.mark.parametrize(
    ("lang", "prediction", "gold", "expected"),
    [
        ("en", "a cat, the dog", "Cat dog", 1.0),
        ("en", "x y y", "y y z", 2 * 2 / 6),
        ("en", "x", "", 0.0),
        ("zh", "光荣和ω-force。", "光荣，和ω force", 1.0),
        ("zh", "由光荣公司开发", "光荣开发", 2 * 2 / (7 + 4)),  # the longest common run is 光荣 or 开发
        ("zh", "用 GPT-4 回答", "GPT-4", 2 * 2 / (5 + 2)),
    ],
)
def test_f1(lang: str, prediction: str, gold: str, expected: float) -> None:
    assert f1(answer_tokens(prediction, lang), answer_tokens(gold, lang), lang) == pytest.approx(expected)


def test_texts() -> None:
    assert answer_text("> one [1]\n> two\n\n| a |\n\n[12]\n\nsee [3](http://x)") == "one\ntwo\n\n| a |\n\nsee [3](http://x)"
    assert holds(["is", "308", "points"], ["308"])
    assert not holds(["1308"], ["308"])
    assert not holds(["a"], [])


def made(refuse: bool, refused: bool, confidence: float, category: str = "off_topic", id_: str = "q") -> CaseScore:
    made_case = Case(id_, "?", "en", answerable=not refuse, category=category if refuse else "answerable")
    return score_cases([made_case], {id_: replace(line("a", refused=refused, confidence=confidence), id=id_)})[0]


def test_refusals() -> None:
    scores = [
        made(True, True, 0.1), made(True, True, 0.3), made(True, False, 0.6, "on_topic"),  # two of three
        made(False, True, 0.2), made(False, False, 0.8), made(False, False, 0.9), made(False, False, 0.7),
    ]  # fmt: skip
    figures = aggregate(scores)
    assert figures["refusal_precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures["refusal_recall"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures["refusal_f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert figures["false_refusal_rate"] == 1 / 4
    assert figures["refusal_recall_off_topic"] == 1
    assert figures["refusal_recall_on_topic"] == 0
    # Thresholds on 1 - confidence: below .65 refuses three rightly and one wrongly, F1 = 2·3 / (2·3 + 1).
    assert figures["refusal_best_f1"] == pytest.approx(6 / 7, abs=1e-6)
    # Of 3 · 4 pairs, .3 > .2 and .6 > .2 are in the wrong order.
    assert figures["refusal_roc_auc"] == pytest.approx(10 / 12, abs=1e-6)


def test_a_failed_case_counts_on_the_bad_side() -> None:
    gold = Case("q", "?", "en", gold_doc_ids=("a",), gold_spans=(("a", "x"),), answers=("x",), answer_keys=("x",))
    failing = line("a", failed="The model is gone.", answer="x", refused=False)
    figures = aggregate(score_cases([gold], {"q": failing}))
    zero = (*RETRIEVAL, "citation_recall", "answer_key", "em", "f1", "answer_contained", "refusal_precision", "refusal_f1")
    assert [figures[name] for name in zero] == [0] * len(zero)
    assert figures["false_refusal_rate"] == figures["failed"] == 1
    assert figures["latency_p50_ms"] is None
    off = aggregate(score_cases([replace(gold, answerable=False, category="off")], {"q": replace(failing, refused=True)}))
    assert (off["refusal_recall"], off["refusal_f1"], off["refusal_recall_off"]) == (0, 0, 0)


def test_latencies_slices_and_what_has_no_cases() -> None:
    cases = [Case(str(n), "?", "zh" if n % 2 else "en", gold_doc_ids=("a",), repo="r" if n == 0 else "") for n in range(20)]
    lines = {str(n): replace(line("a"), id=str(n), seconds=(n + 1) / 1000, found_seconds=0.001) for n in range(20)}
    scores = score_cases(cases, lines)
    figures = aggregate(scores)
    assert figures["latency_p50_ms"] == pytest.approx(10.5)
    assert figures["latency_p95_ms"] == pytest.approx(19.05)
    assert figures["retrieval_p95_ms"] == 1
    for name in ("citation_precision", "em", "refusal_recall", "refusal_best_f1", "refusal_roc_auc"):
        assert figures[name] is None
        assert intervals(scores)[name] is None
    assert list(slices(scores)) == ["lang=en", "lang=zh", "repo=r"]
    assert slices(scores)["repo=r"]["cases"] == 1
    assert list(slices(scores)["repo=r"]) == list(figures)
    low, high = intervals(scores)["latency_p50_ms"] or (0, 0)
    assert 1 < low < 10.5 < high < 20
    assert intervals(scores) == intervals(scores)  # seeded


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2, max_size=30))
def test_what_is_read_off_confidence_is_what_scikit_learn_says(pairs: list[tuple[bool, float]]) -> None:
    from sklearn.metrics import precision_recall_curve, roc_auc_score

    figures = aggregate([made(refuse, False, confidence) for refuse, confidence in pairs])
    refuse, doubt = [refuse for refuse, _ in pairs], [1 - confidence for _, confidence in pairs]
    if len(set(refuse)) == 1:
        assert (figures["refusal_best_f1"], figures["refusal_roc_auc"]) == (None, None)
        return
    precision, recall, _ = precision_recall_curve(refuse, doubt)
    best = max(2 * p * r / (p + r) if p + r else 0 for p, r in zip(precision, recall, strict=True))
    assert figures["refusal_best_f1"] == pytest.approx(best, abs=1e-6)
    assert figures["refusal_roc_auc"] == pytest.approx(roc_auc_score(refuse, doubt), abs=1e-6)
