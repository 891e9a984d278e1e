"""A long task is a folder on disk, so it outlives the page and the app that started it.

    data_base/jobs/<id>/  job.json (what was asked), run.json (who runs it), log.txt, progress.jsonl, cancel, pause, and last
                          exit.json

A small supervisor (kb/supervisor.py), detached from the app, owns the tool and all of its processes (kb/processes.py).
Readers only read the folder; what is left of a job whose supervisor and watcher were killed, the next list ends.
"""

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kb import processes
from kb.errors import KBError
from kb.processes import run_tool  # noqa: F401 - public here
from kb.settings import Settings
from kb.supervisor import GPU_LOCK, alive, read
from kb.whole import write_json

JobState = Literal["starting", "waiting", "running", "paused", "done", "failed", "cancelled", "lost"]
DONE_CODES = (0, 3)  # 3: done, with skipped files
PAUSED = 4  # the exit code of a job that saved its work and ended because it was asked to pause
_STARTING = 15.0  # seconds a supervisor may take to report itself
_KEPT = 50
_REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands: `done` of `total` `unit`s of a stage, `rate` a second, `left` seconds if known. `note`: for its log."""

    stage: str
    done: int
    total: int
    unit: str = ""
    rate: float = 0.0
    left: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its folder tells it at this moment. Times in epoch seconds; `ended` and `code` are None before the end."""

    id: str
    kind: str
    title: str
    subject: str
    state: JobState
    started: float
    ended: float | None
    code: int | None
    progress: Progress | None
    folder: Path
    can_pause: bool = False
    waits_for: str = ""  # title of the job that has the GPU

    @property
    def alive(self) -> bool:
        return self.state in ("starting", "waiting", "running")

    @property
    def signal(self) -> int:
        """The signal that ended its tool, or the tool that it ran (shells write it as 128 + n); 0: none did."""
        code = self.code or 0
        return -code if code < 0 else code - 128 if 128 < code < 160 else 0

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        # A bar redrawn with carriage returns counts as its last state.
        return "\n".join(line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")[-lines:]).strip()


def start(
    settings: Settings,
    kind: str,
    title: str,
    module: str,
    args: Sequence[str],
    subject: str = "",
    *,
    gpu: bool = False,
    can_pause: bool = False,
) -> Job:
    """Start `python -m module args… --progress FILE` under a supervisor.

    `gpu`: one such job runs at a time; the others wait. `can_pause`: the module looks at pause_asked(), saves, ends with
    PAUSED, and goes on where it was when it is started again with the same arguments.
    """
    root = settings.data_base / "jobs"
    root.mkdir(parents=True, exist_ok=True)
    _prune(root)
    id_ = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    folder = root / id_
    folder.mkdir()
    write_json(folder / "job.json", {"kind": kind, "title": title, "subject": subject, "module": module, "args": list(args),
                                "gpu": gpu, "can_pause": can_pause, "started": time.time()})  # fmt: skip
    path = os.pathsep.join([str(_REPO), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {name: value for name, value in os.environ.items() if name != processes.MARK}  # a job may start another
    processes.detach([sys.executable, "-m", "kb.supervisor", str(folder)], env | {"PYTHONPATH": path})
    return get(settings, id_)


def get(settings: "Settings", id_: str) -> Job:
    """Raises KBError for an id that is not there."""
    folder = settings.data_base / "jobs" / id_
    if folder.parent.name != "jobs" or not id_ or id_ != Path(id_).name or not (folder / "job.json").is_file():
        raise KBError("That job is not there any more.")
    return _read(folder)


def list_jobs(settings: Settings, kind: str | None = None, subject: str | None = None) -> list[Job]:
    """Newest first, of one kind and about one subject if given."""
    jobs = _all(settings.data_base / "jobs")
    for job in jobs:
        _sweep(job)
    return [job for job in jobs if (kind is None or job.kind == kind) and (subject is None or job.subject == subject)]


def running(settings: Settings, subject: str, *kinds: str) -> Job | None:
    """The job of one of these kinds about `subject` that has not ended, if there is one."""
    return next((job for job in list_jobs(settings, subject=subject) if job.alive and job.kind in kinds), None)


def cancel(settings: Settings, id_: str) -> None:
    """Ask the supervisor to end the job; it does so within seconds."""
    job = get(settings, id_)
    (job.folder / "cancel").touch()
    _sweep(job)


def pause(settings: Settings, id_: str) -> None:
    """Ask the job to save its work and end; rerun() goes on with it.

    Raises:
        KBError: it cannot be paused, or does not run.
    """
    job = get(settings, id_)
    if not job.can_pause or job.state != "running":
        raise KBError("That job cannot be paused now.")
    (job.folder / "pause").touch()


def pause_asked() -> bool:
    """Inside a job: whether it should save its work and end with the code PAUSED."""
    folder = processes.own_folder()
    return folder is not None and (folder / "pause").exists()


def rerun(settings: Settings, id_: str) -> Job:
    """Start again what a job that has ended was asked; the one of its kind and subject that runs, if one does."""
    job = get(settings, id_)
    if other := running(settings, job.subject, job.kind):
        return other
    asked = read(job.folder / "job.json")
    return start(settings, job.kind, job.title, asked["module"], asked["args"], job.subject,
                 gpu=asked["gpu"], can_pause=asked["can_pause"])  # fmt: skip


def _all(root: Path) -> list[Job]:
    return [_read(path.parent) for path in sorted(root.glob("*/job.json"), reverse=True)]


def _read(folder: Path) -> Job:
    asked = read(folder / "job.json")
    ended = read(folder / "exit.json")
    run = read(folder / "run.json")
    waits_for = ""
    state: JobState
    if ended:
        state = _end_state(ended, bool(asked.get("can_pause")))
    elif run:
        state = "running" if "tool" in run else "starting"
        if not alive(run, "pid", "process_started"):
            state = "lost"
            if (folder / "exit.json").exists():  # it ended between the two looks
                return _read(folder)
        elif asked.get("gpu") and "tool" not in run:
            state, waits_for = "waiting", _has_gpu(folder)
    else:
        state = "starting" if time.time() - asked["started"] < _STARTING else "lost"
    return Job(folder.name, asked["kind"], asked["title"], asked["subject"], state, asked["started"], ended.get("ended"),
               ended.get("code"), _progress(folder), folder, bool(asked.get("can_pause")), waits_for)  # fmt: skip


def _end_state(ended: dict[str, Any], can_pause: bool) -> JobState:
    if ended.get("lost"):
        return "lost"
    if ended["cancelled"]:
        return "cancelled"
    if can_pause and ended["code"] == PAUSED:
        return "paused"
    return "done" if ended["code"] in DONE_CODES else "failed"


def _has_gpu(folder: Path) -> str:
    """Title of the job that the GPU's lock names."""
    try:
        name = (folder.parent / GPU_LOCK).read_text("utf-8")
    except FileNotFoundError:
        return ""
    return str(read(folder.parent / name / "job.json").get("title", "")) if name else ""


def _sweep(job: Job) -> None:
    """End what is left of a lost job, at once, and write that it is lost. Its watcher, where that lives, is at it already."""
    run = read(job.folder / "run.json")
    if job.state != "lost" or job.ended or not run or alive(run, "watcher", "watcher_started"):
        return
    leader = run["tool"] if alive(run, "tool", "tool_started") else 0
    if processes.end(job.folder, leader, grace=0) and not (job.folder / "exit.json").exists():
        write_json(job.folder / "exit.json", {"code": None, "cancelled": False, "lost": True, "ended": time.time()})


def _progress(folder: Path) -> Progress | None:
    try:
        with (folder / "progress.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2048))
            whole = file.read().rpartition(b"\n")[0]  # what follows the last newline is still being written
            return Progress(**json.loads(whole.rpartition(b"\n")[2]))
    except (FileNotFoundError, ValueError):
        return None


def _prune(root: Path) -> None:
    """Keep the newest jobs, and those that run."""
    for job in _all(root)[_KEPT:]:
        if not job.alive:
            shutil.rmtree(job.folder, ignore_errors=True)
