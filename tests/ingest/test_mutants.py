"""5,000 damaged files of all formats: each gives passages that stand where they say, or a sentence, within the limits."""

import shutil
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ingest
import kb
from ingest.load import Loader
from ingest.prepare import Prepared, prepare
from ingest.scan import scan
from kb.records import WHY_SKIPPED, Chunk, Skipped, Source
from tests.ingest.damage import SECRET
from tests.ingest.mutate import CHEAP, FORMATS, format_of, mutant

SECONDS, MIB = 60, 1536  # what is promised of each file
pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")  # of a member, which is meant
_QUICK = [number for number in range(1000) if format_of(number) in CHEAP][:150]


class Trials:
    """Mutants through one reader, as in a run over many files."""

    def __init__(self, folder: Path, loader: Loader, settings: kb.Settings) -> None:
        self._folder, self._loader, self._settings = folder, loader, settings
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.slowest, self.peak = (0.0, 0), (0, 0)

    def run(self, number: int) -> None:
        """Raises AssertionError with a line that says which mutant failed, how, and how to make it again."""
        kind = format_of(number)
        name, data = mutant(number)
        path = self._folder / name
        path.write_bytes(data)
        started = time.monotonic()
        try:
            with _memory(self._loader) as peak, _in_time():
                outcome = self._upload(path) if kind == "zip" else self._read(path)
            seconds = time.monotonic() - started
            assert seconds <= SECONDS, f"{seconds:.1f} s"
            assert peak[0] <= MIB, f"{peak[0]} MiB"
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise AssertionError(
                f"mutant {number} ({kind}): {what}; again: python -m tests.ingest.mutate {number} {name}"
            ) from error
        self.outcomes[kind][outcome] += 1
        self.slowest, self.peak = max(self.slowest, (seconds, number)), max(self.peak, (peak[0], number))
        path.unlink()

    def _read(self, path: Path) -> str:
        scanned = scan(Source("mutants", str(path)), self._settings)
        prepared = [prepare(self._loader, self._settings, file) for file in scanned.files]
        skipped = [*scanned.skipped, *(entry for one in prepared for entry in one.skipped)]
        for entry in skipped:
            _check_skipped(entry)
        for one in prepared:
            _check_documents(one)
        read = any(one.documents for one in prepared)
        assert read or skipped, "neither read nor reported"
        return "read" if read else "reported"

    def _upload(self, path: Path) -> str:
        base = self._settings.data_base / "kbs" / "default"
        try:
            ingest.add_upload(self._settings, "default", [("sent.zip", path)])
            outcome = "read"
        except kb.SourceError as error:
            _check_sentence(str(error))
            assert not (base / "uploads").exists()
            outcome = "reported"
        assert {entry.name for entry in base.iterdir()} <= {"uploads", "sources.json"}
        assert {entry.name for entry in self._folder.iterdir()} <= {path.name, "data_base"}
        shutil.rmtree(base)
        return outcome

    @property
    def summary(self) -> str:
        """One line."""
        total: Counter[str] = sum(self.outcomes.values(), Counter())
        formats = ", ".join(f"{kind} {each['read']}/{each['reported']}" for kind, each in sorted(self.outcomes.items()))
        most = f"slowest {self.slowest[0]:.1f} s (mutant {self.slowest[1]}), peak {self.peak[0]} MiB (mutant {self.peak[1]})"
        return f"{total.total()} mutants, {total['read']} read, {total['reported']} reported; {most}; read/reported: {formats}"


def _check_sentence(sentence: str) -> None:
    assert 10 < len(sentence) <= 400, f"{len(sentence)} characters: {sentence[:100]}"
    assert sentence.isprintable(), ascii(sentence)
    assert "{detail}" not in sentence
    assert "Traceback" not in sentence
    assert "the process that reads this format ended" not in sentence, "a file took the reader itself with it"


def _check_skipped(entry: Skipped) -> None:
    assert entry.reason in WHY_SKIPPED
    _check_sentence(entry.sentence)
    f"{entry.path}{entry.detail}".encode()


def _check_documents(prepared: Prepared) -> None:
    chunks: dict[str, list[Chunk]] = defaultdict(list)
    for row in prepared.rows:
        chunks[row.chunk.document].append(row.chunk)
        "".join((row.text, row.words)).encode()
    assert chunks.keys() == {document.key for document in prepared.documents}
    for document in prepared.documents:
        assert document.title.strip()
        assert "\0" not in document.text + document.title
        assert not any(character in document.path for character in "\0\n\r\x1b")
        "".join((document.title, document.text, document.path, document.file)).encode()
        assert SECRET.read_text()[:50] not in document.text
        lines = document.text.split("\n")
        for ordinal, chunk in enumerate(chunks[document.key]):
            assert chunk.ordinal == ordinal
            assert 1 <= chunk.start <= chunk.end <= len(lines)
            "".join(chunk.heading).encode()
            place = "\n".join(lines[chunk.start - 1 : chunk.end])
            if chunk.text not in place:  # a table that goes on, below its header of two lines
                header, rest = "\n".join(chunk.text.split("\n", 2)[:2]), chunk.text.split("\n", 2)[2]
                assert rest in place, f"chunk {ordinal} is not in lines {chunk.start} to {chunk.end}"
                assert header in "\n".join(lines[: chunk.start]), f"the header of chunk {ordinal} is not above it"


@contextmanager
def _in_time() -> Iterator[None]:
    """Ends what hangs in this process; a pattern that is matched looks at signals too."""

    def late(*_: object) -> None:
        raise TimeoutError(f"hangs for more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS + 1)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory(loader: Loader) -> Iterator[list[int]]:
    """The MiB that a file took at most: this process's growth, and all of the processes that the reader forked."""
    peak, below, done = [0], [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            reader = loader._reader
            if reader is not None:
                below[0] = max(below[0], sum(_status(pid, "VmHWM") for pid in _below(reader.pid)))

    Path("/proc/self/clear_refs").write_text("5")  # VmHWM from here on
    before, watcher = _status("self", "VmRSS"), threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak[0] = (_status("self", "VmHWM") - before + below[0]) // 1024


def _status(pid: int | str, name: str) -> int:
    """A figure in KiB; 0 for a process that has just ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")), 0)


def _below(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [deeper for child in children for deeper in _below(child)]


@pytest.fixture
def trials(tmp_path: Path) -> Iterator[Trials]:
    settings = kb.load_settings(data_base=tmp_path / "data_base")
    with Loader(settings) as loader:
        yield Trials(tmp_path, loader, settings)


def test_mutants_of_cheap_formats(trials: Trials) -> None:
    for number in _QUICK:
        trials.run(number)
    assert trials.outcomes.keys() == set(CHEAP)
    assert all(outcome["read"] and outcome["reported"] for outcome in trials.outcomes.values()), trials.summary


@pytest.mark.slow
def test_mutants_of_all_formats(trials: Trials, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5000):
        trials.run(number)
    with capsys.disabled():
        print(f"\n{trials.summary}")
    assert trials.outcomes.keys() == set(FORMATS)
    assert all(outcome["read"] and outcome["reported"] for outcome in trials.outcomes.values())
