"""A segment that nobody holds any more is closed, wherever the garbage collector finds it."""

import gc
import shutil
import threading
import time
from pathlib import Path

import kb
from kb import segment
from kb.segment import Segment


def test_a_segment_that_is_collected_while_another_opens_does_not_wait_for_it(base: kb.KnowledgeBase, tmp_path: Path) -> None:
    [there] = list((base.folder / "segments").iterdir())[:1]
    folder = Path(shutil.copytree(there, tmp_path / "segment"))
    closed = threading.Event()

    def collect() -> None:
        one = Segment(folder)
        one.warm()
        assert str(folder / "chroma") in _open_folders()
        with segment._chroma_lock:  # as in the middle of opening another one
            del one
            gc.collect()
        closed.set()

    threading.Thread(target=collect, daemon=True).start()
    assert closed.wait(20)
    end = time.monotonic() + 10
    while str(folder / "chroma") in _open_folders() and time.monotonic() < end:
        time.sleep(0.05)
    assert str(folder / "chroma") not in _open_folders()


def _open_folders() -> set[str]:
    from chromadb.api.shared_system_client import SharedSystemClient

    return set(SharedSystemClient._identifier_to_system)
