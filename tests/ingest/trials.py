"""Runs of the ingestion in processes of their own that may be killed: forked from a server that has the libraries in
memory and has opened no index, so that a trial takes a second and inherits no threads."""

import gc
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chromadb.api.shared_system_client import SharedSystemClient

import ingest
import kb
import kb.base
import kb.index
import kb.segment
from ingest.__main__ import main as ingest_main
from ingest.child import die_with_parent
from ingest.load import Loader
from ingest.prepare import prepare
from ingest.scan import scan
from kb.base import generation_folder, read_sources
from kb.index import Generation, verify
from kb.manifest import read_manifest
from kb.state import State
from tests.fake_embedder import fake_embedder

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.ingest.server"])


Put = Callable[[Any, str, Any], None]  # setattr, or one that is undone: pytest.MonkeyPatch().setattr


def settings_of(data_base: Path, embed_model: str = "builtin") -> kb.Settings:
    return kb.load_settings(data_base=data_base, embed_model=embed_model)


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


def expected_texts(data_base: Path) -> dict[str, str]:
    """Chunk id → embedded text of a fresh build, computed without an index."""
    settings = settings_of(data_base)
    with Loader(settings) as loader:
        files = [file for source in read_sources(data_base / "kbs" / "default") for file in scan(source, settings).files]
        return {row.chunk.id: row.text for file in files for row in prepare(loader, settings, file).rows}


def expected(data_base: Path) -> set[str]:
    return set(expected_texts(data_base))


def live(data_base: Path) -> int | None:
    return State(settings_of(data_base)).live("default")


def generations(data_base: Path) -> set[int]:
    """Those on disk, complete or not."""
    return {int(path.name) for path in (data_base / "kbs" / "default" / "generations").glob("[0-9]" * 4)}


def leftovers(data_base: Path) -> list[str]:
    """What a run that did not end has left, and the next one has to remove."""
    folder = data_base / "kbs" / "default"
    named = {info.name for number in generations(data_base) for info in read_manifest(generation_folder(folder, number)).segments}
    segments = [path for path in (folder / "segments").glob("*") if path.name not in named]
    return sorted(str(path.relative_to(folder)) for path in (*folder.rglob("*.part"), *segments))


# What is patched, by name: a step that is renamed fails here and is not silently left out


def with_fake_embedder(put: Put = setattr) -> None:
    """Every `embed_model` is a fake one of that name."""
    for module in ("ingest.build", "kb.base"):
        put(importlib.import_module(module), "load_embedder", lambda settings: fake_embedder(settings.embed_model))


def verify_here(put: Put) -> None:
    """Check a new index in this process, which spares a second a run."""
    publish = importlib.import_module("ingest.publish")
    put(publish, "_verifier", lambda: nullcontext(SimpleNamespace(submit=lambda *_: None)))
    put(publish, "_verify_elsewhere", lambda _, part, trusted, meanwhile: (verify(part, trusted), meanwhile()))


def verify_in_a_fork(put: Put) -> None:
    """Check a new index in a child of the server, which spares the second that a process's imports take."""
    put(importlib.import_module("ingest.publish"), "_verifier", lambda: ProcessPoolExecutor(1, _context))


def before_step(step: str, call: int, act: Callable[[], None], put: Put = setattr) -> None:
    """Patch "module:Class.method" so that `act` comes before its `call`-th call."""
    module, _, name = step.partition(":")
    *owners, last = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), [0]

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            act()
        return real(*args, **kwargs)

    put(owner, last, patched)


class Killed(BaseException):
    """The end of a run that only seems to be a process of its own."""


def reindex_here(settings: kb.Settings, step: str, call: int) -> bool:
    """Re-index in this process up to a step, and from then on remove nothing: a dead process does not clean up.

    Whether the step came.
    """
    dead: list[bool] = []

    def die() -> None:
        dead.append(True)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        for module in [shutil, *(module for name, module in sys.modules.items() if name.startswith(("ingest.", "kb.")))]:
            if real := vars(module).get("rmtree"):
                patch.setattr(module, "rmtree", lambda *args, real=real, **kw: None if dead else real(*args, **kw))
        before_step(step, call, die, patch.setattr)
        try:
            ingest.reindex("default", settings)
        except Killed:
            pass
    return bool(dead)


def restart() -> None:
    """Let go of every open index, as the end of a process does, also of what a run that died has left open."""
    kb.base._live.clear()
    gc.collect()
    closed = threading.Event()  # by the thread that closes what was collected; a close after a new opening would close that
    kb.segment._closer().put(SimpleNamespace(close=closed.set))
    assert closed.wait(60)
    kb.index._open_segments.clear()
    for folder in list(SharedSystemClient._identifier_to_system):
        while folder in SharedSystemClient._identifier_to_system:
            with suppress(AttributeError):  # Chroma stops what it could not start
                SharedSystemClient._release_system(folder)


# What runs in a process of its own


@contextmanager
def _a_run() -> Iterator[None]:
    """What every run begins with. A child of the server has no server, so it forks who will check its index before it opens
    one."""
    os.setpgid(0, 0)
    with_fake_embedder()
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), die_with_parent) as pool:
        pool.submit(int).result()
        importlib.import_module("ingest.publish")._verifier = lambda: nullcontext(pool)
        yield


def _reindex(data_base: Path, step: str, call: int, embed_model: str) -> None:
    with _a_run():
        if step:
            before_step(step, call, lambda: os.kill(os.getpid(), signal.SIGKILL))
        ingest.reindex("default", settings_of(data_base, embed_model))


def _command(data_base: Path, said: Path) -> None:
    with said.open("w") as file, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with _a_run():
        sys.exit(ingest_main(["--data-base", str(data_base)]))


def _ids(data_base: Path, answer: Any) -> None:
    with_fake_embedder()
    base = kb.KnowledgeBase.open("default", settings_of(data_base))
    generation: Generation = base.snapshot()
    verify(generation.folder)
    assert base.search("a sentence of file 3").hits
    answer.send(generation.chunk_ids())


# The tests' side


def start_reindex(data_base: Path, step: str = "", call: int = 1, embed_model: str = "builtin") -> BaseProcess:
    process = _context.Process(target=_reindex, args=(data_base, step, call, embed_model))
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


def command(data_base: Path, said: Path) -> tuple[int, str]:
    """`python -m ingest`: its exit code, and what it has said by way of the file `said`."""
    process = _context.Process(target=_command, args=(data_base, said))
    process.start()
    return finish(process), said.read_text("utf-8").strip()


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
    assert len(generations(data_base)) <= 2
    assert not leftovers(data_base)
    return code != 0
