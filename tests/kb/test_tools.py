"""Tool environments: the state that the disk tells, one installer at a time, and the Python they are made with."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kb import environments, tools
from kb.__main__ import main
from kb.errors import KBError
from kb.processes import birth
from kb.settings import Settings, load_settings
from kb.whole import write_json


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The one tool is "xtuner", of two small files and without packages; its environment is real."""
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "constraints.txt").write_text("")
    small = replace(
        tools._RECIPES["xtuner"], requirements=(tmp_path / "requirements.txt",), constraints=tmp_path / "constraints.txt",
        pythons=("{}.{}".format(*sys.version_info[:2]),), probe="print('loading'); print('1.2')", bytes=1000,
    )  # fmt: skip
    monkeypatch.setattr(tools, "_RECIPES", {"xtuner": small})
    monkeypatch.setattr(environments.Environment, "install", lambda *_: None)
    return load_settings(data_base=tmp_path / "data_base", tools=tmp_path / "tools")


def state(settings: Settings) -> str:
    return tools.tool(settings, "xtuner").state


def test_the_disk_says_in_what_state_it_is(settings: Settings, tmp_path: Path) -> None:
    assert state(settings) == "absent"
    seen: list[tuple[str, str]] = []
    done = tools.install(settings, "xtuner", lambda told: seen.append((told.stage, state(settings))))
    assert seen == [(f"tool.{one}", "installing") for one in ("environment", "packages", "check")]
    assert (done.state, done.detail) == ("ready", "1.2")
    seen.clear()
    tools.install(settings, "xtuner", lambda told: seen.append((told.stage, "")))
    assert seen == []  # one that is ready is left
    (tmp_path / "requirements.txt").write_text("six\n")
    assert (state(settings), tools.tool(settings, "xtuner").detail[-10:]) == ("outdated", "installed.")
    assert tools.install(settings, "xtuner").state == "ready"
    python = done.python
    python.unlink()
    assert (state(settings), "is not there any more" in tools.tool(settings, "xtuner").detail) == ("broken", True)
    assert tools.install(settings, "xtuner").state == "ready"
    (settings.tools / "xtuner" / "installed.json").unlink()
    assert state(settings) == "broken"


def test_a_failed_installation_is_broken_and_can_be_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tools._RECIPES["xtuner"]
    monkeypatch.setitem(tools._RECIPES, "xtuner", replace(recipe, probe="raise ImportError('no such library')"))
    with pytest.raises(KBError, match=r"does not work: ImportError: no such library\."):
        tools.install(settings, "xtuner")
    assert state(settings) == "broken"
    monkeypatch.setitem(tools._RECIPES, "xtuner", recipe)
    assert tools.install(settings, "xtuner").state == "ready"


def test_one_installs_at_a_time(settings: Settings) -> None:
    def second(_: object) -> None:
        with pytest.raises(KBError, match="xtuner is being installed already"):
            tools.install(settings, "xtuner")

    assert tools.install(settings, "xtuner", second).state == "ready"
    busy = settings.tools / "xtuner.installing.json"
    write_json(busy, {"pid": os.getpid(), "started": birth(os.getpid())})
    assert state(settings) == "installing"
    write_json(busy, {"pid": os.getpid(), "started": "1@boot"})  # what a killed installer leaves: its pid is somebody else's
    assert state(settings) == "ready"


def test_what_cannot_be_installed_is_told_before_anything_is_touched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    with pytest.raises(KBError, match=r"no tool 'lmdeploy'; there is xtuner"):
        tools.install(settings, "lmdeploy")
    recipe = tools._RECIPES["xtuner"]
    monkeypatch.setitem(tools._RECIPES, "xtuner", replace(recipe, bytes=10**18))
    with pytest.raises(KBError, match=r"needs about 1000000000\.0 GB in "):
        tools.install(settings, "xtuner")
    monkeypatch.setitem(tools._RECIPES, "xtuner", replace(recipe, pythons=("3.1",)))
    with pytest.raises(KBError, match=r"xtuner runs on Python 3\.1\. This is 3\.\d+, and none of these is on PATH: install "):
        tools.install(settings, "xtuner")
    assert state(settings) == "absent"


def test_another_python_is_taken_where_this_one_cannot_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_path(version: str, code: int) -> str:
        (tmp_path / f"python{version}").write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / f"python{version}").chmod(0o755)
        return str(tmp_path / f"python{version}")

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    own = "{}.{}".format(*sys.version_info[:2])
    older, _ = on_path("2.11", 0), on_path("2.12", 127)  # the second only stands for one that is not installed
    assert environments.interpreter_of(("2.11", own), "a tool") == sys.executable
    assert environments.interpreter_of(("2.11", "2.12"), "a tool") == older


def test_the_terminal(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run: Callable[..., int] = lambda *args: main(["tools", *args, "--tools", str(settings.tools)])  # noqa: E731
    assert run("list") == 0
    assert capsys.readouterr().out.startswith("xtuner: absent. about 0.0 GB; `python -m kb tools install xtuner`")
    assert run("install", "xtuner") == 0
    assert capsys.readouterr().out == f"xtuner 1.2 is in {settings.tools / 'xtuner'}\n"
    assert run("list", "--json") == 0
    assert [one["state"] for one in json.loads(capsys.readouterr().out)] == ["ready"]
    assert run("install", "nothing") == 1
    assert capsys.readouterr().err == "kb: There is no tool 'nothing'; there is xtuner.\n"
