"""A run whose disk is full or failing, held against what must be true of every such run.

Also a program: `python -m tests.ingest.disk_trials HOME TEMPLATE FREE-BYTES …` in a mount namespace of its own, see `on_tmpfs`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ingest
import kb
from kb.index import verify
from kb.records import Hit
from tests.ingest import trials

ROOT = Path(__file__).resolve().parents[2]
_RUN = (
    "import sys; from ingest.__main__ import main; from tests.ingest.trials import with_fake_embedder; "
    "with_fake_embedder(); sys.exit(main(sys.argv[1:]))"
)
_SECONDS = 60


@dataclass(frozen=True)
class Trial:
    """How a run ended; `wrong` are the properties that it broke."""

    code: int
    said: str
    wrong: list[str]


def prepare(home: Path) -> None:
    """A small base that was indexed twice, and a change of its folder that is not indexed yet."""
    docs, data_base = home / "docs", home / "data_base"
    docs.mkdir(parents=True)
    for n in range(16):
        trials.write(docs, n, 0)
    settings = trials.settings_of(data_base)
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    trials.write(docs, 0, 1)
    ingest.reindex("default", settings)
    trials.write(docs, 1, 1)
    trials.write(docs, 16, 0)
    (docs / "file2.md").unlink()
    trials.restart()


def _answers(home: Path) -> tuple[set[str], list[tuple[Hit, ...]]]:
    """What a base answers: its chunk ids and what it finds."""
    base = kb.KnowledgeBase.open("default", trials.settings_of(home / "data_base"))
    questions = ("Sentence 3 of file 1 in version 0", "file 16", "file 2", "version 1")
    return base.snapshot().chunk_ids(), [base.search(question).hits for question in questions]


def attempt(
    home: Path, env: dict[str, str], fill: Callable[[], None] = lambda: None, mend: Callable[[], None] = lambda: None
) -> Trial:
    """Run `python -m ingest` once under `env` on a full disk, and again on a mended one; `home` is as `prepare` left it."""
    data_base = home / "data_base"
    old, new = _answers(home), trials.expected(data_base)
    fill()
    command = [sys.executable, "-c", _RUN, "--data-base", str(data_base)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        code, said = done.returncode, done.stderr.strip()
    except subprocess.TimeoutExpired:
        code, said = -1, f"nothing in {_SECONDS} seconds"
    wrong = []
    if code not in (0, 1) or "\n" in said or (code == 1 and not said.startswith("ingest: ")):
        wrong.append(f"exit code {code} and {len(said.splitlines())} lines, the last of them: {said.splitlines()[-1:]}"[:500])
    opened = _or_error(lambda: _answers(home))
    trials.restart()
    started = _or_error(lambda: _answers(home))
    trials.restart()
    mend()
    for whose, got in (("the app that was open", opened), ("an app that was started then", started)):
        if isinstance(got, str):
            wrong.append(f"{whose}: {got}")
        elif got[0] != new if code == 0 else got != old:
            wrong.append(f"{whose} answers something else")
    error = _or_error(lambda: _next(home, new, nothing=code == 0))
    wrong += [f"the next run: {error}"] if error else []
    trials.restart()
    return Trial(code, said, wrong)


def _or_error(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _exact(home: Path, new: set[str]) -> None:
    settings = trials.settings_of(home / "data_base")
    verify(kb.KnowledgeBase.open("default", settings).snapshot().folder)
    assert _answers(home)[0] == new, "the ids are not those of a fresh build"


def _next(home: Path, new: set[str], nothing: bool) -> None:
    report = ingest.reindex("default", trials.settings_of(home / "data_base"))
    assert (report.generation is None) == nothing, f"it has made generation {report.generation}"
    _exact(home, new)
    assert not trials.leftovers(home / "data_base")
    assert len(trials.generations(home / "data_base")) <= 2


def on_tmpfs(home: Path, template: Path, free: list[int]) -> None:
    """In a mount namespace: a trial for each number of free bytes, printed as one JSON object a line."""
    filler = home / "filler"
    with pytest.MonkeyPatch.context() as patch:
        trials.with_fake_embedder(patch.setattr)
        trials.verify_here(patch.setattr)
        for size in free:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(home)], check=True)
            shutil.copytree(template, home, dirs_exist_ok=True)
            trial = attempt(home, {}, partial(_fill, filler, size), filler.unlink)
            subprocess.run(["umount", "-l", str(home)], check=True)
            print(json.dumps({"free": size, "code": trial.code, "said": trial.said, "wrong": trial.wrong}))


def _fill(filler: Path, free: int) -> None:
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler.parent).free - free)


if __name__ == "__main__":
    on_tmpfs(Path(sys.argv[1]), Path(sys.argv[2]), [int(free) for free in sys.argv[3:]])
