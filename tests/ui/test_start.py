"""`python -m ui`: quick help, refusals in one sentence."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kb import SettingsError
from ui.address import Address
from ui.auth import parse_login

ROOT = Path(__file__).parents[2]


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ui", *arguments]
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "KB_DATA_BASE": str(folder / "data")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_does_not_wait_for_gradio(tmp_path: Path) -> None:
    started = time.perf_counter()
    result = start(tmp_path, "--help")
    assert result.returncode == 0
    assert "--share" in result.stdout
    assert time.perf_counter() - started < 1.5


@pytest.mark.parametrize(
    "arguments",
    [("--share",), ("--host", "0.0.0.0"), ("--auth", "ann:short"), ("--host", "::", "--auth", "nonsense")],
    ids=" ".join,
)
def test_refusals_are_one_sentence_and_exit_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = start(tmp_path, *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "--auth" in result.stderr
    assert not (tmp_path / "data").exists(), "refused before anything is made"


@pytest.mark.parametrize(
    ("host", "share", "public"),
    [
        ("127.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("localhost", False, False),
        ("::1", False, False),
        ("127.8.8.8", False, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("192.168.1.5", False, True),
        ("my-computer", False, True),
        ("localhost.evil.example", False, True),
    ],
)
def test_what_counts_as_public(host: str, share: bool, public: bool) -> None:
    address = Address(host, 0, share)
    assert address.public is public
    if public:
        with pytest.raises(SettingsError, match="add --auth"):
            address.check()


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} is in use: choose another with --port"):
            Address(port=port).check()
        with pytest.raises(SettingsError, match="is in use"):
            Address("0.0.0.0", port, login=parse_login("ann:correct horse")).check()


def test_urls() -> None:
    assert Address(port=1).url == "http://127.0.0.1:1"
    assert Address("0.0.0.0", 1).url == "http://127.0.0.1:1"
    assert Address("::1", 1).url == "http://[::1]:1"
