"""A disk that is full or fails at any write: one sentence, the old base serves, and the next run leaves nothing behind."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ingest import disk_trials, trials

_MEMORY = Path("/dev/shm")  # where the system has it: what is tried is not the disk's speed
_SHIM = Path(__file__).parent / "failing_writes.c"
_MINUTES = 3  # for each way of failing

# Strict: who mends the last of them is told to take this away.


@pytest.fixture(scope="module")
def homes() -> Iterator[tuple[Path, Path]]:
    """Where a base is tried, and what it is copied from each time."""
    with tempfile.TemporaryDirectory(prefix="disk", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        home, template = Path(folder) / "home", Path(folder) / "template"
        with pytest.MonkeyPatch.context() as patch:
            trials.with_fake_embedder(patch.setattr)
            trials.verify_here(patch.setattr)
            disk_trials.prepare(home)
            home.rename(template)
            yield home, template


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("failing writes need a C compiler (cc) and Linux")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SHIM), "-ldl"], check=True)
    return library


class Failing:
    """Trials under the preloaded library."""

    def __init__(self, homes: tuple[Path, Path], shim: Path, folder: Path) -> None:
        self.home, self.template = homes
        self.shim, self.counter, self.log = shim, folder / "counter", folder / "log"

    def attempt(self, at: int, on: bool, error: int) -> tuple[disk_trials.Trial, str, int]:
        """A trial in which call `at` fails, and if `on` all after it; with that call, and how many there were."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.template, self.home)
        self.counter.write_bytes(bytes(8))
        self.log.write_text("")
        env = {
            "LD_PRELOAD": str(self.shim),
            "FAILING_UNDER": str(self.home / "data_base"),
            "FAILING_COUNTER": str(self.counter),
            "FAILING_LOG": str(self.log),
            "FAILING_AT": str(at),
            "FAILING_ON": str(int(on)),
            "FAILING_ERRNO": str(error),
        }
        trial = disk_trials.attempt(self.home, env)
        first = self.log.read_text("utf-8").partition("\n")[0]
        return trial, first, int.from_bytes(self.counter.read_bytes(), sys.byteorder)

    def count(self) -> int:
        """The calls of a run in which none fails."""
        trial, _, calls = self.attempt(0, False, 0)
        assert (trial.code, trial.wrong) == (0, [])
        assert calls > 50, "the library was not loaded"
        return calls

    def check(self, which: Sequence[int], on: bool, error: int) -> list[str]:
        """What went wrong, of all of them."""
        wrong, ends = list[str](), Counter[str]()
        for at in which:
            trial, first, _ = self.attempt(at, on, error)
            ends["the call did not come" if not first else "one sentence" if trial.code else "harmless"] += 1
            wrong += [f"{first or at}: {text}" for text in trial.wrong]
        how = f"{errno.errorcode[error]}{' from there on' if on else ' once'}"
        print(f"\n{how}: {len(which)} runs, {dict(ends)}, {len(wrong)} violations", *wrong, sep="\n")
        return wrong


@pytest.fixture
def failing(homes: tuple[Path, Path], shim: Path, tmp_path: Path) -> Failing:
    return Failing(homes, shim, tmp_path)


def test_a_write_fails(failing: Failing) -> None:
    calls = failing.count()
    spread = [1 + (calls - 1) * n // 3 for n in range(4)]
    wrong = failing.check(spread[::2], on=True, error=errno.ENOSPC) + failing.check(spread[1::2], on=False, error=errno.EIO)
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(("on", "error"), [(True, errno.ENOSPC), (False, errno.EIO)])
def test_each_write_fails(failing: Failing, on: bool, error: int) -> None:
    started = time.monotonic()
    calls = failing.count()
    stride = max(1, round(calls * (time.monotonic() - started) / (_MINUTES * 60)))
    which = sorted({*range(1, calls + 1, stride), *range(max(1, calls - 59), calls + 1)})
    print(f"\n{calls} calls; every {stride}. and the last 60")
    assert not failing.check(which, on, error)


def _full(homes: tuple[Path, Path], free: Sequence[int]) -> list[int]:
    """The exit codes on file systems with so many KiB to spare."""
    home, template = homes
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    if subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", str(home)], capture_output=True, check=False
    ).returncode:
        pytest.skip("a full file system needs a user namespace that may mount a tmpfs")
    sizes = [str(kib * 1024) for kib in free]
    command = ["unshare", "-Urm", sys.executable, "-m", "tests.ingest.disk_trials", str(home), str(template), *sizes]
    done = subprocess.run(command, cwd=disk_trials.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        print(
            f"\n{row['free'] // 1024} KiB free: exit code {row['code']}", row["said"].splitlines()[-1:], *row["wrong"], sep="\n  "
        )
    assert not [text for row in rows for text in row["wrong"]]
    return [row["code"] for row in rows]


@pytest.mark.xfail(strict=True, reason="Chroma writes when it opens: an app that is started then cannot ask")
def test_a_disk_without_space(homes: tuple[Path, Path]) -> None:
    assert _full(homes, (0,)) == [1]


def test_a_disk_with_little_space(homes: tuple[Path, Path]) -> None:
    assert _full(homes, (32, 400, 8000)) == [1, 1, 0]


@pytest.mark.slow
def test_disks_of_many_sizes(homes: tuple[Path, Path]) -> None:
    codes = _full(homes, (32, 48, 64, 96, 128, 192, 256, 400, 500, 600, 700, 800, 1000, 2000, 8000))
    assert codes == sorted(codes, reverse=True), "less space was enough"
