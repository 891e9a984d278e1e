"""The process that runs one job: `python -m kb.supervisor FOLDER`, detached from the app.

It waits for the GPU if the job asked for it, starts the tool in a session of its own, ends all of the job's processes on
cancel, and writes how it ended. A watcher, forked from it, ends them where the supervisor itself is killed. Needs the
standard library and psutil only.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from kb import processes
from kb.whole import write_json

GPU_LOCK = "gpu.lock"  # in data_base/jobs/; holds the id of the job that has it
_LOOK = 0.1
_LOOK_GPU = 0.3


def supervise(folder: Path) -> None:
    """Run the job in `folder` to its end. The body of the supervisor process."""
    asked = read(folder / "job.json")
    run: dict[str, Any] = {"pid": os.getpid(), "process_started": processes.birth(os.getpid())}
    write_json(folder / "run.json", run)
    if asked["gpu"] and not _take_gpu(folder):
        write_json(folder / "exit.json", {"code": None, "cancelled": True, "ended": time.time()})
        return
    run["watcher"] = _watch(folder)
    run["watcher_started"] = processes.birth(run["watcher"])
    code, cancelled = _run(folder, asked, run)
    write_json(folder / "exit.json", {"code": code, "cancelled": cancelled, "ended": time.time()})


def _run(folder: Path, asked: dict[str, Any], run: dict[str, Any]) -> tuple[int, bool]:
    """Its exit code, and whether it was cancelled."""
    cancelled = False
    environment = os.environ | {processes.MARK: str(folder), "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-m", asked["module"], *asked["args"], "--progress", str(folder / "progress.jsonl")]
    with (folder / "log.txt").open("ab") as log:
        tool = processes.launch(argv, stdout=log, stderr=log, start_new_session=True, env=environment)
        write_json(folder / "run.json", run | {"tool": tool.pid, "tool_started": processes.birth(tool.pid)})
        # Until it is waited for, its pid is nobody else's, so the group and session of that number are the job's.
        while os.waitid(os.P_PID, tool.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if cancelled := (folder / "cancel").exists():
                processes.end(folder, tool.pid)
                break
            time.sleep(_LOOK)
        if not processes.end(folder, tool.pid, grace=0):  # children that outlived the tool
            log.write(b"\nA process of this job cannot be ended; the kernel still holds it.\n")
        return tool.wait(), cancelled


def _take_gpu(folder: Path) -> bool:
    """Wait for the one GPU lock, first come first served. False: cancelled before. The kernel frees it with its holder."""
    lock = os.open(folder.parent / GPU_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    while not (folder / "cancel").exists():
        try:
            if _someone_waits_longer(folder):
                raise BlockingIOError
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_GPU)
            continue
        os.truncate(lock, 0)
        os.pwrite(lock, folder.name.encode(), 0)
        return True  # the lock stays open: it is held until this process, and its watcher, have ended
    os.close(lock)
    return False


def _someone_waits_longer(folder: Path) -> bool:
    return any(
        path.parent.name < folder.name and not (path.parent / "exit.json").exists() and waits(path.parent)
        for path in folder.parent.glob("*/run.json")
    )


def waits(folder: Path) -> bool:
    """Whether the job in `folder` has a living supervisor that waits for the GPU."""
    run = read(folder / "run.json")
    return "tool" not in run and bool(read(folder / "job.json").get("gpu")) and alive(run, "pid", "process_started")


def alive(run: dict[str, Any], pid: str, started: str) -> bool:
    """Whether a process that run.json names still runs; a later one with its pid does not count."""
    return bool(run.get(pid)) and processes.birth(run[pid]) == run[started]


def _watch(folder: Path) -> int:
    """Fork a watcher that KILLs what is left of the job once this process is gone. It holds the GPU lock until then."""
    ours, theirs = os.pipe()
    if pid := os.fork():
        os.close(ours)
        return pid  # `theirs` closes with this process, whatever ends it
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(theirs)
        os.read(ours, 1)
        processes.end(folder, grace=0)
    finally:
        os._exit(0)


def read(path: Path) -> dict[str, Any]:
    """An empty one where there is no such file yet."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
