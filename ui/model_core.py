"""What the page asks about models. A swap and a check run in a thread of the app, and are looked at from there."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import kb
from kb import Job, ModelError, Progress, jobs

if TYPE_CHECKING:
    from kb.serving import Entry, Memory, Swap

Hub = Literal["hub", "modelscope"]


@dataclass(slots=True)
class Task:
    """A swap or a check: what it is about, how far it is, how it ended. `said`: what a swap last told; `problems`: a check's."""

    what: Literal["use", "check"]
    name: str
    started: float
    said: str = ""
    progress: Progress | None = None
    ended: float | None = None
    swap: "Swap | None" = None
    problems: tuple[str, ...] = ()
    error: str = ""

    @property
    def alive(self) -> bool:
        return self.ended is None

    @property
    def mark(self) -> str:
        """What tells whether it has to be drawn anew at its end."""
        return f"{self.what}:{self.name}:{self.started}:{self.alive}"


class ModelCore:
    """The part of Core that is about models; `settings` is the Core's."""

    settings: kb.Settings

    def __init__(self) -> None:
        self._task: Task | None = None
        self._starting = threading.Lock()

    # Looking

    def entries(self) -> "list[Entry]":
        """What can answer."""
        from kb import serving

        return list(serving.entries(self.settings))

    def model_names(self) -> set[str]:
        return {entry.name for entry in self.entries()}

    def live_model(self) -> str:
        """Name of the entry that answers now."""
        from kb import serving

        return serving.live_name(self.settings)

    def model_called(self, name: str) -> str:
        """The model behind the entry `name`, as people call it; empty: quotations."""
        from kb import serving

        if name == serving.QUOTES:
            return ""
        if name == serving.SETTINGS:
            return self.settings.endpoint_model or self.settings.endpoint_url
        return name

    @property
    def model(self) -> str:
        """The language model that answers now; empty: answers are quotations."""
        return self.model_called(self.live_model())

    def memory(self) -> "Memory":
        from kb import serving

        return serving.memory(self.settings)

    def at_once(self, left: str, right: str) -> bool:
        """Whether two entries can answer at the same time: no second model has to be loaded for which there is no room."""
        live = self.live_model()
        wanted = {name or live for name in (left, right)}
        entries = [entry for entry in self.entries() if entry.name in wanted and entry.kind == "memory"]
        return len(entries) < 2 or sum(entry.needs for entry in entries if not entry.live) <= self.memory().free

    # Doing

    def task(self) -> Task | None:
        """The swap or check that is under way, or the last one."""
        return self._task

    def use_model(self, name: str) -> Task:
        """Let another entry answer; how far that is, task() says."""

        def use(task: Task) -> None:
            from kb import serving

            task.swap = serving.use(self.settings, name, lambda said: setattr(task, "said", said))

        return self._start("use", name, use)

    def check_model(self, name: str) -> Task:
        """Compare a model's files with their hashes; how far that is, and what it found, task() says."""

        def check(task: Task) -> None:
            found = kb.check_model(self.settings, name, lambda progress: setattr(task, "progress", progress))
            task.problems = tuple(found)

        return self._start("check", name, check)

    def _start(self, what: Literal["use", "check"], name: str, work: Callable[[Task], None]) -> Task:
        with self._starting:
            if self._task and self._task.alive:
                raise ModelError(f"{self._task.name!r} is still being worked on: wait until that has ended.")
            task = self._task = Task(what, name, time.time())
        # A daemon: a swap that is cut off with the app leaves the live model as it was.
        threading.Thread(target=_run, args=(task, work), name=f"{what} {name}", daemon=True).start()
        return task

    def remove_model(self, name: str) -> int:
        """Bytes that were freed. Raises ModelError for the one that answers."""
        return kb.remove_model(self.settings, name)

    def add_endpoint(self, name: str, url: str, model: str, key: str) -> kb.Card:
        return kb.add_endpoint(self.settings, name, url, model, key)

    # Bringing models here: jobs, since they outlive the page

    def model_jobs(self) -> list[Job]:
        """Newest first."""
        return jobs.list_jobs(self.settings, "model")

    def add_model(self, text: str, name: str) -> Job:
        """Copy (or convert) a folder as typed into the page. Raises ModelError for one that the page may not read."""
        folder = self._below_roots(text)
        return kb.add_model_job(self.settings, folder, self._free_name(name or folder.name))

    def download_model(self, where: Hub, id_: str, revision: str, name: str) -> Job:
        """Fetch a model from a hub."""
        name = self._free_name(name or id_.rpartition("/")[2])
        return kb.download_model_job(self.settings, id_, revision=revision, source=where, name=name)

    def _free_name(self, name: str) -> str:
        refuse_taken(self.settings, name)
        if any(job.alive and job.subject == name for job in self.model_jobs()):
            raise ModelError(f"{name!r} is being added already.")
        return name

    def _below_roots(self, text: str) -> Path:
        roots = self.settings.source_roots or (Path.home(), Path.cwd())
        if not text.strip() or "\0" in text:
            raise ModelError("Type the path of a model's folder.")
        try:
            folder = Path(text.strip()).expanduser().resolve()
        except (OSError, RuntimeError) as error:  # ~nobody, a loop of links
            raise ModelError(f"{text.strip()} is not there: check the path.") from error
        inside = [folder.relative_to(root) for root in roots if folder.is_relative_to(root)]
        if not inside:
            allowed = ", ".join(dict.fromkeys(map(str, roots)))
            raise ModelError(f"The page adds models below {allowed} only: set source_roots in kb.toml to allow others.")
        if any(part.startswith(".") for part in min(inside, key=lambda relative: len(relative.parts)).parts):
            raise ModelError("The page adds nothing from hidden folders: use `python -m kb models add` for that.")
        if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a name is too long
            raise ModelError(f"{folder} is not a folder: a model is one, with config.json and safetensors files in it.")
        return folder


def refuse_taken(settings: kb.Settings, name: str) -> None:
    """Raises ModelError for a name that a model has already or cannot have, before anything is started."""
    if kb.model_folder(settings, name).exists():
        raise ModelError(f"There is a model {name!r} already: choose another name, or remove that one first.")


def _run(task: Task, work: Callable[[Task], Any]) -> None:
    try:
        work(task)
    except kb.KBError as error:
        task.error = str(error)
    except Exception as error:  # a bug; the page must not wait for ever, and the terminal gets the whole story
        task.error = f"{type(error).__name__}: {error}"
        task.ended = time.time()
        raise
    task.ended = time.time()
