"""Runs of the ingestion in processes of their own that may be killed: forked from a server that has the libraries in
memory and has opened no index, so that a trial takes a second and inherits no threads."""

import importlib
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import ingest
import kb
from ingest.load import Loader
from ingest.prepare import prepare
from ingest.scan import scan
from kb.base import read_sources
from kb.index import Generation, verify
from tests.fake_embedder import fake_embedder

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.ingest.trials", "chromadb.api.rust", "tantivy", "kb.retrieve", "ingest.build"])


def settings_of(data_base: Path) -> kb.Settings:
    return kb.load_settings(data_base=data_base)


def write(docs: Path, n: int, version: int) -> None:
    """A page of five short sections."""
    sentence = "of file {n} in version {version}, long enough to stand by itself in an index of many."
    parts = [f"## Part {k}\n\nSentence {k} " + sentence.format(n=n, version=version) for k in range(5)]
    (docs / f"file{n}.md").write_text(f"# File {n}\n\n" + "\n\n".join(parts) + "\n", "utf-8")


def change(docs: Path, seed: int) -> None:
    """Adds, edits, deletes and moves."""
    chance = random.Random(seed)
    files = sorted(docs.glob("*.md"))
    for path in chance.sample(files, 3):
        write(docs, int(path.stem[4:]), seed + 1)
    for path in chance.sample(files, 2) if len(files) > 10 else []:
        path.unlink(missing_ok=True)
    if left := sorted(docs.glob("*.md")):
        left[0].rename(docs / f"file{1000 + seed}.md")
    for n in range(2):
        write(docs, 10_000 + 10 * seed + n, 0)


def expected(data_base: Path) -> set[str]:
    """The chunk ids of a fresh build, computed without an index."""
    settings, ids = settings_of(data_base), set()
    with Loader(settings) as loader:
        for source in read_sources(data_base / "kbs" / "default"):
            for file in scan(source, settings).files:
                ids |= {row.chunk.id for row in prepare(loader, settings, file).rows}
    return ids


# What runs in a process of its own


def _with_fake_embedder() -> None:
    for module in ("ingest.build", "kb.base"):
        setattr(importlib.import_module(module), "load_embedder", lambda _: fake_embedder())  # noqa: B010


def _reindex(data_base: Path, step: str, call: int) -> None:
    os.setpgid(0, 0)
    _with_fake_embedder()
    if step:
        _die_before(step, call)
    ingest.reindex("default", settings_of(data_base))


def _ids(data_base: Path, answer: Any) -> None:
    _with_fake_embedder()
    base = kb.KnowledgeBase.open("default", settings_of(data_base))
    generation: Generation = base.snapshot()
    verify(generation.folder)
    assert base.search("a sentence of file 3").hits
    answer.send(generation.chunk_ids())


def _die_before(step: str, call: int) -> None:
    """Patch "module:Class.method" so that its `call`-th call kills the process."""
    module, _, name = step.partition(":")
    *owners, last = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), [0]

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(owner, last, patched)


# The tests' side


def start_reindex(data_base: Path, step: str = "", call: int = 1) -> BaseProcess:
    process = _context.Process(target=_reindex, args=(data_base, step, call))
    process.start()
    return process


def finish(process: BaseProcess, seconds: float = 60) -> int:
    """Exit code; -9 if it was killed. Ends what it left behind."""
    process.join(seconds)
    assert process.exitcode is not None, "it hangs"
    try:
        os.killpg(process.pid or 0, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process.exitcode


def reindex(data_base: Path) -> None:
    assert finish(start_reindex(data_base)) == 0


def answering_ids(data_base: Path) -> set[str]:
    """Chunk ids of the live generation, after it was verified and has answered a question."""
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=_ids, args=(data_base, sender))
    process.start()
    sender.close()
    try:
        return set(receiver.recv())
    finally:
        finish(process)


def trial(data_base: Path, docs: Path, seed: int, run: Callable[[], int]) -> bool:
    """Change the folder, let `run` be killed, and check before and after one more run. Whether it was killed."""
    old = answering_ids(data_base)
    change(docs, seed)
    wanted = expected(data_base)
    code = run()
    assert code in (0, -signal.SIGKILL), code
    assert answering_ids(data_base) in ((old, wanted) if code else (wanted,))
    reindex(data_base)
    assert answering_ids(data_base) == wanted
    assert len(list((data_base / "kbs" / "default" / "generations").iterdir())) <= 2
    return code != 0
