"""Shared ground: the network guard for this process and all its children, and a data_base of their own for tests."""

import gc
import os
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("tests")

GUARD = Path(__file__).parent / "guard"
_LOG_NAME = "KB_TEST_NETWORK_LOG"


def pytest_configure(config: pytest.Config) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])
    for name in [name for name in os.environ if name.startswith("KB_") and not name.startswith("KB_BENCH_")]:
        del os.environ[name]  # a developer's own settings are not the tests'


@pytest.fixture(scope="session", autouse=True)
def no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever in this process or a child tries to leave the machine fails, and fails the run at its end."""
    log = tmp_path_factory.mktemp("network") / "attempts.txt"
    os.environ[_LOG_NAME] = str(log)
    runpy.run_path(str(GUARD / "sitecustomize.py"))
    yield
    assert not log.exists(), f"attempts to reach the network:\n{log.read_text()}"


@pytest.fixture(scope="module", autouse=True)
def small_collections() -> None:
    """What came before a module is left out of its garbage collections, which code and tests ask for by the hundred: with
    all tests and libraries in memory each takes two seconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted embedding model, made once a run where `make setup` has not."""
    from kb.embed import load_embedder
    from kb.settings import load_settings

    home = tmp_path_factory.mktemp("models")
    load_embedder(load_settings(data_base=home))
    (home / "models").mkdir(exist_ok=True)
    return home / "models"


@pytest.fixture
def data_base(tmp_path: Path, models: Path) -> Path:
    """An empty data_base that has the converted embedding model already."""
    home = tmp_path / "data_base"
    home.mkdir()
    (home / "models").symlink_to(models)
    return home
