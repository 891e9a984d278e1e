"""Runs whose disk is full or failing, held against what must be true of every such run. A program, since its trials need a
mount namespace or a preloaded library: `python -m tests.ingest.disk_trials full|failing HOME TEMPLATE TRIAL …`.
"""

import json
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

import ingest
import kb
from kb.index import verify
from kb.records import Hit
from tests.ingest import trials

SHARED = struct.Struct("NNNN")  # what failing_writes.c reads and writes
Run = Callable[[], tuple[int, str]]  # exit code and what was said
# Seen once in some thousand runs: threads of Chroma's own panic where its journal fails, and Rust says so on stderr.
_PANIC = re.compile(r"^\s*thread '.*panicked at .*\n.*\n(?:note: run with .*\n)?", re.MULTILINE)


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


def attempt(home: Path, run: Run, mend: Callable[[], None] = lambda: None) -> Trial:
    """Let `run` index on a full or failing disk, and again on a mended one; `home` is as `prepare` left it."""
    data_base = home / "data_base"
    old, new = _answers(home), trials.expected(data_base)
    code, said = run()
    said = _PANIC.sub("", said)
    wrong = []
    if code not in (0, 1) or "\n" in said or (code == 1 and not said.startswith("ingest: ")):
        wrong.append(f"exit code {code} and {len(said.splitlines())} lines: {said}"[:2000])
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


def full(home: Path, template: Path, kib: str, said: Path) -> dict[str, Any]:
    """A trial on a tmpfs with so many KiB to spare. In a mount namespace."""
    filler = home / "filler"

    def run() -> tuple[int, str]:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(home).free - 1024 * int(kib))
        return trials.command(home / "data_base", said)

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(home)], check=True)
    shutil.copytree(template, home, dirs_exist_ok=True)
    trial = attempt(home, run, filler.unlink)
    subprocess.run(["umount", "-l", str(home)], check=True)
    return asdict(trial)


def failing(home: Path, template: Path, how: str, said: Path) -> dict[str, Any]:
    """A trial of "number:how many:errno": so many calls that write fail from this one on, see failing_writes.c.

    With the first of them, and how many calls there were.
    """
    at, most, error = map(int, how.split(":"))
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)
    log = Path(os.environ["FAILING_LOG"])
    log.write_text("")
    with Path(os.environ["FAILING_SHARED"]).open("r+b") as file, mmap.mmap(file.fileno(), SHARED.size) as shared:
        calls = 0

        def run() -> tuple[int, str]:
            nonlocal calls
            SHARED.pack_into(shared, 0, 0, at, most, error)
            ended = trials.command(home / "data_base", said)
            calls, *_ = SHARED.unpack_from(shared)
            SHARED.pack_into(shared, 0, 0, 0, 0, 0)
            return ended

        trial = attempt(home, run)
    return asdict(trial) | {"calls": calls, "call": log.read_text("utf-8").partition("\n")[0]}


def main(what: str, home: str, template: str, *each: str) -> None:
    """Print a JSON object for each trial."""
    attempts = {"full": full, "failing": failing}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        trials.with_fake_embedder(patch.setattr)
        trials.verify_here(patch.setattr)
        for how in each:
            row = attempts[what](Path(home), Path(template), how, Path(folder) / "said")
            print(json.dumps({"trial": how} | row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
