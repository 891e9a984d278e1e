"""Finding, answering and refusing on every question set there is, each beside BM25 alone and vectors alone.

`make bench ARGS="-k retrieval"`; skipped where the corpora are absent. KB_BENCH_DATA names their folder (../shared/data),
KB_BENCH_CASES how many questions of a public set are asked (default 500, drawn with a fixed seed).
The classic recipe stands in test_reindex.py: it takes minutes to build.
"""

import csv
import json
import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import ingest
import kb
from eval import Case, evaluate, read_cases
from kb import retrieve
from kb.records import Found, Turn
from kb.translate import Translator
from tests.bench.corpora import CORPUS, DATA, DEV, cases, turns

HELD_OUT = Path(__file__).parent / "questions" / "internlm-docs.jsonl"
SETS = {
    "dev": (CORPUS, DEV),
    "held out": (CORPUS, HELD_OUT),
    **{
        name: (DATA / "qa-sets" / name / "corpus.jsonl", DATA / "qa-sets" / name / "questions.jsonl")
        for name in ("xquad-zh", "xquad-en", "cmrc2018-dev", "squad2-dev-cs224n-half", "rgb-zh-fact", "rgb-en-fact")
    },
}
MOST = int(os.environ.get("KB_BENCH_CASES", "500"))
pytestmark = [pytest.mark.bench, pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus in {DATA}: set KB_BENCH_DATA")]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> kb.Settings:
    """A data base with each corpus as a knowledge base named by its folder."""
    settings = kb.load_settings(data_base=tmp_path_factory.mktemp("retrieval"))
    for corpus, _ in SETS.values():
        if name_of(corpus) not in kb.KnowledgeBase.names(settings):
            ingest.add_source(settings, name_of(corpus), corpus)
            ingest.reindex(name_of(corpus), settings)
    return settings


def name_of(corpus: Path) -> str:
    return corpus.parent.name if corpus.is_file() else corpus.name


def drawn(questions: Path, tmp_path: Path) -> Path:
    """At most MOST of the questions, as a file of their own."""
    lines = questions.read_text("utf-8").splitlines()
    if len(lines) <= MOST:
        return questions
    some = tmp_path / f"{questions.parent.name}.jsonl"
    some.write_text("\n".join(random.Random(1).sample(lines, MOST)), "utf-8")
    return some


def first_right(case: Case, found: Found) -> int | None:
    """The rank of the first gold document."""
    ranked: dict[tuple[str, ...], None] = dict.fromkeys((hit.path, *hit.also) for hit in found.hits)
    return next((n for n, paths in enumerate(ranked, start=1) if set(paths) & set(case.gold_doc_ids)), None)


def hits_and_mrr(ranks: Sequence[int | None]) -> str:
    n = max(1, len(ranks))
    hit = [sum(rank is not None and rank <= k for rank in ranks) / n for k in (1, 5)]
    mrr = sum(1 / rank for rank in ranks if rank is not None and rank <= 10) / n
    return f"{hit[0]:.3f} {hit[1]:.3f} {mrr:.3f}"


def legs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, int]]]:
    """Each way to rank, in turn, and settings of it: what is patched is how the two legs are put together."""
    fused: Callable[..., dict[str, float]] = retrieve._fused
    yield "fused", {}
    yield "fused, read once", {"reread": 0}
    monkeypatch.setattr(retrieve, "_fused", lambda words, vector, weight: dict(words))
    yield "BM25 alone", {"reread": 0}
    monkeypatch.setattr(retrieve, "_fused", lambda words, vector, weight: fused((), vector, 1.0))
    yield "vectors alone", {"reread": 0}
    monkeypatch.setattr(retrieve, "_fused", fused)


