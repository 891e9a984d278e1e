"""Document-level retrieval and quoted answers on the questions of shared/data/domain-qa, with all history given.

`make bench`; skipped where the corpus is absent. KB_BENCH_DATA names its folder (default: ../shared/data).
"""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from kb.records import Done, Found, Turn

DATA = Path(os.environ.get("KB_BENCH_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
QUESTIONS = DATA / "domain-qa" / "dev.jsonl"
ROOT = Path(__file__).resolve().parents[2]
CORPUS = DATA / "internlm-docs"

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not QUESTIONS.is_file(), reason=f"no question set in {DATA}: set KB_BENCH_DATA"),
]


def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]


def turns(case: dict[str, Any]) -> list[Turn]:
    return [Turn(row["role"], row["content"]) for row in case["history"]]


def documents(found: Found) -> list[str]:
    """Documents of the hits in order of their best chunk."""
    return list(dict.fromkeys(hit.path for hit in found.hits))


def first_gold(ranked: Sequence[str], gold: Sequence[str]) -> int | None:
    return next((rank for rank, path in enumerate(ranked, start=1) if path in gold), None)


def table(rows: dict[str, list[int | None]]) -> Iterator[str]:
    yield f"{'slice':<24} {'n':>4} {'hit@1':>6} {'hit@5':>6} {'MRR@10':>7}"
    for name, ranks in rows.items():
        if ranks:
            n = len(ranks)
            hit = [sum(rank is not None and rank <= k for rank in ranks) / n for k in (1, 5)]
            mrr = sum(1 / rank for rank in ranks if rank is not None and rank <= 10) / n
            yield f"{name:<24} {n:>4} {hit[0]:>6.3f} {hit[1]:>6.3f} {mrr:>7.3f}"


def test_document_retrieval(tmp_path: Path) -> None:
    import ingest
    import kb

    settings = kb.load_settings(data_base=tmp_path, top_k=50)
    ingest.add_source(settings, "default", CORPUS)
    ingest.reindex("default", settings)
    base = kb.KnowledgeBase.open("default", settings)
    answered = [case for case in cases() if case["answerable"]]
    rank = {
        case["id"]: first_gold(documents(base.search(case["question"], turns(case))), case["gold_doc_ids"]) for case in answered
    }
    slices = {
        "answerable": answered,
        "zh": [case for case in answered if case["lang"] == "zh"],
        "en": [case for case in answered if case["lang"] == "en"],
        "cross-lingual": [case for case in answered if case["cross_lingual"]],
        "follow-up": [case for case in answered if case["multi_turn"]],
    }
    rows = {name: [rank[case["id"]] for case in some] for name, some in slices.items()}
    print("\n" + "\n".join(table(rows)))
    everything = rows["answerable"]
    assert sum(r is not None and r <= 5 for r in everything) / len(everything) >= 0.88
    assert sum(1 / r for r in everything if r and r <= 10) / len(everything) >= 0.78

    wide = settings.model_copy(update={"top_k": 8})

    async def ask(case: dict[str, Any]) -> Done:
        async with aclosing(kb.ask(case["question"], turns(case), base, wide)) as events:
            return [event async for event in events if isinstance(event, Done)].pop()

    done = {case["id"]: asyncio.run(ask(case)) for case in cases()}
    keyed = [any(key.lower() in done[case["id"]].text.lower() for key in case["answer_keys"]) for case in answered]
    refused = {
        kind: [done[case["id"]].refused for case in cases() if case["category"] == kind]
        for kind in ("answerable", "unanswerable_on_topic", "off_topic")
    }
    print(f"answer key in the quoted answer: {sum(keyed) / len(keyed):.3f}")
    print("refused: " + ", ".join(f"{kind} {sum(some)}/{len(some)}" for kind, some in refused.items()))
