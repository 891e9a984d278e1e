"""Training, merging and comparing as jobs that the page starts. Their subject is the tune's name."""

from finetune.tunes import get_tune, start_over
from kb import jobs
from kb.settings import Settings

TRAIN, MERGE, COMPARE = _KINDS = "train", "merge", "compare"


def train_job(settings: Settings, name: str, *, afresh: bool = False, merge_as: str = "") -> jobs.Job:
    """Train in the background, on from the last checkpoint unless `afresh`; with `merge_as` also merge into a model of that name.

    The job of this tune that runs already, if one does. It waits for the GPU, and can be paused; jobs.rerun() goes on with it.
    """
    if afresh and not jobs.running(settings, name, *_KINDS):
        start_over(settings, name)  # here, and not by the job: started again after a pause, it is to go on
    command = ["run", name, "--as", merge_as] if merge_as else ["train", name]
    return _start(settings, TRAIN, f"Train {name}", command, name, can_pause=True)


def merge_job(settings: Settings, name: str, model: str = "") -> jobs.Job:
    """Merge the last checkpoint into the model `model` (default: the tune's name)."""
    return _start(settings, MERGE, f"Merge {name}", ["merge", name, *(["--as", model] if model else [])], name)


def compare_job(settings: Settings, name: str) -> jobs.Job:
    """Ask the base and the merged model the evaluation prompts."""
    return _start(settings, COMPARE, f"Compare {name}", ["compare", name], name)


def _start(settings: Settings, kind: str, title: str, args: list[str], name: str, can_pause: bool = False) -> jobs.Job:
    get_tune(settings, name)  # says so now where there is none
    if job := jobs.running(settings, name, *_KINDS):
        return job
    where = ["--data-base", str(settings.data_base), "--tools", str(settings.tools)]
    return jobs.start(settings, kind, title, "finetune", [*args, *where], subject=name, gpu=True, can_pause=can_pause)
