"""Jobs with a real supervisor and a real tool: a small module written for the test."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kb import jobs
from kb.errors import KBError
from kb.settings import Settings, load_settings

TOOL = """
import argparse, json, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--code", type=int, default=0)
parser.add_argument("--seconds", type=float, default=0)
parser.add_argument("--child", action="store_true")
parser.add_argument("--progress")
args = parser.parse_args()
print("started", flush=True)
if args.child:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("child", child.pid, flush=True)
with open(args.progress, "a") as file:
    for n in range(3):
        file.write(json.dumps({"stage": "work", "done": n, "total": 3}) + chr(10))
time.sleep(args.seconds)
sys.exit(args.code)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "a_tool.py").write_text(TOOL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return load_settings(data_base=tmp_path / "data_base")


def wait(settings: Settings, id_: str, until: Callable[[jobs.Job], bool], seconds: float = 20) -> jobs.Job:
    end = time.monotonic() + seconds
    while not until(job := jobs.get(settings, id_)):
        assert time.monotonic() < end, f"still {job.state}: {job.tail()}"
        time.sleep(0.05)
    return job


def ended(job: jobs.Job) -> bool:
    return not job.alive


@pytest.mark.parametrize(("code", "state"), [(0, "done"), (3, "done"), (1, "failed"), (9, "failed")])
def test_a_job_tells_how_it_ended(settings: Settings, code: int, state: str) -> None:
    job = wait(settings, jobs.start(settings, "test", "A job", "a_tool", ["--code", str(code)], "me").id, ended)
    assert (job.state, job.code, job.title, job.subject) == (state, code, "A job", "me")
    assert job.progress == jobs.Progress("work", 2, 3)
    assert "started" in job.tail()
    assert [found.id for found in jobs.list_jobs(settings, "test", "me")] == [job.id]
    assert jobs.list_jobs(settings, "other") == []


def test_cancel_ends_the_whole_group(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--seconds", "60", "--child"])
    wait(settings, job.id, lambda job: "child" in job.tail())
    child = int(jobs.get(settings, job.id).tail().rsplit(" ", 1)[1])
    jobs.cancel(settings, job.id)
    assert wait(settings, job.id, ended).state == "cancelled"
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_killed_supervisor_shows_as_lost(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--seconds", "30"])
    wait(settings, job.id, lambda job: job.state == "running" and "started" in job.tail())
    run = jobs._json(job.folder / "run.json")
    os.kill(run["pid"], signal.SIGKILL)
    try:
        assert wait(settings, job.id, ended).state == "lost"
    finally:
        os.killpg(run["tool"], signal.SIGKILL)


def test_a_reused_pid_is_not_taken_for_the_supervisor(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", [])
    wait(settings, job.id, ended)
    (job.folder / "exit.json").unlink()
    jobs._write(job.folder / "run.json", {"pid": os.getpid(), "process_started": 1.0, "tool": 0})
    assert jobs.get(settings, job.id).state == "lost"


@pytest.mark.parametrize("id_", ["", ".", "..", "../jobs", "a/b", "nothing", "/etc", "\0"])
def test_ids_are_not_paths(settings: Settings, id_: str) -> None:
    with pytest.raises(KBError):
        jobs.get(settings, id_)
