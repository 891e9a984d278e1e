"""The model side of the fake core: entries in memory, a swap that a test ends when it wants."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kb import ModelError
from kb.jobs import Job, Progress
from kb.models import Card, Endpoint
from ui.model_core import Task

GB = 10**9


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    kind: str
    card: Card | None = None
    live: bool = False
    fits: bool | None = True
    needs: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    device: str = "cpu"
    total: int = 16 * GB
    used: int = 1_400_000_000
    free: int = 9 * GB


@dataclass(frozen=True, slots=True)
class Swap:
    old: str
    new: str
    seconds: float = 12.4
    used_before: int = 1_400_000_000
    used_after: int = 5_300_000_000
    free_before: int = 9 * GB
    free_after: int = 5_100_000_000
    device: str = "cpu"
    stopped_first: bool = False


def a_card(name: str, **given: Any) -> Card:
    """A small model that was downloaded."""
    plain: dict[str, Any] = {
        "origin": f"hub internlm/{name}@{'a' * 40}", "architecture": "LlamaForCausalLM", "template": "internlm2",
        "how": {"step": "convert", "from": "internlm2"}, "parameters": 1_889_110_016, "bytes": 3_778_220_032, "dtype": "bfloat16",
        "context": 32_768, "vocabulary": 92_544, "licence": "apache-2.0", "created": 1_795_500_000.0,
        "files": {"model.safetensors": "0" * 64},
    }  # fmt: skip
    return Card(name, **(plain | given))


SMALL = Entry("internlm2_5-1_8b-chat", "memory", a_card("internlm2_5-1_8b-chat"), needs=4_200_000_000)
TUNED = Entry(
    "小书助手",
    "memory",
    a_card("小书助手", origin="merge", made_from=("internlm2_5-1_8b-chat",), how={"step": "merge", "tune": "小书"}),
    needs=4_200_000_000,
)
LARGE = Entry(
    "internlm3-8b-instruct",
    "memory",
    a_card("internlm3-8b-instruct", template="internlm3", parameters=8_800_000_000, bytes=17_600_000_000, how={}),
    fits=False,
    needs=18_900_000_000,
)
SERVER = Entry("lab", "endpoint", Card("lab", "endpoint", endpoint=Endpoint("http://10.0.0.7:23333/v1", "qwen3-32b")), fits=None)
QUOTES = Entry("quotes", "quotes", live=True)


class FakeModels:
    """Mixed into FakeCore. A swap goes on until `finish_swap` is called."""

    fake_jobs: list[Job]
    _task: Task | None

    def _entries(self) -> list[Entry]:
        return self.__dict__.setdefault("fake_entries", [QUOTES])

    def stock(self, *entries: Entry, live: str = "quotes") -> None:
        """What can answer, and what does."""
        self.fake_entries = [replace(entry, live=entry.name == live) for entry in (QUOTES, *entries)]

    def entries(self) -> Any:
        return list(self._entries())

    def live_model(self) -> str:
        return next(entry.name for entry in self._entries() if entry.live)

    def model_called(self, name: str) -> str:
        return "" if name == "quotes" else name

    def memory(self) -> Any:
        return Memory()

    def use_model(self, name: str) -> Task:
        if self._task and self._task.alive:
            raise ModelError(f"{self._task.name!r} is still being worked on: wait until that has ended.")
        self._task = Task("use", name, time.time(), f"Loading {name}.")
        return self._task

    def finish_swap(self, error: str = "") -> None:
        assert self._task
        self._task.ended, self._task.error = time.time(), error
        if not error:
            self._task.swap = Swap(self.live_model(), self._task.name)  # type: ignore[assignment]
            self.stock(*self._entries()[1:], live=self._task.name)

    def check_model(self, name: str) -> Task:
        problems = ("model.safetensors has changed since it was added.",) if "damaged" in name else ()
        self._task = Task("check", name, time.time(), ended=time.time(), problems=problems)
        return self._task

    def remove_model(self, name: str) -> int:
        if name == self.live_model():
            raise ModelError(f"{name!r} answers now: use another one first.")
        self.fake_entries = [entry for entry in self._entries() if entry.name != name]
        return 3_778_220_032

    def add_endpoint(self, name: str, url: str, model: str, key: str) -> Card:
        if not url.startswith(("http://", "https://")):
            raise ModelError(f"{url} is no address of a server: it begins with http:// or https://.")
        card = Card(name, "endpoint", endpoint=Endpoint(url, model))
        self.fake_entries = [*self._entries(), Entry(name, "endpoint", card, fits=None)]
        self.key = key
        return card

    def model_jobs(self) -> list[Job]:
        return [job for job in self.fake_jobs if job.kind == "model"]

    def add_model(self, text: str, name: str) -> Job:
        folder = self._below_roots(text)  # type: ignore[attr-defined]
        return self._job(f"Add {name or folder.name}", name or folder.name)

    def download_model(self, where: str, id_: str, revision: str, name: str) -> Job:
        return self._job(f"Download {id_}", name or id_.rpartition("/")[2])

    def _job(self, title: str, subject: str) -> Job:
        from tests.ui.fakes import FakeJob

        progress = Progress("fetch", 1_300_000_000, 3_778_220_032, "bytes", 24_000_000, 103.0)
        job = FakeJob(f"20260101-000000-{len(self.fake_jobs):06x}", "model", title, subject, "running", time.time() - 54, None, 0,
                      progress, Path())  # fmt: skip
        self.fake_jobs.insert(0, job)
        return job
