"""10,000, 100,000 and a million chunks with made-up vectors: building, disk, memory, questions, and a change of 100 chunks.

`make bench`; KB_BENCH_CHUNKS names other sizes ("10000,100000"). A million takes about half an hour and 8 GB of disk.
Each step runs in a process of its own, so that its peak memory is its own.
"""

import multiprocessing
import os
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import kb
from ingest.publish import add_generation
from ingest.report import Report
from kb.base import KnowledgeBase, generation_folder
from kb.embed import Embedder, Fingerprint
from kb.index import Generation, IndexRow
from kb.records import Chunk, Document
from kb.retrieve import retrieve
from kb.state import State
from kb.writer import GenerationWriter

pytestmark = pytest.mark.bench

SIZES = tuple(map(int, os.environ.get("KB_BENCH_CHUNKS", "10000,100000,1000000").split(",")))
DIMENSION, PER_DOCUMENT, QUESTIONS = 384, 10, 300
FINGERPRINT = Fingerprint("made-up", "0" * 64, DIMENSION, 128, "", "")
_topics = np.random.default_rng(1).standard_normal((500, DIMENSION)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def documents(first: int, count: int) -> Iterator[tuple[Document, list[IndexRow], np.ndarray]]:
    """Documents of ten chunks about one topic; words are drawn as in language, few of them often."""
    for n in range(first, first + count):
        chance = np.random.default_rng(n)
        key = f"{n:032x}"
        texts = [" ".join(f"w{w}" for w in chance.zipf(1.3, 60) % 200_000) for _ in range(PER_DOCUMENT)]
        document = Document(key, "made-up", f"{n}.md", f"{n}.md", f"Page {n}", "\n\n".join(texts), "markdown")
        rows = [
            IndexRow(
                document, Chunk(f"{key}-{k:016x}", key, k, (), 2 * k + 1, 2 * k + 1, text), text, f"{n}/{k}".encode(), text, ""
            )
            for k, text in enumerate(texts)
        ]
        yield document, rows, unit(_topics[n % 500] + chance.standard_normal((PER_DOCUMENT, DIMENSION)).astype(np.float32))


def fill(writer: GenerationWriter, first: int, count: int) -> None:
    batch: list[tuple[Document, list[IndexRow], np.ndarray]] = []
    for entry in documents(first, count):
        batch.append(entry)
        if len(batch) == 50 or entry[0].key == f"{first + count - 1:032x}":
            writer.add(
                [d for d, _, _ in batch], [r for _, rows, _ in batch for r in rows], np.concatenate([v for *_, v in batch])
            )
            batch.clear()


def embedder() -> Embedder:
    def encode(texts: Sequence[str]) -> np.ndarray:
        chance = np.random.default_rng(abs(hash(texts[0])))
        return unit(_topics[chance.integers(500)] + chance.standard_normal((1, DIMENSION)).astype(np.float32))

    tokenizer = SimpleNamespace(token_to_id=lambda _: None, encode=lambda text, add_special_tokens: SimpleNamespace(ids=[1]))
    return Embedder(FINGERPRINT, encode, tokenizer)


def build(data_base: Path, chunks: int) -> dict[str, float]:
    settings, report = kb.load_settings(data_base=data_base), Report("default")

    def write(part: Path) -> None:
        with GenerationWriter(part) as writer:
            fill(writer, 0, chunks // PER_DOCUMENT)
            writer.finish({}, FINGERPRINT, {})

    started = time.monotonic()
    add_generation("default", settings, write, report, lambda _: None)
    return {"build": time.monotonic() - started, "of it check": report.seconds["verify"]}


def ask(data_base: Path, _: int) -> dict[str, float]:
    """Seconds to open, and milliseconds of retrieval, question embedding (made up) aside."""
    settings, model = kb.load_settings(data_base=data_base), embedder()
    started = time.monotonic()
    generation = KnowledgeBase("default", settings).snapshot()
    opened = time.monotonic() - started
    chance, took = np.random.default_rng(7), []
    for _ in range(QUESTIONS):
        question = " ".join(f"w{w}" for w in chance.zipf(1.3, 8) % 200_000)
        started = time.monotonic()
        assert retrieve(question, (), generation, model, 8).hits
        took.append(1000 * (time.monotonic() - started))
    return {"open": opened, "p50": float(np.percentile(took, 50)), "p95": float(np.percentile(took, 95))}


def change(data_base: Path, chunks: int) -> dict[str, float]:
    """Ten documents of ten chunks edited, as a run does it after it has read them: write, check, publish."""
    settings = kb.load_settings(data_base=data_base)
    folder = KnowledgeBase("default", settings).folder
    old = random.Random(3).sample(range(chunks // PER_DOCUMENT), 10)
    started = time.monotonic()
    base = Generation(generation_folder(folder, State(settings).live("default") or 0))

    def write(part: Path) -> None:
        with GenerationWriter(part, base) as writer:
            for n in old:
                writer.remove_file("made-up", f"{n}.md")
            fill(writer, 10_000_000, 10)
            writer.finish({}, FINGERPRINT, {})

    trusted = {info.name for info in base.manifest.segments}
    add_generation("default", settings, write, Report("default"), lambda _: None, trusted)
    return {"change": time.monotonic() - started}


def disk(folder: Path) -> int:
    seen = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in (path.stat() for path in folder.rglob("*") if path.is_file())}
    return sum(seen.values())


def _run(step: Callable[[Path, int], dict[str, float]], data_base: Path, chunks: int, answer: Any) -> None:
    figures = step(data_base, chunks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(figures | {"MiB": max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)})


def elsewhere(step: Callable[[Path, int], dict[str, float]], data_base: Path, chunks: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(step, data_base, chunks, sender))
    process.start()
    sender.close()
    figures: dict[str, float] = receiver.recv()
    process.join()
    return figures


@pytest.mark.parametrize("chunks", SIZES)
def test_scale(tmp_path: Path, chunks: int) -> None:
    built = elsewhere(build, tmp_path, chunks)
    size = disk(tmp_path)
    asked = elsewhere(ask, tmp_path, chunks)
    changed = elsewhere(change, tmp_path, chunks)
    print(
        f"\n{chunks:>9,} chunks: built in {built['build']:.1f} s ({1e6 * built['build'] / chunks:.0f} µs a chunk, "
        f"{built['of it check']:.1f} s of it the check), peak {built['MiB']:.0f} MiB; {size / 1e6:.0f} MB on disk "
        f"({size / chunks:.0f} B a chunk)\n{'':>9}  opened in {asked['open']:.2f} s, questions p50 {asked['p50']:.1f} ms, "
        f"p95 {asked['p95']:.1f} ms, peak {asked['MiB']:.0f} MiB; 100 chunks changed in {changed['change']:.2f} s "
        f"and {(disk(tmp_path) - size) / 1e6:.1f} MB, peak {changed['MiB']:.0f} MiB"
    )
