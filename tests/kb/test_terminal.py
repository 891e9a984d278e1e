"""`python -m kb` as a user runs it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import kb
from tests.fake_openai import FakeOpenAI

ROOT = Path(__file__).resolve().parents[2]


def run(settings: kb.Settings, *args: str) -> subprocess.CompletedProcess[str]:
    command, *rest = args
    argv = [sys.executable, "-m", "kb", command, "--data-base", str(settings.data_base), *rest]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_ask_prints_the_answer_and_its_sources(small_settings: kb.Settings) -> None:
    done = run(small_settings, "ask", "On which port does the server listen?")
    assert done.returncode == 0, done.stderr
    assert "port 23333" in done.stdout
    assert "[1] lmdeploy/README.md:" in done.stdout


def test_ask_json_has_what_is_promised(small_settings: kb.Settings, tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    history.write_text(
        json.dumps([{"role": "user", "content": "怎么用 xtuner 合并 adapter？"}, {"role": "assistant", "content": "…"}])
    )
    done = run(small_settings, "ask", "之后可以部署吗", "--json", "--history", str(history))
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert list(value) == ["question", "answer", "refused", "hits", "seconds", "unsupported"]
    assert value["hits"][0]["source"] == "xtuner/README.md"
    assert {"n", "source", "heading", "lines", "score", "text"} <= set(value["hits"][0])
    start, end = value["hits"][0]["lines"]
    assert start <= end


def test_ask_marks_what_the_passages_do_not_support(small_settings: kb.Settings) -> None:
    with FakeOpenAI(["It listens on port 23333 [1]. ", "It was built by astronomers in Chile [1]."]) as server:
        asked = ("ask", "On which port does the server listen?", "--endpoint-url", server.url)
        shown, value = run(small_settings, *asked), json.loads(run(small_settings, *asked, "--json").stdout)
    assert "It listens on port 23333 [1]. It was built by astronomers in Chile [1]. ⚠\n" in shown.stdout
    assert value["unsupported"] == ["It was built by astronomers in Chile [1]."]


def test_each_mistake_is_one_sentence(small_settings: kb.Settings, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    for args in (
        ("ask", "x", "--kb", "nothing"),
        ("ask", "x", "--history", str(tmp_path / "bad.json")),
        ("ask", " "),
        ("ask", "x", "--top-k", "0"),
    ):
        done = run(small_settings, *args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr


def test_status(small_settings: kb.Settings) -> None:
    [row] = json.loads(run(small_settings, "status", "--json").stdout)
    assert (row["kb"], row["documents"], row["generation"]) == ("default", 4, 1)
    assert "4 documents" in run(small_settings, "status").stdout


def test_chat_streams_stops_on_ctrl_c_and_leaves_on_exit(small_settings: kb.Settings) -> None:
    with FakeOpenAI(["tick "] * 500, pause=0.05) as server:
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["KB_REWRITE"] = "false"  # its reply would be ticks too
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell lets what it starts in the background ignore it
            os.chdir(ROOT)
            argv = [
                sys.executable,
                "-m",
                "kb",
                "chat",
                "--data-base",
                str(small_settings.data_base),
                "--endpoint-url",
                server.url,
            ]
            os.execv(argv[0], argv)
        try:
            _until(terminal, "> ")
            os.write(terminal, b"On which port does the server listen?\n")
            _until(terminal, "tick tick tick")
            os.kill(pid, signal.SIGINT)
            seen = _until(terminal, "(stopped)")
            assert server.hung_up.wait(3)
            os.write(terminal, b"exit\n")
            assert os.waitstatus_to_exitcode(_wait(pid)) == 0, seen
        finally:
            os.close(terminal)


def _until(terminal: int, text: str, seconds: float = 30) -> str:
    seen, end = "", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < end, seen
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


def _wait(pid: int, seconds: float = 15) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it did not leave on `exit`")
