"""The process that reads foreign files for ingest.load: `python -m ingest.reader`, a JSON object a line each way.

It imports a format's libraries once and forks for each file, so that a file may hang, crash or eat memory alone. The
fork has a time limit, a memory limit and no way to the network.
"""

import ctypes
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from ingest import foreign
from ingest.files import MIB, Unreadable
from kb.decode import quoted

_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>")  # in a message it says nothing and changes from run to run
_PR_SET_PDEATHSIG = 1
LEAST_ROOM = 128 * MIB  # for a file, whatever the libraries hold already
_OUT_OF_MEMORY = 3  # exit status of a child that could not even say so
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def main() -> None:
    """Serve requests {path, kind, limit, seconds, mib} until the input ends; replies {title, text} or {reason, detail}."""
    requests, replies = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what a library prints is no reply
    sys.addaudithook(_no_network)
    for line in requests:
        replies.write(json.dumps(_serve(json.loads(line))) + "\n")
        replies.flush()


def _no_network(event: str, _: tuple[Any, ...]) -> None:
    if event in _NETWORK:
        raise PermissionError("a document has no business on the network")


def _serve(request: dict[str, Any]) -> dict[str, str]:
    try:
        foreign.prepare(request["kind"])
    except ImportError as error:
        return {"reason": "broken", "detail": f"a library for this format is missing ({error.name or error})"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as result:
        child = os.fork()
        if child == 0:
            _work(request, result)
        status = _wait(child, time.monotonic() + request["seconds"])
        if status is None:
            return {"reason": "timeout", "detail": f"{request['seconds']:g} s"}
        if status in (_OUT_OF_MEMORY, -signal.SIGKILL):
            return {"reason": "memory", "detail": f"{request['mib']} MiB"}
        if status:
            return {"reason": "broken", "detail": f"its reader crashed ({_name(status)})"}
        result.seek(0)
        reply: dict[str, str] = json.load(result)
        return reply


def _work(request: dict[str, Any], result: IO[str]) -> None:
    """What the child does; it never returns."""
    status = _OUT_OF_MEMORY
    try:
        _confine(request["seconds"], request["mib"])
        json.dump(_read(request), result)
        result.flush()
        status = 0
    finally:
        os._exit(status)


def _read(request: dict[str, Any]) -> dict[str, str]:
    path, at_first = Path(os.fsdecode(bytes.fromhex(request["path"]))), _most_memory()
    room = resource.getrlimit(resource.RLIMIT_DATA)[0] - _memory("VmData")
    try:
        title, text = foreign.to_markdown(path, request["kind"], request["limit"], room)
    except Unreadable as error:
        return {"reason": error.reason, "detail": error.detail}
    except MemoryError:
        raise
    except Exception as error:  # a parser may raise anything on a broken file
        if _most_memory() - at_first > room // 2:
            raise MemoryError from error  # lxml has other words for it, or none
        return {"reason": "broken", "detail": quoted(f"{type(error).__name__}: {_ADDRESS.sub('', str(error))}").rstrip(": ")}
    return {"title": title, "text": text}


def _most_memory() -> int:
    """The most memory, in bytes, that this process has held at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _confine(seconds: float, mib: int) -> None:
    """A session of its own, an end with its parent, and limits that the programs it starts inherit."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # RLIMIT_DATA and not RLIMIT_AS: pandoc's runtime reserves addresses that it never uses. What the libraries hold is
    # part of `mib`, and so are the pages of their files, which the system does not count as data.
    data = max(mib * MIB - _memory("RssFile"), _memory("VmData") + LEAST_ROOM)
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _memory(figure: str) -> int:
    """A figure of /proc/self/status in bytes; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{figure}:")), 0)


def _wait(child: int, deadline: float) -> int | None:
    """The exit status of the child, negative for a signal, or None when its time was up. Ends all it started."""
    pause = 0.002
    done, status = 0, 0
    while not done and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
        done, status = os.waitpid(child, os.WNOHANG)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass  # nothing of it is left
    if not done:
        os.waitpid(child, 0)
        return None
    return os.waitstatus_to_exitcode(status)


def _name(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


if __name__ == "__main__":
    main()
