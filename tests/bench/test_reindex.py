"""Cold index of a real corpus against the classic recipe, and what small changes cost.

`make bench`; skipped where the corpus is absent. KB_BENCH_DATA names its folder (default: ../shared/data).
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import kb
from kb.embed import load_embedder
from kb.embed_model import locate
from kb.records import Turn
from tests.bench.corpora import CORPUS, DATA, ROOT, cases, first_gold, turns

pytestmark = [pytest.mark.bench, pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus in {DATA}: set KB_BENCH_DATA")]

Ranker = Callable[[str, Sequence[Turn]], list[str]]


def classic(corpus: Path, folder: Path, settings: kb.Settings) -> tuple[float, int, Ranker]:
    """The recipe of the tutorials, as one writes it today: every .md and .txt, 500/150 characters, one Chroma call.

    Returns the seconds it took, how many chunks it made, and a function that ranks documents for a question.
    """
    import spacy
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import UnstructuredFileLoader, UnstructuredMarkdownLoader
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from unstructured.nlp import tokenize

    def sentences() -> "spacy.language.Language":
        language = spacy.blank("en")  # unstructured would fetch a model from the network
        language.add_pipe("sentencizer")
        return language

    tokenize._load_spacy_model = sentences
    started = time.monotonic()
    documents = []
    for path in sorted(corpus.rglob("*")):
        if path.suffix in (".md", ".txt") and path.stat().st_size:
            loader = UnstructuredMarkdownLoader if path.suffix == ".md" else UnstructuredFileLoader
            documents.extend(loader(str(path)).load())
    chunks = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=150).split_documents(documents)
    embeddings = HuggingFaceEmbeddings(model_name=str(locate(settings)[1]))
    store = None
    for at in range(0, len(chunks), 5000):  # one call of from_documents is refused past Chroma's largest batch
        some = chunks[at : at + 5000]
        if store is None:
            store = Chroma.from_documents(some, embeddings, persist_directory=str(folder))
        else:
            store.add_documents(some)
    seconds = time.monotonic() - started
    assert store is not None

    def rank(question: str, history: Sequence[Turn]) -> list[str]:
        text = "\n".join([*(turn.content for turn in history if turn.role == "user"), question])
        found = store.similarity_search(text, k=50)
        return list(dict.fromkeys(str(Path(d.metadata["source"]).relative_to(corpus)) for d in found))

    return seconds, len(chunks), rank


def quality(rank: Ranker) -> tuple[float, float, float]:
    """hit@1, hit@5 and MRR@10 of documents over the answerable questions."""
    ranks = [first_gold(rank(c["question"], turns(c)), c["gold_doc_ids"]) for c in cases() if c["answerable"]]
    n = len(ranks)
    hit = [sum(r is not None and r <= k for r in ranks) / n for k in (1, 5)]
    return hit[0], hit[1], sum(1 / r for r in ranks if r is not None and r <= 10) / n


def command(settings: kb.Settings, *args: str) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole command `python -m ingest`, and its report."""
    started = time.monotonic()
    argv = [sys.executable, "-m", "ingest", "--json", "--data-base", str(settings.data_base), *args]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    report = json.loads(done.stdout)
    seconds = time.monotonic() - started
    print(
        f"{seconds:.1f} s: {report['embedded']} embedded, {report['reused']} reused, {report['moved']} moved; {report['seconds']}"
    )
    return seconds, report


def alone(settings: kb.Settings, base: kb.KnowledgeBase) -> float:
    """Chunks a second when the machine does nothing but embed: the best that the embedding stage could reach."""
    texts = [
        "\n".join((*chunk.heading, chunk.text))
        for _, segment, keys in base.snapshot().parts()
        for chunk, _ in segment.chunks_of(list(keys))
    ][:2048]
    embedder = load_embedder(settings)
    embedder.passages(texts[:64])
    started = time.monotonic()
    embedder.passages(texts)
    return len(texts) / (time.monotonic() - started)


def test_against_the_classic_recipe(tmp_path: Path) -> None:
    corpus = tmp_path / "internlm-docs"
    shutil.copytree(CORPUS, corpus)
    settings = kb.load_settings(data_base=tmp_path / "data_base", top_k=50)
    ours, cold = command(settings, str(corpus))
    again, nothing = command(settings)
    assert (nothing["generation"], nothing["embedded"]) == (None, 0)
    readme = corpus / "lmdeploy" / "README.md"
    readme.write_text(readme.read_text("utf-8") + "\n\nOne more sentence at the end of this page.\n", "utf-8")
    edited, _ = command(settings)
    (corpus / "xtuner" / "docs").rename(corpus / "xtuner" / "pages")
    moved, move = command(settings)
    assert (move["embedded"], move["moved"] >= 100) == (0, True)
    (corpus / "xtuner" / "pages").rename(corpus / "xtuner" / "docs")
    command(settings)
    base = kb.KnowledgeBase.open("default", settings)
    best = alone(settings, base)

    def rank(question: str, history: Sequence[Turn]) -> list[str]:
        return list(dict.fromkeys(hit.path for hit in base.search(question, history).hits))

    theirs, their_chunks, classic_rank = classic(corpus, tmp_path / "classic", settings)
    print(f"\n{'':<24} {'seconds':>8} {'chunks':>7} {'hit@1':>6} {'hit@5':>6} {'MRR@10':>7}")
    for name, seconds, count, ranker in (
        ("classic recipe", theirs, their_chunks, classic_rank),
        ("InternKB, cold", ours, cold["chunks"], rank),
    ):
        hit1, hit5, mrr = quality(ranker)
        print(f"{name:<24} {seconds:>8.1f} {count:>7} {hit1:>6.3f} {hit5:>6.3f} {mrr:>7.3f}")
    rate = cold["embedded"] / cold["seconds"]["embed"]
    print(f"classic / InternKB       {theirs / ours:>8.1f}")
    print(f"embedding {rate:.0f} chunks/s while files are read and written, {best:.0f} alone: {rate / best:.0%}")
    print(f"nothing changed {again:.1f} s, one file edited {edited:.1f} s, {move['moved']} files moved {moved:.1f} s")
    assert theirs / ours >= 1
