"""Stand-ins for what the page asks of the core: real, small implementations of the seam in ui/core.py."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eval import Case, find_set
from kb import BaseError, DocumentInfo, Settings, SourceError
from kb.jobs import Job, Progress
from kb.records import Chunk, Document, Done, Event, Failed, Found, Hit, Quote, Skipped, Source, Token, Turn
from tests.ui.fake_models import FakeModels
from tests.ui.fake_tunes import FakeTunes
from ui.core import DEFAULT, Core
from ui.options import Options


@dataclass
class FakeGeneration:
    """An index in memory: every paragraph is a chunk."""

    docs: dict[str, Document]
    left_out: list[Skipped] = field(default_factory=list)
    number: int = 1

    @property
    def manifest(self) -> Any:
        return SimpleNamespace(
            created=time.time() - 300,
            documents=len(self.docs),
            chunks=len(self.chunks()),
            model="fake-model (3)",
            bytes=sum(len(d.text.encode()) for d in self.docs.values()),
            seconds=2.5,
            report={
                "added": 2, "changed": 1, "moved": 0, "removed": 0, "unchanged": 7, "embedded": 1200, "reused": 34, "rebuilt": "",
                "seconds": {"scan": 0.1, "read": 1.5, "embed": 10.0, "write": 0.4, "verify": 0.1},
            },
        )  # fmt: skip

    def chunks(self) -> list[Chunk]:
        found: list[Chunk] = []
        for document in self.docs.values():
            lines, start, heading = document.text.split("\n"), 0, ()
            for at, line in enumerate([*lines, ""]):
                if line.startswith("#"):
                    heading = (line.lstrip("# "),)
                if not line.strip():
                    if at > start:
                        text = "\n".join(lines[start:at])
                        found.append(Chunk(f"{document.key}-{start}", document.key, len(found), heading, start + 1, at, text))
                    start = at + 1
        return found

    def documents(self) -> list[DocumentInfo]:
        chunks = self.chunks()
        return [
            DocumentInfo(
                d.key, d.source, d.path, d.title, len(d.text.encode()), sum(c.document == d.key for c in chunks), d.aliases
            )
            for d in self.docs.values()
        ]

    def skipped(self) -> list[Skipped]:
        return self.left_out

    def document(self, key: str) -> Document:
        if key not in self.docs:
            raise BaseError("That document is not in the knowledge base any more.")
        return self.docs[key]

    def permalink(self, hit: Hit) -> str | None:
        return (
            f"https://github.com/a/{hit.source}/blob/{'0' * 40}/{hit.path}#L{hit.chunk.start}" if hit.source == "repo" else None
        )

    def examples(self, language: str, count: int) -> list[str]:
        asked = "{}是什么？" if language == "zh" else "What about {}?"
        return [asked.format(d.title) for d in self.docs.values()][:count]


@dataclass
class FakeBase:
    name: str
    generation: FakeGeneration | None = None
    paths: list[Source] = field(default_factory=list)

    def snapshot(self) -> FakeGeneration:
        if self.generation is None:
            raise BaseError(f"Knowledge base {self.name!r} has not been indexed yet.")
        return self.generation

    def sources(self) -> list[Source]:
        return self.paths

    def embedder(self, snapshot: Any) -> None:
        return None


def document(path: str, text: str, title: str = "", source: str = "notes") -> Document:
    return Document(f"key-{path}", source, path, path, title or path, text, "markdown")


def base(name: str, *docs: Document, skipped: Sequence[Skipped] = ()) -> FakeBase:
    return FakeBase(name, FakeGeneration({d.key: d for d in docs}, list(skipped)), [Source("notes", "/somewhere/notes")])


class FakeCore(FakeModels, FakeTunes, Core):
    """A core over FakeBases, with real conversations. `pause` seconds lie between two words of an answer."""

    def __init__(
        self, settings: Settings, *bases: FakeBase, pause: float = 0.0, public: bool = False, first: str | None = None
    ) -> None:
        super().__init__(settings, public=public, first=first)
        self.bases = {base.name: base for base in bases}
        self._given = copy.deepcopy(bases)
        self.pause = pause
        self.closed: list[str] = []  # how each answer ended: "whole" or "early"
        self.asked: list[tuple[str, tuple[Turn, ...]]] = []
        self.options: list[Options] = []  # with which each was asked
        self.fail: Exception | str | None = None
        self.fake_jobs: list[Job] = []
        self.added: list[tuple[str, str]] = []

    def renew(self, folder: Path) -> None:
        """As it was when it was made, over another data_base: the app that serves it starts anew for the next test."""
        self.__dict__.pop("state", None)
        self.__init__(self.settings.model_copy(update={"data_base": folder}), *self._given)  # type: ignore[misc]

    def names(self) -> list[str]:
        return sorted(self.bases)

    def base(self, name: str) -> Any:
        if name not in self.bases:
            raise BaseError(f"There is no knowledge base {name!r}.")
        return self.bases[name]

    async def answer(
        self, question: str, history: Sequence[Turn], base: Any, snapshot: Any, options: Options = DEFAULT
    ) -> AsyncIterator[Event]:
        self.asked.append((question, tuple(history)))
        self.options.append(options)
        ended = "early"
        try:
            if options.plain:
                text = f"{self.model_called(options.model or self.live_model())} says: nothing was looked up."
                for piece in text.split(" "):
                    await asyncio.sleep(self.pause)
                    yield Token(piece + " ")
                ended = "whole"
                yield Done(text, False, (), 0.3)
                return
            words = [word for word in question.lower().replace("?", " ").replace("？", " ").split() if len(word) > 3] or [
                question[:2]
            ]
            docs = snapshot.docs
            scored = [(sum(word in chunk.text.lower() for word in words), chunk) for chunk in snapshot.chunks()]
            best = [chunk for score, chunk in sorted(scored, key=lambda pair: -pair[0]) if score][:5]
            hits = tuple(
                Hit(n, c, docs[c.document].source, docs[c.document].path, docs[c.document].title, 1 / n)
                for n, c in enumerate(best, 1)
            )
            yield Found(question, snapshot.number, hits)
            if self.fail:
                if isinstance(self.fail, Exception):
                    raise self.fail
                yield Failed(self.fail)
                ended = "whole"
                return
            if not hits:
                ended = "whole"
                yield Done("Nothing fits.", True, (), 0.1)
                return
            text = "\n\n".join(f"> {hit.chunk.text.splitlines()[-1]} [{hit.n}]" for hit in hits[:2])
            for piece in text.split(" "):
                await asyncio.sleep(self.pause)
                yield Token(piece + " ")
            ended = "whole"
            yield Done(text, False, tuple(Quote(hit.n, hit.chunk.end, hit.chunk.end) for hit in hits[:2]), 0.2)
        finally:
            self.closed.append(ended)

    def jobs(self, name: str) -> list[Job]:
        return [job for job in self.fake_jobs if job.subject == name and job.kind == "ingest"]

    def evaluations(self, name: str) -> list[Job]:
        return [job for job in self.fake_jobs if job.subject == name and job.kind == "eval"]

    def evaluate(self, name: str, questions: str) -> Job:
        self.base(name)
        find_set(self.settings, questions)
        running = [job for job in self.evaluations(name) if job.alive]
        if not running:
            self.fake_jobs.insert(0, a_job("running", name, Progress("Answer", 3, 40, "questions", 2.0, 18.5), kind="eval"))
        return (running or self.fake_jobs)[0]

    def make_questions(self, name: str, count: int, language: Any) -> list[Case]:
        docs = self.base(name).snapshot().docs.values()
        return [
            Case(str(n), f"Who wrote ____ in {d.title}?", "en", gold_doc_ids=(d.path,), gold_spans=((d.path, d.text.strip()),),
                 answer_keys=("a", "b"))
            for n, d in enumerate(docs, start=1)
        ][:count]  # fmt: skip

    def job(self, id_: str) -> Job | None:
        return next((job for job in self.fake_jobs if job.id == id_), None)

    def pause_job(self, job: str) -> None:
        self.fake_jobs = [_with_state(one, "paused") if one.id == job else one for one in self.fake_jobs]

    def rerun(self, job: str) -> Job:
        self.fake_jobs = [_with_state(one, "running") if one.id == job else one for one in self.fake_jobs]
        return self.fake_jobs[0]

    def cancel(self, job: str) -> None:
        self.fake_jobs = [_with_state(one, "cancelled") if one.id == job else one for one in self.fake_jobs]

    def reindex(self, name: str) -> Job:
        self.fake_jobs.insert(0, a_job("running", subject=name, progress=Progress("embed", 340, 1200, "chunks", 151.0, 5.7)))
        return self.fake_jobs[0]

    def add_folder(self, name: str, text: str) -> Source:
        if not text.startswith("/"):
            raise SourceError(f"Source {text} is not there: check the path.")
        self.added.append((name, text))
        self.bases.setdefault(name, FakeBase(name))
        self.bases[name].paths.append(Source(Path(text).name, text))
        return self.bases[name].paths[-1]

    def add_upload(self, name: str, files: Sequence[Path]) -> Source:
        return self.add_folder(name, "/uploads/" + "+".join(file.name for file in files))

    def remove_source(self, name: str, source: str) -> Source:
        paths = self.base(name).paths
        return paths.pop([one.name for one in paths].index(source))

    def pause_source(self, name: str, source: str, paused: bool) -> Source:
        paths = self.base(name).paths
        at = [one.name for one in paths].index(source)
        paths[at] = replace(paths[at], paused=paused)
        return paths[at]

    def ensure_guide(self) -> None:
        pass

    def warm(self) -> None:
        pass


class FakeJob(Job):
    __slots__ = ()

    def tail(self, lines: int = 20) -> str:
        return "reading 12 files\nembedding 340 of 1,200 chunks <b>not bold</b>"


def a_job(state: Any, subject: str = "default", progress: Progress | None = None, kind: str = "ingest") -> Job:
    ended = None if state in ("running", "starting", "waiting") else time.time()
    return FakeJob(
        "20260101-000000-abcdef", kind, f"Index {subject}", subject, state, time.time() - 20, ended, 0, progress, Path()
    )


def _with_state(job: Job, state: Any) -> Job:
    ended = None if state == "running" else time.time()
    return FakeJob(
        job.id, job.kind, job.title, job.subject, state, job.started, ended, 0, job.progress, job.folder, job.can_pause
    )
