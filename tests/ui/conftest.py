"""The page served once for all tests here, over a core of fakes."""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kb import load_settings
from kb.records import Skipped
from tests.ui import fakes
from ui.address import Address
from ui.app import launch
from ui.auth import parse_login

LONG = "\n".join(f"Line {n} of the long story." for n in range(1, 2001))
GUIDE = "# Cooking\n\nBoil the noodles for four minutes.\n\n# Storage\n\nKeep the noodles dry and cool.\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def a_core(folder: Path, **options: Any) -> fakes.FakeCore:
    skipped = [
        Skipped("notes", "LICENSE", "licence"),
        Skipped("notes", "a.bin", "format", ".bin"),
        Skipped("notes", "b.bin", "format", ".bin"),
    ]
    noodles = fakes.base(
        "default", fakes.document("guide.md", GUIDE, "Noodles"), fakes.document("long.md", LONG), skipped=skipped
    )
    return fakes.FakeCore(load_settings(data_base=folder), noodles, fakes.FakeBase("empty"), **options)


@pytest.fixture
def core(tmp_path: Path) -> fakes.FakeCore:
    return a_core(tmp_path)


def request(session: str = "s1", user: str | None = None, **query: str) -> Any:
    """What a handler sees of a gr.Request."""
    return SimpleNamespace(session_hash=session, username=user, query_params=query)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The app on a free port without a login: .url, .core, .blocks."""
    core = a_core(tmp_path_factory.mktemp("served"))
    address = Address(port=free_port())
    blocks = launch(core, address, block=False)
    yield SimpleNamespace(url=address.url, core=core, blocks=blocks)
    blocks.close()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The same with a login."""
    core = a_core(tmp_path_factory.mktemp("guarded"))
    address = Address(port=free_port(), login=parse_login("ann:correct horse"))
    blocks = launch(core, address, block=False)
    yield SimpleNamespace(url=address.url, core=core, blocks=blocks)
    blocks.close()
