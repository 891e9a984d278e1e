"""Tools in environments of their own, <repository>/.venvs/<tool>: their libraries do not get along with ours.

What state one is in, the disk says: a stamp, written last, holds the hash of what was asked for.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kb import jobs
from kb.environments import interpreter_of, make_environment, python_of
from kb.errors import KBError
from kb.jobs import Progress
from kb.processes import birth
from kb.progress import bar_to
from kb.settings import Settings
from kb.supervisor import alive, read
from kb.whole import write_json

ToolState = Literal["absent", "installing", "ready", "outdated", "broken"]
KIND = "tool"
_REPO = Path(__file__).resolve().parent.parent
_STAMP = "installed.json"


@dataclass(frozen=True, slots=True)
class _Recipe:
    requirements: tuple[Path, ...]
    constraints: Path
    pythons: tuple[str, ...]  # that it runs on
    probe: str  # Python that must run in it; prints the version
    licence: str
    bytes: int  # on disk without CUDA, about
    seconds: int  # from a near mirror, about


_RECIPES = {
    "xtuner": _Recipe(
        (_REPO / "finetune/requirements.txt", _REPO / "finetune/requirements-nodeps.txt"),
        _REPO / "finetune/constraints.txt",
        ("3.11", "3.12"),  # XTuner wants one below 3.13; the pinned libraries want 3.11
        "import bitsandbytes, mmengine, peft, torch, transformers, xtuner; print(xtuner.__version__)",
        "Apache-2.0",
        2_100_000_000,
        60,
    ),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool environment as the disk tells it. `bytes` and `seconds`: what an installation takes, about."""

    name: str
    state: ToolState
    python: Path  # its interpreter, there or not
    detail: str  # what is wrong; the version where it is ready
    licence: str
    bytes: int
    seconds: int


def list_tools(settings: Settings) -> list[Tool]:
    """All that are known, installed or not."""
    return [tool(settings, name) for name in _RECIPES]


def tool(settings: Settings, name: str) -> Tool:
    """Raises KBError for a tool that is not known."""
    recipe = _recipe(name)
    state, detail = _state(settings.tools / name, recipe)
    return Tool(name, state, python_of(settings.tools / name), detail, recipe.licence, recipe.bytes, recipe.seconds)


def install_job(settings: Settings, name: str) -> jobs.Job:
    """Install a tool in the background; the job that runs already, if one does."""
    _recipe(name)
    if job := jobs.running(settings, name, KIND):
        return job
    args = ["tools", "install", name, "--data-base", str(settings.data_base), "--tools", str(settings.tools)]
    return jobs.start(settings, KIND, f"Install {name}", "kb", args, subject=name)


def install(settings: Settings, name: str, tell: Callable[[Progress], object] = lambda _: None) -> Tool:
    """Make the environment of a tool anew, in place, since an environment cannot be moved. One that is ready is left.

    Raises:
        KBError: it is being installed already, the disk is too small, or a step failed; its output says why.
    """
    recipe = _recipe(name)
    home = settings.tools / name
    settings.tools.mkdir(parents=True, exist_ok=True)
    with _one_installer(home):
        if _state(home, recipe, busy=False)[0] != "ready":
            _install(home, recipe, tell)
    return tool(settings, name)


def command(settings: Settings, args: argparse.Namespace) -> int:
    """`python -m kb tools`; returns its exit code. Raises KBError."""
    if args.action == "install":
        with bar_to(args.progress) as bar:
            done = install(settings, args.name, bar)
        print(f"{done.name} {done.detail} is in {settings.tools / done.name}")
        return 0
    tools = list_tools(settings)
    if args.json:
        print(json.dumps([asdict(one) | {"python": str(one.python)} for one in tools], ensure_ascii=False, indent=1))
    for one in tools if not args.json else ():
        about = f"{one.detail}" if one.detail else f"about {one.bytes / 1e9:.1f} GB; `python -m kb tools install {one.name}`"
        print(f"{one.name}: {one.state}. {about}")
    return 0


def _install(home: Path, recipe: _Recipe, tell: Callable[[Progress], object]) -> None:
    free = shutil.disk_usage(home.parent).free
    if free < recipe.bytes:
        raise KBError(
            f"{home.name} needs about {recipe.bytes / 1e9:.1f} GB in {home.parent}, where {free / 1e9:.1f} GB are free."
        )
    began, asked, interpreter = time.time(), _hash(recipe), interpreter_of(recipe.pythons, home.name)
    shutil.rmtree(home, ignore_errors=True)
    tell(Progress("tool.environment", 0, 3, "steps"))
    environment = make_environment(home, interpreter)
    tell(Progress("tool.packages", 1, 3, "steps"))
    for requirements in recipe.requirements:
        environment.install(requirements, recipe.constraints)
    tell(Progress("tool.check", 2, 3, "steps"))
    version = environment.run(recipe.probe)
    write_json(home / _STAMP, {"requirements": asked, "interpreter": str(environment.python.resolve()), "version": version,
                          "installed": time.time(), "seconds": round(time.time() - began)})  # fmt: skip


def _recipe(name: str) -> _Recipe:
    try:
        return _RECIPES[name]
    except KeyError:
        raise KBError(f"There is no tool {name!r}; there is {', '.join(_RECIPES)}.") from None


def _hash(recipe: _Recipe) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in (*recipe.requirements, recipe.constraints))).hexdigest()


def _state(home: Path, recipe: _Recipe, busy: bool = True) -> tuple[ToolState, str]:
    if busy and alive(read(_busy(home)), "pid", "started"):
        return "installing", ""
    stamp = read(home / _STAMP)
    if not stamp:
        return ("broken", "Its installation did not come to an end.") if home.exists() else ("absent", "")
    python = python_of(home)
    if not python.exists() or str(python.resolve()) != stamp["interpreter"]:
        return "broken", f"{stamp['interpreter']}, which it was made with, is not there any more."
    if stamp["requirements"] != _hash(recipe):
        return "outdated", "What it should hold has changed since it was installed."
    return "ready", str(stamp["version"])


def _busy(home: Path) -> Path:
    return home.with_name(f"{home.name}.installing.json")


@contextmanager
def _one_installer(home: Path) -> Iterator[None]:
    with home.with_name(f"{home.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise KBError(f"{home.name} is being installed already.") from error
        write_json(_busy(home), {"pid": os.getpid(), "started": birth(os.getpid())})
        try:
            yield
        finally:
            _busy(home).unlink()