@pytest.mark.parametrize("name", SETS)
def test_retrieval(name: str, settings: kb.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the whole pipeline, and with one of its legs alone; both legs keep glossary, twins and places."""
    corpus, questions = SETS[name]
    cases = [case for case in read_cases(drawn(questions, tmp_path)).cases if case.answerable and case.gold_doc_ids]
    slices = {"": cases}
    for tag, wanted in (("zh", "lang=zh"), ("en", "lang=en")):
        if name in ("dev", "held out"):
            slices[wanted] = [case for case in cases if case.lang == tag]
    slices |= {"cross-lingual": [c for c in cases if c.cross_lingual], "follow-up": [c for c in cases if c.multi_turn]}
    print(f"\n{name}: {len(cases)} questions; hit@1 hit@5 MRR@10")
    for way, chosen in legs(monkeypatch):
        base = kb.KnowledgeBase.open(name_of(corpus), settings.model_copy(update={"top_k": 20} | chosen))
        ranks = {case.id: first_right(case, base.search(case.question, case.history)) for case in cases}
        figures = "  ".join(f"{tag or 'all'} {hits_and_mrr([ranks[c.id] for c in some])}" for tag, some in slices.items() if some)
        print(f"  {way:<18} {figures}")


@pytest.mark.parametrize("name", SETS)
def test_answers(name: str, settings: kb.Settings, tmp_path: Path) -> None:
    """The same path as the page: `python -m eval`."""
    corpus, questions = SETS[name]
    run = evaluate(settings, name_of(corpus), drawn(questions, tmp_path), tmp_path / "run")
    names = ("hit@1", "hit@5", "mrr@10", "ndcg@10", "answer_key", "answer_contained", "citation_precision",
             "citation_document_precision", "refusal_f1", "refusal_best_f1", "refusal_roc_auc", "false_refusal_rate",
             "refusal_recall_off_topic", "refusal_recall_unanswerable_on_topic", "latency_p95_ms")  # fmt: skip
    print(f"\n{name}")
    for metric in names:
        if (value := run.overall.get(metric)) is not None:
            low, high = run.intervals.get(metric) or (value, value)
            print(f"  {metric:<38} {value:8.3f}  [{low:.3f}, {high:.3f}]")


@pytest.mark.parametrize("name", ["rgb-zh-fact", "rgb-en-fact"])
def test_only_negative_documents(name: str, settings: kb.Settings, tmp_path: Path) -> None:
    """The questions of RGB over its documents that only seem to answer them: all are to be refused."""
    corpus, questions = (tmp_path / file for file in ("corpus.jsonl", "questions.jsonl"))
    asked = [json.loads(line) for line in SETS[name][1].read_text("utf-8").splitlines()]
    gold = {id_ for row in asked for id_ in row["gold_doc_ids"]}
    rows = SETS[name][0].read_text("utf-8").splitlines()
    corpus.write_text("\n".join(row for row in rows if json.loads(row)["id"] not in gold), "utf-8")
    absent = {"answerable": False, "category": "unanswerable_on_topic", "gold_doc_ids": []}
    questions.write_text(
        "\n".join(json.dumps({k: row[k] for k in ("id", "question", "lang")} | absent) for row in asked), "utf-8"
    )
    ingest.add_source(settings, f"{name}-negative", corpus)
    ingest.reindex(f"{name}-negative", settings)
    run = evaluate(settings, f"{name}-negative", questions, tmp_path / "run")
    answered = evaluate(settings, name_of(SETS[name][0]), SETS[name][1], tmp_path / "answerable")
    scores = [[score.confidence or 0.0 for score in one.scores] for one in (answered, run)]
    pairs = [(with_gold > without) + (with_gold == without) / 2 for with_gold in scores[0] for without in scores[1]]
    print(f"\n{name}: refused {run.overall['refusal_recall']:.3f} of {len(asked)} without their documents,", end=" ")
    print(f"{answered.overall['false_refusal_rate']:.3f} with them; ROC-AUC of the two {statistics.mean(pairs):.3f}")


def in_one_language(language: str, tmp_path: Path) -> tuple[Path, Path]:
    """The pages of CORPUS in one language alone, and the questions of dev and held out that are asked in the other: those that
    such a page answers, and the unanswerable ones.
    """
    corpus, questions = tmp_path / f"only-{language}", tmp_path / f"only-{language}.jsonl"
    with (CORPUS / "MANIFEST.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["index_recommended"] == "yes" and row["language"] == language:
                path = corpus / row["repo"] / row["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(CORPUS / row["repo"] / row["path"], path)
    rows = []
    for line in (DEV.read_text("utf-8") + HELD_OUT.read_text("utf-8")).splitlines():
        row = json.loads(line)
        row["gold"] = [gold for gold in row["gold"] if (corpus / gold["doc_id"]).exists()]
        row["gold_doc_ids"] = [id_ for id_ in row["gold_doc_ids"] if (corpus / id_).exists()]
        if row["lang"] != language and (row["gold"] or not row["answerable"]):
            rows.append(row)
    questions.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return corpus, questions


def parallel(asked: str, answers: str, tmp_path: Path) -> tuple[Path, Path]:
    """The documents of one language of xquad, and the same questions in another."""
    rows = [json.loads(line) for line in drawn(SETS[asked][1], tmp_path).read_text("utf-8").splitlines()]
    same = {row["id"]: row for row in map(json.loads, SETS[answers][1].read_text("utf-8").splitlines())}
    rows = [row | {key: same[row["id"]][key] for key in ("gold_doc_ids", "answers")} for row in rows]
    questions = tmp_path / f"{asked} of {answers}.jsonl"
    questions.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return SETS[answers][0], questions


@pytest.mark.parametrize("name", ["dev", "held out"])
def test_after_another_question(name: str, settings: kb.Settings) -> None:
    """Questions that stand by themselves, each asked after one about something else: has the change of topic been seen?"""
    corpus, questions = SETS[name]
    cases = [case for case in read_cases(questions).cases if not case.history]
    answerable = [case for case in cases if case.answerable and case.gold_doc_ids]
    draw = random.Random(0)
    base = kb.KnowledgeBase.open(name_of(corpus), settings)
    needed = settings.refuse_below
    before = {case.id: (Turn("user", draw.choice(answerable).question),) for case in cases}
    print(f"\n{name}: {len(answerable)} answerable questions; hit@1 hit@5 MRR@10, refused; off topic refused")
    for way in ("by itself", "after another"):
        found = {case.id: base.search(case.question, before[case.id] if way == "after another" else ()) for case in cases}
        unsure = {id_ for id_, one in found.items() if one.confidence < needed}
        off = [case.id in unsure for case in cases if case.category == "off_topic"]
        figures = hits_and_mrr([first_right(case, found[case.id]) for case in answerable])
        print(f"  {way:<14} {figures}, {statistics.mean(c.id in unsure for c in answerable):.3f}; {statistics.mean(off):.3f}")


@pytest.mark.parametrize(("asked", "pages"), [("zh", "en"), ("en", "zh"), ("xquad-zh", "xquad-en"), ("xquad-en", "xquad-zh")])
def test_asked_in_the_other_language(
    asked: str, pages: str, settings: kb.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents in one language, questions in the other: with the dictionary and without."""
    corpus, questions = in_one_language(pages, tmp_path) if len(pages) == 2 else parallel(asked, pages, tmp_path)
    name = name_of(corpus)
    if name not in kb.KnowledgeBase.names(settings):
        ingest.add_source(settings, name, corpus)
        ingest.reindex(name, settings)
    generation = kb.KnowledgeBase.open(name, settings).snapshot()
    print(f"\n{asked}, asked of {pages}")
    for way in ("with the dictionary", "without"):
        if way == "without":
            monkeypatch.setattr(generation, "translator", Translator(generation.learned.glossary, generation.frequency))
        figures = evaluate(settings, name, questions, tmp_path / way).overall
        for metric in ("hit@1", "hit@5", "mrr@10", "answer_key", "answer_contained", "false_refusal_rate", "refusal_f1"):
            if (value := figures.get(metric)) is not None:
                print(f"  {way:<20} {metric:<20} {value:.3f}")


def test_retrieval_time(settings: kb.Settings) -> None:
    """Milliseconds of a question, embedding included, and of what is neither a leg nor the embedding."""
    base = kb.KnowledgeBase.open("internlm-docs", settings)
    snapshot = base.snapshot()
    embedder = base.embedder(snapshot)
    spent = {"legs": 0.0}

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            value = call(*arguments)
            spent["legs"] += time.perf_counter() - started
            return value

        return run

    whole, rest = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "by_words", timed(snapshot.by_words))
        patch.setattr(snapshot, "together", timed(snapshot.together))  # asks the index of words as well
        patch.setattr(snapshot, "by_vector", timed(snapshot.by_vector))
        patch.setattr(embedder, "_encode", timed(embedder._encode))
        for row in 3 * cases():
            spent["legs"] = 0.0
            started = time.perf_counter()
            base.search(row["question"], turns(row), snapshot)
            whole.append(1000 * (time.perf_counter() - started))
            rest.append(whole[-1] - 1000 * spent["legs"])
    for what, times in (("whole", whole), ("outside the legs and the embedding", rest)):
        print(f"\n{what}: p50 {statistics.median(times):.1f} ms, p95 {statistics.quantiles(times, n=20)[-1]:.1f} ms", end="")
    print()
