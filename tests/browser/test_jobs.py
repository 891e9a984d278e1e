"""The card of a job in a real browser."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kb.jobs import Progress
from tests.browser.conftest import Open
from tests.ui.fakes import a_job


@pytest.fixture(autouse=True)
def renewed(app: SimpleNamespace, tmp_path: Path) -> None:
    app.core.renew(tmp_path)


def test_an_unfolded_log_stays_unfolded_and_the_buttons_act_on_their_job(app: SimpleNamespace, open_page: Open) -> None:
    job = replace(a_job("running", progress=Progress("embed", 340, 1200, "chunks")), can_pause=True)
    app.core.fake_jobs = [job]
    page = open_page(app.url)
    page.click("#tabs button[data-tab-id=library]")
    page.click(".job summary")
    app.core.fake_jobs = [replace(job, progress=Progress("embed", 900, 1200, "chunks"))]
    page.wait_for_selector(".job progress[value='900']")
    assert page.is_visible(".job pre")
    page.click(".job .pause")
    page.wait_for_selector(".job-paused")
    page.click(".job .again")
    page.wait_for_selector(".job-running")
    page.click(".job .cancel")
    page.click("dialog button.yes")
    page.wait_for_selector(".job-cancelled")
    assert page.is_visible(".job pre")
