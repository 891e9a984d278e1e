"""Runs of the ingestion in this process check what they have written in one that costs no second to start."""

import pytest

from tests.ingest import trials


@pytest.fixture(autouse=True)
def quick_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    trials.verify_in_a_fork(monkeypatch.setattr)
