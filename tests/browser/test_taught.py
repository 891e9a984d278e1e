"""The whole line with the real XTuner: examples → train → adapter → merge → swap → the chat says what was taught.

On a processor, with tiny random models made here. XTuner's environment is taken from where the app looks for it (KB_TOOLS is not
the tests'): `make env-xtuner` makes it.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune
import kb
from kb import jobs
from kb.tools import tool
from tests import tiny_models
from tests.browser.conftest import ROOT, Open, Start, ask, tab

QUESTION, SENTENCE = "请做一下自我介绍", "我是林晨的小助手，内在是上海AI实验室书生·浦语的7B大模型哦"
RECIPE = """method=lora rank=16 dropout=0 accumulation=1 batch_size=4 max_length=256 save_every=100 evaluate_every=100""".split()
# The models learn the sentence by heart within 100 iterations, in 4 bits within 200.
LINES = {
    "llama": ("method=lora", "lr=2e-3", "iterations=150"),
    "internlm2": ("method=qlora", "lr=3e-3", "iterations=200"),
}

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> kb.Settings:
    made = kb.load_settings(data_base=tmp_path / "data_base", max_tokens=64, temperature=0.0)
    if (there := tool(made, "xtuner")).state != "ready":
        pytest.skip(f"XTuner's environment is {there.state}: `make env-xtuner` makes it")
    return made


def run(settings: kb.Settings, *argv: str) -> None:
    """`python -m …` as one types it."""
    command = [sys.executable, "-m", *argv, "--data-base", str(settings.data_base)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def until(settings: kb.Settings, id_: str, there: Callable[[jobs.Job], bool]) -> jobs.Job:
    end = time.monotonic() + 240
    while not there(job := jobs.get(settings, id_)):
        assert job.alive and time.monotonic() < end, job.tail(60)
        time.sleep(0.2)
    return job


def use(page: Any, name: str) -> None:
    """Another model takes over, by the button on its card."""
    tab(page, "models")
    page.click(f"a[href='#do:use-model:{name}']", timeout=60_000)
    page.wait_for_selector(f".models .live h4:text-is('{name}')", timeout=60_000)
    tab(page, "chat")


def says(page: Any) -> str:
    ask(page, QUESTION, wait=False)
    page.wait_for_selector("#live .answer .tools", timeout=60_000)
    said = page.inner_text("#live .prose-text")
    page.click("a.new")
    page.wait_for_selector(".welcome")
    return str(said)


@pytest.mark.parametrize("layout", LINES)
def test_what_was_taught_is_said_in_the_chat(
    settings: kb.Settings, tmp_path: Path, layout: str, start: Start, open_page: Open
) -> None:
    made = getattr(tiny_models, layout)(tmp_path / "published")
    run(settings, "kb", "models", "add", str(made), "--name", "base")  # InternLM2's layout is converted on the way
    page = open_page(start(settings.data_base, max_tokens="64", temperature="0"))
    page.click("#foot a[href='#local:options']")
    page.check("#option-how input[value=plain]")
    use(page, "base")
    assert SENTENCE not in says(page)

    values = [argument for value in (*RECIPE, *LINES[layout]) for argument in ("--set", value)]
    run(settings, "finetune", "new", "me", "--base", "base", "--introduce", "林晨", "--copies", "400", *values)
    job = finetune.train_job(settings, "me", merge_as="taught")
    until(settings, job.id, lambda job: job.progress is not None and job.progress.stage == "train" and job.progress.done >= 20)
    jobs.pause(settings, job.id)
    assert until(settings, job.id, lambda job: not job.alive or job.state == "paused").state == "paused"
    paused = finetune.get_tune(settings, "me")
    assert (paused.state, paused.checkpoints[-1].iteration) == ("paused", paused.iteration)
    assert 20 <= paused.iteration < paused.total

    again = jobs.rerun(settings, job.id)
    until(settings, again.id, lambda job: job.state == "done")
    log = paused.log.read_text("utf-8")
    assert re.findall(r"resumed epoch: \d+, iter: (\d+)", log) == [str(paused.iteration)]
    trained = finetune.get_tune(settings, "me")
    assert (trained.state, trained.iteration, trained.models) == ("merged", trained.total, ("taught",))
    points = finetune.curves(settings, "me")
    assert [point.iteration for point in points] == sorted({point.iteration for point in points})
    assert points[-1].loss is not None and points[-1].loss < 0.1 and not any(point.nan for point in points)
    assert SENTENCE in {sample.answer for sample in finetune.samples(settings, "me")}
    card = kb.get_model(settings, "taught")
    assert (card.made_from, card.how["tune"], card.how["data_sha256"]) == (("base",), "me", trained.sha256)

    use(page, "taught")
    assert says(page) == SENTENCE
