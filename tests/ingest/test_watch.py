"""--watch: one line a run, a run after each change that the scan would see."""

import queue
import threading
from pathlib import Path

import pytest

import ingest
import kb
from ingest.scan import pruned
from ingest.watch import watch
from tests.fake_embedder import fake_embedder
from tests.ingest.test_build import page, write


def test_changes_are_indexed_and_errors_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ingest.build", "kb.base"):
        monkeypatch.setattr(f"{module}.load_embedder", lambda _: fake_embedder())
    docs = tmp_path / "docs"
    write(docs, "apple.md", page("apple"))
    write(docs, ".gitignore", "build/\n")
    settings = kb.load_settings(data_base=docs / "data_base")
    ingest.add_source(settings, "default", docs)
    lines: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=("default", settings, lines.put, stop))
    thread.start()
    try:
        assert "1 documents" in lines.get(timeout=60)
        write(docs, "build/x.md", page("x"))
        write(docs, ".hidden/x.md", page("x"))
        with pytest.raises(queue.Empty):
            lines.get(timeout=2)
        write(docs, "banana.md", page("banana"))
        assert "2 documents" in lines.get(timeout=60)
        with monkeypatch.context() as patch:
            patch.setattr("ingest.build.load_embedder", lambda _: (_ for _ in ()).throw(kb.ModelError("It is gone.")))
            write(docs, "cherry.md", page("cherry"))
            assert lines.get(timeout=60) == "Not indexed: It is gone."
        write(docs, "durian.md", page("durian"))
        assert "4 documents" in lines.get(timeout=60)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(kb.SourceError, match="to watch"):
        watch("default", kb.load_settings(data_base=tmp_path), print)


def test_what_the_scan_prunes_starts_no_run(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", "build/\n*.log\n")
    settings = kb.load_settings(data_base=tmp_path / "data")
    names = ("a.md", "b/.gitignore", "a.log", "build/a.md", "data/kbs", ".git/index", "b/.x/a.md", "data.md")
    seen = {name: pruned(tmp_path, tmp_path / name, settings) for name in names}
    assert seen == {"a.md": False, "b/.gitignore": False, "a.log": True, "build/a.md": True, "data/kbs": True,
                    ".git/index": True, "b/.x/a.md": True, "data.md": False}  # fmt: skip
