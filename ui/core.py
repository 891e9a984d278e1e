"""What the page asks of kb, ingest and eval, in one place: real here, and of a fake in the tests.

They load their parts on first use, so that the page stands before the search libraries are in memory.
"""

import threading
from collections.abc import AsyncIterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kb
from kb import jobs
from kb.records import Event, Sampling, Source, Turn
from ui.core_tune import TuneCore
from ui.model_core import ModelCore
from ui.options import Options

if TYPE_CHECKING:
    from eval import Case, CaseSet, QuestionSet, Run, RunInfo

DEFAULT = Options()
GUIDE = "guide"  # the knowledge base about InternKB itself, made at a start without any other


class Core(ModelCore, TuneCore):
    """One app's view of the knowledge bases. `public`: the page can be reached from other computers."""

    def __init__(self, settings: kb.Settings, *, public: bool = False, first: str | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.public = public
        self.first = first
        self._bases: dict[str, kb.KnowledgeBase] = {}
        self._lock = threading.Lock()

    @cached_property
    def state(self) -> kb.State:
        """The conversations."""
        return kb.State(self.settings)

    def names(self) -> list[str]:
        return kb.KnowledgeBase.names(self.settings)

    def default(self) -> str | None:
        """The knowledge base a page starts with: the one asked for, else "default", else the first."""
        names = self.names()
        for name in (self.first, "default"):
            if name in names:
                return name
        return names[0] if names else None

    def base(self, name: str) -> kb.KnowledgeBase:
        """Raises BaseError for a name that is not there."""
        if not isinstance(name, str):  # a handler called by hand
            raise kb.BaseError("A knowledge base has a name.")
        with self._lock:
            if name not in self._bases:
                self._bases[name] = kb.KnowledgeBase.open(name, self.settings)
            return self._bases[name]

    def answer(
        self, question: str, history: Sequence[Turn], base: Any, snapshot: Any, options: Options = DEFAULT
    ) -> AsyncIterator[Event]:
        """From what the knowledge base holds, or, with `options.plain`, from what the model knows by itself."""
        changed: dict[str, Any] = {"rewrite": False} if options.as_typed else {}
        if options.sure is not None:
            changed["refuse_below"] = options.sure
        settings = self.settings.model_copy(update=changed)
        sampling = Sampling(options.temperature, options.max_tokens, options.system or None)
        if options.plain:
            return kb.talk([*history, Turn("user", question)], settings, options.model, sampling)
        return kb.ask(question, history, base, settings, snapshot, options.model, sampling)

    def jobs(self, name: str) -> list[kb.Job]:
        """Index jobs of a knowledge base, newest first."""
        return jobs.list_jobs(self.settings, "ingest", name)

    def job(self, id_: str) -> kb.Job | None:
        """A job of any kind; None for an id that is not there."""
        try:
            return jobs.get(self.settings, id_)
        except kb.KBError:
            return None

    def cancel(self, job: str) -> None:
        jobs.cancel(self.settings, job)

    def pause_job(self, job: str) -> None:
        """Raises KBError where it cannot be paused."""
        jobs.pause(self.settings, job)

    def rerun(self, job: str) -> kb.Job:
        """Start again what a job that has ended was asked."""
        return jobs.rerun(self.settings, job)

    def reindex(self, name: str) -> kb.Job:
        import ingest

        return ingest.reindex_job(self.settings, name)

    def add_folder(self, name: str, text: str) -> Source:
        """Raises SourceError for what may not or cannot be added."""
        import ingest

        return ingest.add_source_from_page(self.settings, name, text)

    def add_upload(self, name: str, files: Sequence[Path]) -> Source:
        """Keep files that the browser sent, under their own names. Raises SourceError; then none is kept."""
        import ingest

        return ingest.add_upload(self.settings, name, [(file.name, file) for file in files])

    def remove_source(self, name: str, source: str) -> Source:
        """Forget a source; the next indexing takes its documents out. Raises SourceError for one that is not there."""
        import ingest

        return ingest.remove_source(self.settings, name, source)

    def pause_source(self, name: str, source: str, paused: bool) -> Source:
        """Stop reading a source again, or take it up; raises SourceError for one that is not there."""
        import ingest

        return ingest.pause_source(self.settings, name, source, paused)

    # Evaluations

    def evaluations(self, name: str) -> list[kb.Job]:
        """Evaluation jobs of a knowledge base, newest first."""
        return jobs.list_jobs(self.settings, "eval", name)

    def evaluate(self, name: str, questions: str, model: str) -> kb.Job:
        """Ask a knowledge base the question set `questions`, `model` answering; the job that runs already, if one does."""
        from eval import evaluate_job, find_set

        self.base(name)
        return evaluate_job(self.settings, name, find_set(self.settings, questions).path, model)

    def question_sets(self) -> "list[QuestionSet]":
        from eval import list_sets

        return list_sets(self.settings)

    def keep_questions(self, file: Path, name: str) -> "CaseSet":
        """Keep a file that the browser sent as a question set. Raises SourceError where no row or not the name can be used."""
        from eval import keep_set

        return keep_set(self.settings, file, name)

    def save_questions(self, name: str, cases: "Sequence[Case]") -> None:
        from eval import save_set

        save_set(self.settings, name, cases)

    def make_questions(self, name: str, count: int, language: Any) -> "list[Case]":
        """Raises KBError where nothing makes a question."""
        from eval import make_questions

        return make_questions(self.base(name), count, language)

    def runs(self) -> "list[RunInfo]":
        """Finished evaluations of all knowledge bases, newest first."""
        from eval import list_runs

        return [run for run in list_runs(self.settings) if run.finished]

    def run(self, folder: Path, texts: bool = True) -> "Run":
        """A finished evaluation, with or without what was found and answered. Raises KBError where it is damaged."""
        return _read_run(folder / "report.json" if not texts else folder, (folder / "report.json").stat().st_mtime_ns)

    def ensure_guide(self) -> None:
        """Make the guide when there is no knowledge base at all."""
        import ingest

        if not self.names():
            ingest.ensure_guide(self.settings)

    def warm(self) -> None:
        """Load what the first question needs, so that it does not wait."""
        from kb import serving

        serving.warm(self.settings)
        name = self.default()
        if name:
            base = self.base(name)
            base.embedder(base.snapshot())


@lru_cache(maxsize=8)
def _read_run(path: Path, written: int) -> "Run":
    """A report does not change, unless it was `written` anew."""
    from eval import read_run

    return read_run(path)


STATIC = Path(__file__).parent / "static"
