"""`kill -9` in the middle of a run: the old base answers, and one more run gives exactly what a fresh build gives."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

import ingest
from tests.ingest import trials

# Each is looked up by name, so that a renamed step fails here and is not silently left out.
STEPS = (
    "ingest.build:_scan",
    "ingest.build:fill",
    "ingest.build:merge",
    "kb.writer:GenerationWriter.take_over",
    "kb.writer:GenerationWriter.remove_file",
    "kb.writer:GenerationWriter.add",
    "kb.writer:GenerationWriter.finish",
    "kb.segment:SegmentWriter.finish",
    "kb.segment:sync",
    "kb.lexical:LexicalWriter.finish",
    "kb.catalog:CatalogWriter.finish",
    "kb.writer:sync",
    "kb.manifest:asdict",
    "ingest.publish:_verify_elsewhere",
    "ingest.publish:_learn",
    "ingest.publish:_publish",
    "ingest.publish:sync",  # after the rename
    "kb.state:State.set_live",
    "ingest.publish:_sweep",  # its third call comes after the pointer has moved
    "ingest.publish:rmtree",  # of the generation that falls out, after the pointer has moved
)


# Close to one of those above: for `make test-slow`.
MORE = (
    "ingest.build:clean",
    "ingest.build:make_plan",
    "ingest.build:GenerationWriter",
    "kb.catalog:CatalogWriter.remove_file",
    "kb.segment:_close_chroma",
)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data_base and docs, indexed twice, so that a further run drops a generation."""
    home = tmp_path_factory.mktemp("crash")
    (home / "docs").mkdir()
    for n in range(12):
        trials.write(home / "docs", n, 0)
    ingest.add_source(trials.settings_of(home / "data_base"), "default", home / "docs")
    trials.reindex(home / "data_base")
    trials.write(home / "docs", 0, 1)
    trials.reindex(home / "data_base")
    return home


@pytest.fixture
def base(indexed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of it that can be spoilt."""
    home = tmp_path / "home"
    shutil.copytree(indexed, home)
    sources = home / "data_base" / "kbs" / "default" / "sources.json"
    sources.write_text(sources.read_text("utf-8").replace(str(indexed), str(home)), "utf-8")
    return home / "data_base", home / "docs"


@pytest.mark.parametrize("step", [*STEPS, *(pytest.param(step, marks=pytest.mark.slow) for step in MORE)])
def test_killed_before_a_step(base: tuple[Path, Path], step: str) -> None:
    data_base, docs = base
    assert trials.trial(data_base, docs, 1, lambda: trials.finish(trials.start_reindex(data_base, step))), f"{step} never came"


@pytest.mark.slow
def test_killed_at_200_random_moments(base: tuple[Path, Path]) -> None:
    data_base, docs = base
    chance = random.Random(20261124)

    def run() -> int:
        process = trials.start_reindex(data_base)
        time.sleep(chance.uniform(0, 0.7))
        if process.is_alive() and process.pid:
            os.kill(process.pid, signal.SIGKILL)
        return trials.finish(process)

    killed = sum(trials.trial(data_base, docs, seed, run) for seed in range(200))
    print(f"\n{killed} of 200 runs were killed before their end; 0 chunks lost, doubled or left over")
    assert killed >= 100
