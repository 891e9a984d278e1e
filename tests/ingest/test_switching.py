"""Questions while re-indexes of another process switch generations: none fails, and none is answered from two of them."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles

import pytest

import ingest
import kb
from kb.records import Done, Event, Failed, Found
from tests.ingest import trials

_THREADS = 8
_MARKER = re.compile(r"\bquov[b-n]{3}\b")


def marker(version: int) -> str:
    return "quov" + "".join("bcdfghklmn"[int(digit)] for digit in f"{version:03}")


def write(docs: Path, version: int) -> None:
    """A dozen pages of which each passage names the version. More stay as they are, so that a run copies an index too."""
    word = marker(version)
    for n in range(12):
        parts = [
            f"## Part {k}\n\nPart {k} of page {n} says {word} in a sentence that is long enough to stand.\n" for k in range(5)
        ]
        (docs / f"page{n}.md").write_text(f"# Page {n} of {word}\n\n" + "\n".join(parts), "utf-8")


class Asking:
    """Threads that ask until they are told to stop, and what came of it: the version that each generation answered in."""

    def __init__(self, settings: kb.Settings) -> None:
        self._base = kb.KnowledgeBase.open("default", settings)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(_THREADS)]
        self.errors: list[str] = []
        self.mixed: list[str] = []
        self.seconds: list[float] = []
        self.versions: dict[int, str] = {}

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        turn = number
        while not self._stop.is_set():
            turn += 1
            question = f"What does part {turn % 5} of page {turn % 12} say?"
            started = time.monotonic()
            try:
                if turn % 2:
                    found, text = self._base.search(question), ""
                else:
                    found, text = self._answer(question)
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                continue
            self.seconds.append(time.monotonic() - started)
            said = set(_MARKER.findall("\n".join((text, *(f"{hit.title}\n{hit.chunk.text}" for hit in found.hits)))))
            if said != {self.versions.setdefault(found.generation, min(said, default="nothing"))}:
                self.mixed.append(f"generation {found.generation} says {sorted(said)}")

    def _answer(self, question: str) -> tuple[Found, str]:
        async def all_of_it() -> list[Event]:
            return [event async for event in kb.ask(question, [], self._base, self._base.settings)]

        found, *_, last = asyncio.run(all_of_it())
        assert isinstance(found, Found), found
        assert isinstance(last, Done), last.message if isinstance(last, Failed) else last
        return found, last.text

    def p(self, percent: int) -> float:
        """Milliseconds."""
        return quantiles(self.seconds, n=100)[percent - 1] * 1000

    def check(self) -> None:
        assert not self.errors, f"{len(self.errors)} errors, one of them: {self.errors[0]}"
        assert not self.mixed, f"{len(self.mixed)} answers of two generations, one of them: {self.mixed[0]}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """docs and data_base, indexed in version 0."""
    (tmp_path / "docs").mkdir()
    write(tmp_path / "docs", 0)
    for n in range(16):
        trials.write(tmp_path / "docs", n, 0)
    ingest.add_source(trials.settings_of(tmp_path / "data_base"), "default", tmp_path / "docs")
    trials.reindex(tmp_path / "data_base")
    with pytest.MonkeyPatch.context() as patch:
        trials.with_fake_embedder(patch.setattr)
        yield tmp_path
    trials.restart()


def asked_during(home: Path, what: Callable[[], None]) -> Asking:
    with Asking(trials.settings_of(home / "data_base")) as asking:
        what()
    asking.check()
    return asking


def switch(home: Path, versions: range) -> None:
    for version in versions:
        write(home / "docs", version)
        trials.reindex(home / "data_base")


def test_3_switches(home: Path) -> None:
    asking = asked_during(home, lambda: switch(home, range(1, 4)))
    assert set(asking.versions.values()) >= {marker(version) for version in range(3)}


@pytest.mark.slow
def test_20_switches(home: Path) -> None:
    def busy() -> None:
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(20)
        process.kill()
        process.wait()

    asked_during(home, lambda: time.sleep(2))  # what is read once
    idle = asked_during(home, lambda: time.sleep(20))
    beside = asked_during(home, busy)
    switching = asked_during(home, lambda: switch(home, range(1, 21)))
    print()
    for name, asking in (("idle", idle), ("beside a process that is busy", beside), ("20 re-indexes", switching)):
        print(
            f"{name}: {len(asking.seconds)} answers to {_THREADS} threads, p50 {asking.p(50):.0f} ms, p95 {asking.p(95):.0f} ms, "
            f"p95 {asking.p(95) / idle.p(95):.2f} times that of idle"
        )
    print("0 errors, 0 answers of two generations")
    assert set(switching.versions.values()) >= {marker(version) for version in range(20)}
    assert switching.p(95) <= 2 * idle.p(95)
