"""An index that is brought up to date again and again stays about as large as a fresh one."""

import importlib
import random
import shutil
from pathlib import Path

import pytest

import ingest
import kb
from ingest.merge import to_merge
from kb.manifest import SegmentInfo
from kb.writer import SEGMENT_CHUNKS
from tests.fake_embedder import fake_embedder

WORDS = "index chunk passage vector model answer question folder server adapter memory token page build merge file".split()


def write(docs: Path, n: int, version: int, sections: int = 10) -> None:
    chance = random.Random(f"{n} {version}")
    parts = [f"## Part {k}\n\n" + " ".join(chance.choices(WORDS, k=120)) + f" {n} {version}." for k in range(sections)]
    (docs / f"{n}.md").write_text(f"# File {n}\n\n" + "\n\n".join(parts) + "\n", "utf-8")


def disk(folder: Path) -> int:
    """Bytes on disk; what is linked twice counts once."""
    found = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in (path.stat() for path in folder.rglob("*") if path.is_file())}
    return sum(found.values())


def grown(home: Path, files: int, rounds: int, share: float) -> tuple[list[int], int]:
    """Bytes after each of `rounds` runs that each found a `share` of the files changed, and of a fresh build at the end."""
    docs, chance = home / "docs", random.Random(9)
    docs.mkdir()
    settings = kb.load_settings(data_base=home / "data_base")
    for n in range(files):
        write(docs, n, 0)
    ingest.add_source(settings, "default", docs)
    ingest.reindex("default", settings)
    sizes = []
    for version in range(1, rounds + 1):
        paths = sorted(docs.glob("*.md"))
        for path in chance.sample(paths, max(1, round(files * share))):
            write(docs, int(path.stem), version)
        chance.choice(paths).unlink()
        write(docs, files + version, 0)
        ingest.reindex("default", settings)
        sizes.append(disk(settings.data_base / "kbs"))
    shutil.copytree(docs, home / "copy")
    fresh = kb.load_settings(data_base=home / "fresh")
    ingest.add_source(fresh, "default", home / "copy")
    ingest.reindex("default", fresh)
    return sizes, disk(fresh.data_base / "kbs")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ingest.build", "kb.base"):
        monkeypatch.setattr(importlib.import_module(module), "load_embedder", lambda _: fake_embedder())


def test_five_runs(tmp_path: Path, fake: None) -> None:
    sizes, fresh = grown(tmp_path, files=40, rounds=5, share=0.05)
    assert max(sizes) <= 1.5 * fresh


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_fifty_runs(tmp_path: Path, fake: None, share: float) -> None:
    sizes, fresh = grown(tmp_path, files=200, rounds=50, share=share)
    print(
        f"\n50 runs with {share:.0%} of 200 files changed in each: at most {max(sizes) / fresh:.2f} × a fresh build's "
        f"{fresh / 1e6:.1f} MB, {sizes[-1] / fresh:.2f} × at the end"
    )
    assert max(sizes) <= 1.5 * fresh


def test_what_is_merged() -> None:
    def names(*rows_and_live: tuple[int, int]) -> list[str]:
        return to_merge([SegmentInfo(str(n), rows, live) for n, (rows, live) in enumerate(rows_and_live)])

    assert names((5000, 5000)) == names((5000, 4500), (20, 20)) == []
    assert names((5000, 4000), (20, 20)) == ["0"]
    assert names((5000, 5000), (20, 20), (20, 20), (20, 20)) == ["1", "2", "3"]
    full = (SEGMENT_CHUNKS, SEGMENT_CHUNKS)
    assert names(*[full] * 30) == []
    worn = (SEGMENT_CHUNKS, SEGMENT_CHUNKS // 2)
    assert len(names(*[worn] * 40)) == 10  # a quarter of a large index at a time
