"""The processes of a job: started so that none outlives its owner, told apart from all others, ended to the last one.

A job's processes carry its folder in their environment (MARK), so they are found wherever they went: another group,
another session, another parent. Nothing is found by its name, and a reused pid is nobody's.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

MARK = "INTERNKB_JOB"
GRACE = 5.0  # seconds between TERM and KILL
_LOOK = 0.1
_TIED = Path(__file__).with_name("tied.py")
# What a foreign tool sees of this process's environment: where things are, the machine, and how registries are reached.
_KEPT = """PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TERM LD_LIBRARY_PATH XDG_CACHE_HOME SSL_CERT_FILE SSL_CERT_DIR
    REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy OMP_NUM_THREADS""".split()
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "HF_", "MODELSCOPE_", "PIP_", "UV_")


def birth(pid: int) -> str:
    """What tells a process from a later one with its pid, by the kernel's clock; "" where none runs.

    On Linux in ticks since the boot: a time of day moves when the clock is set, and a job would look lost.
    """
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in "ZX" else f"{fields[19]}@{boot}"
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.NoSuchProcess:
        return ""


def launch(argv: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start a command that the kernel kills when this process (its calling thread) ends. It cannot be asked anything."""
    tied = [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), *argv]
    return subprocess.Popen(tied, stdin=subprocess.DEVNULL, **options)


def detach(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Start a command that goes on when this process ends."""
    subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     start_new_session=True, env=env)  # fmt: skip


def members(folder: Path, leader: int = 0) -> "list[psutil.Process]":
    """The living processes of the job in `folder`: those with its mark, and those that `leader` began.

    `leader`: the job's first process, where it is known to be that one still (alive, or not waited for).
    """
    import psutil

    found = []
    heirs = _heirs(leader) if leader else set()
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            mark = _mark(process)
            groups = (os.getpgid(process.pid), os.getsid(process.pid))
            if mark == str(folder) or (leader and mark is None and (process.pid in heirs or leader in groups)):
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue  # it ended while we looked
    return found


def end(folder: Path, leader: int = 0, grace: float = GRACE) -> bool:
    """End all processes of a job: TERM, `grace` seconds, KILL. False: the kernel keeps one (in a driver, on a dead disk)."""
    told: set[Any] = set()
    began = time.monotonic()
    while left := members(folder, leader):
        waited = time.monotonic() - began
        if waited > grace + 2 * GRACE:
            return False
        for process in left:
            if waited >= grace:
                _send(process.pid, signal.SIGKILL)
            elif process not in told:
                _send(process.pid, signal.SIGTERM)
                told.add(process)
        time.sleep(_LOOK)
    return True


def own_folder() -> Path | None:
    """The folder of the job that this process is part of."""
    return Path(os.environ[MARK]) if os.environ.get(MARK) else None


def tool_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a foreign tool: what it needs of ours, and `more`. No setting or key of ours is in it."""
    kept = {name: value for name, value in os.environ.items() if name in (*_KEPT, MARK) or name.startswith(_KEPT_PREFIXES)}
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(more or {})  # its last words are in the log, even when it is killed


def run_tool(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    tick: Callable[[], object] | None = None,
    every: float = 0.5,
    log: Path | None = None,
) -> int:
    """Run a foreign tool to its end from inside a job (or a terminal); returns its exit code, 128 + n for signal n.

    `env` is added to a short list of what the tool gets of this environment. Its output goes to this process's, or is
    appended to `log`. `tick` is called every `every` seconds; what it raises ends the tool. The tool and all of its
    group end (TERM, 5 s, KILL) when this process is told to end, and, KILLed by the kernel, when this process is gone.
    """
    parent = os.getppid()
    sys.stdout.flush()
    output = log.open("ab") if log else None
    try:
        with _told_to_end():
            tool = launch(argv, cwd=cwd, env=tool_environment(env), stdout=output, stderr=output, process_group=0)
            try:
                while (code := _wait(tool, every)) is None:
                    if own_folder() and os.getppid() != parent:  # the supervisor is gone; a terminal may go
                        raise SystemExit(128 + signal.SIGTERM)
                    if tick:
                        tick()
            finally:
                _end_group(tool)
    finally:
        if output:
            output.close()
    return code if code >= 0 else 128 - code


@contextmanager
def _told_to_end() -> Iterator[None]:
    """TERM raises SystemExit here, so that a `finally` sees it. Outside the main thread, signals are somebody else's."""

    def leave(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(tool: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    try:
        return tool.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _end_group(tool: "subprocess.Popen[bytes]") -> None:
    """End a tool and what it left in its group, which keeps its number as long as anyone is in it."""
    if tool.poll() is None:
        _send(-tool.pid, signal.SIGTERM)
        _wait(tool, GRACE)
    _send(-tool.pid, signal.SIGKILL)
    tool.wait()


def _send(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        pass  # it has ended


def _mark(process: "psutil.Process") -> str | None:
    import psutil

    try:
        return process.environ().get(MARK)
    except (psutil.AccessDenied, OSError):
        return None  # somebody else's


def _heirs(leader: int) -> set[int]:
    import psutil

    try:
        return {leader, *(child.pid for child in psutil.Process(leader).children(recursive=True))}
    except psutil.NoSuchProcess:
        return {leader}
