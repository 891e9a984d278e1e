"""Our splitter beside LangChain's RecursiveCharacterTextSplitter, by what the retrieved chunks hold of the answers.

`make bench ARGS="-k chunking"`. Token recall and IoU as in "Evaluating Chunking Strategies for Retrieval" (Smith and Troynikov,
Chroma technical report, 2024): of the five chunks nearest to a question, by vectors alone, the share of the gold excerpts' tokens
that they hold, and the intersection over the union of both. Texts: chunking-eval of KB_BENCH_DATA.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ingest.split import split
from kb.embed import load_embedder
from kb.records import Document
from kb.settings import load_settings
from tests.bench.corpora import DATA

FOLDER = DATA / "qa-sets" / "chunking-eval"
CHARS = (1000, 400)
TOP = 5
pytestmark = [pytest.mark.bench, pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no texts in {DATA}: set KB_BENCH_DATA")]
Span = tuple[str, int, int]  # document, and characters from and to


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def ours(id_: str, text: str, chars: int) -> list[Span]:
    spans, at = [], 0
    for chunk in split(Document(id_, "bench", id_, id_, "", text, "text"), chars):
        at = text.index(chunk.text, at)
        spans.append((id_, at, at + len(chunk.text)))
    return spans


def recursive(id_: str, text: str, chars: int) -> list[Span]:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=chars, chunk_overlap=0, add_start_index=True)
    found = splitter.create_documents([text])
    return [(id_, d.metadata["start_index"], d.metadata["start_index"] + len(d.page_content)) for d in found]


def mean_size(spans: Sequence[Span]) -> float:
    return sum(b - a for _, a, b in spans) / len(spans)


def same_size(texts: dict[str, str], wanted: float) -> list[Span]:
    """Recursive chunks whose mean size comes nearest to `wanted`."""
    tries = [[s for i, t in texts.items() for s in recursive(i, t, int(wanted * f))] for f in np.arange(1.0, 1.6, 0.05)]
    return min(tries, key=lambda spans: abs(mean_size(spans) - wanted))


def tokens(text: str) -> np.ndarray:
    """The first character of each token."""
    return np.array([match.start() for match in re.finditer(r"\w+|[^\w\s]", text)])


@pytest.mark.parametrize("chars", CHARS)
def test_chunking(chars: int) -> None:
    texts = {row["id"]: row["text"] for row in rows("corpus.jsonl")}
    starts = {id_: tokens(text) for id_, text in texts.items()}

    def held(spans: Sequence[Span]) -> set[tuple[str, int]]:
        return {(id_, n) for id_, a, b in spans for n in range(*np.searchsorted(starts[id_], (a, b)))}

    questions = rows("questions.jsonl")
    embedder = load_embedder(load_settings())
    asked = embedder.queries([row["question"] for row in questions])
    mine = [span for id_, text in texts.items() for span in ours(id_, text, chars)]
    print(f"\n{'':<12} {'chunks':>6} {'mean':>6} {'recall':>7} {'IoU':>7} {'precision':>9}")
    for name, spans in (("ours", mine), ("recursive", same_size(texts, mean_size(mine)))):
        vectors = embedder.passages([texts[id_][a:b] for id_, a, b in spans])
        figures = []
        for row, near in zip(questions, np.argsort(-(asked @ vectors.T), axis=1)[:, :TOP], strict=True):
            gold = held([(row["gold_doc_ids"][0], span["start"], span["end"]) for span in row["gold_spans"]])
            found = held([spans[n] for n in near])
            both = len(gold & found)
            figures.append((both / len(gold), both / len(gold | found), both / len(found)))
        recall, iou, precision = np.mean(figures, axis=0)
        print(f"{name:<12} {len(spans):>6} {mean_size(spans):>6.0f} {recall:>7.3f} {iou:>7.3f} {precision:>9.3f}")
