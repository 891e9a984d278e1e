"""Anything that can happen to a folder and its index, in any order, held against a dict of what is in the folder."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import ingest
import kb
from kb.base import generation_folder
from kb.state import State
from tests.fake_embedder import fake_embedder
from tests.ingest import trials
from tests.ingest.test_crash import STEPS

# The collector closes indexes too, and what is raised there is lost: a run would go on that should have ended.
_STEPS = [step for step in STEPS if step != "kb.segment:_close_chroma"]
# In memory where the system offers that: what is tried here is the order of steps, and a disk's sync takes most of a run.
_MEMORY = Path("/dev/shm")
_WORD = re.compile(r"\bquo[b-n]{4}\b")
_PATHS = [folder + name for folder in ("", "a/", "b/", "b/c/") for name in ("one.md", "two.md", "three.md")]

some = st.integers(0, 11)  # which of the files, counted round
paths = st.sampled_from(_PATHS)


@dataclass(frozen=True)
class Indexed:
    """What a generation was built from: path → text, chunk id → embedded text, and the name of the embedding model."""

    files: dict[str, str]
    texts: dict[str, str]
    model: str


class Machine(RuleBasedStateMachine):
    """`files` is the folder; `indexed` are the generations by number; `before` is the one to go back to."""

    kills = 0  # of twelve crashes, how many are a `kill -9` of a process
    counts: dict[str, int] = {}  # noqa: RUF012 - over all runs

    @initialize()
    def begin(self) -> None:  # not __init__: Hypothesis also makes machines that it does not run, and does not tear down
        self.home = Path(tempfile.mkdtemp(prefix="machine", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        self.docs, self.data_base = self.home / "docs", self.home / "data_base"
        self.docs.mkdir()
        self.files: dict[str, str] = {}
        self.indexed: dict[int, Indexed] = {}
        self.before: int | None = None
        self.model = "one"
        self.words = self.turn = 0
        self.count("runs")
        ingest.add_source(self.settings, "default", self.docs)

    def teardown(self) -> None:
        trials.restart()
        shutil.rmtree(self.home)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    @property
    def settings(self) -> kb.Settings:
        return trials.settings_of(self.data_base, self.model)

    @property
    def live(self) -> int | None:
        return trials.live(self.data_base)

    def word(self) -> str:
        """One that no text has had."""
        self.words += 1
        return "quo" + "".join("bcdfghklmn"[int(digit)] for digit in f"{self.words:04}")

    def section(self) -> str:
        word = self.word()
        return f"## About {word}\n\nThe {word} is described here in one sentence that is long enough to stand by itself.\n\n"

    def path(self, which: int) -> str:
        return sorted(self.files)[which % len(self.files)]

    def write(self, path: str, text: str) -> None:
        (self.docs / path).parent.mkdir(parents=True, exist_ok=True)
        (self.docs / path).write_text(text, "utf-8")
        self.files[path] = text

    def move(self, path: str, to: str) -> None:
        (self.docs / to).parent.mkdir(parents=True, exist_ok=True)
        (self.docs / path).replace(self.docs / to)
        self.files[to] = self.files.pop(path)

    # The folder

    @rule(path=paths, sections=st.integers(1, 3))
    def add(self, path: str, sections: int) -> None:
        self.write(path, f"# The title {self.word()}\n\n" + "".join(self.section() for _ in range(sections)))

    @precondition(lambda self: self.files)
    @rule(which=some)
    def edit(self, which: int) -> None:
        path = self.path(which)
        self.write(path, self.files[path].rpartition("## ")[0] + self.section())

    @precondition(lambda self: self.files)
    @rule(which=some, to=paths)
    def rename(self, which: int, to: str) -> None:
        self.move(self.path(which), to)

    @precondition(lambda self: self.files)
    @rule(which=some)
    def delete(self, which: int) -> None:
        path = self.path(which)
        (self.docs / path).unlink()
        del self.files[path]

    @precondition(lambda self: self.files)
    @rule(which=some, to=paths)
    def write_the_same_text(self, which: int, to: str) -> None:
        self.write(to, self.files[self.path(which)])

    @rule(folder=st.sampled_from(["a/", "b/", "b/c/"]), to=st.sampled_from(["a/", "b/", "c/"]))
    def rename_folder(self, folder: str, to: str) -> None:
        for path in [path for path in self.files if path.startswith(folder)]:
            self.move(path, to + path.removeprefix(folder))

    @rule()
    def change_embedder(self) -> None:
        self.model = "two" if self.model == "one" else "one"

    # The index

    def now(self) -> Indexed:
        return Indexed(dict(self.files), trials.expected_texts(self.data_base), self.model)

    def published(self, before: int | None) -> None:
        """Take note of what a run has left on disk: what the folder gives, and before it what was live, if it was merged."""
        possible = [self.now(), *([self.indexed[before]] if before is not None else [])]
        for number in sorted(trials.generations(self.data_base) - self.indexed.keys()):
            generation = kb.Generation(generation_folder(self.data_base / "kbs" / "default", number))
            key = (generation.chunk_ids(), generation.manifest.fingerprint.model)
            self.indexed[number] = next(entry for entry in possible if (set(entry.texts), entry.model) == key)
        if self.live != before:
            self.before = State(self.settings).before("default")
            if before is not None:
                assert self.before is not None and self.indexed[self.before].texts == self.indexed[before].texts

    @rule()
    def reindex(self) -> None:
        live = self.live
        old = self.indexed[live] if live is not None else None
        report = ingest.reindex("default", self.settings)
        self.count("re-indexes")
        same = old is not None and (old.files, old.model) == (self.files, self.model)
        assert (report.generation is None) == same, "nothing is written if and only if nothing has changed"
        assert bool(report.rebuilt) == (old is not None and old.model != self.model)
        assert self.live == (report.generation or live)
        assert not trials.leftovers(self.data_base)
        self.published(live)
        if report.generation is not None:
            assert len(trials.generations(self.data_base)) <= 2
            self.reindex()  # nothing has changed since

    @rule(step=st.sampled_from(_STEPS), call=st.sampled_from([1, 1, 1, 2]), which=some, path=paths)
    def change_and_crash(self, step: str, call: int, which: int, path: str) -> None:
        self.add(path, 1)
        before = self.live
        if which < self.kills:
            code = trials.finish(trials.start_reindex(self.data_base, step, call, self.model))
            assert code in (0, -signal.SIGKILL)
            self.count("kills" if code else "steps that did not come")
        else:
            killed = trials.reindex_here(self.settings, step, call)
            self.count("crashes" if killed else "steps that did not come")
        new = trials.generations(self.data_base) - self.indexed.keys()
        assert self.live == before or self.live in new
        self.published(before)

    @rule()
    def restart(self) -> None:
        trials.restart()

    @rule()
    def go_back(self) -> None:
        before = self.live
        try:
            number = ingest.go_back("default", self.settings)
        except kb.BaseError:
            assert self.before is None
            return
        self.count("ways back")
        assert number == self.live == self.before
        assert before is not None and number < before
        self.before = None

    # What holds after each step

    @invariant()
    def the_live_generation_is_what_was_indexed(self) -> None:
        self.count("steps")
        self.turn += 1
        base = kb.KnowledgeBase.open("default", self.settings)
        if self.live is None:
            with pytest.raises(kb.BaseError, match="not been indexed"):
                base.search("title")
            return
        wanted, generation = self.indexed[self.live], base.snapshot()
        assert generation.number == self.live
        assert generation.chunk_ids() == generation.vector_ids() == generation.lexical_ids() == wanted.texts.keys()
        self.check_copies(wanted, generation)
        sample = sorted(wanted.texts)[self.turn % 3 :: 3]
        for id_, vector in generation.stored_vectors(sample).items():
            assert np.allclose(vector, fake_embedder(wanted.model).passages([wanted.texts[id_]])[0], atol=1e-6)
        if wanted.model != self.model:
            with pytest.raises(kb.BaseError, match="was indexed with"):
                base.search("title")
        else:
            self.check_search(base, wanted)

    def check_copies(self, wanted: Indexed, generation: kb.Generation) -> None:
        """Byte-identical files are one document, at the path nearest the top."""
        names: dict[str, list[str]] = {}
        for path in sorted(wanted.files, key=lambda path: (path.count("/"), path)):
            names.setdefault(wanted.files[path], []).append(path)
        assert sorted([info.path, *info.aliases] for info in generation.documents()) == sorted(names.values())

    def check_search(self, base: kb.KnowledgeBase, wanted: Indexed) -> None:
        """A word of one text finds that text while it is live, and nothing before and after."""
        in_it = set(_WORD.findall("".join(wanted.files.values())))
        ever = in_it.union(*(_WORD.findall("".join(indexed.files.values())) for indexed in self.indexed.values()))
        for word in [sorted(words)[self.turn % len(words)] for words in (in_it, ever - in_it) if words]:
            has_it = [word in " ".join((hit.title, *hit.chunk.heading, hit.chunk.text)) for hit in base.search(word).hits]
            assert has_it[0] if word in in_it else not any(has_it)


class KillingMachine(Machine):
    kills = 1
    counts: dict[str, int] = {}  # noqa: RUF012


@pytest.fixture
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        trials.with_fake_embedder(patch.setattr)
        trials.verify_here(patch.setattr)
        yield


def _run(machine: type[Machine], runs: int, steps: int) -> None:
    machine.counts.clear()
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=runs,
                stateful_step_count=steps,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],  # each step is many: to make a failure smaller takes hours, and its steps are printed
                report_multiple_bugs=False,
            ),
        )
    finally:
        print("\n" + ", ".join(f"{number} {what}" for what, number in machine.counts.items()))


def test_20_runs_against_a_dict(in_this_process: None) -> None:
    _run(Machine, 20, 12)


@pytest.mark.slow
def test_200_runs_of_50_steps_against_a_dict(in_this_process: None) -> None:
    _run(KillingMachine, 200, 50)
    print("0 violations")
