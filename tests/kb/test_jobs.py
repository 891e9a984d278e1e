"""Jobs with a real supervisor and a real tool: a small module written for the test."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from kb import jobs, processes, supervisor
from kb.errors import KBError
from kb.settings import Settings, load_settings
from kb.whole import write_json
from tests.kb.fake_trainer import saved

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


def none_left(job: jobs.Job, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while left := processes.members(job.folder):
        assert time.monotonic() < end, f"still there: {left}"
        time.sleep(0.1)


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


def test_a_killed_supervisor_shows_as_lost_and_takes_its_processes_along(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--seconds", "60", "--child"])
    wait(settings, job.id, lambda job: "child" in job.tail())
    os.kill(supervisor.read(job.folder / "run.json")["pid"], signal.SIGKILL)
    assert wait(settings, job.id, ended, 1).state == "lost"
    none_left(job)
    assert jobs.list_jobs(settings)[0].state == "lost"


def test_what_a_killed_supervisor_and_its_watcher_leave_the_next_list_ends(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--seconds", "60", "--child"])
    wait(settings, job.id, lambda job: "child" in job.tail())
    run = supervisor.read(job.folder / "run.json")
    child = int(job.tail().rsplit(" ", 1)[1])
    os.kill(run["watcher"], signal.SIGKILL)
    os.kill(run["pid"], signal.SIGKILL)
    # A list leaves it to a watcher that lives, and on a busy machine the one killed does for a moment.
    wait(settings, job.id, lambda job: ended(job) and not supervisor.alive(run, "watcher", "watcher_started"))
    assert psutil.pid_exists(child)
    assert jobs.list_jobs(settings)[0].state == "lost"
    none_left(job, 5)
    assert jobs.get(settings, job.id).ended


def test_a_killed_tool_is_told_from_one_that_failed(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--seconds", "60"])
    wait(settings, job.id, lambda job: "started" in job.tail())
    os.kill(supervisor.read(job.folder / "run.json")["tool"], signal.SIGKILL)
    job = wait(settings, job.id, ended)
    assert (job.state, job.code, job.signal) == ("failed", -9, 9)


def test_one_job_has_the_gpu_and_the_others_wait_in_order(settings: Settings) -> None:
    first = jobs.start(settings, "test", "The first", "a_tool", ["--seconds", "60"], gpu=True)
    wait(settings, first.id, lambda job: job.state == "running")
    second, third = (jobs.start(settings, "test", "t", "a_tool", ["--seconds", "60"], gpu=True) for _ in range(2))
    for one in (second, third):
        assert wait(settings, one.id, lambda job: job.state == "waiting").waits_for == "The first"
    assert jobs.get(settings, jobs.start(settings, "test", "t", "a_tool", []).id).state != "waiting"  # needs no GPU
    jobs.cancel(settings, second.id)
    assert wait(settings, second.id, ended).state == "cancelled"
    os.kill(supervisor.read(first.folder / "run.json")["pid"], signal.SIGKILL)
    wait(settings, third.id, lambda job: job.state == "running")
    none_left(first, 0.1)  # the lock went on only when the GPU was free
    jobs.cancel(settings, third.id)
    assert wait(settings, third.id, ended).state == "cancelled"


def trainer(settings: Settings, work: Path, total: int = 40, gpu: bool = False) -> jobs.Job:
    work.mkdir(exist_ok=True)
    args = ["--work", str(work), "--total", str(total)]
    return jobs.start(settings, "train", "Train", "tests.kb.fake_trainer", args, work.name, gpu=gpu, can_pause=True)


def iteration(work: Path) -> int:
    return int((work / "iteration").read_text() or 0) if (work / "iteration").exists() else 0


def test_a_paused_job_goes_on_where_it_was(settings: Settings, tmp_path: Path) -> None:
    work = tmp_path / "work"
    job = trainer(settings, work, 400)
    wait(settings, job.id, lambda _: iteration(work) > 7)
    jobs.pause(settings, job.id)
    assert wait(settings, job.id, ended).state == "paused"
    none_left(job, 0)
    kept = saved(work)
    assert kept == iteration(work)
    again = jobs.rerun(settings, job.id)
    assert jobs.rerun(settings, job.id).id == again.id  # pressed twice
    wait(settings, again.id, lambda _: iteration(work) > kept)
    assert (work / "begun").read_text().split() == ["0", str(kept)]
    jobs.cancel(settings, again.id)
    assert wait(settings, again.id, ended).state == "cancelled"
    none_left(again, 0)  # also the one that went to another session


def test_a_job_that_cannot_pause_is_not_paused(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", ["--code", "4"])
    with pytest.raises(KBError):
        jobs.pause(settings, job.id)
    assert wait(settings, job.id, ended).state == "failed"  # 4 means paused only to those who can
    assert not jobs.pause_asked()


def test_a_tool_gets_a_short_environment_and_tells_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_ENDPOINT_KEY", "secret")
    log = tmp_path / "log.txt"
    code = "import os; print(sorted(os.environ), flush=True); os.kill(os.getpid(), 9)"
    argv = [sys.executable, "-c", code]
    assert jobs.run_tool(argv, cwd=tmp_path, env={"MORE": "1"}, log=log) == 137
    assert "'MORE'" in log.read_text() and "'PATH'" in log.read_text() and "KB_" not in log.read_text()
    assert jobs.run_tool(["/no/such/tool"], cwd=tmp_path, log=log) == 127
    assert "/no/such/tool cannot be started" in log.read_text()


def test_what_tick_raises_ends_the_tool(tmp_path: Path) -> None:
    def tick() -> None:
        raise KBError("enough")

    began = time.monotonic()
    with pytest.raises(KBError, match="enough"):
        jobs.run_tool([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path, tick=tick, every=0.1)
    assert time.monotonic() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tool", "supervisor", "restart", "reload", "cancel", "pause"])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_befalls_a_training_its_state_is_right(settings: Settings, tmp_path: Path, what: str, seed: int) -> None:
    """At a random moment; afterwards no process is left, and a training goes on at its last checkpoint."""
    chance = random.Random(f"{what}{seed}")
    work = tmp_path / "work"
    app = None
    if what == "restart":  # an app of its own starts it, and is killed
        app, job = app_with_trainer(settings, work, bool(seed % 2))
    else:
        job = trainer(settings, work, 60, gpu=bool(seed % 2))
    time.sleep(chance.uniform(0, 2.5))
    before = jobs.get(settings, job.id)
    run = supervisor.read(job.folder / "run.json")
    if what == "tool" and "tool" in run:
        kill(run["tool"])
    elif what == "supervisor" and run:
        kill(run["pid"])
    elif what == "cancel":
        jobs.cancel(settings, job.id)
    elif what == "pause" and before.state == "running":
        try:
            jobs.pause(settings, job.id)
        except KBError:
            pass  # it has just ended
    elif what == "restart":
        assert app is not None
        os.killpg(app.pid, signal.SIGKILL)  # the app with all of its group
        app.wait()
        code = f"{IMPORTS}; print(jobs.list_jobs(kb.load_settings(data_base={str(settings.data_base)!r}))[0].state)"
        said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        assert ORDER.index(before.state) <= ORDER.index(said) <= ORDER.index(jobs.get(settings, job.id).state)
    elif what == "reload":
        with ThreadPoolExecutor(4) as pages:
            for states in pages.map(lambda _: read_to_the_end(settings), range(4)):
                assert states == sorted(states, key=ORDER.index), states
                assert states[-1] == "done"
    job = wait(settings, job.id, ended)
    none_left(job)
    expected = {"tool": "failed", "supervisor": "lost", "cancel": "cancelled", "pause": "paused"}
    assert job.state in {expected.get(what, "done"), "done"}, job.tail()
    assert job.state != "done" or iteration(work) == 60
    kept = saved(work)
    again = wait(settings, jobs.rerun(settings, job.id).id, ended)
    assert again.state == "done", again.tail()
    assert int((work / "begun").read_text().split()[-1]) == kept
    assert iteration(work) == 60
    none_left(again, 0)


IMPORTS = "import time; from pathlib import Path; import kb; from kb import jobs; from tests.kb import test_jobs"
ORDER: list[str] = ["starting", "waiting", "running", "done"]


def app_with_trainer(settings: Settings, work: Path, gpu: bool) -> tuple[subprocess.Popen[str], jobs.Job]:
    home, asked = str(settings.data_base), f"Path({str(work)!r}), 60, {gpu}"
    code = f"{IMPORTS}; print(test_jobs.trainer(kb.load_settings(data_base={home!r}), {asked}).id, flush=True); time.sleep(600)"
    app = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert app.stdout
    with app.stdout:
        return app, jobs.get(settings, app.stdout.readline().strip())


def read_to_the_end(settings: Settings) -> list[str]:
    """The states that a page sees which is loaded again and again."""
    states = []
    while not states or states[-1] in ORDER[:3]:
        job = jobs.list_jobs(settings)[0]
        states.append(job.state)
        assert job.progress is None or job.progress.total == 60
        assert "Traceback" not in job.tail()
        time.sleep(0.02)
    return states


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself


def test_a_reused_pid_is_not_taken_for_the_supervisor(settings: Settings) -> None:
    job = jobs.start(settings, "test", "t", "a_tool", [])
    wait(settings, job.id, ended)
    (job.folder / "exit.json").unlink()
    write_json(job.folder / "run.json", {"pid": os.getpid(), "process_started": "1@boot", "tool": 0})
    assert jobs.get(settings, job.id).state == "lost"


@pytest.mark.parametrize("id_", ["", ".", "..", "../jobs", "a/b", "nothing", "/etc", "\0"])
def test_ids_are_not_paths(settings: Settings, id_: str) -> None:
    with pytest.raises(KBError):
        jobs.get(settings, id_)
