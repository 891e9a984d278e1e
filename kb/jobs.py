"""A long task is a folder on disk, so it outlives the page and the app that started it.

    data_base/jobs/<id>/  job.json (what was asked), run.json (who runs it), log.txt, progress.jsonl, cancel, exit.json last

A small supervisor, detached from the app, owns the tool: it starts it in a process group of its own, ends the whole
group on cancel, and writes how it ended. Readers only read the folder.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kb.errors import KBError

if __name__ != "__main__":  # the supervisor needs the standard library only
    from kb.settings import Settings

JobState = Literal["starting", "running", "done", "failed", "cancelled", "lost"]
DONE_CODES = (0, 3)  # 3: done, with skipped files
_GRACE = 5.0  # seconds between TERM and KILL
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

    @property
    def alive(self) -> bool:
        return self.state in ("starting", "running")

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


def start(settings: "Settings", kind: str, title: str, module: str, args: Sequence[str], subject: str = "") -> Job:
    """Start `python -m module args… --progress FILE` under a supervisor."""
    root = settings.data_base / "jobs"
    root.mkdir(parents=True, exist_ok=True)
    _prune(root)
    id_ = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    folder = root / id_
    folder.mkdir()
    argv = [sys.executable, "-m", module, *args, "--progress", str(folder / "progress.jsonl")]
    _write(folder / "job.json", {"kind": kind, "title": title, "subject": subject, "argv": argv, "started": time.time()})
    supervisor = [sys.executable, "-m", "kb.jobs", str(folder)]
    path = os.pathsep.join([str(_REPO), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.Popen(supervisor, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     start_new_session=True, env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    return get(settings, id_)


def get(settings: "Settings", id_: str) -> Job:
    """Raises KBError for an id that is not there."""
    folder = settings.data_base / "jobs" / id_
    if folder.parent.name != "jobs" or not id_ or id_ != Path(id_).name or not (folder / "job.json").is_file():
        raise KBError("That job is not there any more.")
    return _read(folder)


def list_jobs(settings: "Settings", kind: str | None = None, subject: str | None = None) -> list[Job]:
    """Newest first, of one kind and about one subject if given."""
    root = settings.data_base / "jobs"
    folders = sorted((path.parent for path in root.glob("*/job.json")), reverse=True)
    return [
        job for job in map(_read, folders) if (kind is None or job.kind == kind) and (subject is None or job.subject == subject)
    ]


def cancel(settings: "Settings", id_: str) -> None:
    """Ask the supervisor to end the job; it does so within seconds."""
    (get(settings, id_).folder / "cancel").touch()


def _read(folder: Path) -> Job:
    asked = _json(folder / "job.json")
    ended = _json(folder / "exit.json")
    run = _json(folder / "run.json")
    state: JobState
    if ended:
        state = "cancelled" if ended["cancelled"] else "done" if ended["code"] in DONE_CODES else "failed"
    elif run:
        state = "running" if _started_at(run["pid"]) == run["process_started"] else "lost"
        if state == "lost" and (ended := _json(folder / "exit.json")):  # it ended between the two looks
            return _read(folder)
    else:
        state = "starting" if time.time() - asked["started"] < _STARTING else "lost"
    return Job(folder.name, asked["kind"], asked["title"], asked["subject"], state, asked["started"], ended.get("ended"),
               ended.get("code"), _progress(folder), folder)  # fmt: skip


def _progress(folder: Path) -> Progress | None:
    try:
        with (folder / "progress.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2048))
            whole = file.read().rpartition(b"\n")[0]  # what follows the last newline is still being written
            return Progress(**json.loads(whole.rpartition(b"\n")[2]))
    except (FileNotFoundError, ValueError):
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    part.replace(path)


def _started_at(pid: int) -> float | None:
    """When the process was started, by the kernel's clock: a reused pid has another time. None: no such process."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _prune(root: Path) -> None:
    """Keep the newest jobs; a running one is always among them."""
    for path in sorted(root.glob("*/exit.json"), reverse=True)[_KEPT:]:
        shutil.rmtree(path.parent, ignore_errors=True)


def supervise(folder: Path) -> None:
    """Run the job in `folder` to its end. The body of the supervisor process."""
    asked = _json(folder / "job.json")
    cancelled, code = False, 1
    with (folder / "log.txt").open("ab") as log:
        try:
            tool = subprocess.Popen(asked["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            log.write(f"{asked['argv'][0]} cannot be started: {error}\n".encode())
            _write(folder / "exit.json", {"code": 127, "cancelled": False, "ended": time.time()})
            return
        _write(folder / "run.json", {"pid": os.getpid(), "process_started": _started_at(os.getpid()), "tool": tool.pid})
        while (status := tool.poll()) is None:
            if (folder / "cancel").exists():
                cancelled = True
                _end_group(tool)
            time.sleep(0.1)
        code = status
        _kill_group(tool.pid, signal.SIGKILL)  # children that outlived the tool
    _write(folder / "exit.json", {"code": code, "cancelled": cancelled, "ended": time.time()})


def _end_group(tool: "subprocess.Popen[bytes]") -> None:
    _kill_group(tool.pid, signal.SIGTERM)
    try:
        tool.wait(_GRACE)
    except subprocess.TimeoutExpired:
        _kill_group(tool.pid, signal.SIGKILL)
        tool.wait()


def _kill_group(group: int, signal_: signal.Signals) -> None:
    try:
        os.killpg(group, signal_)
    except ProcessLookupError:
        pass  # all of it has ended


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
