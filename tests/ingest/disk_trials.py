"""A run whose disk is full or failing, held against what must be true of every such run.

Also a program: `python -m tests.ingest.disk_trials HOME TEMPLATE BYTES …` in a mount namespace of its own, see `on_tmpfs`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def attempt(home: Path, env: dict[str, str], mend: Callable[[], None] = lambda: None) -> Trial:
    """Run `python -m ingest` once under `env`, and again when the disk has been mended; `home` is as `prepare` left it."""
    data_base, wrong = home / "data_base", list[str]()
    old, new = _answers(home), trials.expected(data_base)
    command = [sys.executable, "-c", _RUN, "--data-base", str(data_base)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        code, said = done.returncode, done.stderr.strip()
    except subprocess.TimeoutExpired:
        code, said = -1, f"nothing in {_SECONDS} seconds"
    if code not in (0, 1) or "\n" in said or (code == 1 and not said.startswith("ingest: ")):
        wrong.append(f"exit code {code} and {len(said.splitlines())} lines, the last of them: {said.splitlines()[-1:]}"[:500])
    done_it = code == 0
    if not done_it:
        wrong += _broken("the app that was open", lambda: _same(home, old))
    trials.restart()
    wrong += _broken("an app that was started then", lambda: _exact(home, new) if done_it else _same(home, old))
    trials.restart()
    mend()
    wrong += _broken("the next run", lambda: _next(home, new, nothing=done_it))
    trials.restart()
    return Trial(code, said, wrong)


def _broken(whose: str, check: Callable[[], None]) -> list[str]:
    try:
        check()
    except Exception as error:
        return [f"{whose}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"]
    return []


def _same(home: Path, old: tuple[set[str], list[tuple[Hit, ...]]]) -> None:
    assert _answers(home) == old, "answers differ from those before the run"


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


def size_of(folder: Path) -> int:
    """What the files take on a file system of pages, in bytes."""
    return sum((path.lstat().st_size + 4095) // 4096 * 4096 for path in (folder, *folder.rglob("*")))


def on_tmpfs(home: Path, template: Path, sizes: list[int]) -> None:
    """In a mount namespace: a trial a size, printed as one JSON object a line."""
    with pytest.MonkeyPatch.context() as patch:
        trials.with_fake_embedder(patch.setattr)
        trials.verify_here(patch.setattr)
        for size in sizes:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(home)], check=True)
            shutil.copytree(template, home, dirs_exist_ok=True)
            free = shutil.disk_usage(home).free
            trial = attempt(home, {}, lambda: _enlarge(home))
            subprocess.run(["umount", "-l", str(home)], check=True)
            print(json.dumps({"size": size, "free": free, "code": trial.code, "said": trial.said, "wrong": trial.wrong}))


def _enlarge(home: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", str(home)], check=True)


if __name__ == "__main__":
    on_tmpfs(Path(sys.argv[1]), Path(sys.argv[2]), [int(size) for size in sys.argv[3:]])
