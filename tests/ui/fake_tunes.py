"""The fine-tuning side of the fake core: tunes are real, on disk; jobs and the tool are not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kb.jobs import Job, Progress
from kb.tools import Tool


class FakeTunes:
    """Mixed into FakeCore. A job goes on until a test ends it."""

    fake_jobs: list[Job]
    tool_state: Any = "ready"

    def tool(self) -> Tool:
        detail = {"ready": "0.2.0", "broken": "Its interpreter is <gone>."}.get(self.tool_state, "")
        return Tool("xtuner", self.tool_state, Path("/nowhere/python"), detail, "Apache-2.0", 2_100_000_000, 60)

    def tool_jobs(self) -> list[Job]:
        return [job for job in self.fake_jobs if job.kind == "tool"]

    def all_tune_jobs(self) -> list[Job]:
        return [job for job in self.fake_jobs if job.kind in ("train", "merge", "compare")]

    def train(self, name: str, *, afresh: bool = False) -> Job:
        return self._begin("train", name, Progress("train", 90, 300, "iterations", 3.1, 68.0), can_pause=True)

    def merge(self, name: str, model: str) -> Job:
        return self._begin("merge", name, Progress("merge", 0, 1))

    def compare_tune(self, name: str) -> Job:
        return self._begin("compare", name, Progress("compare", 1, 4, "prompts"))

    def _install_tool(self) -> Job:
        self.tool_state = "installing"
        return self._begin("tool", "xtuner", Progress("tool.packages", 1, 3, "steps"))

    def _begin(self, kind: str, subject: str, progress: Progress, *, can_pause: bool = False) -> Job:
        from tests.ui.fakes import a_job

        job = a_job("running", subject, progress, kind)
        self.fake_jobs.insert(0, replace(job, id=f"{job.id}{len(self.fake_jobs)}", can_pause=can_pause))
        return self.fake_jobs[0]
